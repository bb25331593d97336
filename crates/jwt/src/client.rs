//! The HTTP client towards one issuer.

use std::time::Duration;

use haulout_https::{HttpsClient, HttpsClients, Limits, foreign};
use http::StatusCode;
use url::Url;

pub use haulout_https::{ClientError, TrustRoots};

/// Longest time that one call may take, from the first packet to the last byte of the body.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Most bytes of an answer that are read: discovery documents have 2 KiB, large JWK sets 50 KiB.
pub const BODY_LIMIT: usize = 512 * 1024;

/// Why an answer could not be had.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No whole answer came.
    #[error(transparent)]
    Call(#[from] haulout_https::CallError),
    /// The answer is another than 200; redirects are not followed.
    #[error("{status}{}", of_answer(.status, .body))]
    Status {
        /// Status line as Go prints it, for example `404 Not Found`.
        status: StatusCode,
        /// Beginning of the body, escaped.
        body: String,
    },
}

/// What else there is to say of an answer that is not 200.
fn of_answer(status: &StatusCode, body: &str) -> String {
    match (status.is_redirection(), body) {
        (true, _) => ": redirects are not followed; use the URL that they lead to".to_owned(),
        (false, "") => String::new(),
        (false, body) => format!(" {body}"),
    }
}

/// Issuers of the same roots share a client, since each holds all of them in memory.
static CLIENTS: HttpsClients = HttpsClients::new();

/// Calls one issuer, within [`CALL_TIMEOUT`] and [`BODY_LIMIT`].
#[derive(Clone, Debug)]
pub struct IssuerClient(HttpsClient);

impl IssuerClient {
    /// A client that trusts `roots`. A process-wide rustls provider must be installed.
    ///
    /// # Errors
    /// A certificate is no trust anchor, or the system has no roots at all.
    pub fn new(roots: &TrustRoots) -> Result<Self, ClientError> {
        let limits = Limits {
            time: CALL_TIMEOUT,
            body: BODY_LIMIT,
        };
        CLIENTS.client(roots, limits).map(Self)
    }

    /// The body of a 200 answer.
    pub(crate) async fn get(&self, url: Url) -> Result<Vec<u8>, CallError> {
        let answer = self.0.get_json(url).await?;
        match answer.status {
            StatusCode::OK => Ok(answer.body),
            status => Err(CallError::Status {
                status,
                body: foreign(String::from_utf8_lossy(&answer.body).trim_end()),
            }),
        }
    }
}

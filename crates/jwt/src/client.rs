//! The HTTP client towards one issuer, with every limit that an untrusted peer needs.

use std::error::Error;
use std::time::Duration;

use reqwest::{Certificate, Client, StatusCode, header, redirect::Policy, tls};
use url::Url;

use crate::foreign;

/// Longest time that one call may take, from the first packet to the last byte of the body.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest time that connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Most bytes of an answer that are read: discovery documents have 2 KiB, large JWK sets 50 KiB.
pub const BODY_LIMIT: usize = 512 * 1024;

/// Which certificates an issuer's TLS certificate may chain to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrustRoots {
    /// The roots of the operating system or image.
    System,
    /// Only these certificates, in DER.
    Only(Vec<Vec<u8>>),
}

/// The client could not be made; its text says what the roots lack. There is no source: the text has the cause, without
/// what reqwest puts around it.
#[derive(Debug, thiserror::Error)]
#[error("failed to set up TLS with these roots: {}", innermost(.0))]
pub struct ClientError(reqwest::Error);

/// Why an answer could not be had.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No answer came, for example because the certificate was not accepted or time ran out. There is no source: the
    /// text has the cause, in Go's words.
    #[error("Get \"{url}\": {}", transport_text(.error))]
    Transport {
        /// What was asked for.
        url: Url,
        /// What the HTTP client says.
        error: reqwest::Error,
    },
    /// The answer is another than 200; redirects are not followed.
    #[error("{status} {body}")]
    Status {
        /// Status line as Go prints it, for example `404 Not Found`.
        status: StatusCode,
        /// Beginning of the body, escaped.
        body: String,
    },
    /// The answer is longer than [`BODY_LIMIT`].
    #[error("Get \"{url}\": answer is longer than {BODY_LIMIT} bytes")]
    TooLarge {
        /// What was asked for.
        url: Url,
    },
}

/// Calls one issuer over HTTPS only, with TLS 1.2 or later, within [`CALL_TIMEOUT`], without following redirects, and
/// through the proxy that `HTTPS_PROXY` and `NO_PROXY` name.
#[derive(Clone, Debug)]
pub struct IssuerClient {
    http: Client,
}

impl IssuerClient {
    /// A client that trusts `roots`. A process-wide rustls provider must be installed.
    ///
    /// # Errors
    /// A certificate is no trust anchor, or the system has no roots at all.
    pub fn new(roots: &TrustRoots) -> Result<Self, ClientError> {
        let mut builder = Client::builder()
            .https_only(true)
            .tls_version_min(tls::Version::TLS_1_2)
            .redirect(Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(CALL_TIMEOUT)
            .user_agent(concat!("haulout/", env!("CARGO_PKG_VERSION")));
        if let TrustRoots::Only(certificates) = roots {
            let certificates: Result<Vec<_>, _> = certificates
                .iter()
                .map(|der| Certificate::from_der(der))
                .collect();
            builder = builder.tls_certs_only(certificates.map_err(ClientError)?);
        }
        builder
            .build()
            .map(|http| Self { http })
            .map_err(ClientError)
    }

    /// The body of a 200 answer.
    pub(crate) async fn get(&self, url: Url) -> Result<Vec<u8>, CallError> {
        let transport = |error: reqwest::Error| CallError::Transport {
            url: url.clone(),
            error: error.without_url(),
        };
        let request = self
            .http
            .get(url.clone())
            .header(header::ACCEPT, "application/json")
            .header(header::CACHE_CONTROL, "no-cache");
        let mut response = request.send().await.map_err(transport)?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(transport)? {
            if body.len() + chunk.len() > BODY_LIMIT {
                return Err(CallError::TooLarge { url });
            }
            body.extend_from_slice(&chunk);
        }
        match response.status() {
            StatusCode::OK => Ok(body),
            status => Err(CallError::Status {
                status,
                body: foreign(String::from_utf8_lossy(&body).trim_end()),
            }),
        }
    }
}

/// What went wrong below reqwest, worded for certificates as Go words it, since people and tools look for `x509:`.
fn transport_text(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("no answer within {} s", CALL_TIMEOUT.as_secs());
    }
    let cause = innermost(error);
    match cause.strip_prefix("invalid peer certificate: ") {
        // A root of the same name but another key gives the second.
        Some("UnknownIssuer" | "BadSignature") => {
            "tls: failed to verify certificate: x509: certificate signed by unknown authority"
                .to_owned()
        }
        Some(fault) => format!("tls: failed to verify certificate: x509: {fault}"),
        None => cause,
    }
}

fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

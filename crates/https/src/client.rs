//! The client: every limit that an untrusted server needs.

use std::fmt;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use reqwest::{Certificate, Client, Request, redirect::Policy, tls};
use url::Url;

use crate::body::{BodyError, read_body};
use crate::error::{CallError, CallFault, ClientError};

/// Longest time that connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Which certificates a server's TLS certificate may chain to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrustRoots {
    /// The roots of the operating system or image.
    System,
    /// Only these certificates, in DER.
    Only(Vec<Vec<u8>>),
}

/// How much one call may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From the first packet to the last byte of the answer.
    pub time: Duration,
    /// Bytes of the answer's body.
    pub body: usize,
}

/// Calls over HTTPS only, with TLS 1.2 or later, without following redirects, and through the proxy that `HTTPS_PROXY` and
/// `NO_PROXY` name.
#[derive(Clone, Debug)]
pub struct HttpsClient {
    http: Client,
    limits: Limits,
}

impl HttpsClient {
    /// A client that trusts `roots`. A process-wide rustls provider must be installed.
    ///
    /// # Errors
    /// A certificate is no trust anchor, or the system has no roots at all.
    pub fn new(roots: &TrustRoots, limits: Limits) -> Result<Self, ClientError> {
        let mut builder = Client::builder()
            .https_only(true)
            .tls_version_min(tls::Version::TLS_1_2)
            .redirect(Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(limits.time)
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
            .map(|http| Self { http, limits })
            .map_err(ClientError)
    }

    /// What the server answers to a GET, past every cache between.
    ///
    /// # Errors
    /// [`CallError`]; an answer of any status is none.
    pub async fn get_json(&self, url: Url) -> Result<Answer, CallError> {
        let mut request = Request::new(Method::GET, url);
        let headers = request.headers_mut();
        headers.insert(header::ACCEPT, JSON);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        self.call("Get", request).await
    }

    async fn call(&self, verb: &'static str, request: Request) -> Result<Answer, CallError> {
        let url = request.url().clone();
        self.answer(request)
            .await
            .map_err(|error| CallError::new(verb, url, CallFault::new(error, self.limits.time)))
    }

    async fn answer(&self, request: Request) -> Result<Answer, BodyError> {
        let sent = self.http.execute(request).await;
        let mut response = sent.map_err(BodyError::Transport)?;
        Ok(Answer {
            status: response.status(),
            headers: std::mem::take(response.headers_mut()),
            body: read_body(response, self.limits.body).await?,
        })
    }
}

/// A whole answer, of whatever status.
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Vec<u8>,
}

/// The status alone: the rest may repeat what was sent, a token for example.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

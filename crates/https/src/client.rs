//! The client: every limit that an untrusted server needs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use reqwest::{Client, Request, redirect::Policy};
use rustls::ClientConfig;
use url::Url;

use crate::body::{BodyError, read_body};
use crate::connection::{self, ConnectionError};
use crate::error::{CallError, CallFault, ClientError};
use crate::lookup::Resolver;
use crate::proxy::{Proxy, ProxyError, ProxyRules};
use crate::tls::{TrustRoots, client_config};

/// Longest time that connecting may take.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");

/// How much one call may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    pub(crate) tls: Arc<ClientConfig>,
    resolver: Resolver,
    limits: Limits,
    proxies: Arc<ProxyRules>,
}

impl HttpsClient {
    /// A client that trusts `roots`.
    ///
    /// # Errors
    /// A certificate is no trust anchor, or the system has no roots at all.
    pub fn new(roots: &TrustRoots, limits: Limits) -> Result<Self, ClientError> {
        Self::with_resolver(roots, limits, Resolver::of_process())
    }

    fn with_resolver(
        roots: &TrustRoots,
        limits: Limits,
        resolver: Resolver,
    ) -> Result<Self, ClientError> {
        let tls = client_config(roots).map_err(ClientError::Roots)?;
        let http = Client::builder()
            .https_only(true)
            .tls_backend_preconfigured(tls.clone())
            .dns_resolver(resolver.clone())
            .redirect(Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(limits.time)
            .user_agent(concat!("haulout/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(ClientError::Client)?;
        Ok(Self {
            http,
            tls: Arc::new(tls),
            resolver,
            limits,
            proxies: Arc::new(ProxyRules::from_env()),
        })
    }

    /// What the server answers to a GET, past every cache between.
    ///
    /// # Errors
    /// [`CallError`]; an answer of any status is none.
    pub async fn get_json(&self, url: Url) -> Result<Answer, CallError> {
        self.get(url, HeaderMap::new()).await
    }

    /// The same, with further headers.
    ///
    /// # Errors
    /// [`CallError`]; an answer of any status is none.
    pub async fn get(&self, url: Url, mut headers: HeaderMap) -> Result<Answer, CallError> {
        headers.insert(header::ACCEPT, JSON);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        let mut request = Request::new(Method::GET, url);
        *request.headers_mut() = headers;
        self.call("Get", request).await
    }

    /// What the server answers to a POST of `body`, which is JSON.
    ///
    /// # Errors
    /// [`CallError`]; an answer of any status is none.
    pub async fn post_json(&self, url: Url, body: Vec<u8>) -> Result<Answer, CallError> {
        self.post(url, JSON, HeaderMap::new(), body).await
    }

    /// What the server answers to a POST of `body`, an HTML form, with further headers.
    ///
    /// # Errors
    /// [`CallError`]; an answer of any status is none.
    pub async fn post_form(
        &self,
        url: Url,
        headers: HeaderMap,
        body: String,
    ) -> Result<Answer, CallError> {
        self.post(url, FORM, headers, body.into_bytes()).await
    }

    async fn post(
        &self,
        url: Url,
        content_type: HeaderValue,
        mut headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<Answer, CallError> {
        headers.insert(header::ACCEPT, JSON);
        headers.insert(header::CONTENT_TYPE, content_type);
        let mut request = Request::new(Method::POST, url);
        *request.headers_mut() = headers;
        *request.body_mut() = Some(body.into());
        self.call("Post", request).await
    }

    /// The proxy on the way to `url`.
    ///
    /// # Errors
    /// As [`ProxyRules::proxy_to`]; a call would be of no use.
    pub fn proxy_to(&self, url: &Url) -> Result<Option<Proxy>, ProxyError> {
        self.proxies.proxy_to(url)
    }

    /// Whether the server of `url` can be reached and its certificate is accepted. No request is made and no proxy is used.
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn check_connection(&self, url: &Url) -> Result<(), ConnectionError> {
        connection::check(Arc::clone(&self.tls), &self.resolver, url).await
    }

    async fn call(&self, verb: &'static str, request: Request) -> Result<Answer, CallError> {
        let url = request.url().clone();
        self.answer(request).await.map_err(|error| {
            let fault = CallFault::new(error, self.limits.time);
            let proxy = self.proxies.proxy_to(&url).ok().flatten();
            CallError::new(verb, &url, proxy.as_ref(), fault)
        })
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use futures_util::future::join_all;

    use super::*;

    const LIMITS: Limits = Limits {
        time: Duration::from_secs(10),
        body: 1024,
    };

    fn parsed(url: &str) -> Url {
        Url::parse(url).unwrap()
    }

    /// All of them: calls of two clients and the check of a connection.
    #[tokio::test]
    async fn calls_to_a_name_that_hangs_share_one_lookup_and_hinder_no_other() {
        let lookups = Arc::new(AtomicUsize::new(0));
        let (finish, hang) = mpsc::channel::<()>();
        let hang = std::sync::Mutex::new(hang);
        let resolver = Resolver::new({
            let lookups = Arc::clone(&lookups);
            move |host| match host {
                "hangs.example.com" => {
                    lookups.fetch_add(1, Ordering::SeqCst);
                    let _dropped = hang.lock().unwrap().recv();
                    Err(std::io::Error::other("the resolver is silent"))
                }
                _ => Err(std::io::Error::other("no such host")),
            }
        });
        let roots = TrustRoots::Only(Vec::new());
        let client = || HttpsClient::with_resolver(&roots, LIMITS, resolver.clone()).unwrap();
        let (one, other) = (client(), client());
        let hanging = parsed("https://hangs.example.com/");
        let others = async {
            while lookups.load(Ordering::SeqCst) == 0 {
                tokio::task::yield_now().await;
            }
            let error = other.get_json(parsed("https://w.example.com/")).await;
            assert_eq!(
                error.unwrap_err().to_string(),
                "Get \"https://w.example.com/\": no such host"
            );
            let url = parsed("https://w.example.com:8443/");
            let error = other.check_connection(&url).await.unwrap_err();
            assert_eq!(
                error.to_string(),
                "dial tcp: lookup w.example.com:8443: no such host"
            );
            drop(finish);
        };
        let (calls, more_calls, check, ()) = tokio::join!(
            join_all((0..500).map(|_| one.get_json(hanging.clone()))),
            join_all((0..500).map(|_| other.get_json(hanging.clone()))),
            one.check_connection(&hanging),
            others,
        );
        for error in calls.into_iter().chain(more_calls) {
            let text = error.unwrap_err().to_string();
            assert!(text.ends_with("the resolver is silent"), "{text}");
        }
        let text = check.unwrap_err().to_string();
        assert!(text.ends_with("the resolver is silent"), "{text}");
        assert_eq!(lookups.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn addresses_are_not_looked_up() {
        let resolver = Resolver::new(|host| panic!("{host}"));
        let roots = TrustRoots::Only(Vec::new());
        let client = HttpsClient::with_resolver(&roots, LIMITS, resolver).unwrap();
        for url in ["https://127.0.0.1:1/", "https://[::1]:1/"] {
            let error = client.get_json(parsed(url)).await.unwrap_err().to_string();
            assert!(!error.contains("lookup"), "{error}");
            let error = client.check_connection(&parsed(url)).await.unwrap_err();
            assert!(matches!(error, ConnectionError::Connect { .. }), "{error}");
        }
    }
}

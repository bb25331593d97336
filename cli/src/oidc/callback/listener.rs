//! The listener on this computer's own address.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::{Html, IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use tokio::net::TcpListener;
use tokio::sync::{OnceCell, mpsc, oneshot};
use url::Url;

use super::{Denied, MAX_FORM, Request, Verdict, judge, page};
use crate::oidc::authorization::Attempt;
use secrecy::SecretString;

/// How long the browser may take to fetch its last page.
const GRACE: Duration = Duration::from_secs(1);

/// For whoever reads no HTML, such as the page of a Supervisor.
const LOGGED_IN_TEXT: &str = "you have been logged in and may now close this tab";
const FAILED_TEXT: &str = "the login failed; your terminal says why";

/// The answer to a login; the browser waits to be told what became of it.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) outcome: Result<SecretString, Denied>,
    browser: oneshot::Sender<bool>,
}

impl Arrival {
    /// Shows the browser whether the user is logged in.
    pub(crate) fn show(self, is_success: bool) {
        // The browser may have gone.
        let _gone = self.browser.send(is_success);
    }
}

/// Listens on loopback, and on nothing else.
#[derive(Debug)]
pub(crate) struct CallbackListener {
    listener: TcpListener,
    address: SocketAddr,
}

#[derive(Debug)]
struct Waiting {
    attempt: Arc<Attempt>,
    /// Scheme and host of the issuer, whose page may read the answer.
    origin: HeaderValue,
    arrivals: mpsc::Sender<Arrival>,
    /// What became of the login, for a browser that asks twice.
    is_success: OnceCell<bool>,
}

impl CallbackListener {
    /// Listens on this port; 0 chooses one.
    pub(crate) async fn bind(port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Runs `work` while answers to `attempt` are handed to it, and until the browser has its page.
    pub(crate) async fn serve<T>(
        self,
        attempt: Arc<Attempt>,
        issuer: &Url,
        work: impl AsyncFnOnce(mpsc::Receiver<Arrival>) -> T,
    ) -> T {
        let (arrivals, received) = mpsc::channel(1);
        let origin = issuer.origin().ascii_serialization();
        let waiting = Waiting {
            attempt,
            origin: HeaderValue::from_str(&origin).unwrap_or(HeaderValue::from_static("null")),
            arrivals,
            is_success: OnceCell::new(),
        };
        let router = Router::new()
            .fallback(answer)
            .layer(DefaultBodyLimit::max(MAX_FORM))
            .with_state(Arc::new(waiting));
        let (end, ended) = oneshot::channel::<Infallible>();
        let served = axum::serve(self.listener, router).with_graceful_shutdown(async {
            let _dropped = ended.await;
        });
        let work = async {
            let result = work(received).await;
            drop(end);
            result
        };
        let mut work = std::pin::pin!(work);
        let mut served = std::pin::pin!(served.into_future());
        let result = tokio::select! {
            result = &mut work => result,
            _error = &mut served => return work.await,
        };
        let _late = tokio::time::timeout(GRACE, served).await;
        result
    }
}

async fn answer(
    State(waiting): State<Arc<Waiting>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let is = |name, prefix: &str| {
        let value = headers
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok());
        value.is_some_and(|value| value.contains(prefix))
    };
    let request = Request {
        method: &method,
        path: uri.path(),
        query: uri.query().unwrap_or_default(),
        has_origin: headers.contains_key(header::ORIGIN),
        requested_headers: headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS),
        is_form: is(header::CONTENT_TYPE, "application/x-www-form-urlencoded"),
        body: &body,
    };
    let mut response = match judge(&request, &waiting.attempt) {
        Verdict::Other(reply) => {
            let mut response = (reply.status, reply.text).into_response();
            response.headers_mut().extend(reply.headers);
            response
        }
        Verdict::Code(code) => hand_over(&waiting, Ok(code), is(header::ACCEPT, "text/html")).await,
        Verdict::Denied(denied) => {
            hand_over(&waiting, Err(denied), is(header::ACCEPT, "text/html")).await
        }
    };
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, waiting.origin.clone());
    for (name, value) in [
        (header::VARY, "*"),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Hands an answer to the login, and tells the browser what became of it.
async fn hand_over(
    waiting: &Waiting,
    outcome: Result<SecretString, Denied>,
    reads_html: bool,
) -> Response {
    let denied = outcome.as_ref().err().cloned();
    let handed_over = async {
        let (browser, shown) = oneshot::channel();
        let arrival = Arrival { outcome, browser };
        match waiting.arrivals.send(arrival).await {
            Ok(()) => shown.await.unwrap_or(false),
            // The login has come to its end in another way.
            Err(_) => false,
        }
    };
    let is_success = *waiting.is_success.get_or_init(|| handed_over).await;
    match (is_success, reads_html) {
        (true, true) => Html(page::success()).into_response(),
        (true, false) => LOGGED_IN_TEXT.into_response(),
        (false, true) => {
            let page = page::failure(denied.as_ref());
            (StatusCode::BAD_REQUEST, Html(page)).into_response()
        }
        (false, false) => (StatusCode::BAD_REQUEST, FAILED_TEXT).into_response(),
    }
}

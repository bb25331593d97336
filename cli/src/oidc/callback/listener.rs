//! The listener on this computer's own address.

mod connections;

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{HeaderValue, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use tokio::net::TcpListener;
use tokio::sync::{OnceCell, mpsc, oneshot};
use url::Url;

use super::{Denied, MAX_FORM, Request, Verdict, judge, page};
use crate::oidc::authorization::Attempt;
use connections::Connections;
use secrecy::SecretString;

type Response = http::Response<Full<Bytes>>;

const TEXT: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";

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
        let mut connections = Connections::new(Arc::new(waiting));
        let result = tokio::select! {
            result = work(received) => result,
            never = connections.accept(&self.listener) => match never {},
        };
        drop(self.listener);
        let _late = tokio::time::timeout(GRACE, connections.finish()).await;
        result
    }
}

/// What is answered to a request. The mark is set as soon as it has brought the answer to the login.
async fn answer(
    waiting: Arc<Waiting>,
    brought_answer: Arc<AtomicBool>,
    request: http::Request<Incoming>,
) -> Result<Response, Infallible> {
    let (request, body) = request.into_parts();
    let Ok(body) = Limited::new(body, MAX_FORM).collect().await else {
        let text = "this is too long for an answer";
        return Ok(response(StatusCode::PAYLOAD_TOO_LARGE, TEXT, text));
    };
    let body = body.to_bytes();
    let headers = &request.headers;
    let is = |name, part: &str| {
        let value = headers
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok());
        value.is_some_and(|value| value.contains(part))
    };
    let reads_html = is(header::ACCEPT, "text/html");
    let request = Request {
        method: &request.method,
        path: request.uri.path(),
        query: request.uri.query().unwrap_or_default(),
        has_origin: headers.contains_key(header::ORIGIN),
        requested_headers: headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS),
        is_form: is(header::CONTENT_TYPE, "application/x-www-form-urlencoded"),
        body: &body,
    };
    let outcome = match judge(&request, &waiting.attempt) {
        Verdict::Other(reply) => {
            let mut response = response(reply.status, TEXT, reply.text);
            response.headers_mut().extend(reply.headers);
            return Ok(with_common_headers(response, &waiting));
        }
        Verdict::Code(code) => Ok(code),
        Verdict::Denied(denied) => Err(denied),
    };
    brought_answer.store(true, Ordering::Relaxed);
    let response = hand_over(&waiting, outcome, reads_html).await;
    Ok(with_common_headers(response, &waiting))
}

fn response(status: StatusCode, type_: &'static str, body: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let type_ = HeaderValue::from_static(type_);
    response.headers_mut().insert(header::CONTENT_TYPE, type_);
    response
}

fn with_common_headers(mut response: Response, waiting: &Waiting) -> Response {
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
    let status = match is_success {
        true => StatusCode::OK,
        false => StatusCode::BAD_REQUEST,
    };
    match (is_success, reads_html) {
        (true, true) => response(status, HTML, page::success()),
        (true, false) => response(status, TEXT, LOGGED_IN_TEXT),
        (false, true) => response(status, HTML, page::failure(denied.as_ref())),
        (false, false) => response(status, TEXT, FAILED_TEXT),
    }
}

//! A real TokenReview server on loopback for tests: HTTPS with a CA of its own, users by token, and faults that can be
//! switched on.

use std::collections::{BTreeMap, VecDeque};
use std::error::Error as _;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::issuer::ServingPki;

/// What the server does instead of answering well.
#[derive(Clone, Debug)]
pub enum Fault {
    /// It answers well, but so much later.
    Slow(Duration),
    /// It never answers.
    Hang,
    /// It resets the connection.
    Reset,
    /// It closes the connection in good order, but without an answer.
    Close,
    /// An answer without a review, with these headers.
    Status(u16, Vec<(&'static str, &'static str)>),
    /// A redirect to a good answer.
    Redirect,
    /// A good answer behind more white space than anyone should read.
    Huge,
    /// A 200 with this body.
    Body(String),
}

/// A request as the server got it.
#[derive(Clone, Debug)]
pub struct Received {
    /// Method, path and query.
    pub request_line: String,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub review: Value,
}

/// A running server; ends when dropped.
#[derive(Debug)]
pub struct TokenReviewServer {
    shared: Arc<Shared>,
    address: SocketAddr,
    ca_certificate_pem: String,
    ca_certificate_der: Vec<u8>,
    _server: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Shared(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    users: BTreeMap<String, Value>,
    /// For all calls after those of `next`.
    fault: Option<Fault>,
    next: VecDeque<Fault>,
    /// For calls with these tokens, before any other.
    by_token: BTreeMap<String, Fault>,
    received: Vec<Received>,
    handshakes: usize,
    in_flight: usize,
    most_in_flight: usize,
}

impl TokenReviewServer {
    /// Starts a server that knows no token.
    ///
    /// # Errors
    /// No address or certificate can be had.
    pub async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let pki = ServingPki::generate(address)?;
        let acceptor = acceptor(&pki)?;
        let shared = Arc::new(Shared::default());
        let mut server = JoinSet::new();
        server.spawn(serve(listener, acceptor, Arc::clone(&shared)));
        Ok(Self {
            shared,
            address,
            ca_certificate_pem: pki.ca_pem,
            ca_certificate_der: pki.ca_der,
            _server: server,
        })
    }

    /// Where reviews are posted.
    pub fn url(&self) -> String {
        format!("https://{}/review", self.address)
    }

    /// Certificate of the CA that the server's TLS certificate chains to.
    pub fn ca_certificate_pem(&self) -> &str {
        &self.ca_certificate_pem
    }

    /// The same in DER.
    pub fn ca_certificate_der(&self) -> &[u8] {
        &self.ca_certificate_der
    }

    /// Answers reviews of `token` with this status.
    pub fn know(&self, token: &str, status: Value) {
        self.shared.state().users.insert(token.to_owned(), status);
    }

    /// Switches a fault on, or every fault off.
    pub fn set_fault(&self, fault: Option<Fault>) {
        self.shared.state().fault = fault;
    }

    /// Has each of the next calls meet one of these faults.
    pub fn fail_next(&self, faults: impl IntoIterator<Item = Fault>) {
        self.shared.state().next.extend(faults);
    }

    /// Has every call with this token meet a fault.
    pub fn fail_for(&self, token: &str, fault: Fault) {
        self.shared.state().by_token.insert(token.to_owned(), fault);
    }

    /// The requests so far.
    pub fn received(&self) -> Vec<Received> {
        self.shared.state().received.clone()
    }

    /// Connections so far that got through the TLS handshake.
    pub fn handshakes(&self) -> usize {
        self.shared.state().handshakes
    }

    /// Requests that wait for their answer.
    pub fn in_flight(&self) -> usize {
        self.shared.state().in_flight
    }

    /// Most requests that ever waited at the same time.
    pub fn most_in_flight(&self) -> usize {
        self.shared.state().most_in_flight
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn acceptor(pki: &ServingPki) -> anyhow::Result<TlsAcceptor> {
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(pki.chain_pem.as_bytes()).collect();
    let key = PrivateKeyDer::from_pem_slice(pki.key_pem.as_bytes())?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain?, key)
        .context("the server's certificate cannot be used")?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((stream, _)) = listener.accept() => {
                connections.spawn(converse(stream, acceptor.clone(), Arc::clone(&shared)));
            }
            Some(_ended) = connections.join_next() => {}
        }
    }
}

async fn converse(stream: TcpStream, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    let Ok(stream) = acceptor.accept(stream).await else {
        return;
    };
    shared.state().handshakes += 1;
    let service = service_fn(|request| answer(request, &shared));
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let outcome = (&mut connection).await;
    let is_reset = outcome.is_err_and(|error| {
        error
            .source()
            .and_then(|cause| cause.downcast_ref::<io::Error>())
            .is_some_and(|cause| cause.kind() == io::ErrorKind::ConnectionReset)
    });
    if is_reset {
        let stream = connection.into_parts().io.into_inner();
        // Closing a socket that must not linger resets the connection.
        let _reset = stream.get_ref().0.set_zero_linger();
    }
}

async fn answer(request: Request<Incoming>, shared: &Shared) -> io::Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?;
    let review: Value = serde_json::from_slice(&body.to_bytes()).unwrap_or_default();
    let (answer, fault) = {
        let mut state = shared.state();
        let answer = state.answer(&review);
        let fault = state.fault_for(&review);
        state.received.push(Received {
            request_line: format!("{} {}", head.method, head.uri),
            headers: head.headers,
            review,
        });
        (answer, fault)
    };
    let _in_flight = InFlight::new(shared);
    match fault {
        None => {}
        Some(Fault::Slow(pause)) => tokio::time::sleep(pause).await,
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Reset) => return Err(io::ErrorKind::ConnectionReset.into()),
        Some(Fault::Close) => return Err(io::ErrorKind::ConnectionAborted.into()),
        Some(Fault::Status(code, headers)) => return Ok(refusal(code, headers)),
        Some(Fault::Redirect) => {
            return Ok(refusal(307, vec![("location", "/elsewhere")]));
        }
        Some(Fault::Huge) => return Ok(good(format!("{}{answer}", " ".repeat(2 << 20)))),
        Some(Fault::Body(body)) => return Ok(good(body)),
    }
    Ok(good(answer.to_string()))
}

impl State {
    fn answer(&self, review: &Value) -> Value {
        let unknown = json!({"authenticated": false});
        let known = token(review).and_then(|token| self.users.get(token));
        let api_version = review.get("apiVersion");
        json!({"kind": "TokenReview", "apiVersion": api_version, "status": known.unwrap_or(&unknown)})
    }

    fn fault_for(&mut self, review: &Value) -> Option<Fault> {
        let of_token = token(review).and_then(|token| self.by_token.get(token));
        of_token
            .cloned()
            .or_else(|| self.next.pop_front())
            .or_else(|| self.fault.clone())
    }
}

fn token(review: &Value) -> Option<&str> {
    review.pointer("/spec/token").and_then(Value::as_str)
}

/// Counts a request until its answer is made or nobody waits for it any more.
struct InFlight<'a>(&'a Shared);

impl<'a> InFlight<'a> {
    fn new(shared: &'a Shared) -> Self {
        let mut state = shared.state();
        state.in_flight += 1;
        state.most_in_flight = state.most_in_flight.max(state.in_flight);
        Self(shared)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.state().in_flight -= 1;
    }
}

fn good(body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("application/json"),
    );
    response
}

fn refusal(code: u16, headers: Vec<(&'static str, &'static str)>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from("no review"));
    *response.status_mut() =
        StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in headers {
        response
            .headers_mut()
            .insert(name, header::HeaderValue::from_static(value));
    }
    response
}

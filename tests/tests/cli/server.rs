//! An HTTPS server that gives prepared answers and remembers what it was asked.

use std::collections::VecDeque;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, Uri};
use axum::response::{IntoResponse, Response};
use axum_server::tls_rustls::RustlsConfig;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::SupportedProtocolVersion;
use rustls_pki_types::PrivateKeyDer;
use serde_json::Value;

/// [`NOW`](crate::NOW).
const DATE: &str = "Wed, 18 Nov 2026 11:06:40 GMT";

/// One request as it arrived.
pub(crate) struct Received {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Gives the answer to a request.
type Respond = dyn Fn(&Received) -> Response + Send + Sync;

#[derive(Clone)]
struct Shared {
    respond: Arc<Respond>,
    received: Arc<Mutex<Vec<Received>>>,
}

/// Stops when dropped.
pub(crate) struct Server {
    address: SocketAddr,
    ca_pem: String,
    shared: Shared,
    handle: axum_server::Handle<SocketAddr>,
}

impl Server {
    /// Speaks TLS 1.3 and gives `answers` in turn.
    pub(crate) fn start<R: IntoResponse>(answers: impl IntoIterator<Item = R>) -> Self {
        Self::start_with(&[&rustls::version::TLS13], answers)
    }

    pub(crate) fn start_with<R: IntoResponse>(
        versions: &[&'static SupportedProtocolVersion],
        answers: impl IntoIterator<Item = R>,
    ) -> Self {
        Self::start_as(tls(versions, |_| {}), answers)
    }

    /// With this change to its certificate.
    pub(crate) fn start_certified<R: IntoResponse>(
        change: impl FnOnce(&mut CertificateParams),
        answers: impl IntoIterator<Item = R>,
    ) -> Self {
        Self::start_as(tls(&[&rustls::version::TLS13], change), answers)
    }

    fn start_as<R: IntoResponse>(
        identity: (RustlsConfig, String),
        answers: impl IntoIterator<Item = R>,
    ) -> Self {
        let answers: VecDeque<_> = answers
            .into_iter()
            .map(IntoResponse::into_response)
            .collect();
        let answers = Mutex::new(answers);
        Self::serve(identity, move |_| {
            let answer = answers.lock().unwrap().pop_front();
            answer.unwrap_or_else(|| with_headers(500, [], "asked more often than expected"))
        })
    }

    /// Answers each request by what it is.
    pub(crate) fn start_by(
        respond: impl Fn(&Received) -> Response + Send + Sync + 'static,
    ) -> Self {
        Self::serve(tls(&[&rustls::version::TLS13], |_| {}), respond)
    }

    fn serve(
        (config, ca_pem): (RustlsConfig, String),
        respond_to: impl Fn(&Received) -> Response + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Shared {
            respond: Arc::new(respond_to),
            received: Arc::default(),
        };
        let handle = axum_server::Handle::new();
        let router = Router::new().fallback(respond).with_state(shared.clone());
        let serve = {
            let handle = handle.clone();
            async move {
                axum_server::from_tcp_rustls(listener, config)
                    .unwrap()
                    .handle(handle)
                    .serve(router.into_make_service())
                    .await
                    .unwrap();
            }
        };
        std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap()
                .block_on(serve);
        });
        Self {
            address,
            ca_pem,
            shared,
            handle,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    pub(crate) fn ca_base64(&self) -> String {
        STANDARD.encode(&self.ca_pem)
    }

    pub(crate) fn received(&self) -> std::sync::MutexGuard<'_, Vec<Received>> {
        self.shared.received.lock().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.handle.shutdown();
    }
}

/// A JSON answer with `status`.
pub(crate) fn json(status: u16, body: &Value) -> Response {
    with_headers(
        status,
        [("content-type", "application/json")],
        body.to_string(),
    )
}

pub(crate) fn with_headers<const N: usize>(
    status: u16,
    headers: [(&'static str, &'static str); N],
    body: impl Into<axum::body::Body>,
) -> Response {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    response.body(body.into()).unwrap()
}

async fn respond(
    State(shared): State<Shared>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let received = Received {
        method,
        uri,
        headers,
        body,
    };
    let mut answer = (shared.respond)(&received);
    shared.received.lock().unwrap().push(received);
    // The time of the tests, not this computer's.
    let date = HeaderValue::from_static(DATE);
    answer.headers_mut().entry("date").or_insert(date);
    answer
}

fn tls(
    versions: &[&'static SupportedProtocolVersion],
    change: impl FnOnce(&mut CertificateParams),
) -> (RustlsConfig, String) {
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    change(&mut leaf);
    let leaf = leaf.signed_by(&key, &ca).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![leaf.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    (RustlsConfig::from_config(Arc::new(config)), ca.pem())
}

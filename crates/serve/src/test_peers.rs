//! Peers for tests: an authority, a server on a real socket, and clients of it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use haulout_pki::bundle::CertificateBundle;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, SanType, date_time_ymd,
};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::listener::{ListenerLimits, PeerCertificates, PeerTrust, serve_tls};
use crate::tls::{ClientIdentity, ServingIdentity, ServingStore, client_config};

/// The first moment of a day, as certificates and verdicts take it.
pub(crate) fn day(year: i32, month: u8, day: u8) -> SystemTime {
    date_time_ymd(year, month, day).into()
}

pub(crate) struct TestAuthority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

pub(crate) struct TestCertificate {
    pub(crate) der: CertificateDer<'static>,
    pub(crate) chain_pem: String,
    pub(crate) key_pem: String,
}

impl TestAuthority {
    pub(crate) fn new(name: &str) -> Self {
        Self::with(name, |_| ())
    }

    pub(crate) fn with(name: &str, adjust: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        adjust(&mut params);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    pub(crate) fn bundle(&self) -> CertificateBundle {
        CertificateBundle::parse_pem(self.pem.as_bytes()).unwrap()
    }

    /// A leaf for client authentication, valid throughout 2026 unless `adjust` says otherwise.
    pub(crate) fn client(
        &self,
        name: &str,
        adjust: impl FnOnce(&mut CertificateParams),
    ) -> TestCertificate {
        let mut params = named(name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.not_before = date_time_ymd(2026, 1, 1);
        params.not_after = date_time_ymd(2027, 1, 1);
        adjust(&mut params);
        self.issue(&params)
    }

    /// A leaf for `localhost` that never expires.
    pub(crate) fn server(&self) -> TestCertificate {
        let mut params = named("server");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.subject_alt_names = vec![SanType::DnsName("localhost".try_into().unwrap())];
        self.issue(&params)
    }

    pub(crate) fn serving_identity(&self) -> ServingIdentity {
        let server = self.server();
        ServingIdentity::from_pem(server.chain_pem.as_bytes(), server.key_pem.as_bytes()).unwrap()
    }

    fn issue(&self, params: &CertificateParams) -> TestCertificate {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        TestCertificate {
            der: certificate.der().clone(),
            chain_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
        }
    }
}

impl TestCertificate {
    /// The certificate as a request would carry it.
    pub(crate) fn presented(&self) -> PeerCertificates {
        PeerCertificates(Arc::from([self.der.clone()]))
    }

    pub(crate) fn identity(&self) -> Arc<ClientIdentity> {
        let identity = ClientIdentity::new();
        identity
            .publish(self.chain_pem.as_bytes(), self.key_pem.as_bytes())
            .unwrap();
        Arc::new(identity)
    }
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// A server for `localhost`, which drains when this is dropped.
pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    pub(crate) authority: TestAuthority,
    pub(crate) store: Arc<ServingStore>,
    /// Whether clients that show a certificate, whichever that is, are trusted.
    pub(crate) trusting: Arc<AtomicBool>,
    pub(crate) served: JoinHandle<()>,
    pub(crate) drain: DropGuard,
}

impl TestServer {
    pub(crate) async fn start(router: Router) -> Self {
        Self::start_with(router, ListenerLimits::default(), GRACE).await
    }

    pub(crate) async fn start_with(
        router: Router,
        limits: ListenerLimits,
        grace: Duration,
    ) -> Self {
        let server = Self::start_unpublished(router, limits, grace).await;
        server
            .store
            .publish(server.authority.serving_identity())
            .unwrap();
        server
    }

    pub(crate) async fn start_unpublished(
        router: Router,
        limits: ListenerLimits,
        grace: Duration,
    ) -> Self {
        let store = Arc::new(ServingStore::new());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let drain = CancellationToken::new();
        let trusting = Arc::new(AtomicBool::new(true));
        let trust = {
            let trusting = Arc::clone(&trusting);
            PeerTrust::new(move |peer| !peer.0.is_empty() && trusting.load(Ordering::Relaxed))
        };
        let served = TaskTracker::new().spawn(serve_tls(
            listener,
            Arc::clone(&store),
            trust,
            limits,
            router,
            drain.clone(),
            grace,
        ));
        let authority = TestAuthority::new("server CA");
        Self {
            address,
            authority,
            store,
            trusting,
            served,
            drain: drain.drop_guard(),
        }
    }

    /// Begins to drain; the returned task ends when the server has.
    pub(crate) fn begin_drain(self) -> JoinHandle<()> {
        drop(self.drain);
        self.served
    }

    pub(crate) async fn connect(
        &self,
        identity: Option<Arc<ClientIdentity>>,
    ) -> io::Result<TlsStream<TcpStream>> {
        connect(self.address, &self.authority, identity).await
    }

    /// Some certificate, with which a client is trusted.
    pub(crate) fn trusted() -> Option<Arc<ClientIdentity>> {
        Some(TestAuthority::new("CA").client("x", |_| ()).identity())
    }

    pub(crate) async fn client(&self, identity: Option<Arc<ClientIdentity>>) -> TestClient {
        TestClient::over(self.connect(identity).await.unwrap()).await
    }
}

/// Long enough that a test that waits for it has failed.
pub(crate) const GRACE: Duration = Duration::from_secs(60);

pub(crate) async fn connect(
    address: SocketAddr,
    authority: &TestAuthority,
    identity: Option<Arc<ClientIdentity>>,
) -> io::Result<TlsStream<TcpStream>> {
    let config = client_config(&authority.bundle(), identity).unwrap();
    let stream = TcpStream::connect(address).await?;
    TlsConnector::from(config)
        .connect(ServerName::try_from("localhost").unwrap(), stream)
        .await
}

/// One HTTP/2 connection.
pub(crate) struct TestClient {
    pub(crate) requests: SendRequest<Body>,
    pub(crate) ended: JoinHandle<hyper::Result<()>>,
}

impl TestClient {
    pub(crate) async fn over(stream: TlsStream<TcpStream>) -> Self {
        let (requests, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .unwrap();
        Self {
            requests,
            ended: TaskTracker::new().spawn(connection),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> hyper::Result<Response<Incoming>> {
        self.requests.clone().send_request(get_request(path)).await
    }

    pub(crate) async fn get_text(&self, path: &str) -> (u16, String) {
        text(self.get(path).await.unwrap()).await
    }
}

pub(crate) fn get_request(path: &str) -> Request<Body> {
    Request::get(format!("https://localhost{path}"))
        .body(Body::empty())
        .unwrap()
}

pub(crate) async fn text(response: Response<Incoming>) -> (u16, String) {
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

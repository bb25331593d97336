//! The whole agent, in process, on real sockets and real files.

mod call;
mod dependencies;
mod files;
mod operation;

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::http::{Method, Request, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use haulout_api::signing::{CERTIFICATES_PATH, WEBHOOK_URI};
use haulout_operate::audit::AuditLog;
use haulout_operate::clock::{Clock, ManualClock};
use haulout_operate::shutdown::Shutdown;
use haulout_pki::authority::{GeneratedAuthority, SigningAuthority, generate_authority};
use haulout_pki::bundle::CertificateBundle;
use haulout_pki::profile::Validity;
use haulout_pki::secret_key::KeyPair;
use haulout_serve::listener::PeerTrust;
use haulout_serve::tls::{ClientIdentity, client_config};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::ServerName;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::sync::DropGuard;

use super::*;

const SERVER_NAME: &str = "haulout-agent.haulout-agent.svc";
const POLL: Duration = Duration::from_millis(20);
const DAY: Duration = Duration::from_secs(86_400);

/// An agent that runs, with the files that it reads.
struct Running {
    address: SocketAddr,
    health: SocketAddr,
    files: Files,
    network: Network,
    clock: ManualClock,
    audit: Sink,
    trust: PeerTrust,
    shutdown: Shutdown,
    _stop_when_dropped: DropGuard,
}

/// The folder with an agent's files.
struct Files(TempDir);

/// The CA of the connection between webhook and agent.
struct Network {
    authority: SigningAuthority,
    now: SystemTime,
}

#[derive(Clone, Default)]
struct Sink {
    written: Arc<Mutex<Vec<u8>>>,
    full: Arc<AtomicBool>,
}

fn lasting(now: SystemTime) -> Validity {
    Validity {
        not_before: now - DAY,
        not_after: now + DAY,
    }
}

fn new_ca(name: &str, now: SystemTime) -> GeneratedAuthority {
    generate_authority(name, lasting(now)).unwrap()
}

impl Files {
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        fs::write(self.path(name), contents).unwrap();
    }

    fn write_ca(&self, ca: &GeneratedAuthority) {
        self.write("ca.crt", &ca.certificate_pem);
        self.write("ca.key", ca.key_pem.as_bytes());
    }

    fn write_tls(&self, network: &Network) {
        let (certificate, key) = network.server();
        self.write("tls.crt", certificate);
        self.write("tls.key", key);
        self.write("client-ca.crt", network.authority.certificate_pem());
    }

    fn settings(&self) -> Settings {
        let any_port = "127.0.0.1:0".parse().unwrap();
        Settings {
            ca_cert: self.path("ca.crt"),
            ca_key: self.path("ca.key"),
            policy: self.path("policy.yaml"),
            listen: any_port,
            tls_cert: self.path("tls.crt"),
            tls_key: self.path("tls.key"),
            client_ca: self.path("client-ca.crt"),
            health_listen: any_port,
            least_life_seconds: 600,
            poll: POLL,
        }
    }
}

impl Network {
    fn new(now: SystemTime) -> Self {
        let made = new_ca("network", now);
        let (certificate, key) = (made.certificate_pem.as_bytes(), made.key_pem.as_bytes());
        Self {
            authority: SigningAuthority::from_pem(certificate, key, now).unwrap(),
            now,
        }
    }

    fn server(&self) -> (String, String) {
        let key = KeyPair::generate_p256().unwrap();
        let names = [SERVER_NAME.to_owned()];
        let issued = self
            .authority
            .issue_serving_certificate(&names, &[], &key.spki_der(), lasting(self.now))
            .unwrap();
        (issued.pem, key.pkcs8_pem().to_string())
    }

    fn client(&self, uri: &str) -> Arc<ClientIdentity> {
        let key = KeyPair::generate_p256().unwrap();
        identity(&self.client_pem(uri, &key), &key.pkcs8_pem())
    }

    fn client_pem(&self, uri: &str, key: &KeyPair) -> String {
        self.authority
            .issue_uri_client_certificate(uri, &key.spki_der(), lasting(self.now))
            .unwrap()
            .pem
    }
}

fn identity(certificate: &str, key: &str) -> Arc<ClientIdentity> {
    let identity = ClientIdentity::new();
    identity
        .publish(certificate.as_bytes(), key.as_bytes())
        .unwrap();
    Arc::new(identity)
}

impl Running {
    /// An agent with a CA, the default policy and TLS material.
    async fn start() -> Self {
        Self::start_with(|files, network, now| {
            files.write_ca(&new_ca("kubernetes", now));
            files.write("policy.yaml", "{}");
            files.write_tls(network);
        })
        .await
    }

    async fn start_with(prepare: impl FnOnce(&Files, &Network, SystemTime)) -> Self {
        // TLS libraries judge dates by the machine's clock, so that is where this one begins.
        let now = Clock::system().now();
        let (clock, hand) = Clock::manual(now);
        let files = Files(tempfile::tempdir().unwrap());
        let network = Network::new(now);
        prepare(&files, &network, now);
        let audit = Sink::default();
        let log = AuditLog::new(audit.clone(), clock.clone());
        let agent = Agent::bind(&files.settings(), clock, log).await.unwrap();
        let trust = server::trust(&agent.service);
        let shutdown = Shutdown::default();
        let (address, health) = (agent.address().unwrap(), agent.health_address().unwrap());
        let stages = shutdown.clone();
        shutdown
            .tracker
            .spawn(async move { agent.run(&stages).await });
        Self {
            address,
            health,
            files,
            network,
            clock: hand,
            audit,
            trust,
            _stop_when_dropped: shutdown.drain.clone().drop_guard(),
            shutdown,
        }
    }

    async fn webhook(&self) -> Client {
        self.client(Some(self.network.client(WEBHOOK_URI)))
            .await
            .unwrap()
    }

    async fn client(&self, identity: Option<Arc<ClientIdentity>>) -> io::Result<Client> {
        let roots = self.network.authority.certificate_pem().as_bytes();
        let config = client_config(&CertificateBundle::parse_pem(roots).unwrap(), identity);
        let stream = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from(SERVER_NAME).unwrap();
        let stream = TlsConnector::from(config.unwrap())
            .connect(name, stream)
            .await?;
        let io = TokioIo::new(stream);
        let (requests, connection) = http2::handshake(TokioExecutor::new(), io)
            .await
            .map_err(io::Error::other)?;
        self.shutdown
            .tracker
            .spawn(async move { drop(connection.await) });
        Ok(Client(requests))
    }

    /// A page of the plain port.
    async fn page(&self, path: &str) -> (u16, String) {
        let stream = TcpStream::connect(self.health).await.unwrap();
        let (mut requests, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        self.shutdown
            .tracker
            .spawn(async move { drop(connection.await) });
        let request = Request::get(path)
            .header("host", "agent")
            .body(Body::empty())
            .unwrap();
        let (status, _, text) = text(requests.send_request(request).await.unwrap()).await;
        (status, text)
    }

    fn audit(&self) -> Vec<Value> {
        let text = self.audit.written.lock().unwrap().clone();
        let lines = str::from_utf8(&text).unwrap().lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

/// One connection to the signing port.
struct Client(http2::SendRequest<Body>);

impl Client {
    async fn send(&self, method: Method, path: &str, body: impl Into<Body>) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(format!("https://{SERVER_NAME}{path}"))
            .body(body.into())
            .unwrap();
        let response = self.0.clone().send_request(request).await.unwrap();
        let (status, retry_after, text) = text(response).await;
        Answer {
            status,
            retry_after,
            text,
        }
    }

    async fn sign(&self, request: &Value) -> Answer {
        self.send(Method::POST, CERTIFICATES_PATH, request.to_string())
            .await
    }

    /// Asks until the answer is the expected one. The files of an agent are looked at in their own
    /// time.
    async fn sign_until(&self, request: &Value, good: impl Fn(&Answer) -> bool) -> Answer {
        for _ in 0..500 {
            let answer = self.sign(request).await;
            if good(&answer) {
                return answer;
            }
            tokio::time::sleep(POLL).await;
        }
        panic!("still {:?}", self.sign(request).await);
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    retry_after: Option<String>,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("{self:?}"))
    }

    /// Status and reason, to compare both at once.
    fn refusal(&self) -> (u16, String) {
        (
            self.status,
            self.json()["reason"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        )
    }

    /// The certificate, as DER.
    fn certificate(&self) -> Vec<u8> {
        let pem = self.json()["certificate"].as_str().unwrap().to_owned();
        CertificateBundle::parse_pem(pem.as_bytes())
            .unwrap()
            .certificates()[0]
            .to_vec()
    }
}

async fn text(response: Response<Incoming>) -> (u16, Option<String>, String) {
    let status = response.status().as_u16();
    let retry_after = response.headers().get("retry-after");
    let retry_after = retry_after.map(|value| value.to_str().unwrap().to_owned());
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (
        status,
        retry_after,
        String::from_utf8(body.to_vec()).unwrap(),
    )
}

fn request_for(username: &str, groups: &[&str]) -> Value {
    json!({
        "auditId": "d0f7c2a4",
        "username": username,
        "groups": groups,
        "publicKey": BASE64_STANDARD.encode(KeyPair::generate_p256().unwrap().spki_der()),
        "lifetimeSeconds": 300,
    })
}

fn refused(status: u16, reason: &str) -> (u16, String) {
    (status, reason.to_owned())
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.full.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

//! Agents for tests, behind real sockets and mutual TLS: good ones and faulty ones.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::extract::{Json, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use haulout_api::signing::{
    CERTIFICATES_PATH, CertificateRequest, CertificateResponse, SigningFailure,
    SigningFailureReason, WEBHOOK_URI,
};
use haulout_operate::clock::Clock;
use haulout_pki::authority::{SigningAuthority, generate_authority};
use haulout_pki::bundle::CertificateBundle;
use haulout_pki::profile::{ClientSubject, Validity};
use haulout_pki::secret_key::KeyPair;
use haulout_serve::listener::{ListenerLimits, PeerCertificates, PeerTrust, serve_tls};
use haulout_serve::tls::{ServingIdentity, ServingStore};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use zeroize::Zeroizing;

use super::{CredentialFiles, CredentialStore, SERVER_NAME};

/// What a fake agent does with a call.
#[derive(Clone, Debug)]
pub(crate) enum Behaviour {
    /// Signs, with a clock that is ahead by this many milliseconds.
    Sign { clock_ahead_millis: i64 },
    /// Never answers.
    Hang,
    /// Answers with this failure.
    Refuse(SigningFailureReason),
    /// Answers with this text.
    Say(StatusCode, &'static str),
}

/// An agent that signs as it should.
pub(crate) const GOOD: Behaviour = Behaviour::Sign {
    clock_ahead_millis: 0,
};

/// A CA, with which agents and webhook know each other.
pub(crate) struct TestNetwork {
    authority: SigningAuthority,
    validity: Validity,
}

/// A fake agent; gone when dropped.
pub(crate) struct FakeAgent {
    pub(crate) address: SocketAddr,
    store: Arc<ServingStore>,
    /// The CA that it signs with.
    pub(crate) authority: Arc<SigningAuthority>,
    calls: Arc<Mutex<Vec<CertificateRequest>>>,
    stop: CancellationToken,
    tasks: TaskTracker,
    _stop_when_dropped: DropGuard,
}

#[derive(Clone)]
struct Agent {
    authority: Arc<SigningAuthority>,
    behaviour: Behaviour,
    calls: Arc<Mutex<Vec<CertificateRequest>>>,
}

pub(crate) fn new_authority(name: &str) -> (SigningAuthority, Validity) {
    let now = Clock::system().now();
    let hour = Duration::from_secs(3600);
    let validity = Validity {
        not_before: now - hour,
        not_after: now + hour,
    };
    let made = generate_authority(name, validity).unwrap();
    let authority = SigningAuthority::from_pem(
        made.certificate_pem.as_bytes(),
        made.key_pem.as_bytes(),
        now,
    );
    (authority.unwrap(), validity)
}

impl TestNetwork {
    pub(crate) fn new() -> Self {
        let (authority, validity) = new_authority("haulout-signing-ca");
        Self {
            authority,
            validity,
        }
    }

    /// A certificate and key for the webhook.
    pub(crate) fn client_pem(&self) -> (String, Zeroizing<String>) {
        let key = KeyPair::generate_p256().unwrap();
        let certificate = self
            .authority
            .issue_uri_client_certificate(WEBHOOK_URI, &key.spki_der(), self.validity)
            .unwrap();
        (certificate.pem, key.pkcs8_pem())
    }

    /// Writes what the webhook needs into `folder`.
    pub(crate) fn write_credentials(&self, folder: &Path) -> CredentialFiles {
        let (certificate, key) = self.client_pem();
        let files = CredentialFiles {
            certificate: folder.join("tls.crt"),
            key: folder.join("tls.key"),
            ca: folder.join("ca.crt"),
        };
        std::fs::write(&files.certificate, certificate).unwrap();
        std::fs::write(&files.key, key.as_bytes()).unwrap();
        std::fs::write(&files.ca, self.ca_pem()).unwrap();
        files
    }

    /// Publishes what the webhook needs, where these networks are trusted.
    pub(crate) fn publish(&self, store: &CredentialStore, trusted: &[&Self]) {
        let bundles: String = trusted.iter().map(|one| one.ca_pem()).collect();
        let bundle = CertificateBundle::parse_pem(bundles.as_bytes()).unwrap();
        let (certificate, key) = self.client_pem();
        let published = store.publish(&bundle, certificate.as_bytes(), key.as_bytes());
        published.unwrap();
    }

    /// The CA's certificate.
    pub(crate) fn ca_pem(&self) -> &str {
        self.authority.certificate_pem()
    }

    /// A certificate and key for an agent.
    pub(crate) fn serving_pem(&self, name: &str) -> (String, Zeroizing<String>) {
        let key = KeyPair::generate_p256().unwrap();
        let names = [name.to_owned()];
        let leaf = self
            .authority
            .issue_serving_certificate(&names, &[], &key.spki_der(), self.validity)
            .unwrap();
        (leaf.pem, key.pkcs8_pem())
    }

    fn show(&self, store: &ServingStore, name: &str) {
        let (chain, key) = self.serving_pem(name);
        let identity = ServingIdentity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
        store.publish(identity).unwrap();
    }

    pub(crate) async fn agent(&self, behaviour: Behaviour) -> FakeAgent {
        self.agent_at("127.0.0.1:0", SERVER_NAME, behaviour).await
    }

    pub(crate) async fn agent_at(
        &self,
        address: &str,
        name: &str,
        behaviour: Behaviour,
    ) -> FakeAgent {
        let store = Arc::new(ServingStore::new());
        self.show(&store, name);

        let calls = Arc::default();
        let authority = Arc::new(new_authority("kubernetes").0);
        let agent = Agent {
            authority: Arc::clone(&authority),
            behaviour,
            calls: Arc::clone(&calls),
        };
        let router = Router::new()
            .route(CERTIFICATES_PATH, post(answer))
            .with_state(agent);
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let limits = ListenerLimits::default();
        tasks.spawn(serve_tls(
            listener,
            Arc::clone(&store),
            PeerTrust::new(|_| true),
            limits,
            router,
            stop.clone(),
            Duration::ZERO,
        ));
        tasks.close();
        let _stop_when_dropped = stop.clone().drop_guard();
        FakeAgent {
            address,
            store,
            authority,
            calls,
            stop,
            tasks,
            _stop_when_dropped,
        }
    }
}

impl FakeAgent {
    /// Shows a certificate of `network` for `name` in handshakes that begin from now on.
    pub(crate) fn call_itself(&self, network: &TestNetwork, name: &str) {
        network.show(&self.store, name);
    }

    pub(crate) fn calls(&self) -> Vec<CertificateRequest> {
        self.calls.lock().unwrap().clone()
    }

    /// Ends the agent and its connections.
    pub(crate) async fn kill(self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }
}

async fn answer(
    State(agent): State<Agent>,
    peer: axum::Extension<PeerCertificates>,
    Json(request): Json<CertificateRequest>,
) -> Response {
    assert!(!peer.0.0.is_empty(), "the webhook showed no certificate");
    agent.calls.lock().unwrap().push(request.clone());
    match agent.behaviour {
        Behaviour::Sign { clock_ahead_millis } => {
            Json(sign(&agent.authority, request, clock_ahead_millis)).into_response()
        }
        Behaviour::Hang => std::future::pending().await,
        Behaviour::Refuse(reason) => {
            let status = StatusCode::from_u16(reason.http_status()).unwrap();
            (
                status,
                Json(SigningFailure {
                    reason,
                    message: "as told".into(),
                }),
            )
                .into_response()
        }
        Behaviour::Say(status, text) => (status, text).into_response(),
    }
}

fn sign(
    authority: &SigningAuthority,
    request: CertificateRequest,
    clock_ahead_millis: i64,
) -> CertificateResponse {
    let now = Clock::system().now();
    let seconds = |time: SystemTime| {
        time.duration_since(SystemTime::UNIX_EPOCH)
            .unwrap()
            .as_secs() as i64
    };
    let units = request
        .extra
        .iter()
        .flat_map(|(k, values)| values.iter().map(move |v| format!("{k}={v}")));
    let subject = ClientSubject {
        organizational_units: units.collect(),
        username: request.username,
        groups: request.groups,
    };
    let validity = Validity {
        not_before: now - Duration::from_secs(300),
        not_after: now + Duration::from_secs(request.lifetime_seconds.into()),
    };
    let spki = BASE64_STANDARD.decode(request.public_key).unwrap();
    let issued = authority
        .issue_client_certificate(&subject, &spki, validity)
        .unwrap();
    CertificateResponse {
        certificate: issued.pem,
        not_before: seconds(issued.not_before),
        not_after: seconds(issued.not_after),
        x509_sha256: issued.x509_sha256,
        agent_time_millis: seconds(now) * 1000 + clock_ahead_millis,
    }
}

//! A real OIDC issuer for the demo and for tests: HTTPS with a CA of its own, discovery, JWK set, tokens, and
//! faults that can be switched on.

pub(crate) mod signing;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, ensure};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use axum_server::tls_rustls::RustlsConfig;
use haulout_operate::clock::Clock;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use uuid::Uuid;

use signing::SigningKey;
pub use signing::SigningKind;

/// Life of a token that does not say otherwise, as the Pinniped Supervisor's cluster tokens have.
pub const TOKEN_LIFETIME: Duration = Duration::from_secs(120);

/// Where the issuer redirects to under [`Fault::Redirect`]; whoever follows gets a good answer.
const REDIRECT_TARGET: &str = "/elsewhere";

/// What an endpoint does instead of answering well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Fault {
    /// Nothing: it answers well.
    #[default]
    None,
    /// It answers well, but so many milliseconds later.
    Slow(u64),
    /// 404.
    NotFound,
    /// 500.
    Broken,
    /// A good answer behind more white space than anyone should read.
    Huge,
    /// A redirect to a good answer.
    Redirect,
    /// A discovery document of another issuer; no fault for keys.
    WrongIssuer,
    /// A discovery document whose `jwks_uri` is not HTTPS; no fault for keys.
    PlainKeysUrl,
}

/// Faults in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Faults {
    /// Of the discovery document.
    pub discovery: Fault,
    /// Of the JWK set.
    pub keys: Fault,
}

/// How an issuer is started.
#[derive(Clone, Debug)]
pub struct IssuerOptions {
    /// Where it listens, on loopback or towards our own nodes; port 0 takes a free one.
    pub listen: SocketAddr,
    /// How it signs.
    pub signing: SigningKind,
    /// Where the times in its tokens come from.
    pub clock: Clock,
}

impl Default for IssuerOptions {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            signing: SigningKind::default(),
            clock: Clock::system(),
        }
    }
}

/// A running issuer; ends when dropped.
#[derive(Debug)]
pub struct TestIssuer {
    shared: Arc<Shared>,
    ca_certificate_pem: String,
    ca_certificate_der: Vec<u8>,
    server: JoinSet<std::io::Result<()>>,
}

struct Shared {
    url: String,
    keys_url: Mutex<String>,
    signing: SigningKind,
    clock: Clock,
    keys: Mutex<Keys>,
    faults: Mutex<Faults>,
    discovery_calls: AtomicU32,
    key_calls: AtomicU32,
}

struct Keys {
    signing: SigningKey,
    published: Vec<Value>,
    generation: u32,
}

impl TestIssuer {
    /// Starts an issuer. A process-wide rustls provider must be installed.
    ///
    /// # Errors
    /// The address is neither on loopback nor towards our own nodes, or cannot be had.
    pub async fn start(options: IssuerOptions) -> anyhow::Result<Self> {
        let IssuerOptions {
            listen,
            signing,
            clock,
        } = options;
        ensure!(
            listen.ip().is_loopback() || crate::cluster::is_between_nodes(listen.ip()),
            "the test issuer mints tokens for anyone: loopback and the network of our own nodes only"
        );
        let listener =
            TcpListener::bind(listen).with_context(|| format!("failed to listen on {listen}"))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let pki = ServingPki::generate(address)?;
        let tls =
            RustlsConfig::from_pem(pki.chain_pem.into_bytes(), pki.key_pem.into_bytes()).await?;
        let shared = Arc::new(Shared {
            url: format!("https://{address}"),
            keys_url: Mutex::new(format!("https://{address}/keys")),
            signing,
            clock,
            keys: Mutex::new(Keys::generate(signing, 1)?),
            faults: Mutex::default(),
            discovery_calls: AtomicU32::new(0),
            key_calls: AtomicU32::new(0),
        });
        let app = router(Arc::clone(&shared)).into_make_service();
        let mut server = JoinSet::new();
        server.spawn(axum_server::from_tcp_rustls(listener, tls)?.serve(app));
        Ok(Self {
            shared,
            ca_certificate_pem: pki.ca_pem,
            ca_certificate_der: pki.ca_der,
            server,
        })
    }

    /// The issuer's URL, without a trailing slash.
    pub fn url(&self) -> &str {
        &self.shared.url
    }

    /// Certificate of the CA that the issuer's TLS certificate chains to.
    pub fn ca_certificate_pem(&self) -> &str {
        &self.ca_certificate_pem
    }

    /// The same in DER.
    pub fn ca_certificate_der(&self) -> &[u8] {
        &self.ca_certificate_der
    }

    /// A token with exactly these claims.
    ///
    /// # Errors
    /// Signing failed.
    pub fn sign(&self, claims: &Value) -> anyhow::Result<String> {
        self.shared.keys().signing.sign(claims)
    }

    /// A token as the Pinniped Supervisor makes it for one cluster.
    ///
    /// # Errors
    /// Signing failed.
    pub fn cluster_token(
        &self,
        username: &str,
        groups: &[&str],
        audience: &str,
    ) -> anyhow::Result<String> {
        let claims = json!({"username": username, "groups": groups, "aud": audience});
        self.shared.mint(claims)
    }

    /// Switches faults on and off.
    pub fn set_faults(&self, faults: Faults) {
        *lock(&self.shared.faults) = faults;
    }

    /// Signs with a new key from now on and publishes no other.
    ///
    /// # Errors
    /// No key could be made.
    pub fn rotate_keys(&self) -> anyhow::Result<()> {
        self.shared.rotate_keys()
    }

    /// The JWKs that are published now.
    pub fn published(&self) -> Vec<Value> {
        self.shared.keys().published.clone()
    }

    /// Names this URL as the one of its keys from now on.
    pub fn name_keys_url(&self, url: String) {
        *lock(&self.shared.keys_url) = url;
    }

    /// Publishes these JWKs, whatever the issuer signs with.
    pub fn publish(&self, keys: Vec<Value>) {
        self.shared.keys().published = keys;
    }

    /// How often the discovery document was asked for.
    pub fn discovery_calls(&self) -> u32 {
        self.shared.discovery_calls.load(Ordering::Relaxed)
    }

    /// How often the JWK set was asked for.
    pub fn key_calls(&self) -> u32 {
        self.shared.key_calls.load(Ordering::Relaxed)
    }

    /// Waits for the server to fail.
    ///
    /// # Errors
    /// Always, with the cause.
    pub async fn failed(&mut self) -> anyhow::Result<()> {
        match self.server.join_next().await {
            Some(outcome) => outcome?.context("the issuer's server failed"),
            None => anyhow::bail!("the issuer's server has ended"),
        }
    }
}

impl Shared {
    fn keys(&self) -> MutexGuard<'_, Keys> {
        lock(&self.keys)
    }

    fn rotate_keys(&self) -> anyhow::Result<()> {
        let mut keys = self.keys();
        *keys = Keys::generate(self.signing, keys.generation + 1)?;
        Ok(())
    }

    /// Adds `iss`, `sub`, `iat`, `nbf`, `exp` and `jti` where they are absent, and signs.
    fn mint(&self, claims: Value) -> anyhow::Result<String> {
        let Value::Object(given) = claims else {
            anyhow::bail!("claims must be a JSON object");
        };
        let now = self
            .clock
            .now()
            .duration_since(SystemTime::UNIX_EPOCH)?
            .as_secs();
        let mut claims = json!({
            "iss": self.url,
            "sub": given.get("username").cloned().unwrap_or_else(|| json!("user")),
            "iat": now,
            "nbf": now,
            "exp": now + TOKEN_LIFETIME.as_secs(),
            "jti": Uuid::new_v4().to_string(),
        });
        if let Some(object) = claims.as_object_mut() {
            object.extend(given);
        }
        self.keys().signing.sign(&claims)
    }

    fn discovery_document(&self, fault: Fault) -> Value {
        let url = &self.url;
        let issuer = match fault {
            Fault::WrongIssuer => format!("{url}/other"),
            _ => url.clone(),
        };
        let keys_url = lock(&self.keys_url).clone();
        let jwks_uri = match fault {
            Fault::PlainKeysUrl => keys_url.replacen("https", "http", 1),
            _ => keys_url,
        };
        json!({
            "issuer": issuer,
            "jwks_uri": jwks_uri,
            "authorization_endpoint": format!("{url}/authorize"),
            "token_endpoint": format!("{url}/token"),
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256", "RS256"],
        })
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

impl Keys {
    fn generate(kind: SigningKind, generation: u32) -> anyhow::Result<Self> {
        let signing = SigningKey::generate(kind, generation)?;
        let published = vec![signing.jwk()?];
        Ok(Self {
            signing,
            published,
            generation,
        })
    }
}

fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/.well-known/openid-configuration", get(discovery))
        .route("/keys", get(keys))
        .route("/elsewhere", get(keys_without_fault))
        .route("/token", post(token))
        .route("/control/faults", put(faults))
        .route("/control/rotate", post(rotate))
        .with_state(shared)
}

async fn discovery(State(issuer): State<Arc<Shared>>) -> Response {
    issuer.discovery_calls.fetch_add(1, Ordering::Relaxed);
    let fault = lock(&issuer.faults).discovery;
    answer(&issuer.discovery_document(fault), fault).await
}

async fn keys(State(issuer): State<Arc<Shared>>) -> Response {
    issuer.key_calls.fetch_add(1, Ordering::Relaxed);
    let fault = lock(&issuer.faults).keys;
    // What was published when the question came, however late the answer.
    let set = json!({"keys": issuer.keys().published});
    answer(&set, fault).await
}

async fn keys_without_fault(State(issuer): State<Arc<Shared>>) -> Response {
    Json(json!({"keys": issuer.keys().published})).into_response()
}

/// Claims in, token out; what a token needs is added where it is absent.
async fn token(State(issuer): State<Arc<Shared>>, Json(claims): Json<Value>) -> Response {
    issuer
        .mint(claims)
        .map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))
        .into_response()
}

async fn faults(State(issuer): State<Arc<Shared>>, Json(faults): Json<Faults>) -> StatusCode {
    *lock(&issuer.faults) = faults;
    StatusCode::NO_CONTENT
}

async fn rotate(State(issuer): State<Arc<Shared>>) -> Response {
    issuer
        .rotate_keys()
        .map(|()| StatusCode::NO_CONTENT)
        .map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
        .into_response()
}

async fn answer(document: &Value, fault: Fault) -> Response {
    match fault {
        Fault::Slow(milliseconds) => tokio::time::sleep(Duration::from_millis(milliseconds)).await,
        Fault::NotFound => return (StatusCode::NOT_FOUND, "404 page not found\n").into_response(),
        Fault::Broken => {
            return (StatusCode::INTERNAL_SERVER_ERROR, "<html>broken</html>").into_response();
        }
        Fault::Huge => {
            let body = format!("{}{document}", " ".repeat(2 * 1024 * 1024));
            return ([(header::CONTENT_TYPE, "application/json")], body).into_response();
        }
        Fault::Redirect => {
            return (StatusCode::FOUND, [(header::LOCATION, REDIRECT_TARGET)]).into_response();
        }
        Fault::None | Fault::WrongIssuer | Fault::PlainKeysUrl => {}
    }
    Json(document).into_response()
}

pub(crate) struct ServingPki {
    pub(crate) ca_pem: String,
    pub(crate) ca_der: Vec<u8>,
    pub(crate) chain_pem: String,
    pub(crate) key_pem: String,
}

impl ServingPki {
    pub(crate) fn generate(address: SocketAddr) -> anyhow::Result<Self> {
        let ca_key = KeyPair::generate()?;
        let mut ca = CertificateParams::default();
        ca.distinguished_name
            .push(DnType::CommonName, "haulout test issuer CA");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let ca_certificate = ca.self_signed(&ca_key)?;
        let key = KeyPair::generate()?;
        // Not for `localhost`, under which it can be reached too: who calls it so must refuse it.
        let leaf = CertificateParams::new(vec![address.ip().to_string()])?;
        let leaf = leaf.signed_by(&key, &Issuer::new(ca, ca_key))?;
        Ok(Self {
            ca_pem: ca_certificate.pem(),
            ca_der: ca_certificate.der().to_vec(),
            chain_pem: leaf.pem(),
            key_pem: key.serialize_pem(),
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

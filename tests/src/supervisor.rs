//! A stand-in for a Pinniped Supervisor, and for an issuer with a device code flow: what `haulout login oidc` speaks to.
//!
//! It behaves as `cli-and-impersonation.md` says of a Supervisor: tokens of two minutes, refresh tokens that are taken once, user
//! name and password as headers, and a page that posts the code to the program by a script. It checks all that such a server
//! checks (PKCE, redirect URI, client), and counts what it was asked.

mod authorize;
mod device;
mod token;

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use aws_lc_rs::rand;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use axum_server::tls_rustls::RustlsConfig;
use haulout_operate::clock::Clock;
use haulout_pki::hex;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::issuer::ServingPki;
use crate::issuer::signing::{SigningKey, SigningKind};

/// The one password of every user.
pub const PASSWORD: &str = "correct horse";
/// The one client, which has no secret.
pub const CLIENT: &str = "pinniped-cli";
/// The client that has one, for a login without a user.
pub const MACHINE: (&str, &str) = ("ci", "machine secret");

/// What it says of a password for an identity provider that takes none.
pub const NO_PASSWORDS: &str = "The password grant is not allowed for this upstream provider.";

/// The `Audit-ID` of every answer.
pub const AUDIT_ID: &str = "supervisor-audit-id";

/// How it behaves; can be changed while it runs.
#[derive(Clone, Debug)]
pub struct Behaviour {
    /// Whether it is a Supervisor, which lists identity providers; another issuer does not.
    pub is_supervisor: bool,
    /// Whether it offers to post the answer.
    pub form_post: bool,
    /// Whether it declares that its answers say who it is (RFC 9207).
    pub names_itself: bool,
    /// Who it says it is in them.
    pub answers_as: Option<String>,
    /// Life of ID and access tokens.
    pub token_life: Duration,
    /// What it says of an access token's life, if not that.
    pub expires_in: Option<Value>,
    /// Its identity providers.
    pub identity_providers: Vec<IdentityProvider>,
    /// Scopes that it lists; it may list none.
    pub scopes: Vec<&'static str>,
    /// Fields that replace those of the discovery document.
    pub discovery: Value,
    /// Answers this path below the issuer with this status and text.
    pub failing: Option<(&'static str, u16, &'static str)>,
    /// Sent as a `Warning` header with every answer.
    pub warning: Option<String>,
    /// Refuses every login with this code and description.
    pub denies: Option<(&'static str, &'static str)>,
    /// Cannot show its keys just now.
    pub keys_are_away: bool,
    /// Cannot answer at the token endpoint just now.
    pub tokens_are_away: bool,
    /// How long it takes to give tokens for a code or a refresh token.
    pub tokens_take: Duration,
    /// Revokes only for a client with this secret.
    pub revokes_for: Option<&'static str>,
    /// Refuses to refresh.
    pub refuses_refresh: bool,
    /// Answers a refresh without an ID token.
    pub refreshes_without_id_token: bool,
    /// How often a device code is pending unless its page is posted to; [`u32::MAX`]: for ever.
    pub pending_polls: u32,
    /// Demands PKCE of the device code flow, as Keycloak does of clients that have to use it.
    pub device_needs_pkce: bool,
    /// Whom the token of the client itself is for, if not the client. An ID token, which is, then comes with it where `openid` is
    /// asked for, as of Keycloak.
    pub client_token_for: Option<Value>,
    /// Fields that replace those of an exchange's answer.
    pub exchange_answer: Value,
    /// `Content-Type` of an exchange's answer.
    pub exchange_content_type: &'static str,
    /// Claims that replace those of ID tokens.
    pub claims: Value,
}

/// One of a Supervisor's identity providers.
#[derive(Clone, Debug, Serialize)]
pub struct IdentityProvider {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    #[serde(rename = "type")]
    pub type_: &'static str,
    /// Its flows, the first being the default.
    pub flows: Vec<&'static str>,
}

impl IdentityProvider {
    /// The flow by which users log in with a name and a password at the program.
    pub const PASSWORD_FLOW: &'static str = "cli_password";
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            is_supervisor: true,
            form_post: false,
            names_itself: false,
            answers_as: None,
            token_life: Duration::from_secs(120),
            expires_in: None,
            identity_providers: vec![
                IdentityProvider {
                    name: "my-ldap",
                    type_: "ldap",
                    flows: vec![IdentityProvider::PASSWORD_FLOW, "browser_authcode"],
                },
                IdentityProvider {
                    name: "my-oidc 🦭",
                    type_: "oidc",
                    flows: vec!["browser_authcode"],
                },
            ],
            scopes: vec![
                "openid",
                "offline_access",
                "pinniped:request-audience",
                "username",
                "groups",
            ],
            discovery: json!({}),
            failing: None,
            warning: None,
            denies: None,
            keys_are_away: false,
            tokens_are_away: false,
            tokens_take: Duration::ZERO,
            revokes_for: None,
            refuses_refresh: false,
            refreshes_without_id_token: false,
            pending_polls: 1,
            device_needs_pkce: false,
            client_token_for: None,
            exchange_answer: json!({}),
            exchange_content_type: "application/json;charset=UTF-8",
            claims: json!({}),
        }
    }
}

/// How often each endpoint was asked, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// The discovery document.
    pub discovery: u32,
    /// The list of identity providers.
    pub identity_providers: u32,
    /// The login page, or the login by headers.
    pub authorize: u32,
    /// Codes that were redeemed.
    pub codes: u32,
    /// Refresh tokens that were taken.
    pub refreshes: u32,
    /// Refresh tokens that were sent a second time.
    pub reused: u32,
    /// Exchanges.
    pub exchanges: u32,
    /// Questions after a device code.
    pub polls: u32,
    /// Tokens of the client itself.
    pub client_credentials: u32,
    /// Refresh and access tokens that were revoked.
    pub revocations: u32,
}

/// A running one; ends when dropped.
#[derive(Debug)]
pub struct Supervisor {
    shared: Arc<Shared>,
    ca_pem: String,
    _server: JoinSet<std::io::Result<()>>,
}

struct Shared {
    url: String,
    key: SigningKey,
    clock: Clock,
    behaviour: Mutex<Behaviour>,
    calls: Mutex<Calls>,
    grants: Mutex<HashMap<String, Grant>>,
    on_revocation: Mutex<Option<Box<dyn Fn() + Send>>>,
    on_keys: Mutex<Option<Box<dyn Fn() + Send>>>,
}

/// What a secret of ours stands for.
#[derive(Clone, Debug)]
struct Grant {
    kind: GrantKind,
    username: String,
    client: String,
    scopes: Vec<String>,
    nonce: Option<String>,
    is_used: bool,
}

#[derive(Clone, Debug)]
enum GrantKind {
    Code {
        challenge: String,
        redirect_uri: String,
    },
    Refresh,
    Access,
    Device {
        user_code: String,
        polls_left: u32,
        challenge: Option<String>,
    },
}

impl Supervisor {
    /// Starts one on loopback.
    ///
    /// # Errors
    /// No address can be had.
    pub async fn start(clock: Clock, behaviour: Behaviour) -> anyhow::Result<Self> {
        crate::ensure_crypto();
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let pki = ServingPki::generate(address)?;
        let tls =
            RustlsConfig::from_pem(pki.chain_pem.into_bytes(), pki.key_pem.into_bytes()).await?;
        let shared = Arc::new(Shared {
            url: format!("https://{address}/issuer"),
            key: SigningKey::generate(SigningKind::default(), 1)?,
            clock,
            behaviour: Mutex::new(behaviour),
            calls: Mutex::default(),
            grants: Mutex::default(),
            on_revocation: Mutex::default(),
            on_keys: Mutex::default(),
        });
        let app = router(Arc::clone(&shared)).into_make_service();
        let mut server = JoinSet::new();
        server.spawn(axum_server::from_tcp_rustls(listener, tls)?.serve(app));
        Ok(Self {
            shared,
            ca_pem: pki.ca_pem,
            _server: server,
        })
    }

    /// Its URL as an issuer.
    pub fn url(&self) -> &str {
        &self.shared.url
    }

    /// Certificate of the CA that its own chains to.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// How often it was asked what.
    pub fn calls(&self) -> Calls {
        lock(&self.shared.calls).clone()
    }

    /// Has something done before a token is revoked.
    pub fn on_revocation(&self, act: impl Fn() + Send + 'static) {
        *lock(&self.shared.on_revocation) = Some(Box::new(act));
    }

    /// Has something done before the keys are shown.
    pub fn on_keys(&self, act: impl Fn() + Send + 'static) {
        *lock(&self.shared.on_keys) = Some(Box::new(act));
    }

    /// Takes none of the access tokens any more that it has given, as after a change of its own keys.
    pub fn forget_access_tokens(&self) {
        lock(&self.shared.grants).retain(|_, grant| !matches!(grant.kind, GrantKind::Access));
    }

    /// How it behaves, to be changed.
    pub fn behaviour(&self) -> MutexGuard<'_, Behaviour> {
        lock(&self.shared.behaviour)
    }
}

impl Shared {
    fn count(&self, count: impl FnOnce(&mut Calls)) {
        count(&mut lock(&self.calls));
    }

    fn behaviour(&self) -> Behaviour {
        lock(&self.behaviour).clone()
    }

    /// Keeps a grant under a new secret.
    fn grant(&self, grant: Grant) -> anyhow::Result<String> {
        let mut secret = [0; 16];
        rand::fill(&mut secret)?;
        let secret = hex(&secret);
        lock(&self.grants).insert(secret.clone(), grant);
        Ok(secret)
    }

    fn now(&self) -> anyhow::Result<u64> {
        let now = self.clock.now().duration_since(SystemTime::UNIX_EPOCH)?;
        Ok(now.as_secs())
    }

    /// A token of a user for an audience.
    fn id_token(&self, username: &str, audience: &str, more: Value) -> anyhow::Result<String> {
        let behaviour = self.behaviour();
        let now = self.now()?;
        let mut claims = json!({
            "iss": self.url, "sub": format!("{}/{username}", self.url), "aud": audience,
            "iat": now, "exp": now + behaviour.token_life.as_secs(),
            "username": username, "groups": ["developers"],
        });
        if let Some(claims) = claims.as_object_mut() {
            for object in [more, behaviour.claims] {
                claims.extend(object.as_object().cloned().unwrap_or_default());
            }
        }
        self.key.sign(&claims)
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

fn router(shared: Arc<Shared>) -> Router {
    let issuer = Router::new()
        .route("/.well-known/openid-configuration", get(discovery))
        .route("/keys", get(keys))
        .route("/identity-providers", get(identity_providers))
        .route("/authorize", get(authorize::page).post(authorize::submit))
        .route("/token", post(token::answer))
        .route("/device-authorization", post(device::begin))
        .route("/device", get(device::page).post(device::confirm))
        .route("/revoke", post(token::revoke))
        .layer(from_fn_with_state(Arc::clone(&shared), fail))
        .layer(from_fn_with_state(Arc::clone(&shared), mark))
        .with_state(shared);
    Router::new().nest("/issuer", issuer)
}

/// The headers that each answer has.
async fn mark(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response.headers_mut().insert(
        HeaderName::from_static("audit-id"),
        HeaderValue::from_static(AUDIT_ID),
    );
    let warning = shared.behaviour().warning;
    let warning = warning.and_then(|text| HeaderValue::from_str(&format!("299 - \"{text}\"")).ok());
    if let Some(warning) = warning {
        let name = HeaderName::from_static("warning");
        response.headers_mut().insert(name, warning);
    }
    response
}

async fn fail(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    match shared.behaviour().failing {
        Some((path, status, text)) if request.uri().path().ends_with(path) => {
            let status = StatusCode::from_u16(status).unwrap_or_default();
            (status, text).into_response()
        }
        _ => next.run(request).await,
    }
}

async fn discovery(State(shared): State<Arc<Shared>>) -> Json<Value> {
    shared.count(|calls| calls.discovery += 1);
    let behaviour = shared.behaviour();
    let url = &shared.url;
    let modes: &[&str] = match behaviour.form_post {
        true => &["query", "form_post"],
        false => &["query"],
    };
    let mut document = json!({
        "issuer": url,
        "authorization_endpoint": format!("{url}/authorize"),
        "token_endpoint": format!("{url}/token"),
        "jwks_uri": format!("{url}/keys"),
        "device_authorization_endpoint": format!("{url}/device-authorization"),
        "revocation_endpoint": format!("{url}/revoke"),
        "response_modes_supported": modes,
        "authorization_response_iss_parameter_supported": behaviour.names_itself,
    });
    if let (false, Some(document)) = (behaviour.scopes.is_empty(), document.as_object_mut()) {
        document.insert("scopes_supported".to_owned(), json!(behaviour.scopes));
    }
    if let (true, Some(document)) = (behaviour.is_supervisor, document.as_object_mut()) {
        let list =
            json!({"pinniped_identity_providers_endpoint": format!("{url}/identity-providers")});
        document.insert(
            "discovery.supervisor.pinniped.dev/v1alpha1".to_owned(),
            list,
        );
    }
    if let (Some(document), Some(replaced)) =
        (document.as_object_mut(), behaviour.discovery.as_object())
    {
        document.extend(replaced.clone());
    }
    Json(document)
}

async fn keys(State(shared): State<Arc<Shared>>) -> Response {
    if let Some(act) = &*lock(&shared.on_keys) {
        act();
    }
    if shared.behaviour().keys_are_away {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    match shared.key.jwk() {
        Ok(key) => Json(json!({"keys": [key]})).into_response(),
        Err(error) => token::failed(&error),
    }
}

async fn identity_providers(State(shared): State<Arc<Shared>>) -> Json<Value> {
    shared.count(|calls| calls.identity_providers += 1);
    let types = ["oidc", "ldap", "activedirectory"].map(|type_| json!({"type": type_}));
    Json(json!({
        "pinniped_identity_providers": shared.behaviour().identity_providers,
        "pinniped_supported_identity_provider_types": types,
    }))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

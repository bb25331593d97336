//! Floods through the real listener, with a real issuer behind it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use haulout_api::authenticator::JwtAuthenticatorSpec;
use haulout_jwt::algorithms::AcceptedAlgorithms;
use haulout_jwt::claims::ClaimRules;
use haulout_jwt::client::{IssuerClient, TrustRoots};
use haulout_jwt::keys::KeyCache;
use haulout_jwt::verify::{Expectations, Verifier};
use haulout_operate::clock::{Clock, ManualClock};
use haulout_serve::listener::{ListenerLimits, PeerTrust, serve_tls};
use haulout_serve::tls::{ClientIdentity, ServingIdentity, ServingStore, client_config};
use haulout_tests::cluster::{AUDIENCE, AUTHENTICATOR};
use haulout_tests::issuer::{IssuerOptions, SigningKind, TestIssuer};
use haulout_tests::load::{self, Connection, Endpoint, Outcome, Plan};
use haulout_tests::logins::{self, Answer};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::authenticators::AuthenticatorKey;
use crate::authenticators::jwt::JwtAuthenticator;
use crate::signer::fake_agent::TestNetwork;

const SERVER_NAME: &str = "localhost";

/// A listening door A, whose authenticator knows the keys of an issuer.
struct Flooded {
    issuer: TestIssuer,
    clock: ManualClock,
    door: Door,
    endpoint: Endpoint,
    _tasks: JoinSet<()>,
}

impl Flooded {
    async fn start() -> Self {
        haulout_tests::ensure_crypto();
        let options = IssuerOptions {
            signing: SigningKind::Rs256WithKeyId,
            ..IssuerOptions::default()
        };
        let issuer = TestIssuer::start(options).await.unwrap();
        let (clock, hand) = Clock::manual(Clock::system().now());
        let mut tasks = JoinSet::new();

        let roots = TrustRoots::Only(vec![issuer.ca_certificate_der().to_vec()]);
        let client = IssuerClient::new(&roots).unwrap();
        let keys_url = format!("{}/keys", issuer.url()).parse().unwrap();
        let keys = KeyCache::fetch(client, keys_url, clock.now()).await;
        let keys = Arc::new(keys.unwrap());
        let (kept, now) = (Arc::clone(&keys), clock.clone());
        tasks.spawn(async move { kept.keep_fresh(|| now.now()).await });
        let expectations = Expectations {
            issuer: issuer.url().to_owned(),
            audience: AUDIENCE.to_owned(),
            algorithms: AcceptedAlgorithms::default(),
        };
        let verifier = Verifier::new(expectations, keys);
        let rules = ClaimRules::compile(&JwtAuthenticatorSpec::default()).unwrap();

        let mut setup = setup(Says::Nothing, GOOD, "pinniped.dev").await;
        let logins = setup.logins.as_mut().unwrap();
        logins.clock = clock;
        logins.authenticators.insert(
            &AuthenticatorKey::jwt(AUTHENTICATOR),
            &(Arc::new(JwtAuthenticator::new(verifier, Arc::new(rules), None)) as _),
        );
        let door = Door::over(setup, Reviewer::Allows);
        let endpoint = listen(&door, &mut tasks).await;
        Self {
            issuer,
            clock: hand,
            door,
            endpoint,
            _tasks: tasks,
        }
    }

    fn claims(&self) -> Value {
        let now = Clock::system().now().duration_since(UNIX_EPOCH).unwrap();
        json!({
            "iss": self.issuer.url(), "aud": AUDIENCE, "exp": now.as_secs() + 3_600,
            "username": "alice", "groups": ["devs"],
        })
    }

    /// Sends `requests` logins from the addresses that `from` gives, one in each millisecond, each
    /// with a token of a `kid` of its own. Good logins go on meanwhile, from an address that nobody
    /// else has, and must all succeed.
    async fn flood(
        &self,
        requests: usize,
        from: fn(usize) -> String,
        judge: impl Fn(StatusCode, &Bytes) -> Result<(), String> + Send + Sync + 'static,
    ) -> Outcome {
        let claims = BASE64_URL_SAFE_NO_PAD.encode(self.claims().to_string());
        let signature = BASE64_URL_SAFE_NO_PAD.encode([7; 256]);
        let clock = self.clock.clone();
        let junk = move |number| {
            clock.advance(Duration::from_millis(1));
            let head = json!({"alg": "RS256", "kid": format!("{number}-{}", uuid::Uuid::new_v4())});
            let head = BASE64_URL_SAFE_NO_PAD.encode(head.to_string());
            login(&format!("{head}.{claims}.{signature}"), &from(number))
        };
        let good = self.issuer.sign(&self.claims()).unwrap();
        let good = move |_| login(&good, "198.51.100.1");
        let plan = |requests, streams| Plan {
            requests,
            streams,
            rate: None,
        };
        let (one, other) = (self.connect().await, self.connect().await);
        let (flood, good) = tokio::join!(
            load::run(&one, plan(requests, 8), junk, judge),
            load::run(&other, plan(200, 1), good, |status, body| {
                Answer::Credential.judge(status, body)
            }),
        );
        assert_eq!(good.failures, Vec::<String>::new());
        assert_eq!(flood.failures, Vec::<String>::new());
        flood
    }

    async fn connect(&self) -> Arc<Connection> {
        Arc::new(Connection::open(&self.endpoint).await.unwrap())
    }
}

/// Serves `door` to its front proxy.
async fn listen(door: &Door, tasks: &mut JoinSet<()>) -> Endpoint {
    let network = TestNetwork::new();
    let (chain, key) = network.serving_pem(SERVER_NAME);
    let store = Arc::new(ServingStore::new());
    store
        .publish(ServingIdentity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap())
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let front_proxy = Arc::clone(&door.front_proxy);
    let trust = PeerTrust::new(move |peer| front_proxy.trusts(peer, Clock::system().now()));
    tasks.spawn(serve_tls(
        listener,
        store,
        trust,
        ListenerLimits::default(),
        door.router.clone(),
        CancellationToken::new(),
        Duration::ZERO,
    ));

    let roots = CertificateBundle::parse_pem(network.ca_pem().as_bytes()).unwrap();
    let (certificate, key) = &door.front_proxy_pair;
    let identity = ClientIdentity::new();
    identity
        .publish(certificate.as_bytes(), key.as_bytes())
        .unwrap();
    Endpoint {
        address,
        server_name: SERVER_NAME.try_into().unwrap(),
        tls: client_config(&roots, Some(Arc::new(identity))).unwrap(),
    }
}

/// The API server's request for a client at `address` that has sent a forwarding header itself.
fn login(token: &str, address: &str) -> Request<http_body_util::Full<Bytes>> {
    let mut request = logins::request(&Bytes::from(logins::body(token).to_string()));
    let forwarded = format!("{}, {address}", uuid::Uuid::new_v4());
    request
        .headers_mut()
        .insert("x-forwarded-for", forwarded.parse().unwrap());
    request
}

#[tokio::test]
async fn unknown_keys_from_many_addresses_reach_the_issuer_twice_in_ten_seconds() {
    let flooded = Flooded::start().await;
    let before = flooded.issuer.key_calls();
    let from = |number| format!("10.1.{}.{}", number / 250 % 40, number % 250);
    let refused = |status, body: &_| Answer::AuthenticationFailed.judge(status, body);
    flooded.flood(10_000, from, refused).await;
    let calls = flooded.issuer.key_calls() - before;
    assert!((1..=2).contains(&calls), "{calls}");
    assert_eq!(flooded.door.setup.calls().len(), 200);
}

#[tokio::test]
async fn one_address_is_told_to_wait_while_others_log_in() {
    let flooded = Flooded::start().await;
    let limited = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&limited);
    let judge = move |status, body: &Bytes| {
        let wait = br#""reason":"TooManyRequests","details":{"retryAfterSeconds":1}"#;
        if status == StatusCode::TOO_MANY_REQUESTS
            && body.windows(wait.len()).any(|part| part == wait)
        {
            count.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        Answer::AuthenticationFailed.judge(status, body)
    };
    flooded
        .flood(3_000, |_| "203.0.113.9".to_owned(), judge)
        .await;
    // A thousand at once, and fifty in each of three seconds.
    let let_in = 3_000 - limited.load(Ordering::Relaxed);
    assert!((1_140..=1_150).contains(&let_in), "{let_in}");
}

//! Door B over real sockets: nothing that a caller says of himself means anything, and nothing but a login
//! is served.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use haulout_operate::clock::{Clock, ManualClock};
use haulout_operate::rate::Rate;
use haulout_serve::listener::{PeerAddress, PeerTrust, serve_tls};
use haulout_serve::tls::{ClientIdentity, ServingIdentity, ServingStore, client_config};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::limits::{Limits, LoginLimits};
use crate::signer::fake_agent::TestNetwork;
use crate::trusted_proxies::TrustedProxies;

const SERVER_NAME: &str = "localhost";
/// A proxy that is trusted, and everybody else.
const PROXY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// A listening door B that lets two logins of each address in, and one more of each a second.
struct Direct {
    setup: Setup,
    network: TestNetwork,
    address: SocketAddr,
    clock: ManualClock,
    _tasks: JoinSet<()>,
}

/// What came back.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Direct {
    async fn start() -> Self {
        haulout_tests::ensure_crypto();
        let mut setup = setup(Says::User(alice()), GOOD, "pinniped.dev").await;
        let (clock, hand) = Clock::manual(Clock::system().now());
        let mut logins = setup.logins.take().unwrap();
        logins.clock = clock;
        logins.limits = Arc::new(LoginLimits::new(Limits {
            per_address: Rate::new(1, 2),
            total: None,
        }));
        let proxies = TrustedProxies::parse(&[PROXY.to_string()]).unwrap();
        let router = direct_router(logins, proxies);

        let network = TestNetwork::new();
        let (chain, key) = network.serving_pem(SERVER_NAME);
        let store = Arc::new(ServingStore::for_anybody());
        store
            .publish(ServingIdentity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap())
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(serve_tls(
            listener,
            store,
            PeerTrust::nobody(),
            listener_limits(),
            router,
            CancellationToken::new(),
            Duration::ZERO,
        ));
        Self {
            setup,
            network,
            address,
            clock: hand,
            _tasks: tasks,
        }
    }

    /// Sends a request over a connection of its own, which shows `identity`.
    async fn send(
        &self,
        from: Ipv4Addr,
        identity: Option<Arc<ClientIdentity>>,
        request: &str,
    ) -> Answer {
        let roots = CertificateBundle::parse_pem(self.network.ca_pem().as_bytes()).unwrap();
        let mut config = (*client_config(&roots, identity).unwrap()).clone();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        let stream = socket.connect(self.address).await.unwrap();
        let mut stream = TlsConnector::from(Arc::new(config))
            .connect(SERVER_NAME.try_into().unwrap(), stream)
            .await
            .unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        // After an Upgrade or CONNECT that is refused, hyper says no goodbye.
        let _read_or_cut = tokio::time::timeout(Duration::from_secs(10), read)
            .await
            .unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer {
            status,
            head: head.to_ascii_lowercase(),
            body: body.to_owned(),
        }
    }

    async fn log_in(&self, from: Ipv4Addr, headers: &str) -> Answer {
        self.send(from, None, &login(headers)).await
    }
}

/// A login with further header lines.
fn login(headers: &str) -> String {
    written("POST", TCR, headers, &good_request().to_string())
}

fn written(method: &str, path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n{headers}\r\n{body}"
    )
}

impl Answer {
    /// The reason of a `Status` document, of which nothing else is there.
    fn reason(&self) -> String {
        let status: Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(status["kind"], "Status", "{}", self.body);
        assert_eq!(status["code"], self.status);
        status["reason"].as_str().unwrap().to_owned()
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// The front proxy's certificate, held by somebody who has stolen its key, for all that door B knows.
fn front_proxy_identity() -> Arc<ClientIdentity> {
    let (_, _, (certificate, key)) = front_proxy();
    let identity = ClientIdentity::new();
    identity
        .publish(certificate.as_bytes(), key.as_bytes())
        .unwrap();
    Arc::new(identity)
}

#[tokio::test]
async fn who_the_caller_says_he_is_means_nothing() {
    let direct = Direct::start().await;
    let forged = "X-Forwarded-For: 192.0.2.1\r\nX-Remote-User: admin\r\nX-Remote-Group: system:masters\r\nX-Remote-Uid: 0\r\n\
        X-Remote-Extra-Scopes: all\r\nImpersonate-User: admin\r\nImpersonate-Group: system:masters\r\n\
        Authorization: Bearer anything\r\n";
    let plain = direct.log_in(STRANGER, "").await;
    let with_headers = direct.log_in(STRANGER, forged).await;
    direct.clock.advance(Duration::from_secs(10));
    let identity = Some(front_proxy_identity());
    let with_certificate = direct.send(STRANGER, identity, &login(forged)).await;
    for answer in [plain, with_headers, with_certificate] {
        assert_eq!(answer.status, 201, "{}", answer.body);
        assert!(answer.body.contains("clientCertificateData"));
    }
    // Not even where he is: that is for proxies that are named.
    for event in direct.setup.memory.events() {
        assert_eq!(event["sourceIP"], STRANGER.to_string());
    }
    // Only what the token says is signed.
    let calls = direct.setup.calls();
    assert_eq!(calls.len(), 3);
    for call in calls {
        assert_eq!(
            (call.username, call.groups),
            (alice().username, alice().groups)
        );
    }
}

#[tokio::test]
async fn nothing_but_a_login_is_served() {
    let direct = Direct::start().await;
    let body = good_request().to_string();
    let version = "/apis/login.concierge.pinniped.dev/v1alpha1";
    for path in [
        WHO_AM_I,
        version,
        "/",
        "/apis",
        "/api",
        "/version",
        "/healthz",
        "/livez",
        "/readyz",
        "/metrics",
        "/openapi/v2",
        "/openapi/v3",
        &format!("{TCR}/"),
        &format!("{TCR}/x"),
        &format!("/{TCR}"),
        &TCR.to_uppercase(),
        "/apis/login.concierge.pinniped.dev/v1alpha1/x/../tokencredentialrequests",
    ] {
        for method in ["GET", "POST"] {
            let answer = direct
                .send(STRANGER, None, &written(method, path, "", &body))
                .await;
            assert_eq!(answer.status, 404, "{method} {path}");
            assert_eq!(answer.reason(), "NotFound");
        }
    }
    for method in ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "LOGIN"] {
        let answer = direct
            .send(STRANGER, None, &written(method, TCR, "", &body))
            .await;
        assert_eq!(answer.status, 405, "{method}");
        assert_eq!(answer.reason(), "MethodNotAllowed");
    }
    let connect =
        "CONNECT localhost:443 HTTP/1.1\r\nHost: localhost:443\r\nConnection: close\r\n\r\n";
    let answer = direct.send(STRANGER, None, connect).await;
    assert_eq!(answer.status, 404);
    assert_eq!(direct.setup.calls().len(), 0);
    // Neither counts as a login of the address.
    assert_eq!(direct.log_in(STRANGER, "").await.status, 201);
}

#[tokio::test]
async fn another_protocol_is_refused_whichever_it_is() {
    let direct = Direct::start().await;
    for protocol in ["websocket", "SPDY/3.1", "h2c", ""] {
        let headers = format!("Connection: Upgrade\r\nUpgrade: {protocol}\r\n");
        let answer = direct.log_in(STRANGER, &headers).await;
        assert_eq!(answer.status, 400, "{protocol}");
        assert_eq!(answer.reason(), "BadRequest");
        assert_eq!(answer.header("upgrade"), None);
    }
    assert_eq!(direct.setup.calls().len(), 0);
}

#[tokio::test]
async fn the_audit_id_is_always_our_own_and_the_event_has_the_address() {
    let direct = Direct::start().await;
    let headers = "Audit-ID: theirs\r\nX-Forwarded-For: 203.0.113.9, 198.51.100.7\r\n";
    let answer = direct.log_in(PROXY, headers).await;
    let id = answer.header("audit-id").unwrap();
    assert_ne!(id, "theirs");
    let events = direct.setup.memory.events();
    assert_eq!(events.len(), 2);
    for event in events {
        assert_eq!(event["auditID"], id);
        assert_eq!(event["sourceIP"], "198.51.100.7");
    }
    let refused = direct
        .log_in(STRANGER, "Upgrade: x\r\nAudit-ID: theirs\r\n")
        .await;
    assert!(refused.header("audit-id").is_some_and(|id| id != "theirs"));
}

#[tokio::test]
async fn logins_are_counted_for_the_address_that_a_trusted_proxy_tells() {
    let direct = Direct::start().await;
    let forwarded = |addresses: &str| format!("X-Forwarded-For: {addresses}\r\n");
    let rows = [
        // The peer's own word, or a claim of the client before the proxy's, changes nothing.
        (STRANGER, "192.0.2.1", 201),
        (STRANGER, "192.0.2.2", 201),
        (STRANGER, "192.0.2.3", 429),
        (PROXY, "192.0.2.1", 201),
        (PROXY, "198.51.100.1, 192.0.2.1", 201),
        (PROXY, "198.51.100.2, 192.0.2.1", 429),
        (PROXY, "192.0.2.2", 201),
        // The proxy itself, where it tells of nobody.
        (PROXY, "unknown", 201),
        (PROXY, "", 201),
        (PROXY, "nobody", 429),
    ];
    for (from, addresses, status) in rows {
        let answer = direct.log_in(from, &forwarded(addresses)).await;
        assert_eq!(answer.status, status, "{from} {addresses}");
        if status == 429 {
            assert_eq!(answer.reason(), "TooManyRequests");
            assert_eq!(answer.header("retry-after"), Some("1"));
        }
    }
    let metrics = direct.setup.metrics.encode().unwrap();
    for line in [
        "haulout_direct_endpoint_requests_total{result=\"success\"} 7\n",
        "haulout_direct_endpoint_requests_total{result=\"limited\"} 3\n",
        "haulout_token_credential_requests_total{result=\"limited\",reason=\"PerAddress\"} 3\n",
    ] {
        assert!(metrics.contains(line), "{metrics}");
    }
}

/// More than at door A, where each takes a stream of the connection that everybody shares.
#[tokio::test(start_paused = true)]
async fn many_bodies_of_one_address_may_be_late() {
    let mut setup = setup(Says::User(alice()), GOOD, "pinniped.dev").await;
    let router = direct_router(setup.logins.take().unwrap(), TrustedProxies::default());
    let late = async |router: Router| {
        let never = futures_util::stream::pending::<Result<&str, std::io::Error>>();
        let mut request = post_text(TCR, "application/json", Body::from_stream(never));
        let peer = PeerAddress((STRANGER, 1).into());
        request.extensions_mut().insert(peer);
        router.oneshot(request).await.unwrap().status().as_u16()
    };
    let all = futures_util::future::join_all((0..70).map(|_| late(router.clone()))).await;
    let count = |code| all.iter().filter(|&&status| status == code).count();
    assert_eq!((count(408), count(429)), (64, 6));
}

#[tokio::test]
async fn a_token_that_fails_and_bodies_are_judged_as_at_door_a() {
    let direct = Direct::start().await;
    let mut unknown = good_request();
    unknown["spec"]["authenticator"]["name"] = json!("unknown");
    let request = written("POST", TCR, "", &unknown.to_string());
    let answer = direct.send(STRANGER, None, &request).await;
    assert_eq!(answer.status, 201);
    assert!(
        answer.body.contains("authentication failed"),
        "{}",
        answer.body
    );
    let large = written("POST", TCR, "", &" ".repeat(256 * 1024 + 1));
    let answer = direct.send(STRANGER, None, &large).await;
    assert_eq!(answer.reason(), "RequestEntityTooLarge");
    let many: String = (0..200).map(|n| format!("X-H{n}: x\r\n")).collect();
    direct.clock.advance(Duration::from_secs(10));
    assert_eq!(direct.log_in(STRANGER, &many).await.status, 431);
}

use std::net::SocketAddr;

use haulout_api::signing::SigningFailureReason;
use haulout_operate::clock::ManualClock;
use haulout_operate::error::chain;
use http::StatusCode;
use kube::{Api, Client};
use tempfile::TempDir;
use tokio_util::sync::DropGuard;

use super::fake_agent::{Behaviour, FakeAgent, GOOD, TestNetwork};
use super::*;

/// Nothing happens because of time.
const PATIENT: Patience = {
    let hour = Duration::from_secs(3600);
    Patience {
        connection: hour,
        hedge_after: hour,
        deadline: hour,
    }
};
/// For calls that no agent can be asked for.
const NO_WAIT: Patience = Patience {
    connection: Duration::ZERO,
    ..PATIENT
};

struct Webhook {
    signer: Signer,
    metrics: Metrics,
    tasks: TaskTracker,
    stop: CancellationToken,
    _stop_when_dropped: DropGuard,
    _folder: TempDir,
}

impl Webhook {
    fn new(network: &TestNetwork, agents: &[&FakeAgent]) -> Self {
        let addresses = agents.iter().map(|agent| agent.address.to_string());
        Self::with(PATIENT, network, addresses.collect())
    }

    fn with(patience: Patience, network: &TestNetwork, addresses: Vec<String>) -> Self {
        let folder = TempDir::new().unwrap();
        let settings = SignerSettings {
            agents: AgentSource::Addresses(addresses),
            credentials: Credentials::Files(network.write_credentials(folder.path())),
        };
        Self::start(patience, settings, folder)
    }

    fn start(patience: Patience, settings: SignerSettings, folder: TempDir) -> Self {
        let (metrics, tasks, stop) = (Metrics::new(), TaskTracker::new(), CancellationToken::new());
        let clock = Clock::system();
        let signer = Signer::start_with(patience, settings, clock, &metrics, &tasks, &stop);
        let _stop_when_dropped = stop.clone().drop_guard();
        Self {
            signer,
            metrics,
            tasks,
            stop,
            _stop_when_dropped,
            _folder: folder,
        }
    }

    /// Waits until `agents` are connected, so that their order is known.
    async fn connected(self, agents: usize) -> Self {
        while self.signer.health().connected < agents {
            tokio::task::yield_now().await;
        }
        self
    }

    /// Waits until health tells of `fault`.
    async fn until(&self, fault: &str) {
        while !self.signer.health().to_string().contains(fault) {
            tokio::task::yield_now().await;
        }
    }

    async fn sign(&self) -> Result<CertificateResponse, SignerError> {
        self.signer.sign(&request()).await
    }
}

fn request() -> CertificateRequest {
    let key = haulout_pki::secret_key::KeyPair::generate_p256().unwrap();
    CertificateRequest {
        audit_id: "0b1e".into(),
        username: "alice".into(),
        groups: vec!["devs".into(), "ops".into()],
        extra: [("example.com/a".to_owned(), vec!["b".to_owned()])].into(),
        public_key: base64::Engine::encode(&base64::prelude::BASE64_STANDARD, key.spki_der()),
        lifetime_seconds: 300,
        evidence: None,
    }
}

#[tokio::test]
async fn a_certificate_comes_back_for_what_was_asked() {
    let network = TestNetwork::new();
    let agent = network.agent(GOOD).await;
    let webhook = Webhook::new(&network, &[&agent]);
    let request = request();
    let answer = webhook.signer.sign(&request).await.unwrap();
    assert!(
        answer
            .certificate
            .starts_with("-----BEGIN CERTIFICATE-----")
    );
    assert_eq!(agent.calls(), [request]);
    assert_eq!(webhook.signer.health().ready(), Ok(()));
}

#[tokio::test]
async fn agents_take_turns() {
    let network = TestNetwork::new();
    let (a, b) = (network.agent(GOOD).await, network.agent(GOOD).await);
    let webhook = Webhook::new(&network, &[&a, &b]).connected(2).await;
    for _ in 0..10 {
        webhook.sign().await.unwrap();
    }
    assert_eq!((a.calls().len(), b.calls().len()), (5, 5));
}

#[tokio::test]
async fn an_agent_that_hangs_has_another_asked() {
    let network = TestNetwork::new();
    let (hanging, good) = (
        network.agent(Behaviour::Hang).await,
        network.agent(GOOD).await,
    );
    let patience = Patience {
        hedge_after: Duration::from_millis(1),
        ..PATIENT
    };
    let addresses = [&hanging, &good].map(|agent| agent.address.to_string());
    let webhook = Webhook::with(patience, &network, addresses.into());
    let webhook = webhook.connected(2).await;
    while hanging.calls().is_empty() {
        webhook.sign().await.unwrap();
    }
}

#[tokio::test]
async fn an_agent_that_was_slow_goes_last() {
    let network = TestNetwork::new();
    let (a, b) = (network.agent(GOOD).await, network.agent(GOOD).await);
    let webhook = Webhook::new(&network, &[&a, &b]).connected(2).await;
    tokio::time::pause();
    let shared = &webhook.signer.shared;
    let slow = Arc::clone(&shared.agents.all()[0]);
    slow.sideline();
    for _ in 0..4 {
        let order = shared.agents.in_turn();
        assert_eq!(order.len(), 2);
        assert!(Arc::ptr_eq(&order[1], &slow));
    }
}

#[tokio::test]
async fn a_faulty_answer_has_another_agent_asked() {
    let network = TestNetwork::new();
    use SigningFailureReason::*;
    for fault in [
        Behaviour::Say(StatusCode::OK, "{}"),
        Behaviour::Say(StatusCode::BAD_GATEWAY, "<html>"),
        Behaviour::Refuse(KeyUnavailable),
        Behaviour::Refuse(PolicyUnavailable),
        Behaviour::Refuse(RateLimited),
        Behaviour::Refuse(Unauthenticated),
        Behaviour::Refuse(Internal),
    ] {
        let (faulty, good) = (
            network.agent(fault.clone()).await,
            network.agent(GOOD).await,
        );
        let webhook = Webhook::new(&network, &[&faulty, &good]).connected(2).await;
        for _ in 0..2 {
            assert!(webhook.sign().await.is_ok(), "{fault:?}");
        }
        assert!(!faulty.calls().is_empty(), "{fault:?} was never asked");
    }
}

#[tokio::test]
async fn what_all_agents_lack_is_said() {
    let network = TestNetwork::new();
    let no_key = network
        .agent(Behaviour::Refuse(SigningFailureReason::KeyUnavailable))
        .await;
    let garbage = network
        .agent(Behaviour::Say(StatusCode::OK, "garbage"))
        .await;
    let webhook = Webhook::new(&network, &[&no_key, &garbage])
        .connected(2)
        .await;
    for _ in 0..2 {
        assert_eq!(webhook.sign().await.unwrap_err().reason(), "KeyUnavailable");
    }
}

#[tokio::test]
async fn a_refusal_by_policy_is_not_shopped_around() {
    let network = TestNetwork::new();
    let refusing = Behaviour::Refuse(SigningFailureReason::RefusedByPolicy);
    let (a, b) = (
        network.agent(refusing.clone()).await,
        network.agent(refusing).await,
    );
    let webhook = Webhook::new(&network, &[&a, &b]).connected(2).await;
    assert_eq!(
        webhook.sign().await.unwrap_err().reason(),
        "RefusedByPolicy"
    );
    assert_eq!(a.calls().len() + b.calls().len(), 1);
}

#[tokio::test]
async fn without_an_agent_the_addresses_are_named() {
    let network = TestNetwork::new();
    let gone = network.agent(GOOD).await;
    let address = gone.address.to_string();
    gone.kill().await;
    let webhook = Webhook::with(NO_WAIT, &network, vec![address.clone()]);
    webhook.until("failed to connect").await;
    let error = webhook.sign().await.unwrap_err();
    assert_eq!(error.reason(), "NoAgentReachable");
    assert!(error.to_string().contains(&address));
    let unready = webhook.signer.health().ready().unwrap_err();
    assert!(
        unready.contains(&address) && unready.contains("failed to connect"),
        "{unready}"
    );
}

#[tokio::test]
async fn what_stands_in_the_way_of_all_agents_is_told() {
    let network = TestNetwork::new();
    let folder = TempDir::new().unwrap();
    let credentials = network.write_credentials(folder.path());
    let certificate = std::fs::read(&credentials.certificate).unwrap();
    std::fs::remove_file(&credentials.certificate).unwrap();
    let (client, mut cluster) = tower_test::mock::pair();
    let settings = SignerSettings {
        agents: AgentSource::Service {
            slices: Box::new(Api::namespaced(
                Client::new(client, "default"),
                "haulout-agent",
            )),
            name: "haulout-agent".to_owned(),
        },
        credentials: Credentials::Files(credentials.clone()),
    };
    let webhook = Webhook::start(PATIENT, settings, folder);
    let (list, reply) = cluster.next_request().await.unwrap();
    let list = list as http::Request<kube::client::Body>;
    let path = "/apis/discovery.k8s.io/v1/namespaces/haulout-agent/endpointslices";
    assert_eq!(list.uri().path(), path);
    let query = list.uri().query().unwrap();
    let selector = "labelSelector=kubernetes.io%2Fservice-name%3Dhaulout-agent";
    assert!(query.contains(selector), "{query}");
    let none = r#"{"kind":"EndpointSliceList","apiVersion":"discovery.k8s.io/v1",
        "metadata":{"resourceVersion":"1"},"items":[]}"#;
    reply.send_response(http::Response::new(kube::client::Body::from(
        none.as_bytes().to_vec(),
    )));
    while webhook.signer.health().faults.len() < 2 {
        tokio::task::yield_now().await;
    }
    let unready = webhook.signer.health().ready().unwrap_err();
    let endpoints = "0 of 0 agents connected; Service haulout-agent has no endpoint; ";
    assert!(unready.starts_with(endpoints), "{unready}");
    let files = format!(
        "; agent.tls: failed to read {}: No such file",
        credentials.certificate.display()
    );
    assert!(unready.contains(&files), "{unready}");

    tokio::time::pause();
    std::fs::write(&credentials.certificate, certificate).unwrap();
    while webhook.signer.health().to_string().contains("agent.tls") {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test]
async fn only_so_many_calls_wait_for_a_first_connection() {
    let network = TestNetwork::new();
    let webhook = Webhook::new(&network, &[]);
    let _taken = webhook
        .signer
        .shared
        .waiting
        .acquire_many(WAITING_CALLS as u32)
        .await
        .unwrap();
    // With a place it would wait for an hour.
    let error = webhook.sign().await.unwrap_err();
    assert_eq!(error.reason(), "NoAgentReachable");
}

#[tokio::test]
async fn a_restarted_agent_is_found_again() {
    let network = TestNetwork::new();
    let first = network.agent(GOOD).await;
    let webhook = Webhook::new(&network, &[&first]);
    webhook.sign().await.unwrap();
    let address = first.address.to_string();
    first.kill().await;
    let second = network.agent_at(&address, SERVER_NAME, GOOD).await;
    webhook.sign().await.unwrap();
    assert_eq!(second.calls().len(), 1);
}

#[tokio::test]
async fn a_call_in_flight_survives_the_death_of_its_agent() {
    let network = TestNetwork::new();
    let (hanging, good) = (
        network.agent(Behaviour::Hang).await,
        network.agent(GOOD).await,
    );
    let webhook = Webhook::new(&network, &[&hanging, &good])
        .connected(2)
        .await;
    let calls = async { (webhook.sign().await, webhook.sign().await) };
    let kill = async {
        while hanging.calls().is_empty() {
            tokio::task::yield_now().await;
        }
        hanging.kill().await;
    };
    let ((first, second), ()) = tokio::join!(calls, kill);
    assert!(first.is_ok() && second.is_ok());
}

#[tokio::test]
async fn an_agent_must_have_its_name_and_a_trusted_authority() {
    let (network, other) = (TestNetwork::new(), TestNetwork::new());
    let misnamed = network
        .agent_at("127.0.0.1:0", "haulout-agent.elsewhere.svc", GOOD)
        .await;
    let foreign = other.agent(GOOD).await;
    for impostor in [misnamed, foreign] {
        let addresses = vec![impostor.address.to_string()];
        let webhook = Webhook::with(NO_WAIT, &network, addresses);
        webhook.until("TLS handshake").await;
        let error = webhook.sign().await.unwrap_err();
        assert_eq!(error.reason(), "NoAgentReachable");
        let text = error.to_string();
        assert!(text.contains("failed the TLS handshake"), "{text}");
        let unready = webhook.signer.health().ready().unwrap_err();
        assert!(unready.contains("TLS handshake"), "{unready}");
        assert!(impostor.calls().is_empty());
    }
}

/// An agent that is kept connected, and what keeps it so.
struct Kept {
    agent: Arc<Agent>,
    store: Arc<CredentialStore>,
    connections: Arc<Connections>,
    hand: ManualClock,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Kept {
    /// Waits for the first connection.
    async fn to(address: SocketAddr, network: &TestNetwork) -> Self {
        let store = Arc::new(CredentialStore::new());
        network.publish(&store, &[network]);
        let (clock, hand) = Clock::manual(Clock::system().now());
        let agent = Agent::new(
            address.to_string(),
            Arc::clone(&store),
            clock,
            agent::ClockDifference::default(),
        );
        let kept = Self {
            agent: Arc::new(agent),
            store,
            connections: Arc::default(),
            hand,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        };
        kept.tasks.spawn(Arc::clone(&kept.agent).keep_connected(
            Arc::clone(&kept.connections),
            kept.tasks.clone(),
            kept.stop.clone(),
        ));
        while !kept.agent.is_connected() {
            tokio::task::yield_now().await;
        }
        kept
    }

    async fn end(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        assert!(!self.agent.is_connected());
    }
}

#[tokio::test]
async fn new_credentials_make_a_new_connection_and_lose_no_call() {
    let (network, successor) = (TestNetwork::new(), TestNetwork::new());
    let agent = network.agent(GOOD).await;
    let kept = Kept::to(agent.address, &network).await;
    let again = kept.connections.next();
    successor.publish(&kept.store, &[&network, &successor]);
    assert!(
        kept.agent.is_connected(),
        "the open connection counts meanwhile"
    );
    again.await;
    assert!(kept.agent.is_connected());
    assert_eq!(kept.agent.fault(), None);

    // No further handshake succeeds: the open connection goes on.
    agent.call_itself(&network, "haulout-agent.elsewhere.svc");
    network.publish(&kept.store, &[&network]);
    while kept.agent.fault().is_none() {
        tokio::task::yield_now().await;
    }
    assert!(kept.agent.is_connected());
    kept.end().await;
}

#[tokio::test]
async fn an_open_connection_counts_no_more_with_a_ca_out_of_force() {
    let (network, successor) = (TestNetwork::new(), TestNetwork::new());
    let agent = network.agent(GOOD).await;
    let kept = Kept::to(agent.address, &network).await;
    let body = Bytes::from_static(b"{}");
    assert!(kept.agent.call(body.clone()).is_some());

    // At once, before anybody has tried to connect anew.
    successor.publish(&kept.store, &[&successor]);
    assert!(!kept.agent.is_connected());
    assert!(kept.agent.call(body).is_none());
    let untrusted = "the agent's certificate is not trusted any more: ";
    while !kept
        .agent
        .fault()
        .unwrap_or_default()
        .starts_with(untrusted)
    {
        tokio::task::yield_now().await;
    }

    network.publish(&kept.store, &[&network]);
    assert!(!kept.agent.is_connected(), "it was let go");
    kept.connections.next().await;
    assert!(kept.agent.is_connected());
    kept.end().await;
}

#[tokio::test]
async fn a_connection_is_replaced_before_the_agents_certificate_ends() {
    let network = TestNetwork::new();
    let agent = network.agent(GOOD).await;
    let kept = Kept::to(agent.address, &network).await;
    let again = kept.connections.next();
    tokio::time::pause();
    // The test network's certificates end after an hour.
    kept.hand.advance(Duration::from_secs(3600 - 200));
    assert!(kept.agent.is_connected());
    again.await;
    kept.hand.advance(Duration::from_secs(201));
    assert!(!kept.agent.is_connected(), "expired");
    kept.end().await;
}

#[tokio::test]
async fn credentials_are_taken_whole_or_not_at_all() {
    let (network, other) = (TestNetwork::new(), TestNetwork::new());
    let folder = TempDir::new().unwrap();
    let files = network.write_credentials(folder.path());
    let (store, mut loaded) = (CredentialStore::new(), None);
    let mut published = store.connector();
    let mut is_new = || {
        let is_new = published.has_changed().unwrap();
        published.mark_unchanged();
        is_new
    };
    let reload = credentials::reload;
    reload(&files, &mut loaded, &store).await.unwrap();
    assert!(is_new());
    reload(&files, &mut loaded, &store).await.unwrap();
    assert!(!is_new(), "unchanged");

    let key = std::fs::read(&files.key).unwrap();
    other.write_credentials(folder.path());
    std::fs::write(&files.key, &key).unwrap();
    let error = reload(&files, &mut loaded, &store).await.unwrap_err();
    assert!(chain(&error).contains("does not belong"), "{error:?}");
    std::fs::remove_file(&files.ca).unwrap();
    let error = reload(&files, &mut loaded, &store).await.unwrap_err();
    assert!(error.to_string().contains("ca.crt"));
    assert!(!is_new());

    other.write_credentials(folder.path());
    reload(&files, &mut loaded, &store).await.unwrap();
    assert!(is_new());
}

#[tokio::test]
async fn the_difference_of_clocks_is_shown_by_agent() {
    let network = TestNetwork::new();
    let agent = network
        .agent(Behaviour::Sign {
            clock_ahead_millis: 3_600_000,
        })
        .await;
    let webhook = Webhook::new(&network, &[&agent]);
    webhook.sign().await.unwrap();
    let metrics = webhook.metrics.encode().unwrap();
    let name = format!(
        "haulout_agent_clock_difference_seconds{{agent=\"{}\"}} 35",
        agent.address
    );
    assert!(
        metrics.contains(&name) || metrics.contains(&name.replace("} 35", "} 36")),
        "{metrics}"
    );
}

#[tokio::test]
async fn agents_are_counted_by_state() {
    let network = TestNetwork::new();
    let (agent, gone) = (network.agent(GOOD).await, network.agent(GOOD).await);
    let addresses = [&agent, &gone].map(|agent| agent.address.to_string());
    gone.kill().await;
    let webhook = Webhook::with(PATIENT, &network, addresses.into());
    let webhook = webhook.connected(1).await;
    let metrics = webhook.metrics.encode().unwrap();
    for state in ["connected", "disconnected"] {
        let line = format!("\nhaulout_agents{{state=\"{state}\"}} 1\n");
        assert!(metrics.contains(&line), "{metrics}");
    }
    assert_eq!(webhook.signer.readiness(), Finding::Good);
}

#[tokio::test]
async fn tasks_end_when_told() {
    let network = TestNetwork::new();
    let agent = network.agent(GOOD).await;
    let webhook = Webhook::new(&network, &[&agent]);
    webhook.sign().await.unwrap();
    webhook.stop.cancel();
    webhook.tasks.close();
    webhook.tasks.wait().await;
    assert_eq!(webhook.signer.health().connected, 0);
}

#[tokio::test]
async fn agents_come_and_go_with_their_addresses() {
    let network = TestNetwork::new();
    let (a, b) = (network.agent(GOOD).await, network.agent(GOOD).await);
    let webhook = Webhook::new(&network, &[]);
    let set = |agents: &[&FakeAgent]| {
        agents
            .iter()
            .map(|a| (a.address.to_string(), true))
            .collect::<Addresses>()
    };
    let (publish, addresses) = watch::channel(set(&[&a]));
    let shared = Arc::clone(&webhook.signer.shared);
    let follow = shared.follow(addresses, webhook.tasks.clone(), webhook.stop.clone());
    webhook.tasks.spawn(follow);

    webhook.sign().await.unwrap();
    assert_eq!(a.calls().len(), 1);
    publish.send_replace(set(&[&b]));
    while b.calls().is_empty() {
        webhook.sign().await.unwrap();
    }
    let before = a.calls().len();
    webhook.sign().await.unwrap();
    assert_eq!(a.calls().len(), before);
    assert_eq!(webhook.signer.health().known, 1);
    assert!(
        !webhook
            .metrics
            .encode()
            .unwrap()
            .contains(&a.address.to_string())
    );
}

/// Such as a pod with the agents' labels that nobody of ours has made.
#[tokio::test]
async fn a_ready_impostor_takes_no_agent_away() {
    let (network, other) = (TestNetwork::new(), TestNetwork::new());
    let (a, b) = (network.agent(GOOD).await, network.agent(GOOD).await);
    let impostor = other.agent(GOOD).await;
    let webhook = Webhook::new(&network, &[]);
    let of = |agents: &[(&FakeAgent, bool)]| -> Addresses {
        let of = |(agent, is_ready): &(&FakeAgent, bool)| (agent.address.to_string(), *is_ready);
        agents.iter().map(of).collect()
    };
    let (publish, addresses) = watch::channel(of(&[(&a, true), (&b, false)]));
    let shared = Arc::clone(&webhook.signer.shared);
    let follow = Arc::clone(&shared).follow(addresses, webhook.tasks.clone(), webhook.stop.clone());
    webhook.tasks.spawn(follow);
    let webhook = webhook.connected(2).await;
    let first = || shared.agents.in_turn()[0].address().to_owned();
    for _ in 0..4 {
        assert_eq!(first(), a.address.to_string());
    }

    publish.send_replace(of(&[(&a, false), (&b, false), (&impostor, true)]));
    webhook.until("TLS handshake").await;
    assert_eq!(webhook.signer.health().connected, 2);
    publish.send_replace(of(&[(&a, false), (&b, true)]));
    while webhook.signer.health().known > 2 {
        tokio::task::yield_now().await;
    }
    for _ in 0..4 {
        assert_eq!(first(), b.address.to_string());
    }
    webhook.sign().await.unwrap();
    assert_eq!((a.calls().len(), b.calls().len()), (0, 1));
}

#[tokio::test]
async fn each_connected_agent_is_asked_and_answers_for_itself() {
    let network = TestNetwork::new();
    let ahead = Behaviour::Sign {
        clock_ahead_millis: 90_000,
    };
    let (good, ahead, refusing) = (
        network.agent(GOOD).await,
        network.agent(ahead).await,
        network
            .agent(Behaviour::Refuse(SigningFailureReason::KeyUnavailable))
            .await,
    );
    let hanging = network.agent(Behaviour::Hang).await;
    let patience = Patience {
        deadline: Duration::from_millis(500),
        ..PATIENT
    };
    let agents = [&good, &ahead, &refusing, &hanging];
    let addresses = agents.map(|agent| agent.address.to_string()).to_vec();
    let webhook = Webhook::with(patience, &network, addresses)
        .connected(4)
        .await;

    let answers = webhook.signer.sign_by_each(&request()).await.unwrap();
    let of = |agent: &FakeAgent| {
        let address = agent.address.to_string();
        answers
            .iter()
            .find(|answer| answer.agent == address)
            .unwrap()
    };
    assert_eq!(answers.len(), 4);
    assert!(of(&good).answer.is_ok() && of(&ahead).answer.is_ok());
    assert!(of(&good).clock_difference.unwrap().abs() < 30.0);
    assert!(of(&ahead).clock_difference.unwrap() > 60.0);
    for (agent, reason) in [
        (&refusing, "KeyUnavailable"),
        (&hanging, "AgentDeadlineExceeded"),
    ] {
        assert_eq!(of(agent).answer.as_ref().unwrap_err().reason(), reason);
        assert_eq!(of(agent).clock_difference, None);
    }
    for agent in agents {
        assert_eq!(agent.calls().len(), 1);
    }
}

use haulout_operate::error::chain;
use http::Method;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::canary::Outcome;
use super::*;
use crate::controllers::test_server::{Server, environment};
use crate::signer::{AgentSource, CredentialFiles, Credentials, SignerSettings};

const OBJECTS: &str = "/apis/config.concierge.pinniped.dev/v1alpha1/credentialissuers";
const OWNER: &str =
    "/apis/apiregistration.k8s.io/v1/apiservices/v1alpha1.login.concierge.pinniped.dev";

fn settings() -> Settings {
    Settings {
        name: "haulout".to_owned(),
        spec: None,
        labels: [("team".to_owned(), "access".to_owned())].into(),
        suffix: ApiGroupSuffix::default(),
        namespace: "haulout-system".to_owned(),
        advertise: None,
        agents: Agents::Addresses(Vec::new()),
        direct_endpoint: None,
    }
}

/// A keeper without agents, and the API server that it calls.
fn keeper(is_leader: bool, settings: Settings) -> (Keeper, Server) {
    let (environment, server, _clock) = environment(is_leader);
    let no_file = || "/nonexistent".into();
    let signer = Signer::start(
        SignerSettings {
            agents: AgentSource::Addresses(Vec::new()),
            credentials: Credentials::Files(CredentialFiles {
                certificate: no_file(),
                key: no_file(),
                ca: no_file(),
            }),
        },
        environment.clock.clone(),
        &haulout_serve::health::Metrics::new(),
        &TaskTracker::new(),
        &CancellationToken::new(),
    );
    let keeper = Keeper {
        canary: Canary {
            signer,
            guard: Arc::new(SigningCaGuard::new(Arc::default())),
            api_server: kube::Config::new("https://127.0.0.1:9".parse().unwrap()).into(),
            metrics: CanaryMetrics::default(),
        },
        object: Object::new(&environment, &settings),
        environment,
        settings,
        observed: Observed::unwatched(),
        config_map: Observed::unwatched(),
        is_key_in_question: Arc::default(),
        direct_standing: watch::channel(crate::controllers::direct_certificate::unknown()).1,
        lead: None,
    };
    (keeper, server)
}

fn object(mode: &str, strategies: &Value) -> Value {
    json!({
        "apiVersion": "config.concierge.pinniped.dev/v1alpha1", "kind": "CredentialIssuer",
        "metadata": {"name": "haulout", "resourceVersion": "5"},
        "spec": {"impersonationProxy": {"mode": mode, "service": {"type": "LoadBalancer"}}},
        "status": {"strategies": strategies},
    })
}

fn observe(keeper: &Keeper, object: &Value) {
    let object = serde_json::from_value(object.clone()).unwrap();
    keeper.observed.set(Some(object));
}

fn success() -> Value {
    json!({
        "type": "KubeClusterSigningCertificate", "status": "Success", "reason": "FetchedKey",
        "message": "key was fetched successfully", "lastUpdateTime": "2026-11-23T19:34:43Z",
        "frontend": {"type": "TokenCredentialRequestAPI"},
    })
}

fn disabled() -> Value {
    let now = Time("2026-11-23T19:34:43Z".parse().unwrap());
    json!(decide::proxy().since(now))
}

/// The reasons in a status that was sent.
fn reasons(sent: &Value) -> Vec<&str> {
    let strategies = sent["status"]["strategies"].as_array().unwrap().iter();
    strategies
        .filter_map(|one| one["reason"].as_str())
        .collect()
}

#[tokio::test]
async fn who_does_not_lead_does_nothing() {
    let (mut keeper, mut server) = keeper(false, settings());
    keeper.observed.set(None);
    assert_eq!(keeper.reconcile().await.unwrap(), Duration::from_secs(3600));
    server.expect_silence();
}

/// The lead may be lost at any time, so each write asks for itself.
#[tokio::test]
async fn nothing_is_written_once_the_lead_is_lost() {
    let (keeper, mut server) = keeper(false, settings());
    let owner = json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": "v1alpha1.login.concierge.pinniped.dev", "uid": "u-1"}});
    let script = server.answer(Method::GET, OWNER, 200, &owner);
    let (made, _) = tokio::join!(keeper.object.keep(None, &keeper.settings), script);
    assert!(made.unwrap().is_none());
    let current = serde_json::from_value(object("disabled", &json!([]))).unwrap();
    let status = json!({"strategies": []});
    let written = keeper.object.write_status(&current, status).await;
    assert!(written.unwrap().is_none());
    server.expect_silence();
}

#[tokio::test(start_paused = true)]
async fn canaries_come_once_a_minute_and_oftener_while_anything_is_wrong() {
    let begun = Instant::now();
    let sample = |outcome| canary::Sample {
        agent: "a".to_owned(),
        outcome,
        clock_difference: None,
    };
    // The last outcome, how many agents are connected, seconds since the last round.
    let rows = [
        (Outcome::Accepted, 1, 59, false),
        (Outcome::Accepted, 1, 60, true),
        (Outcome::Accepted, 2, 9, false),
        (Outcome::Accepted, 2, 10, true),
        (Outcome::Accepted, 0, 10, true),
        (Outcome::Refused("401".to_owned()), 1, 9, false),
        (Outcome::Refused("401".to_owned()), 1, 10, true),
    ];
    for (outcome, connected, seconds, is_due) in rows {
        let mut lead = Lead::new(begun);
        assert!(
            lead.is_canary_due(connected, begun),
            "the first one waits for nothing"
        );
        lead.ledger.enter(vec![sample(outcome.clone())]);
        lead.canaries_at = Some(begun);
        let now = begun + Duration::from_secs(seconds);
        assert_eq!(
            lead.is_canary_due(connected, now),
            is_due,
            "{outcome:?} {connected} {seconds}"
        );
    }
}

#[tokio::test]
async fn it_is_made_with_owner_and_labels_and_has_clients_wait() {
    let (mut keeper, mut server) = keeper(true, settings());
    keeper.observed.set(None);
    let script = async {
        let owner = json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
            "metadata": {"name": "v1alpha1.login.concierge.pinniped.dev", "uid": "u-1"}});
        server.answer(Method::GET, OWNER, 200, &owner).await;
        let made = object("disabled", &json!([]));
        let created = server.answer(Method::POST, OBJECTS, 201, &made).await;
        let path = format!("{OBJECTS}/haulout/status");
        let reported = server.answer(Method::PUT, path, 200, &made).await;
        (created, reported)
    };
    let (outcome, (created, reported)) = tokio::join!(keeper.reconcile(), script);
    assert_eq!(outcome.unwrap(), LOOK_EVERY);
    assert_eq!(created["metadata"]["labels"], json!({"team": "access"}));
    let owner = &created["metadata"]["ownerReferences"][0];
    assert_eq!(
        (&owner["kind"], &owner["uid"]),
        (&json!("APIService"), &json!("u-1"))
    );
    assert_eq!(created["spec"]["impersonationProxy"]["mode"], "disabled");
    assert_eq!(reasons(&reported), ["Pending", "Disabled"]);
    assert_eq!(reported["metadata"]["resourceVersion"], "5");
    server.expect_silence();
}

#[tokio::test]
async fn it_is_not_made_before_its_owner() {
    let (mut keeper, mut server) = keeper(true, settings());
    keeper.observed.set(None);
    let script = server.fails(Method::GET, OWNER, 404);
    let (outcome, _) = tokio::join!(keeper.reconcile(), script);
    let error = chain(&outcome.unwrap_err());
    assert!(
        error.contains("v1alpha1.login.concierge.pinniped.dev"),
        "{error}"
    );
    server.expect_silence();
}

/// A new leader says nothing before it knows, and what is the same already is not written.
#[tokio::test]
async fn an_earlier_finding_stands_until_there_is_another() {
    let (mut keeper, mut server) = keeper(true, settings());
    // What it says of its missing files is part of the message.
    while keeper.canary.signer.health().faults.is_empty() {
        tokio::task::yield_now().await;
    }
    let stored = object("disabled", &json!([success(), disabled()]));
    observe(&keeper, &stored);
    keeper.reconcile().await.unwrap();
    let without_agents_for = |keeper: &mut Keeper, duration| {
        let lead = keeper.lead.as_mut().unwrap();
        lead.agents_at = Instant::now() - duration;
        lead.explanation = None;
    };
    without_agents_for(&mut keeper, ABSENCE_COUNTS_AFTER - Duration::from_secs(1));
    keeper.reconcile().await.unwrap();
    server.expect_silence();

    without_agents_for(&mut keeper, ABSENCE_COUNTS_AFTER);
    let path = format!("{OBJECTS}/haulout/status");
    let mut written = Value::Null;
    let script = async {
        let sent = server.answer(Method::PUT, path, 200, &stored).await;
        written = sent;
    };
    let (outcome, ()) = tokio::join!(keeper.reconcile(), script);
    outcome.unwrap();
    assert_eq!(reasons(&written), ["CouldNotFetchKey", "Disabled"]);
    let message = written["status"]["strategies"][0]["message"]
        .as_str()
        .unwrap();
    assert!(
        message.starts_with("no signing agent is reachable"),
        "{message}"
    );
    assert_eq!(written["status"]["strategies"][1], disabled());

    observe(&keeper, &written);
    without_agents_for(&mut keeper, ABSENCE_COUNTS_AFTER);
    keeper.reconcile().await.unwrap();
    server.expect_silence();
}

#[tokio::test]
async fn a_configured_specification_is_put_back_and_another_left_alone() {
    let spec: CredentialIssuerSpec =
        serde_json::from_value(json!({"impersonationProxy": {"mode": "disabled"}})).unwrap();
    let configured = Settings {
        spec: Some(spec),
        ..settings()
    };
    let (mut keeper, mut server) = keeper(true, configured);
    let mut edited = object("enabled", &json!([success(), disabled()]));
    edited["metadata"]["labels"] = json!({"own": "label"});
    observe(&keeper, &edited);
    let kept = {
        let mut kept = object("disabled", &json!([success(), disabled()]));
        kept["metadata"]["labels"] = json!({"own": "label", "team": "access"});
        kept
    };
    let script = server.answer(Method::PUT, format!("{OBJECTS}/haulout"), 200, &kept);
    let (outcome, sent) = tokio::join!(keeper.reconcile(), script);
    outcome.unwrap();
    assert_eq!(sent, kept);
    keeper.reconcile().await.unwrap();
    server.expect_silence();

    keeper.settings.spec = None;
    observe(&keeper, &edited);
    keeper.reconcile().await.unwrap();
    server.expect_silence();
}

/// Without the watch it is not known what others make of the object; its status is kept true all the same.
#[tokio::test]
async fn a_broken_watch_is_told_although_the_object_was_seen() {
    let (mut keeper, mut server) = keeper(true, settings());
    let found = object("disabled", &json!([success()]));
    observe(&keeper, &found);
    let (wake, stop) = (Arc::new(Notify::new()), CancellationToken::new());
    let api = keeper.object.api().clone();
    let name = keeper.settings.name.clone();
    let follow = keeper.observed.clone();
    let follow = follow.follow(api, name, Arc::clone(&wake), stop.clone());
    let break_watch = async {
        server.fails(Method::GET, OBJECTS, 403).await;
        wake.notified().await;
        stop.cancel();
    };
    tokio::join!(follow, break_watch);

    // Another writer was faster, so nothing is taken in.
    let script = server.fails(Method::PUT, format!("{OBJECTS}/haulout/status"), 409);
    let (outcome, sent) = tokio::join!(keeper.reconcile(), script);
    assert_eq!(reasons(&sent), ["FetchedKey", "Disabled"]);
    let error = chain(&outcome.unwrap_err());
    assert!(
        error.starts_with("failed to watch CredentialIssuer haulout")
            && error.ends_with("test says 403"),
        "{error}"
    );
}

/// The watch brings what the other has written.
#[tokio::test]
async fn another_writer_is_no_fault() {
    let (mut keeper, mut server) = keeper(true, settings());
    observe(&keeper, &object("disabled", &json!([])));
    let script = server.fails(Method::PUT, format!("{OBJECTS}/haulout/status"), 409);
    let (outcome, _) = tokio::join!(keeper.reconcile(), script);
    outcome.unwrap();
}

#[tokio::test]
async fn a_status_that_nobody_else_can_read_is_no_fault() {
    let (mut keeper, mut server) = keeper(true, settings());
    let foreign = json!({"type": "NotOurs", "status": "Unheard"});
    observe(
        &keeper,
        &object("disabled", &json!([success(), disabled(), foreign])),
    );
    keeper.reconcile().await.unwrap();
    server.expect_silence();
}

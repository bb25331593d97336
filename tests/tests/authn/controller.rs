//! The controller of `JWTAuthenticator` objects between an API server and real issuers.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use haulout_api::group::ApiGroupSuffix;
use haulout_api::identity::UserInfo;
use haulout_operate::clock::Clock;
use haulout_operate::leader::Leadership;
use haulout_serve::health::Metrics;
use haulout_tests::ensure_crypto;
use haulout_tests::issuer::{Fault, Faults, IssuerOptions, SigningKind, TestIssuer};
use haulout_webhook::authenticators::AuthenticatorKey;
use haulout_webhook::authenticators::metrics::AuthenticatorMetrics;
use haulout_webhook::authenticators::registry::AuthenticatorRegistry;
use haulout_webhook::controllers::Readiness;
use haulout_webhook::controllers::authenticator::Context;
use haulout_webhook::controllers::jwt_authenticator;
use haulout_webhook::controllers::trust_sources::TrustSources;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api_server::{ApiServer, SUFFIX};

const AUDIENCE: &str = "cluster-1";

/// One replica of the webhook, as far as authenticators go.
struct Replica {
    registry: Arc<AuthenticatorRegistry>,
    metrics: Metrics,
    readiness: Readiness,
    end: CancellationToken,
    tracker: TaskTracker,
    _controller: JoinSet<()>,
}

impl Replica {
    fn start(api: &ApiServer, leadership: Leadership) -> Self {
        Self::start_by(api, leadership, Clock::system())
    }

    fn start_by(api: &ApiServer, leadership: Leadership, clock: Clock) -> Self {
        ensure_crypto();
        let registry = Arc::new(AuthenticatorRegistry::default());
        let metrics = Metrics::new();
        let suffix = ApiGroupSuffix::parse(SUFFIX).unwrap();
        let (end, tracker) = (CancellationToken::new(), TaskTracker::new());
        let readiness = Readiness::pending("waiting");
        let context = Context {
            registry: Arc::clone(&registry),
            leadership,
            clock,
            tracker: tracker.clone(),
            metrics: AuthenticatorMetrics::new(&metrics),
            trust: Arc::new(TrustSources::new(
                api.client(),
                "haulout-system".to_owned(),
                tracker.clone(),
                end.clone(),
            )),
        };
        let mut controller = JoinSet::new();
        controller.spawn(jwt_authenticator::run(
            api.client(),
            suffix,
            context,
            readiness.clone(),
            end.clone(),
        ));
        Self {
            registry,
            metrics,
            readiness,
            end,
            tracker,
            _controller: controller,
        }
    }

    fn leader(api: &ApiServer) -> Self {
        Self::start(api, Leadership::fixed(true))
    }

    fn knows(&self, name: &str) -> bool {
        self.registry.get(&AuthenticatorKey::jwt(name)).is_some()
    }

    async fn log_in(&self, name: &str, token: String) -> Option<UserInfo> {
        let authenticator = self.registry.get(&AuthenticatorKey::jwt(name))?;
        match authenticator
            .authenticate(&token.into(), Clock::system().now())
            .await
        {
            Ok(user) => Some(user),
            Err(error) if error.is_rejection() => None,
            Err(error) => panic!("{error}"),
        }
    }
}

async fn issuer() -> TestIssuer {
    ensure_crypto();
    TestIssuer::start(IssuerOptions::default()).await.unwrap()
}

fn spec(issuer: &TestIssuer) -> Value {
    json!({
        "issuer": issuer.url(),
        "audience": AUDIENCE,
        "tls": {"certificateAuthorityData": BASE64_STANDARD.encode(issuer.ca_certificate_pem())},
    })
}

/// Waits until `holds`; the time is a limit against hanging, not a measurement.
async fn until(what: &str, holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(20), waiting).await;
    assert!(waited.is_ok(), "never came true: {what}");
}

fn is_phase(api: &ApiServer, name: &str, phase: &str) -> bool {
    api.status(name)["phase"] == phase
}

#[tokio::test]
async fn a_good_object_becomes_ready_and_logs_users_in() {
    let (api, issuer) = (ApiServer::start().await, issuer().await);
    api.apply("good", &spec(&issuer));
    let replica = Replica::leader(&api);
    until("ready", || is_phase(&api, "good", "Ready")).await;
    let conditions = api.status("good")["conditions"].clone();
    let types: Vec<_> = conditions
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["type"].as_str().unwrap())
        .collect();
    assert_eq!(
        types,
        [
            "AuthenticatorValid",
            "DiscoveryURLValid",
            "IssuerURLValid",
            "JWKSFetchValid",
            "JWKSURLValid",
            "Ready",
            "TLSConfigurationValid",
        ]
    );
    for condition in conditions.as_array().unwrap() {
        assert_eq!(
            (&condition["status"], &condition["reason"]),
            (&json!("True"), &json!("Success"))
        );
        assert_eq!(condition["observedGeneration"], 1);
    }
    let token = issuer
        .cluster_token("alice", &["b", "a"], AUDIENCE)
        .unwrap();
    let user = replica.log_in("good", token).await.unwrap();
    assert_eq!(
        (user.username.as_str(), user.groups.as_slice()),
        ("alice", &["b".to_owned(), "a".to_owned()][..])
    );
    assert_eq!(user.extra.len(), 1, "the token's id");
    assert_eq!(replica.log_in("good", "junk".to_owned()).await, None);
    assert_eq!(
        api.status_writes(),
        1,
        "its own write must not cause another"
    );
    let line = "haulout_authenticators{kind=\"JWTAuthenticator\",phase=\"Ready\"} 1\n";
    assert!(replica.metrics.encode().unwrap().contains(line));
}

#[tokio::test]
async fn a_mistaken_object_says_what_is_wrong_and_is_not_in_force() {
    let (api, issuer, other) = (ApiServer::start().await, issuer().await, issuer().await);
    let mut with_expression = spec(&issuer);
    with_expression["claims"] = json!({"usernameExpression": "claim.sub"});
    let mut with_wrong_ca = spec(&issuer);
    with_wrong_ca["tls"] = spec(&other)["tls"].clone();
    let mut with_bad_ca = spec(&issuer);
    with_bad_ca["tls"]["certificateAuthorityData"] = json!("invalid base64-encoded data");
    let mut with_query = spec(&issuer);
    with_query["issuer"] = json!(format!("{}?a=b", issuer.url()));
    let without_issuer = json!({"audience": AUDIENCE});
    for (name, spec) in [
        ("expression", with_expression),
        ("wrong-ca", with_wrong_ca),
        ("bad-ca", with_bad_ca),
        ("query", with_query),
        ("unreadable", without_issuer),
        ("good", spec(&issuer)),
    ] {
        api.apply(name, &spec);
    }
    let replica = Replica::leader(&api);
    until("ready", || is_phase(&api, "good", "Ready")).await;
    for (name, type_, message) in [
        (
            "expression",
            "AuthenticatorValid",
            "claims.usernameExpression: Invalid value: \"claim.sub\": compilation failed: ERROR: <input>:1:1: undeclared reference to 'claim' (in container '')\n | claim.sub\n | ^",
        ),
        (
            "wrong-ca",
            "DiscoveryURLValid",
            "x509: certificate signed by unknown authority",
        ),
        (
            "bad-ca",
            "TLSConfigurationValid",
            "illegal base64 data at input byte 7",
        ),
        ("query", "IssuerURLValid", "cannot include query params"),
        ("unreadable", "AuthenticatorValid", "missing field `issuer`"),
    ] {
        until(name, || is_phase(&api, name, "Error")).await;
        let (status, text) = api.condition(name, type_);
        assert_eq!(status, "False", "{name}");
        assert!(text.ends_with(message), "{name}: {text}");
        assert_eq!(api.condition(name, "Ready").0, "False");
        assert!(!replica.knows(name), "{name}");
    }
    assert_eq!(api.condition("wrong-ca", "JWKSURLValid").0, "Unknown");
    let line = "haulout_authenticators{kind=\"JWTAuthenticator\",phase=\"Error\"} 5\n";
    assert!(replica.metrics.encode().unwrap().contains(line));
}

#[tokio::test]
async fn issuer_faults_are_told_and_heal_by_themselves() {
    let (api, issuer) = (ApiServer::start().await, issuer().await);
    issuer.set_faults(Faults {
        keys: Fault::NotFound,
        ..Faults::default()
    });
    api.apply("a", &spec(&issuer));
    let replica = Replica::leader(&api);
    until("error", || is_phase(&api, "a", "Error")).await;
    assert_eq!(
        api.condition("a", "JWKSFetchValid"),
        ("False".to_owned(), "could not fetch keys: fetching keys oidc: get keys failed: 404 Not Found 404 page not found".to_owned())
    );
    assert!(!replica.knows("a"));
    issuer.set_faults(Faults {
        discovery: Fault::PlainKeysUrl,
        ..Faults::default()
    });
    until("scheme", || api.condition("a", "JWKSURLValid").0 == "False").await;
    assert!(
        api.condition("a", "JWKSURLValid")
            .1
            .ends_with("has invalid scheme, require 'https'")
    );
    issuer.set_faults(Faults::default());
    until("ready", || {
        is_phase(&api, "a", "Ready") && replica.knows("a")
    })
    .await;
}

#[tokio::test]
async fn an_issuer_that_hangs_delays_no_other_object() {
    let (api, hanging, good) = (ApiServer::start().await, issuer().await, issuer().await);
    hanging.set_faults(Faults {
        discovery: Fault::Slow(3_600_000),
        ..Faults::default()
    });
    api.apply("a-hanging", &spec(&hanging));
    api.apply("good", &spec(&good));
    let replica = Replica::leader(&api);
    until("hangs", || hanging.discovery_calls() == 1).await;
    until("ready", || {
        is_phase(&api, "good", "Ready") && replica.knows("good")
    })
    .await;
    assert!(!is_phase(&api, "a-hanging", "Error"), "still being judged");
    // Neither an edit nor the end of the object waits for the issuer.
    api.apply(
        "a-hanging",
        &json!({"issuer": "http://i", "audience": AUDIENCE}),
    );
    until("edited", || {
        api.condition("a-hanging", "IssuerURLValid").0 == "False"
    })
    .await;
}

/// Invariant 9: a login that was good before a restart is good after it.
#[tokio::test]
async fn a_fresh_replica_is_ready_once_all_that_it_found_was_judged() {
    let (api, slow, good) = (ApiServer::start().await, issuer().await, issuer().await);
    slow.set_faults(Faults {
        discovery: Fault::Slow(3_600_000),
        ..Faults::default()
    });
    api.apply("good", &spec(&good));
    api.apply("slow", &spec(&slow));
    let replica = Replica::start(&api, Leadership::fixed(false));
    until("in force", || replica.knows("good")).await;
    until("is waited for", || slow.discovery_calls() == 1).await;
    let unready = replica.readiness.check().unwrap_err();
    assert!(unready.contains("peers"), "{unready}");
    slow.set_faults(Faults::default());
    // An edit ends the judgement that hangs, and its own is waited for.
    let mut edited = spec(&slow);
    edited["audience"] = json!("cluster-2");
    api.apply("slow", &edited);
    until("ready", || replica.readiness.check().is_ok()).await;
    assert!(replica.knows("slow"), "ready before the last was in force");
    let late = issuer().await;
    late.set_faults(Faults {
        discovery: Fault::Slow(3_600_000),
        ..Faults::default()
    });
    api.apply("late", &spec(&late));
    until("is judged", || late.discovery_calls() == 1).await;
    assert_eq!(
        replica.readiness.check(),
        Ok(()),
        "new objects are no reason"
    );
}

#[tokio::test]
async fn a_deleted_object_is_out_of_force_at_once() {
    let (api, issuer) = (ApiServer::start().await, issuer().await);
    api.apply("a", &spec(&issuer));
    let replica = Replica::leader(&api);
    until("in force", || replica.knows("a")).await;
    // The next judgement hangs, and must not keep the object in force.
    issuer.set_faults(Faults {
        discovery: Fault::Slow(3_600_000),
        ..Faults::default()
    });
    let mut edited = spec(&issuer);
    edited["audience"] = json!("cluster-2");
    api.apply("a", &edited);
    until("judged anew", || issuer.discovery_calls() == 2).await;
    api.delete("a");
    until("out of force", || !replica.knows("a")).await;
    issuer.set_faults(Faults::default());
    api.apply("a", &spec(&issuer));
    until("in force again", || {
        replica.knows("a") && is_phase(&api, "a", "Ready")
    })
    .await;
}

/// What an object no longer allows is over at once, however long its issuer takes to answer.
#[tokio::test]
async fn an_edit_counts_before_its_issuer_has_answered() {
    let (api, issuer, other) = (ApiServer::start().await, issuer().await, issuer().await);
    api.apply("a", &spec(&issuer));
    let replica = Replica::leader(&api);
    until("in force", || replica.knows("a")).await;
    for issuer in [&issuer, &other] {
        issuer.set_faults(Faults {
            discovery: Fault::Slow(3_600_000),
            ..Faults::default()
        });
    }

    let mut edited = spec(&issuer);
    edited["audience"] = json!("cluster-2");
    api.apply("a", &edited);
    until("asked anew", || issuer.discovery_calls() == 2).await;
    let authenticator = replica.registry.get(&AuthenticatorKey::jwt("a")).unwrap();
    let token = issuer.cluster_token("alice", &[], AUDIENCE).unwrap().into();
    let refused = authenticator.authenticate(&token, Clock::system().now());
    assert!(refused.await.is_err());
    let token = issuer.cluster_token("alice", &[], "cluster-2").unwrap();
    assert!(replica.log_in("a", token).await.is_some());

    api.apply("a", &spec(&other));
    until("out of force", || !replica.knows("a")).await;
    api.apply("a", &spec(&issuer));
    until("in force again", || replica.knows("a")).await;
    let mut mistaken = spec(&issuer);
    mistaken["userValidationRules"] = json!([{"expression": "mistaken"}]);
    api.apply("a", &mistaken);
    until("out of force again", || !replica.knows("a")).await;
}

#[tokio::test]
async fn a_change_that_is_none_of_the_specification_starts_nothing_over() {
    let (api, issuer) = (ApiServer::start().await, issuer().await);
    issuer.set_faults(Faults {
        discovery: Fault::Slow(300),
        ..Faults::default()
    });
    api.apply("a", &spec(&issuer));
    let _replica = Replica::leader(&api);
    until("asked", || issuer.discovery_calls() == 1).await;
    api.edit_status("a", json!({"phase": "Pending", "conditions": []}));
    until("ready", || is_phase(&api, "a", "Ready")).await;
    assert_eq!(issuer.discovery_calls(), 1);
}

#[tokio::test]
async fn an_edit_takes_effect_and_a_mistake_takes_out_of_force() {
    let (api, issuer) = (ApiServer::start().await, issuer().await);
    api.apply("a", &spec(&issuer));
    let replica = Replica::leader(&api);
    until("in force", || replica.knows("a")).await;
    let mut edited = spec(&issuer);
    edited["claims"] = json!({"username": "sub", "groups": "roles"});
    api.apply("a", &edited);
    until("observed", || {
        api.status("a")["conditions"][0]["observedGeneration"] == 2
    })
    .await;
    let token = issuer.cluster_token("alice", &["g"], AUDIENCE).unwrap();
    let user = replica.log_in("a", token).await.unwrap();
    assert!(user.groups.is_empty(), "groups come from another claim now");

    api.refuse_status(true);
    edited["userValidationRules"] = json!([{"expression": "mistaken"}]);
    api.apply("a", &edited);
    until("out of force although no status can be written", || {
        !replica.knows("a")
    })
    .await;
}

#[tokio::test]
async fn an_outage_shows_in_the_status_and_leaves_the_object_in_force() {
    let (api, issuer) = (ApiServer::start().await, issuer().await);
    api.apply("a", &spec(&issuer));
    let replica = Replica::leader(&api);
    until("ready", || is_phase(&api, "a", "Ready")).await;
    issuer.set_faults(Faults {
        discovery: Fault::Broken,
        keys: Fault::Broken,
    });
    let mut edited = spec(&issuer);
    edited["claims"] = json!({"username": "username"});
    api.apply("a", &edited);
    until("error", || {
        api.condition("a", "DiscoveryURLValid").0 == "False"
    })
    .await;
    assert_eq!(
        api.condition("a", "DiscoveryURLValid").1,
        "could not perform oidc discovery on provider issuer: 500 Internal Server Error <html>broken</html>"
    );
    let token = issuer.cluster_token("alice", &[], AUDIENCE).unwrap();
    assert!(
        replica.log_in("a", token).await.is_some(),
        "the keys at hand are good for an hour"
    );
    // Another issuer is another matter: what was learned of the first one says nothing of it.
    edited["issuer"] = json!("https://127.0.0.1:1");
    api.apply("a", &edited);
    until("out of force", || !replica.knows("a")).await;
}

/// Keys that are still published where an issuer once said, while it cannot be asked any more, are not its keys for ever.
#[tokio::test]
async fn an_issuer_that_could_not_be_asked_for_an_hour_is_not_believed_any_more() {
    let (api, issuer) = (ApiServer::start().await, issuer().await);
    api.apply("a", &spec(&issuer));
    let (clock, hand) = Clock::manual(Clock::system().now());
    let replica = Replica::start_by(&api, Leadership::fixed(true), clock);
    until("ready", || is_phase(&api, "a", "Ready")).await;
    issuer.set_faults(Faults {
        discovery: Fault::Broken,
        ..Faults::default()
    });
    let judged_again = async |generation: u64| {
        let mut edited = spec(&issuer);
        edited["claims"] = json!({"groups": format!("groups-{generation}")});
        api.apply("a", &edited);
        until("judged again", || {
            api.status("a")["conditions"][0]["observedGeneration"] == generation
        })
        .await;
    };
    hand.advance(Duration::from_secs(59 * 60));
    judged_again(2).await;
    assert!(replica.knows("a"), "an outage alone");
    hand.advance(Duration::from_secs(2 * 60));
    judged_again(3).await;
    assert!(!replica.knows("a"));
}

/// Whoever looks up such a login finds the issuer's fault, and not only that a key is not known.
#[tokio::test]
async fn a_token_of_keys_that_cannot_be_fetched_says_so() {
    let (api, issuer) = (ApiServer::start().await, issuer().await);
    api.apply("a", &spec(&issuer));
    let replica = Replica::leader(&api);
    until("ready", || is_phase(&api, "a", "Ready")).await;
    issuer.rotate_keys().unwrap();
    issuer.set_faults(Faults {
        keys: Fault::Broken,
        ..Faults::default()
    });
    let authenticator = replica.registry.get(&AuthenticatorKey::jwt("a")).unwrap();
    let token = issuer.cluster_token("alice", &[], AUDIENCE).unwrap().into();
    let error = authenticator.authenticate(&token, Clock::system().now());
    let error = error.await.unwrap_err().to_string();
    let cause =
        "; the latest call for its keys failed: oidc: get keys failed: 500 Internal Server Error";
    assert!(error.contains(cause), "{error}");
}

#[tokio::test]
async fn objects_of_one_issuer_share_its_keys() {
    let (api, issuer) = (ApiServer::start().await, issuer().await);
    api.apply("a", &spec(&issuer));
    let replica = Replica::leader(&api);
    until("ready", || is_phase(&api, "a", "Ready")).await;
    let mut other = spec(&issuer);
    other["audience"] = json!("cluster-2");
    api.apply("b", &other);
    until("ready", || is_phase(&api, "b", "Ready")).await;
    assert_eq!((issuer.discovery_calls(), issuer.key_calls()), (2, 1));
    // They outlive the object for which they were fetched.
    api.delete("a");
    until("out of force", || !replica.knows("a")).await;
    let token = issuer.cluster_token("alice", &[], "cluster-2").unwrap();
    assert!(replica.log_in("b", token).await.is_some());
}

#[tokio::test]
async fn a_follower_fills_its_registry_and_writes_nothing() {
    let (api, issuer) = (ApiServer::start().await, issuer().await);
    api.apply("a", &spec(&issuer));
    let follower = Replica::start(&api, Leadership::fixed(false));
    until("in force", || follower.knows("a")).await;
    let mut edited = spec(&issuer);
    edited["audience"] = json!("cluster-2");
    api.apply("a", &edited);
    until("judged anew", || issuer.discovery_calls() == 2).await;
    assert_eq!(api.status_writes(), 0);
    let _leader = Replica::leader(&api);
    until("written by the leader", || is_phase(&api, "a", "Ready")).await;
}

#[tokio::test]
async fn a_status_that_could_not_be_written_is_written_later() {
    let (api, issuer) = (ApiServer::start().await, issuer().await);
    api.refuse_status(true);
    api.apply("a", &spec(&issuer));
    let _replica = Replica::leader(&api);
    until("tried", || api.status_writes() == 1).await;
    api.refuse_status(false);
    until("ready", || is_phase(&api, "a", "Ready")).await;
    assert_eq!((api.status_writes(), issuer.discovery_calls()), (2, 1));
}

#[tokio::test]
async fn edits_of_the_status_by_hand_are_overwritten() {
    let (api, issuer) = (ApiServer::start().await, issuer().await);
    api.apply("a", &spec(&issuer));
    let _replica = Replica::leader(&api);
    until("ready", || is_phase(&api, "a", "Ready")).await;
    let written = api.status("a");
    api.edit_status("a", json!({"phase": "Pending", "conditions": []}));
    until("overwritten", || is_phase(&api, "a", "Ready")).await;
    let types = |status: &Value| status["conditions"].as_array().unwrap().len();
    assert_eq!(types(&api.status("a")), types(&written));
    assert_eq!(issuer.discovery_calls(), 1, "what is known needs no call");
}

/// A process that is told to stop serves on for a while.
#[tokio::test]
async fn what_is_in_force_at_the_end_serves_the_last_logins() {
    let (api, issuer) = (ApiServer::start().await, issuer().await);
    api.apply("a", &spec(&issuer));
    let replica = Replica::leader(&api);
    until("in force", || replica.knows("a")).await;
    replica.end.cancel();
    replica.tracker.close();
    let ended = tokio::time::timeout(Duration::from_secs(20), replica.tracker.wait()).await;
    assert!(ended.is_ok(), "a task outlives the end");
    let token = issuer.cluster_token("alice", &[], AUDIENCE).unwrap();
    assert!(replica.log_in("a", token).await.is_some());
}

#[tokio::test]
async fn only_listed_algorithms_log_users_in() {
    ensure_crypto();
    let options = IssuerOptions {
        signing: SigningKind::Es384WithKeyId,
        ..IssuerOptions::default()
    };
    let (api, issuer) = (
        ApiServer::start().await,
        TestIssuer::start(options).await.unwrap(),
    );
    let token = || issuer.cluster_token("alice", &[], AUDIENCE).unwrap();
    api.apply("a", &spec(&issuer));
    let replica = Replica::leader(&api);
    until("error", || is_phase(&api, "a", "Error")).await;
    let message = "could not fetch keys: the issuer publishes no key for RS256 or ES256 signatures";
    assert_eq!(
        api.condition("a", "JWKSFetchValid"),
        ("False".to_owned(), message.to_owned())
    );
    let mut listing = spec(&issuer);
    listing["signingAlgorithms"] = json!(["EdDSA", "ES384", "ES384"]);
    api.apply("a", &listing);
    until("ready", || is_phase(&api, "a", "Ready")).await;
    assert!(replica.log_in("a", token()).await.is_some());
}

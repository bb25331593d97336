use haulout_api::issuer::TokenCredentialRequestApiInfo;
use serde_json::{Value, json};

use super::super::canary::Sample;
use super::super::ledger::Ledger;
use super::*;

fn info() -> TokenCredentialRequestApiInfo {
    TokenCredentialRequestApiInfo {
        server: "https://k.example.com:6443".to_owned(),
        certificate_authority_data: "Zm9v".to_owned(),
    }
}

fn known() -> Endpoint {
    Endpoint::Known(info())
}

/// Status, reason and message of the strategy when the agents' last canaries came to these outcomes.
fn decided(
    outcomes: &[Outcome],
    faults: &[&str],
    explanation: Option<&str>,
    endpoint: &Endpoint,
) -> Option<(StrategyStatus, StrategyReason, String)> {
    let mut ledger = Ledger::default();
    let sample = |(number, outcome): (usize, &Outcome)| Sample {
        agent: format!("agent-{number}"),
        outcome: outcome.clone(),
        clock_difference: None,
    };
    // Three in a row, so that every outcome counts.
    for _ in 0..3 {
        ledger.enter(outcomes.iter().enumerate().map(sample).collect());
    }
    let agents: Vec<_> = ledger.agents().collect();
    let faults: Vec<_> = faults.iter().map(|fault| (*fault).to_owned()).collect();
    let finding = signing(&Facts {
        agents: &agents,
        faults: &faults,
        explanation,
        endpoint,
    })?;
    assert_eq!(finding.type_, StrategyType::KubeClusterSigningCertificate);
    // An error has no frontend.
    assert_eq!(
        finding.frontend.is_some(),
        finding.status == StrategyStatus::Success
    );
    Some((finding.status, finding.reason, finding.message))
}

/// Outcomes, an explanation, and what the message has to hold.
type Row = (
    &'static [fn() -> Outcome],
    Option<&'static str>,
    &'static [&'static str],
);

fn good() -> Outcome {
    Outcome::Accepted
}

fn unsigned() -> Outcome {
    Outcome::NotSigned("agent b did not sign: KeyUnavailable: no key".to_owned())
}

fn late() -> Outcome {
    Outcome::SigningFailed("no answer".to_owned())
}

fn refused() -> Outcome {
    Outcome::Refused("it answered 401 Unauthorized".to_owned())
}

fn held_back() -> Outcome {
    Outcome::HeldBack("the key is the front proxy's".to_owned())
}

fn unreviewed() -> Outcome {
    Outcome::ReviewFailed("connection refused".to_owned())
}

fn all_are(expected: StrategyReason, rows: &[Row]) {
    for (outcomes, explanation, needles) in rows {
        let outcomes: Vec<_> = outcomes.iter().map(|outcome| outcome()).collect();
        let (status, reason, message) =
            decided(&outcomes, &[], *explanation, &known()).expect("decided");
        assert_eq!(reason, expected, "{outcomes:?}");
        let is_success = status == StrategyStatus::Success;
        assert_eq!(
            is_success,
            reason == StrategyReason::FetchedKey,
            "{outcomes:?}"
        );
        for needle in *needles {
            assert!(message.contains(needle), "{message}");
        }
    }
}

#[test]
fn success_takes_one_agent_that_is_accepted() {
    let rows: [Row; 4] = [
        (&[good], None, &["key was fetched successfully"]),
        (&[good, good], None, &["key was fetched successfully"]),
        (&[good, unsigned], None, &["KeyUnavailable"]),
        (
            &[unreviewed, good],
            None,
            &["agent-0", "connection refused"],
        ),
    ];
    all_are(StrategyReason::FetchedKey, &rows);
}

/// Logins go to each agent in turn.
#[test]
fn one_agent_that_signs_wrongly_is_an_error() {
    let rows: [Row; 5] = [
        (
            &[good, refused],
            None,
            &["agent-1", "401", "--client-ca-file"],
        ),
        (&[refused], Some("unused"), &["agent-0", "401"]),
        (
            &[good, held_back],
            None,
            &["agent-1", "is handed out", "front proxy"],
        ),
        (&[refused, held_back], None, &["agent-1", "front proxy"]),
        (
            &[unreviewed, unsigned],
            None,
            &["SelfSubjectReview", "connection refused"],
        ),
    ];
    all_are(StrategyReason::ErrorDuringSetup, &rows);
}

#[test]
fn no_agent_that_signs_is_explained() {
    let rows: [Row; 3] = [
        (&[unsigned], Some("why"), &["why"]),
        (&[late], Some("why"), &["why"]),
        (&[], Some("why"), &["why"]),
    ];
    all_are(StrategyReason::CouldNotFetchKey, &rows);
}

/// Clients compare the whole message.
#[test]
fn when_all_is_well_the_message_is_pinnipeds() {
    let (_, _, message) = decided(&[Outcome::Accepted], &[], None, &known()).unwrap();
    assert_eq!(message, "key was fetched successfully");
}

#[test]
fn too_little_is_known_before_the_first_outcomes() {
    assert_eq!(decided(&[], &[], None, &known()), None);
    assert_eq!(
        decided(&[Outcome::Accepted], &[], None, &Endpoint::Awaited),
        None
    );
    let new = Agent::default();
    let undecided = signing(&Facts {
        agents: &[("a", &new)],
        faults: &[],
        explanation: Some("why"),
        endpoint: &known(),
    });
    assert_eq!(undecided, None);
}

#[test]
fn an_agent_that_is_cut_off_is_told_of_while_others_sign() {
    let faults = ["10.0.0.2:9443: failed to connect"];
    let (status, _, message) = decided(&[Outcome::Accepted], &faults, None, &known()).unwrap();
    assert_eq!(status, StrategyStatus::Success);
    assert!(
        message.starts_with("key was fetched successfully; "),
        "{message}"
    );
    assert!(message.contains(faults[0]), "{message}");
}

#[test]
fn a_missing_address_is_no_error_and_a_broken_one_is() {
    let accepted = [Outcome::Accepted];
    let unknown = Endpoint::Unknown("set advertise.server".to_owned());
    let (status, reason, message) = decided(&accepted, &[], None, &unknown).unwrap();
    assert_eq!(
        (status, reason),
        (StrategyStatus::Success, StrategyReason::FetchedKey)
    );
    assert_eq!(
        message,
        "key was fetched successfully; set advertise.server"
    );
    let broken = Endpoint::Broken("missing \"kubeconfig\" key".to_owned());
    let (status, reason, message) = decided(&accepted, &[], None, &broken).unwrap();
    assert_eq!(
        (status, reason),
        (
            StrategyStatus::Error,
            StrategyReason::CouldNotGetClusterInfo
        )
    );
    assert_eq!(message, "missing \"kubeconfig\" key");
    // It does not hide that nobody can log in.
    let (_, reason, _) = decided(&[], &[], Some("why"), &broken).unwrap();
    assert_eq!(reason, StrategyReason::CouldNotFetchKey);
}

#[test]
fn a_frontend_without_a_known_address_names_only_the_way() {
    let agent = {
        let mut ledger = Ledger::default();
        ledger.enter(vec![Sample {
            agent: "a".to_owned(),
            outcome: Outcome::Accepted,
            clock_difference: None,
        }]);
        let (_, agent) = ledger.agents().next().unwrap();
        agent.clone()
    };
    let frontend = |endpoint: Endpoint| -> Value {
        let finding = signing(&Facts {
            agents: &[("a", &agent)],
            faults: &[],
            explanation: None,
            endpoint: &endpoint,
        });
        json!(finding.unwrap().frontend)
    };
    assert_eq!(
        frontend(Endpoint::Unknown("why".to_owned())),
        json!({"type": "TokenCredentialRequestAPI"})
    );
    assert_eq!(
        frontend(known()),
        json!({
            "type": "TokenCredentialRequestAPI",
            "tokenCredentialRequestInfo": {
                "server": "https://k.example.com:6443",
                "certificateAuthorityData": "Zm9v",
            },
        })
    );
}

#[test]
fn clocks_that_differ_are_told_of_without_the_figure() {
    let message = |difference| {
        let mut ledger = Ledger::default();
        ledger.enter(vec![Sample {
            agent: "a".to_owned(),
            outcome: Outcome::Accepted,
            clock_difference: Some(difference),
        }]);
        let agents: Vec<_> = ledger.agents().collect();
        let facts = Facts {
            agents: &agents,
            faults: &[],
            explanation: None,
            endpoint: &known(),
        };
        signing(&facts).unwrap().message
    };
    assert!(!message(29.0).contains("clock"));
    assert!(message(31.0).contains("the clocks of agent a"));
    assert_eq!(message(31.0), message(-95.5));
}

/// Clients count the strategies, and do not wait for one that will not come.
#[test]
fn the_proxy_is_an_entry_that_is_disabled() {
    let proxy = proxy();
    assert_eq!(proxy.type_, StrategyType::ImpersonationProxy);
    assert_eq!(
        (proxy.status, proxy.reason),
        (StrategyStatus::Error, StrategyReason::Disabled)
    );
    assert_eq!(awaited().reason, StrategyReason::Pending);
}

#[test]
fn the_direct_endpoint_is_of_use_with_a_certificate_and_where_there_is_signing() {
    const URL: &str = "https://login.example.com";
    let signing = |reason, message: &str| Finding {
        status: match reason {
            StrategyReason::FetchedKey => StrategyStatus::Success,
            _ => StrategyStatus::Error,
        },
        reason,
        ..broken(message.to_owned())
    };
    let listening = || Standing::Listening(Some("Zm9v".to_owned()));
    let rows = [
        (
            listening(),
            signing(StrategyReason::FetchedKey, FETCHED),
            StrategyReason::Listening,
            "--concierge-endpoint=https://login.example.com",
        ),
        (
            Standing::Pending("no Secret".to_owned()),
            signing(StrategyReason::FetchedKey, FETCHED),
            StrategyReason::Pending,
            "no certificate: no Secret",
        ),
        (
            Standing::Unusable("it has expired".to_owned()),
            signing(StrategyReason::FetchedKey, FETCHED),
            StrategyReason::ErrorDuringSetup,
            "it has expired",
        ),
        (
            listening(),
            signing(StrategyReason::CouldNotFetchKey, "no agent"),
            StrategyReason::CouldNotFetchKey,
            "nothing is signed: no agent",
        ),
        (
            listening(),
            awaited(),
            StrategyReason::Pending,
            "nothing is signed: the first certificate",
        ),
        (
            Standing::Unusable("it has expired".to_owned()),
            signing(StrategyReason::CouldNotFetchKey, "no agent"),
            StrategyReason::ErrorDuringSetup,
            "it has expired",
        ),
    ];
    for (standing, signing, reason, needle) in rows {
        let finding = direct(URL, standing, &signing);
        assert_eq!(finding.type_, StrategyType::DirectEndpoint);
        assert_eq!(finding.reason, reason, "{finding:?}");
        assert!(finding.message.contains(needle), "{finding:?}");
        let is_good = reason == StrategyReason::Listening;
        assert_eq!(finding.status == StrategyStatus::Success, is_good);
        assert_eq!(finding.frontend.is_some(), is_good);
    }

    let frontend = |standing| {
        let signing = signing(StrategyReason::FetchedKey, FETCHED);
        json!(direct(URL, standing, &signing).frontend)
    };
    assert_eq!(
        frontend(listening()),
        json!({"type": "DirectEndpoint", "directEndpointInfo": {
            "endpoint": URL, "certificateAuthorityData": "Zm9v",
        }})
    );
    assert_eq!(
        frontend(Standing::Listening(None)),
        json!({"type": "DirectEndpoint", "directEndpointInfo": {"endpoint": URL}})
    );
}

use haulout_api::issuer::{StrategyReason, StrategyStatus};
use k8s_openapi::jiff::Timestamp;

use super::*;
use crate::controllers::credential_issuer::decide;
use crate::controllers::direct_certificate::Standing;

fn at(second: i64) -> Time {
    Time(Timestamp::new(1_800_000_000 + second, 0).unwrap())
}

fn signing(message: &str) -> Finding {
    Finding {
        status: StrategyStatus::Success,
        reason: StrategyReason::FetchedKey,
        message: message.to_owned(),
        ..decide::awaited()
    }
}

fn both(message: &str) -> Vec<Finding> {
    vec![decide::proxy(), signing(message)]
}

fn types(strategies: &[Value]) -> Vec<&str> {
    strategies.iter().filter_map(type_name).collect()
}

const TWO: [&str; 2] = ["KubeClusterSigningCertificate", "ImpersonationProxy"];

#[test]
fn the_two_types_are_there_in_the_order_that_clients_go_by() {
    let merged = merge(&[], both("m"), &at(0));
    assert_eq!(types(&merged), TWO);
    for strategy in &merged {
        assert_eq!(strategy["lastUpdateTime"], "2027-01-15T08:00:00Z");
    }
}

#[test]
fn what_says_the_same_keeps_its_time() {
    let first = merge(&[], both("m"), &at(0));
    assert_eq!(merge(&first, both("m"), &at(60)), first);
    let second = merge(&first, both("other"), &at(60));
    assert_eq!(second[0]["lastUpdateTime"], "2027-01-15T08:01:00Z");
    assert_eq!(second[1], first[1]);
}

#[test]
fn foreign_types_stay_and_come_last_by_name() {
    let foreign = |name: &str| json!({"type": name, "anything": [1]});
    let mut stored = vec![foreign("Zebra"), foreign("Aardvark")];
    stored.extend(merge(&[], both("m"), &at(0)));
    let merged = merge(&stored, both("m"), &at(60));
    assert_eq!(types(&merged), [TWO[0], TWO[1], "Aardvark", "Zebra"]);
    assert_eq!(merged[3], stored[0]);
    assert_eq!(merge(&merged, both("m"), &at(120)), merged);
}

/// Whoever of the two writes, the order is the same.
#[test]
fn the_type_that_pinniped_does_not_know_is_sorted_as_pinniped_would() {
    let foreign = |name: &str| json!({"type": name});
    let direct = Finding {
        type_: StrategyType::DirectEndpoint,
        ..signing("m")
    };
    let findings = [vec![direct], both("m")].concat();
    let merged = merge(&[foreign("Zebra"), foreign("Aardvark")], findings, &at(0));
    let rest = ["Aardvark", "DirectEndpoint", "Zebra"];
    assert_eq!(types(&merged), [&TWO[..], &rest].concat());
}

#[test]
fn entries_of_ours_that_are_not_ours_any_more_go() {
    let first = merge(&[], both("m"), &at(0));
    let direct = json!({"type": "DirectEndpoint", "status": "Success", "reason": "Listening",
        "message": "m", "lastUpdateTime": "2026-11-23T19:34:43Z"});
    let twice = first[0].clone();
    let unreadable = json!({"type": "ImpersonationProxy", "status": "Unheard"});
    let no_entry = json!("text");
    let stored = [&[unreadable, direct, twice, no_entry], first.as_slice()].concat();
    assert_eq!(merge(&stored, both("m"), &at(60)), first);
}

#[test]
fn what_is_stored_can_be_kept() {
    let merged = merge(&[], both("m"), &at(0));
    let kept = stored(&merged, StrategyType::KubeClusterSigningCertificate);
    assert_eq!(kept, Some(signing("m")));
    assert_eq!(
        stored(&[], StrategyType::KubeClusterSigningCertificate),
        None
    );
    assert_eq!(
        strategies(&json!({"status": {"strategies": 1}})),
        &[] as &[Value]
    );
}

/// As the reference's CLI chooses: the first `Success` whose frontend it knows; it waits while any is `Pending`.
#[test]
fn pinniped_waits_at_first_and_then_chooses_signing() {
    let choice = |strategies: &[Value]| -> Option<String> {
        let known = ["TokenCredentialRequestAPI", "ImpersonationProxy"];
        let chosen = strategies.iter().find(|strategy| {
            let frontend = strategy["frontend"]["type"].as_str().unwrap_or_default();
            strategy["status"] == "Success" && known.contains(&frontend)
        });
        chosen.and_then(type_name).map(str::to_owned)
    };
    let choice_of = |strategies: &[Value], mode: &str| -> Option<String> {
        let of_mode: Vec<Value> = strategies
            .iter()
            .filter(|strategy| strategy["frontend"]["type"] == mode)
            .cloned()
            .collect();
        choice(&of_mode)
    };
    let waits = |strategies: &[Value]| strategies.iter().any(|one| one["reason"] == "Pending");

    let first = merge(&[], vec![decide::awaited(), decide::proxy()], &at(0));
    assert!(waits(&first) && choice(&first).is_none());
    let success = Finding {
        frontend: serde_json::from_value(json!({"type": "TokenCredentialRequestAPI"})).unwrap(),
        ..signing("key was fetched successfully")
    };
    let second = merge(&first, vec![success, decide::proxy()], &at(1));
    assert!(!waits(&second));
    assert_eq!(choice(&second).as_deref(), Some(TWO[0]));

    // The third entry changes nothing of that, however it and the others stand.
    let direct = |signing: &Finding| {
        let standing = Standing::Listening(Some("Zm9v".to_owned()));
        decide::direct("https://login.example.com", standing, signing)
    };
    let success = Finding {
        frontend: serde_json::from_value(json!({"type": "TokenCredentialRequestAPI"})).unwrap(),
        ..signing("key was fetched successfully")
    };
    let on = direct(&success);
    let third = merge(&second, vec![success, decide::proxy(), on.clone()], &at(2));
    assert_eq!(third[2]["status"], "Success");
    assert!(!waits(&third));
    assert_eq!(choice(&third).as_deref(), Some(TWO[0]));
    let mode = "TokenCredentialRequestAPI";
    assert_eq!(choice_of(&third, mode).as_deref(), Some(TWO[0]));
    assert_eq!(choice_of(&third, "ImpersonationProxy"), None);
    let alone = merge(&[], vec![decide::awaited(), decide::proxy(), on], &at(3));
    assert_eq!(choice(&alone), None);
    assert_eq!(choice_of(&alone, "DirectEndpoint"), None);
}

//! From findings to the list in the status. No I/O; the time is an argument.
//!
//! The list is read as JSON: entries of types that this version does not know are kept as they are.

#[cfg(test)]
mod tests;

use haulout_api::issuer::{Strategy, StrategyType};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use super::decide::Finding;

/// The strategies of an object, as it has them.
pub(super) fn strategies(object: &Value) -> &[Value] {
    object
        .pointer("/status/strategies")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

/// What the entry of this type says, if there is one that can be read.
pub(super) fn stored(strategies: &[Value], type_: StrategyType) -> Option<Finding> {
    let (_, strategy) = find(strategies, type_)?;
    Some(Finding {
        type_,
        status: strategy.status,
        reason: strategy.reason,
        message: strategy.message,
        frontend: strategy.frontend,
    })
}

/// The list with these findings in place of the entries of the types that this version knows; foreign ones stay. An entry
/// that says the same already keeps its time.
pub(super) fn merge(stored: &[Value], findings: Vec<Finding>, now: &Time) -> Vec<Value> {
    let foreign = stored
        .iter()
        .filter(|entry| type_name(entry).is_some_and(|name| known_type(name).is_none()))
        .cloned();
    let ours = findings.into_iter().map(|finding| {
        let same = find(stored, finding.type_).filter(|(_, strategy)| {
            finding.clone().since(strategy.last_update_time.clone()) == *strategy
        });
        match same {
            Some((entry, _)) => entry.clone(),
            None => json!(finding.since(now.clone())),
        }
    });
    let mut merged: Vec<Value> = ours.chain(foreign).collect();
    merged.sort_by(|a, b| order(a).cmp(&order(b)));
    merged
}

/// The first readable entry of a type.
fn find(strategies: &[Value], type_: StrategyType) -> Option<(&Value, Strategy)> {
    strategies.iter().find_map(|entry| {
        let strategy: Strategy = serde_json::from_value(entry.clone()).ok()?;
        (strategy.type_ == type_).then_some((entry, strategy))
    })
}

/// Clients take the first that works, so the order is part of the contract.
fn order(entry: &Value) -> (u8, &str) {
    let name = type_name(entry).unwrap_or_default();
    let rank = match known_type(name) {
        Some(StrategyType::KubeClusterSigningCertificate) => 0,
        Some(StrategyType::ImpersonationProxy) => 1,
        // Pinniped's Concierge does not know it, and would sort it so.
        Some(StrategyType::DirectEndpoint) | None => 2,
    };
    (rank, name)
}

fn type_name(entry: &Value) -> Option<&str> {
    entry.get("type")?.as_str()
}

/// The type of this name, if this version knows it.
fn known_type(name: &str) -> Option<StrategyType> {
    serde_json::from_value(json!(name)).ok()
}

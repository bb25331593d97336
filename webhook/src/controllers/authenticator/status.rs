//! The status of an authenticator object: what it should be, and writing it.

use haulout_api::authenticator::AuthenticatorStatus;
use haulout_api::conditions;
use haulout_operate::cluster::{CallError, call, post_params};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Api, DynamicObject};

use super::findings::Findings;

/// Why a status could not be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum StatusError {
    #[error("failed to put the status into words")]
    Serialize(#[source] serde_json::Error),
    #[error("failed to write the status")]
    Write(#[source] CallError),
}

impl StatusError {
    /// Whether the object has changed or gone since it was read; the watch will tell.
    pub(super) fn is_outdated(&self) -> bool {
        matches!(self, Self::Write(error) if error.is_conflict() || error.is_not_found())
    }
}

/// The status that `findings` call for, or `None` when `object` has it already.
pub(super) fn plan(
    object: &DynamicObject,
    findings: &Findings,
    now: &Time,
) -> Option<AuthenticatorStatus> {
    // A status that cannot be read is none: it is written anew.
    let stored: Option<AuthenticatorStatus> = object
        .data
        .get("status")
        .and_then(|status| serde_json::from_value(status.clone()).ok());
    let conditions = stored.as_ref().map_or(&[][..], |stored| &stored.conditions);
    let next = AuthenticatorStatus {
        conditions: conditions::merge(
            conditions,
            findings.observations(),
            object.metadata.generation,
            now,
        ),
        phase: findings.phase(),
    };
    (stored.as_ref() != Some(&next)).then_some(next)
}

/// Writes `status`, unless the object has changed since it was read.
pub(super) async fn write(
    api: &Api<DynamicObject>,
    object: &DynamicObject,
    status: &AuthenticatorStatus,
) -> Result<(), StatusError> {
    let mut changed = object.clone();
    if let Some(data) = changed.data.as_object_mut() {
        let status = serde_json::to_value(status).map_err(StatusError::Serialize)?;
        data.insert("status".to_owned(), status);
    }
    let name = object.metadata.name.as_deref().unwrap_or_default();
    call(api.replace_status(name, &post_params(), &changed))
        .await
        .map_err(StatusError::Write)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use haulout_api::group::ApiGroupSuffix;
    use http::Method;
    use k8s_openapi::jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::controllers::authenticator::findings::Fault;
    use crate::controllers::authenticator::objects;
    use crate::controllers::jwt_authenticator::Jwt;
    use crate::controllers::test_server::environment;

    fn at(second: i64) -> Time {
        Time(Timestamp::new(1_800_000_000 + second, 0).unwrap())
    }

    fn object(generation: i64, status: &serde_json::Value) -> DynamicObject {
        serde_json::from_value(json!({
            "metadata": {"name": "a", "generation": generation},
            "spec": {},
            "status": status,
        }))
        .unwrap()
    }

    fn stored(status: &AuthenticatorStatus) -> serde_json::Value {
        serde_json::to_value(status).unwrap()
    }

    fn bad() -> Findings {
        let good = Some(Ok("fine".to_owned()));
        let bad = Some(Err(Fault::new("Bad", "not fine")));
        Findings::new("Kind", [("One", good), ("Two", bad), ("Three", None)])
    }

    #[test]
    fn an_unchanged_status_is_not_written() {
        let first = plan(&object(1, &json!(null)), &bad(), &at(0)).unwrap();
        assert_eq!(first.conditions.len(), 4);
        assert_eq!(plan(&object(1, &stored(&first)), &bad(), &at(60)), None);
    }

    #[test]
    fn a_new_generation_alone_keeps_the_transition_times() {
        let first = plan(&object(1, &json!(null)), &bad(), &at(0)).unwrap();
        let second = plan(&object(2, &stored(&first)), &bad(), &at(60)).unwrap();
        for condition in &second.conditions {
            assert_eq!(condition.observed_generation, Some(2));
            assert_eq!(condition.last_transition_time, at(0), "{}", condition.type_);
        }
    }

    #[test]
    fn edits_of_the_status_by_hand_are_overwritten() {
        let good = plan(&object(1, &json!(null)), &bad(), &at(0)).unwrap();
        let mut edited = good.clone();
        edited.conditions[0].message = "all is well".to_owned();
        assert_eq!(
            plan(&object(1, &stored(&edited)), &bad(), &at(60)),
            Some(good)
        );
        for unreadable in [
            json!("text"),
            json!({"phase": "Unheard"}),
            json!({"conditions": 1}),
        ] {
            assert!(plan(&object(1, &unreadable), &bad(), &at(60)).is_some());
        }
    }

    #[test]
    fn conditions_of_other_types_stay() {
        let mut first = plan(&object(1, &json!(null)), &bad(), &at(0)).unwrap();
        let mut other = first.conditions[0].clone();
        other.type_ = "Elsewhere".to_owned();
        first.conditions.push(other.clone());
        let next = plan(&object(2, &stored(&first)), &bad(), &at(60)).unwrap();
        assert_eq!(next.conditions.len(), 5);
        assert!(next.conditions.contains(&other));
    }

    #[tokio::test]
    async fn a_status_is_written_in_our_name_over_the_version_that_was_read() {
        let (environment, mut server, _clock) = environment(true);
        let api = objects::<Jwt>(environment.client, &ApiGroupSuffix::default());
        let mut object = object(1, &json!(null));
        object.metadata.resource_version = Some("41".to_owned());
        let status = plan(&object, &bad(), &at(0)).unwrap();
        let path =
            "/apis/authentication.concierge.pinniped.dev/v1alpha1/jwtauthenticators/a/status";
        let stored = json!(object);
        // The server sees to the name in each write.
        let script = server.answer(Method::PUT, path, 200, &stored);
        let (outcome, sent) = tokio::join!(write(&api, &object, &status), script);
        outcome.unwrap();
        assert_eq!(sent["metadata"]["resourceVersion"], "41");
        assert_eq!(sent["status"], self::stored(&status));
    }
}

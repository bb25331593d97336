use std::time::Duration;

use haulout_api::signing::SigningFailure;
use k8s_openapi::api::authentication::v1::{SelfSubjectReviewStatus, UserInfo};
use kube::core::Status;

use super::*;
use crate::signer::SignerHealth;

fn review(username: Option<&str>) -> Result<SelfSubjectReview, CallError> {
    let user_info = UserInfo {
        username: username.map(str::to_owned),
        ..UserInfo::default()
    };
    Ok(SelfSubjectReview {
        status: Some(SelfSubjectReviewStatus {
            user_info: Some(user_info),
        }),
        ..SelfSubjectReview::default()
    })
}

fn refusal(code: u16, message: &str) -> Result<SelfSubjectReview, CallError> {
    let status = Status {
        code,
        ..Status::failure(message, "Test")
    };
    Err(CallError::Refused(Box::new(status)))
}

/// Who is refused by RBAC was known all the same; who is taken for another was not.
#[test]
fn acceptance_is_to_be_known_by_name() {
    let forbidden = |name: &str| {
        refusal(
            403,
            &format!(
                "selfsubjectreviews.authentication.k8s.io is forbidden: User \"{name}\" cannot create"
            ),
        )
    };
    let rows = [
        (review(Some("haulout:canary")), "accepted", ""),
        (forbidden("haulout:canary"), "accepted", ""),
        (review(Some("alice")), "refused", "alice"),
        (forbidden("system:anonymous"), "refused", "system:anonymous"),
        (refusal(401, "Unauthorized"), "refused", "401"),
        (review(None), "review_failed", "did not say"),
        (
            refusal(429, "too many requests"),
            "review_failed",
            "too many",
        ),
        (
            refusal(503, "shutting down"),
            "review_failed",
            "shutting down",
        ),
        (
            Err(CallError::TimedOut(Duration::from_secs(5))),
            "review_failed",
            "did not answer within 5 s",
        ),
    ];
    for (answer, result, needle) in rows {
        let text = format!("{answer:?}");
        let outcome = reviewed(answer);
        assert_eq!(outcome.as_str(), result, "{text}");
        assert!(format!("{outcome:?}").contains(needle), "{outcome:?}");
    }
}

#[test]
fn only_what_may_pass_by_itself_is_waited_for() {
    let refused = |reason| SignerError::Refused {
        agent: "a:1".to_owned(),
        failure: SigningFailure {
            reason,
            message: "m".to_owned(),
        },
    };
    let lost = SignerError::Connection {
        agent: "a:1".to_owned(),
        source: "reset".into(),
    };
    let health = SignerHealth {
        known: 0,
        connected: 0,
        faults: Vec::new(),
    };
    let rows = [
        (refused(SigningFailureReason::KeyUnavailable), "not_signed"),
        (
            refused(SigningFailureReason::PolicyUnavailable),
            "not_signed",
        ),
        (refused(SigningFailureReason::RefusedByPolicy), "not_signed"),
        (refused(SigningFailureReason::RateLimited), "signing_failed"),
        (lost, "signing_failed"),
        (SignerError::DeadlineExceeded(5), "signing_failed"),
        (SignerError::NoAgentReachable(health), "not_signed"),
    ];
    for (error, result) in rows {
        assert_eq!(not_signed(&error).as_str(), result, "{error:?}");
    }
}

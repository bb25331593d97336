//! What a TokenReview server answers.

use std::time::Duration;

use haulout_api::identity::UserInfo;
use haulout_https::{Answer, CallError, CallFault, foreign};
use http::StatusCode;
use k8s_openapi::api::authentication::v1::{TokenReviewStatus, UserInfo as ReviewedUser};
use serde::Deserialize;

use super::retry::{self, Failure};
use super::{DEADLINE, GROUP, KIND, TOKEN_LIMIT};

/// Why there is no verdict on a token. Text from the server is escaped and cut, and the token is cut out of it.
#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    /// The token is longer than any.
    #[error("the token is longer than {TOKEN_LIMIT} bytes")]
    TooLong,
    /// Every place in the queue is taken.
    #[error(
        "too many logins wait for the TokenReview server; it is slower than they come: see to it, or to who floods it"
    )]
    QueueFull,
    /// Others were served for the whole time.
    #[error(
        "the TokenReview server was busy with other logins for {} s; it is slower than they come: see to it, or to who floods it",
        DEADLINE.as_secs()
    )]
    QueuedTooLong,
    /// The server did not answer.
    #[error("the TokenReview server gave no answer within {} s; see whether it is up and not overloaded", DEADLINE.as_secs())]
    TimedOut,
    /// The call failed.
    #[error("failed to call the TokenReview server: {0}")]
    Call(CallError),
    /// The server answered without a review; redirects are not followed.
    #[error("the TokenReview server answered {status} {body}")]
    Status {
        /// Its status.
        status: StatusCode,
        /// How long it asks to be left alone.
        retry_after: Option<Duration>,
        /// Beginning of the body.
        body: String,
    },
    /// The answer is no object with a kind and a status.
    #[error("failed to read the TokenReview server's answer: {0}")]
    Malformed(String),
    /// The answer is another object.
    #[error(
        "the TokenReview server answered with kind \"{kind}\" of \"{api_version}\"; spec.endpoint must be the URL of TokenReviews"
    )]
    OtherKind {
        /// Its kind.
        kind: String,
        /// Its group and version.
        api_version: String,
    },
    /// The object says nothing of the token.
    #[error(
        "the TokenReview server answered without a status; spec.endpoint must be the URL of TokenReviews"
    )]
    NoStatus,
    /// The server could not judge the token.
    #[error("the TokenReview server refused the token: {0}")]
    Refused(String),
}

impl ReviewError {
    /// One word for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::QueueFull | Self::QueuedTooLong => "TokenReviewOverloaded",
            Self::TooLong => "TooLarge",
            Self::TimedOut => "TokenReviewTimedOut",
            Self::Call(error) if matches!(error.fault, CallFault::TimedOut(_)) => {
                "TokenReviewTimedOut"
            }
            Self::Call(_) | Self::Status { .. } => "TokenReviewFailed",
            Self::Malformed(_) | Self::OtherKind { .. } | Self::NoStatus => {
                "InvalidTokenReviewAnswer"
            }
            Self::Refused(_) => "TokenReviewRefused",
        }
    }

    /// What this means for another try.
    pub(super) fn failure(&self) -> Failure {
        match self {
            Self::Call(error) if error.fault.is_connection_lost() => Failure::ConnectionLost,
            Self::Status {
                status,
                retry_after,
                ..
            } => Failure::Status {
                code: *status,
                retry_after: *retry_after,
            },
            _ => Failure::Lasting,
        }
    }
}

/// Of a TokenReview what matters here. An absent kind or version is the one that was sent, as Kubernetes' client has it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review {
    kind: Option<String>,
    api_version: Option<String>,
    status: Option<TokenReviewStatus>,
}

/// The user whom `answer` gives for `token`; `None` when the server does not know the token.
pub(super) fn read(answer: &Answer, token: &str) -> Result<Option<UserInfo>, ReviewError> {
    if !answer.status.is_success() {
        let body = String::from_utf8_lossy(&answer.body);
        return Err(ReviewError::Status {
            status: answer.status,
            retry_after: retry::retry_after(&answer.headers),
            body: quoted(body.trim_end(), token),
        });
    }
    let review: Review = serde_json::from_slice(&answer.body)
        .map_err(|error| ReviewError::Malformed(quoted(&error.to_string(), token)))?;
    let kind = review.kind.unwrap_or_default();
    let api_version = review.api_version.unwrap_or_default();
    if !is_token_review(&kind, &api_version) {
        return Err(ReviewError::OtherKind {
            kind: quoted(&kind, token),
            api_version: quoted(&api_version, token),
        });
    }
    let status = review.status.ok_or(ReviewError::NoStatus)?;
    if status.authenticated == Some(true) {
        return Ok(Some(user(status.user.unwrap_or_default())));
    }
    match status.error.unwrap_or_default().as_str() {
        "" => Ok(None),
        error => Err(ReviewError::Refused(quoted(error, token))),
    }
}

/// Either version whichever was sent: servers answer in the one that they know, and both have the same status.
fn is_token_review(kind: &str, api_version: &str) -> bool {
    let version = match api_version {
        "" => Some("v1"),
        _ => api_version
            .strip_prefix(GROUP)
            .and_then(|version| version.strip_prefix('/')),
    };
    matches!(kind, "" | KIND) && matches!(version, Some("v1" | "v1beta1"))
}

/// A user without a name stays so, and is refused with every other that a certificate cannot describe.
fn user(user: ReviewedUser) -> UserInfo {
    UserInfo {
        username: user.username.unwrap_or_default(),
        uid: user.uid.unwrap_or_default(),
        groups: user.groups.unwrap_or_default(),
        extra: user.extra.unwrap_or_default(),
    }
}

/// Text of the server, in which it may have repeated what it was sent.
fn quoted(text: &str, token: &str) -> String {
    foreign(&text.replace(token, "<token>"))
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, header};
    use serde_json::{Value, json};

    use super::*;

    const TOKEN: &str = "s3cret-token";

    fn answer(status: u16, body: impl Into<Vec<u8>>) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: body.into(),
        }
    }

    fn review(status: &Value) -> Answer {
        let body = json!({"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "status": status});
        answer(200, body.to_string())
    }

    fn error(answer: &Answer) -> String {
        read(answer, TOKEN).unwrap_err().to_string()
    }

    #[test]
    fn the_user_is_taken_whole() {
        let status = json!({"authenticated": true, "user": {
            "username": "alice", "uid": "u", "groups": ["b", "a"],
            "extra": {"example.com/team": ["x", ""]},
        }, "audiences": ["others"]});
        let user = read(&review(&status), TOKEN).unwrap().unwrap();
        assert_eq!(user.username, "alice");
        assert_eq!(user.uid, "u");
        assert_eq!(user.groups, ["b", "a"]);
        assert_eq!(user.extra["example.com/team"], ["x", ""]);
    }

    #[test]
    fn what_is_null_or_absent_is_empty() {
        for status in [
            json!({"authenticated": true}),
            json!({"authenticated": true, "user": null, "error": null}),
            json!({"authenticated": true, "user": {"username": null, "groups": null, "extra": null}}),
        ] {
            let user = read(&review(&status), TOKEN).unwrap();
            assert_eq!(user, Some(UserInfo::default()), "{status}");
        }
    }

    #[test]
    fn a_token_is_refused_with_an_error_or_without() {
        for unknown in [
            json!({}),
            json!({"authenticated": false}),
            json!({"authenticated": null, "error": ""}),
            json!({"authenticated": false, "user": {"username": "alice"}}),
        ] {
            assert!(
                read(&review(&unknown), TOKEN).unwrap().is_none(),
                "{unknown}"
            );
        }
        let status = json!({"authenticated": false, "error": "expired"});
        assert_eq!(
            error(&review(&status)),
            "the TokenReview server refused the token: expired"
        );
    }

    #[test]
    fn either_version_is_read_and_nothing_else() {
        let read_as = |kind: Value, api_version: Value| {
            let body = json!({"kind": kind, "apiVersion": api_version, "status": {}});
            read(&answer(201, body.to_string()), TOKEN)
        };
        for api_version in [
            "authentication.k8s.io/v1",
            "authentication.k8s.io/v1beta1",
            "",
        ] {
            assert!(read_as("TokenReview".into(), api_version.into()).is_ok());
        }
        assert!(read_as(Value::Null, Value::Null).is_ok());
        for (kind, api_version) in [
            ("Status", "v1"),
            ("TokenReview", "v1"),
            ("TokenReview", "authentication.k8s.io/v2"),
            ("TokenReview", "authentication.k8s.io"),
            ("TokenReview", "authentication.k8s.iov1"),
            ("tokenreview", "authentication.k8s.io/v1"),
            ("SubjectAccessReview", "authentication.k8s.io/v1"),
        ] {
            let verdict = read_as(kind.into(), api_version.into());
            assert!(
                matches!(verdict, Err(ReviewError::OtherKind { .. })),
                "{kind} {api_version}: {verdict:?}"
            );
        }
    }

    #[test]
    fn what_says_nothing_of_the_token_is_no_refusal() {
        for body in [r#"{"kind":"TokenReview"}"#, "{}", r#"{"status":null}"#] {
            assert!(
                matches!(read(&answer(200, body), TOKEN), Err(ReviewError::NoStatus)),
                "{body}"
            );
        }
        for body in [
            "",
            "null",
            "[]",
            "<html>",
            r#"{"status":{}} x"#,
            r#"{"status":{"authenticated":"true"}}"#,
        ] {
            let verdict = read(&answer(200, body), TOKEN);
            assert!(
                matches!(verdict, Err(ReviewError::Malformed(_))),
                "{body}: {verdict:?}"
            );
        }
    }

    #[test]
    fn a_deep_answer_ends_no_process() {
        let deep = format!(
            r#"{{"x":{}1{},"status":{{}}}}"#,
            "[".repeat(200_000),
            "]".repeat(200_000)
        );
        let _verdict = read(&answer(200, deep), TOKEN);
        let deep = format!(
            r#"{{"status":{{"user":{{"extra":{}1{}}}}}}}"#,
            "[".repeat(200_000),
            "]".repeat(200_000)
        );
        assert!(read(&answer(200, deep), TOKEN).is_err());
    }

    #[test]
    fn the_token_is_cut_out_of_all_that_is_repeated() {
        let echo = format!("you sent {TOKEN}");
        let wrong_type = json!({"status": {"authenticated": TOKEN}}).to_string();
        for answer in [
            answer(400, echo.as_str()),
            answer(200, wrong_type),
            answer(200, json!({"kind": TOKEN, "apiVersion": TOKEN}).to_string()),
            review(&json!({"error": echo})),
            // What is cut must not keep a part of it.
            answer(400, format!("{}{TOKEN}", "x".repeat(295))),
        ] {
            let error = read(&answer, TOKEN).unwrap_err();
            let text = format!("{error} {error:?}");
            assert!(!text.contains("s3cr"), "{text}");
            assert!(text.contains("<tok"), "{text}");
        }
    }

    #[test]
    fn other_statuses_are_told_with_what_they_ask_for() {
        let mut overloaded = answer(429, "slow\u{1b}[2Jdown\n");
        overloaded
            .headers
            .insert(header::RETRY_AFTER, "7".parse().unwrap());
        let error = read(&overloaded, TOKEN).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the TokenReview server answered 429 Too Many Requests slow\\u{1b}[2Jdown"
        );
        let expected = Failure::Status {
            code: StatusCode::TOO_MANY_REQUESTS,
            retry_after: Some(Duration::from_secs(7)),
        };
        assert_eq!(error.failure(), expected);
        for other in [204, 302, 404] {
            assert!(read(&answer(other, ""), TOKEN).is_err(), "{other}");
        }
    }
}

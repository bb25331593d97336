//! Why no credential came back, told so that the reader knows what to do.

use std::fmt;
use std::time::Duration;

use haulout_api::credential::PLURAL;
use haulout_api::group::VERSION;
use haulout_https::{ProxyError, by_way_of};
use reqwest::StatusCode;

use super::Parameters;
use super::{LONGEST_PAUSE, PAUSE};
use crate::audit_id::audit_hint;
use crate::transport::{NO_TLS, TransportFault};

/// Why an exchange failed. The words before the first colon are those of Pinniped's CLI.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExchangeError {
    #[error("login failed: {message}{}", audit_hint("cluster", audit_id.as_deref()))]
    Refused {
        message: String,
        audit_id: Option<String>,
    },
    #[error(
        "login failed: unknown cause (the answer holds neither a credential nor a message); an administrator finds more in the webhook's log"
    )]
    UnknownCause,
    #[error(
        "could not login: the credential has expired by this computer's clock; check the date and time of both sides"
    )]
    ExpiredOnArrival,
    #[error(
        "could not login: 401 Unauthorized: anonymous path not open: the API server must let anonymous callers in at \
         /apis/login.concierge.{suffix}/{VERSION}/{PLURAL}; an administrator opens exactly this path with an \
         AuthenticationConfiguration (see docs/configuration.md of Haulout)"
    )]
    AnonymousPathNotOpen { suffix: String },
    #[error(
        "could not login: 403 Forbidden: the cluster's RBAC does not let anonymous callers create \
         tokencredentialrequests, or Haulout is not installed; an administrator sets rbac.anonymous=true with Helm, \
         or applies manifests/rbac/login-anonymous.yaml{}",
        detail(message)
    )]
    Forbidden { message: String },
    #[error(
        "could not login: 404 Not Found: the API group login.concierge.{suffix} is not installed in this cluster; \
         check --concierge-endpoint and --concierge-api-group-suffix"
    )]
    NotInstalled { suffix: String },
    #[error("could not login: 429 Too Many Requests: {}", wait(*retry_after))]
    TooManyRequests { retry_after: Option<u64> },
    #[error(
        "could not login: {status}: the login service of this cluster does not answer; try again, and if it stays \
         so, an administrator looks at `kubectl get apiservices`{}",
        detail(message)
    )]
    Unavailable { status: StatusCode, message: String },
    #[error(
        "could not login: redirected to \"{to}\", which is not followed with a token; put the final address into \
         --concierge-endpoint"
    )]
    Redirected { to: String },
    #[error(
        "could not login: {status}{}; an administrator finds more in the webhook's log",
        detail(message)
    )]
    Status { status: StatusCode, message: String },
    #[error(
        "could not login: the answer is no TokenCredentialRequest; is --concierge-endpoint a Kubernetes API server?"
    )]
    NotAnAnswer,
    #[error(
        "could not login: the answer is too long; is --concierge-endpoint a Kubernetes API server?"
    )]
    TooLong,
    #[error(
        "could not login: no answer from {authority} in time; check --concierge-endpoint and your network"
    )]
    TimedOut { authority: String },
    #[error(
        "could not login: nothing listens at {authority}; check --concierge-endpoint and your network"
    )]
    ConnectionRefused { authority: String },
    #[error("could not login: {authority}: {NO_TLS}; check --concierge-endpoint")]
    NoTls { authority: String },
    #[error("could not login: {authority} does not speak TLS 1.3, which is required")]
    TlsVersion { authority: String },
    #[error(
        "could not login: the certificate of {authority} is not to be trusted ({reason}); check \
         --concierge-ca-bundle-data and --concierge-endpoint"
    )]
    Certificate { authority: String, reason: String },
    #[error(
        "could not login: failed to reach {authority}; check --concierge-endpoint and your network"
    )]
    Transport {
        authority: String,
        #[source]
        source: reqwest::Error,
    },
    #[error(
        "could not login: {0}; set it right, or unset it, or have the cluster's host in NO_PROXY"
    )]
    Proxy(ProxyError),
    #[error("could not login: failed to set up an HTTPS client")]
    Client(#[source] reqwest::Error),
}

impl ExchangeError {
    /// Names the cause that hides in the layers of an HTTP client's error.
    pub(super) fn from_transport(error: reqwest::Error, parameters: &Parameters) -> Self {
        let authority = place(parameters);
        match TransportFault::of(&error) {
            TransportFault::TimedOut => Self::TimedOut { authority },
            TransportFault::ConnectionRefused => Self::ConnectionRefused { authority },
            TransportFault::TlsVersion => Self::TlsVersion { authority },
            TransportFault::Certificate(reason) => Self::Certificate {
                authority,
                reason: reason.to_string(),
            },
            TransportFault::NoTls => Self::NoTls { authority },
            TransportFault::Other => Self::Transport {
                authority,
                // It says nothing that the authority does not.
                source: error.without_url(),
            },
        }
    }

    /// How long to wait before asking once more; `None` where that would not help.
    pub(super) fn pause_before_retry(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { .. } => Some(PAUSE),
            Self::TooManyRequests { retry_after } => {
                let pause = retry_after.map_or(PAUSE, Duration::from_secs);
                (pause <= LONGEST_PAUSE).then_some(pause)
            }
            _ => None,
        }
    }
}

/// Where an exchange goes, for messages.
pub(super) fn place(parameters: &Parameters) -> String {
    let authority = parameters.authority();
    // An unusable one has ended the exchange before.
    let proxy = parameters.proxy().ok().flatten();
    format!("{authority}{}", by_way_of(proxy.as_ref()))
}

fn detail(message: &str) -> impl fmt::Display {
    if message.is_empty() {
        String::new()
    } else {
        format!(" (the server says: {message})")
    }
}

fn wait(retry_after: Option<u64>) -> impl fmt::Display {
    match retry_after {
        Some(seconds) => format!("try again in {seconds} s"),
        None => "try again in a moment".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_passing_faults_are_asked_again() {
        let unavailable = ExchangeError::Unavailable {
            status: StatusCode::SERVICE_UNAVAILABLE,
            message: String::new(),
        };
        let limited = |retry_after| ExchangeError::TooManyRequests { retry_after };
        let cases = [
            (unavailable, Some(PAUSE)),
            (limited(None), Some(PAUSE)),
            (limited(Some(5)), Some(Duration::from_secs(5))),
            (limited(Some(6)), None),
            (limited(Some(u64::MAX)), None),
            (
                ExchangeError::Forbidden {
                    message: String::new(),
                },
                None,
            ),
            (ExchangeError::NotAnAnswer, None),
            (
                ExchangeError::Refused {
                    message: "authentication failed".to_owned(),
                    audit_id: None,
                },
                None,
            ),
        ];
        for (error, pause) in cases {
            assert_eq!(error.pause_before_retry(), pause, "{error}");
        }
    }

    #[test]
    fn refusal_reads_as_in_pinnipeds_cli() {
        let error = ExchangeError::Refused {
            message: "authentication failed".to_owned(),
            audit_id: None,
        };
        assert_eq!(error.to_string(), "login failed: authentication failed");
    }
}

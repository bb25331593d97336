//! Metrics of logins. Every label value comes from a fixed set; none comes from a request.

use std::time::Duration;

use haulout_serve::health::Metrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;

use crate::limits::LimitExceeded;

/// Upper ends of the buckets in seconds: a login takes well under a millisecond, one with a far
/// authenticator up to the deadline of the request.
const BUCKETS: [f64; 13] = [
    0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.25, 0.5, 1.0, 5.0, 34.0,
];

/// Counts `TokenCredentialRequest`s.
#[derive(Clone, Debug)]
pub struct LoginMetrics {
    requests: Family<Labels, Counter>,
    duration: Histogram,
    direct: Family<DirectLabels, Counter>,
    /// Whether what is counted came through the direct endpoint.
    is_direct: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    result: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DirectLabels {
    result: &'static str,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LoginResult {
    /// A credential was given out.
    Authenticated,
    /// 201 without a credential, for this reason.
    Failed(&'static str),
    /// Refused before the token was looked at, with this reason of a Kubernetes `Status`.
    Invalid(&'static str),
    /// Refused before the request was read.
    Limited(LimitExceeded),
    /// Refused while its body, or too many others, were long in coming.
    LateBody,
}

impl LoginMetrics {
    /// Registers the metrics.
    pub fn new(metrics: &Metrics) -> Self {
        let requests = Family::<Labels, Counter>::default();
        let duration = Histogram::new(BUCKETS);
        let direct = Family::<DirectLabels, Counter>::default();
        metrics.register(|registry| {
            registry.register(
                "token_credential_requests",
                "TokenCredentialRequests by result (success, failure, invalid, limited) and reason",
                requests.clone(),
            );
            registry.register(
                "token_credential_request_duration_seconds",
                "Time from a TokenCredentialRequest's arrival to its answer",
                duration.clone(),
            );
            registry.register(
                "direct_endpoint_requests",
                "Those of the TokenCredentialRequests that came through the direct endpoint, by result",
                direct.clone(),
            );
        });
        Self {
            requests,
            duration,
            direct,
            is_direct: false,
        }
    }

    /// The same metrics, for what comes through the direct endpoint.
    pub(crate) fn of_direct_endpoint(&self) -> Self {
        Self {
            is_direct: true,
            ..self.clone()
        }
    }

    pub(crate) fn observe(&self, result: LoginResult, took: Duration) {
        let labels = match result {
            LoginResult::Authenticated => Labels {
                result: "success",
                reason: "Authenticated",
            },
            LoginResult::Failed(reason) => Labels {
                result: "failure",
                reason,
            },
            LoginResult::Invalid(reason) => Labels {
                result: "invalid",
                reason,
            },
            LoginResult::Limited(exceeded) => Labels {
                result: "limited",
                reason: match exceeded {
                    LimitExceeded::PerAddress => "PerAddress",
                    LimitExceeded::Total => "Total",
                },
            },
            LoginResult::LateBody => Labels {
                result: "limited",
                reason: "LateBody",
            },
        };
        self.requests.get_or_create(&labels).inc();
        if self.is_direct {
            let result = labels.result;
            self.direct.get_or_create(&DirectLabels { result }).inc();
        }
        self.duration.observe(took.as_secs_f64());
    }
}

//! Finds out whether the API server accepts what the agents sign: has each of them sign a certificate of a user who may do
//! nothing, asks the API server with it who that is, and forgets its key.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures_util::future::join_all;
use haulout_api::signing::{
    CANARY_LIFETIME_SECONDS, CANARY_USERNAME, CertificateRequest, SigningFailureReason,
};
use haulout_operate::cluster::{ApiServer, CallError, call, post_params};
use haulout_operate::error::chain;
use haulout_pki::secret_key::KeyPair;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::Api;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::signer::{AgentAnswer, Signer, SignerError};
use crate::signing_ca::{SigningCaError, SigningCaGuard};

/// What came of one agent's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The API server knows its user.
    Accepted,
    /// The agent does not sign, and why.
    NotSigned(String),
    /// It is not to be shown to anybody, and why.
    HeldBack(String),
    /// The API server does not accept it, and what it said.
    Refused(String),
    /// The agent did not sign this time, which may mean nothing, and why.
    SigningFailed(String),
    /// The API server could not be asked, and why.
    ReviewFailed(String),
}

/// One agent's certificate.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sample {
    /// Address of the agent.
    pub(super) agent: String,
    pub(super) outcome: Outcome,
    /// Seconds by which the agent's clock is ahead of ours, if it signed.
    pub(super) clock_difference: Option<f64>,
}

/// Counts certificates: `canary_total{result}`.
#[derive(Clone, Debug, Default)]
pub struct CanaryMetrics(Family<Labels, Counter>);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    result: &'static str,
}

impl CanaryMetrics {
    /// Registers the metric.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "canary",
            "Self-checks of the leader, one for each agent a minute, by result (accepted, refused, held_back, not_signed, \
             signing_failed, review_failed)",
            metrics.0.clone(),
        );
        metrics
    }
}

/// Sends canaries.
pub(super) struct Canary {
    pub(super) signer: Signer,
    pub(super) guard: Arc<SigningCaGuard>,
    pub(super) api_server: ApiServer,
    pub(super) metrics: CanaryMetrics,
}

impl Canary {
    /// Asks all agents that are connected, at the same time; about ten seconds at most.
    pub(super) async fn send(&self) -> Vec<Sample> {
        let Ok(key) = KeyPair::generate_p256() else {
            // Without randomness nobody gets a certificate; what is known stays.
            return Vec::new();
        };
        let request = CertificateRequest {
            audit_id: uuid::Uuid::new_v4().to_string(),
            username: CANARY_USERNAME.to_owned(),
            groups: Vec::new(),
            extra: [].into(),
            public_key: BASE64_STANDARD.encode(key.spki_der()),
            lifetime_seconds: CANARY_LIFETIME_SECONDS,
            evidence: None,
        };
        let answers = self.signer.sign_by_each(&request).await.unwrap_or_default();
        let judged = answers.into_iter().map(async |answered| {
            let AgentAnswer {
                agent,
                answer,
                clock_difference,
            } = answered;
            let outcome = match answer {
                Ok(answer) => self.show(&answer.certificate, &key).await,
                Err(error) => not_signed(&error),
            };
            let result = outcome.as_str();
            self.metrics.0.get_or_create(&Labels { result }).inc();
            Sample {
                agent,
                outcome,
                clock_difference,
            }
        });
        join_all(judged).await
    }

    async fn show(&self, certificate: &str, key: &KeyPair) -> Outcome {
        match self.guard.judge(certificate) {
            Err(error @ SigningCaError::FrontProxyKey) => {
                return Outcome::HeldBack(error.to_string());
            }
            Err(error @ SigningCaError::Unreadable(_)) => return Outcome::NotSigned(chain(&error)),
            Ok(()) => {}
        }
        let client = match self.api_server.client_with(certificate, &key.pkcs8_pem()) {
            Ok(client) => client,
            Err(error) => return Outcome::ReviewFailed(chain(&error)),
        };
        let reviews = Api::<SelfSubjectReview>::all(client);
        let review = SelfSubjectReview::default();
        reviewed(call(reviews.create(&post_params(), &review)).await)
    }
}

impl Outcome {
    /// Why the agent does not sign, be it for now.
    pub(super) fn unsigned(&self) -> Option<&str> {
        match self {
            Self::NotSigned(why) | Self::SigningFailed(why) => Some(why),
            _ => None,
        }
    }

    pub(super) fn held_back(&self) -> Option<&str> {
        match self {
            Self::HeldBack(why) => Some(why),
            _ => None,
        }
    }

    pub(super) fn refused(&self) -> Option<&str> {
        match self {
            Self::Refused(said) => Some(said),
            _ => None,
        }
    }

    pub(super) fn review_failed(&self) -> Option<&str> {
        match self {
            Self::ReviewFailed(why) => Some(why),
            _ => None,
        }
    }

    /// Metric label.
    fn as_str(&self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::NotSigned(_) => "not_signed",
            Self::HeldBack(_) => "held_back",
            Self::Refused(_) => "refused",
            Self::SigningFailed(_) => "signing_failed",
            Self::ReviewFailed(_) => "review_failed",
        }
    }
}

fn not_signed(error: &SignerError) -> Outcome {
    let text = chain(error);
    let is_passing = match error {
        SignerError::Refused { failure, .. } => failure.reason == SigningFailureReason::RateLimited,
        SignerError::Connection { .. } | SignerError::DeadlineExceeded(_) => true,
        SignerError::NoAgentReachable(_)
        | SignerError::Protocol { .. }
        | SignerError::Encode(_) => false,
    };
    if is_passing {
        Outcome::SigningFailed(text)
    } else {
        Outcome::NotSigned(text)
    }
}

/// What the API server's answer says about the certificate that the question came with.
fn reviewed(answer: Result<SelfSubjectReview, CallError>) -> Outcome {
    let error = match answer {
        Ok(review) => {
            let user = review.status.and_then(|status| status.user_info);
            return match user.and_then(|user| user.username) {
                Some(name) if name == CANARY_USERNAME => Outcome::Accepted,
                Some(name) => Outcome::Refused(format!("it takes its holder for \"{name}\"")),
                None => Outcome::ReviewFailed("the API server did not say who asked".to_owned()),
            };
        }
        Err(error) => error,
    };
    match &error {
        CallError::Refused(status) if status.code == 401 => {
            Outcome::Refused("it answered 401 Unauthorized".to_owned())
        }
        // Whoever may not ask who he is, is told who he is all the same.
        CallError::Refused(status) if status.code == 403 => {
            if status.message.contains(&format!("\"{CANARY_USERNAME}\"")) {
                Outcome::Accepted
            } else {
                Outcome::Refused(format!("it took no notice of it: {}", status.message))
            }
        }
        _ => Outcome::ReviewFailed(chain(&error)),
    }
}

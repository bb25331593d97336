//! Why a certificate could not be had.

use haulout_api::signing::{SigningFailure, SigningFailureReason};

use super::health::SignerHealth;

/// Why no agent gave a certificate. No text holds a name, a group or a key.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// Not one agent is connected.
    #[error(
        "no signing agent is reachable ({0}); check that haulout-agent runs on a control plane node"
    )]
    NoAgentReachable(SignerHealth),
    /// An agent answered that it does not sign.
    #[error("agent {agent} did not sign: {:?}: {}", .failure.reason, .failure.message)]
    Refused {
        /// Address of the agent.
        agent: String,
        /// What it said.
        failure: SigningFailure,
    },
    /// The connection to the agent ended before the answer was complete.
    #[error("failed to get an answer from agent {agent}")]
    Connection {
        /// Address of the agent.
        agent: String,
        /// What the HTTP/2 client reports.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The agent's answer does not follow `docs/signing-protocol.md`.
    #[error(
        "agent {agent} gave an invalid answer ({fault}); check that it has the webhook's version"
    )]
    Protocol {
        /// Address of the agent.
        agent: String,
        /// What is wrong with the answer.
        fault: String,
    },
    /// No agent answered in time.
    #[error("no signing agent answered within {0} s; look at the load of the control plane nodes")]
    DeadlineExceeded(u64),
    /// The request cannot be written as JSON; no input leads here.
    #[error("failed to write the signing request")]
    Encode(#[source] serde_json::Error),
}

impl SignerError {
    /// One word from a fixed set, for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoAgentReachable(_) => "NoAgentReachable",
            Self::Refused { failure, .. } => failure.reason.as_str(),
            Self::Connection { .. } => "AgentConnectionLost",
            Self::Protocol { .. } => "InvalidAgentAnswer",
            Self::DeadlineExceeded(_) => "AgentDeadlineExceeded",
            Self::Encode(_) => "Internal",
        }
    }

    /// What this failure says about asking another agent.
    pub(super) fn verdict(&self) -> Verdict {
        match self {
            Self::Refused { failure, .. } => match failure.reason {
                // All agents have one policy, and none can make sense of a malformed request.
                SigningFailureReason::InvalidRequest | SigningFailureReason::RefusedByPolicy => {
                    Verdict::Final
                }
                SigningFailureReason::RateLimited => Verdict::TryAnother,
                SigningFailureReason::Unauthenticated
                | SigningFailureReason::KeyUnavailable
                | SigningFailureReason::PolicyUnavailable
                | SigningFailureReason::Internal => Verdict::Sideline,
            },
            Self::Connection { .. } | Self::Protocol { .. } => Verdict::Sideline,
            Self::NoAgentReachable(_) | Self::DeadlineExceeded(_) | Self::Encode(_) => {
                Verdict::Final
            }
        }
    }

    /// Of two failures of one request the one that tells an administrator more: what an agent said
    /// rather than that one did not.
    pub(super) fn more_telling(self, earlier: Option<Self>) -> Self {
        match (earlier, &self) {
            (
                Some(said @ Self::Refused { .. }),
                Self::Connection { .. } | Self::Protocol { .. },
            ) => said,
            _ => self,
        }
    }
}

/// What to do after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// No other agent would answer otherwise.
    Final,
    /// Another agent may be able; this one is well.
    TryAnother,
    /// Another agent may be able; this one is asked last for a while.
    Sideline,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(reason: SigningFailureReason) -> SignerError {
        let failure = SigningFailure {
            reason,
            message: "m".into(),
        };
        SignerError::Refused {
            agent: "a:1".into(),
            failure,
        }
    }

    fn lost() -> SignerError {
        SignerError::Connection {
            agent: "b:1".into(),
            source: "reset".into(),
        }
    }

    #[test]
    fn only_what_every_agent_would_say_is_final() {
        use SigningFailureReason::*;
        for (reason, verdict) in [
            (InvalidRequest, Verdict::Final),
            (RefusedByPolicy, Verdict::Final),
            (RateLimited, Verdict::TryAnother),
            (Unauthenticated, Verdict::Sideline),
            (KeyUnavailable, Verdict::Sideline),
            (PolicyUnavailable, Verdict::Sideline),
            (Internal, Verdict::Sideline),
        ] {
            let error = refused(reason);
            assert_eq!(error.verdict(), verdict, "{reason:?}");
            assert_eq!(error.reason(), reason.as_str());
        }
        assert_eq!(lost().verdict(), Verdict::Sideline);
    }

    #[test]
    fn what_an_agent_said_outlives_a_lost_connection() {
        let key = || refused(SigningFailureReason::KeyUnavailable);
        assert_eq!(lost().more_telling(Some(key())).reason(), "KeyUnavailable");
        assert_eq!(key().more_telling(Some(lost())).reason(), "KeyUnavailable");
        assert_eq!(lost().more_telling(None).reason(), "AgentConnectionLost");
    }
}

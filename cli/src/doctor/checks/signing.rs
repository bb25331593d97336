//! Whether the API server accepts what the agents sign, as the webhook that leads finds out each minute.

use haulout_api::issuer::{StrategyReason, StrategyStatus};

use super::judged;
use crate::doctor::observations::{Issuer, Objects};
use crate::doctor::report::Outcome;

/// How the status tells of agents that cannot be used, while others can.
const NOT_EVERY_AGENT: &str = "not every agent can be used";
/// How it tells of clocks.
const CLOCKS: &str = "the clocks of agent";

const DOCS: &str = "docs/credential-issuer.md";

pub(super) fn is_accepted(objects: &Objects) -> Outcome {
    judged(&objects.issuer, |issuer| {
        let strategy = issuer.as_ref().and_then(Issuer::signing);
        let (Some(issuer), Some(strategy)) = (issuer, strategy) else {
            return Outcome::failed(
                "there is no CredentialIssuer with a status, which the webhook that leads writes",
                format!("look for its error: {}", objects.webhook_log(None)),
            );
        };
        let told = format!(
            "CredentialIssuer {}: {:?}: {}",
            issuer.name, strategy.reason, strategy.message
        );
        match (strategy.status, strategy.reason) {
            (StrategyStatus::Success, _) if strategy.message.contains(NOT_EVERY_AGENT) => {
                Outcome::warning(told, format!("do what the message says ({DOCS})"))
            }
            // The address that clients are told has a check of its own.
            (StrategyStatus::Success, _) | (_, StrategyReason::CouldNotGetClusterInfo) => {
                Outcome::ok("the API server accepts what the agents sign")
            }
            (StrategyStatus::Error, StrategyReason::Pending) => Outcome::warning(
                told,
                "run `haulout doctor` again in half a minute: a new webhook looks first",
            ),
            (StrategyStatus::Error, StrategyReason::ErrorDuringSetup) => {
                let pair = if objects.has_no_deployment() {
                    "by its --ca-cert and --ca-key"
                } else {
                    "which `haulout agent-values` prints"
                };
                Outcome::failed(
                    told,
                    format!(
                        "give the agent the pair that kube-controller-manager signs with, {pair}; the API server's \
                         --client-ca-file has to hold it ({DOCS})"
                    ),
                )
            }
            (StrategyStatus::Error, _) => {
                Outcome::failed(told, format!("do what the message says ({DOCS})"))
            }
        }
    })
}

pub(super) fn clocks(objects: &Objects) -> Outcome {
    judged(&objects.issuer, |issuer| {
        let message = issuer
            .as_ref()
            .and_then(Issuer::signing)
            .map(|strategy| &strategy.message);
        let note =
            message.and_then(|message| message.split("; ").find(|note| note.starts_with(CLOCKS)));
        match note {
            Some(note) => Outcome::warning(
                note,
                "set the clocks of the nodes by NTP: certificates may not be valid yet, or no more, where they are used",
            ),
            None => {
                Outcome::ok("the clocks of the agents and of the webhook differ by 30 s at most")
            }
        }
    })
}

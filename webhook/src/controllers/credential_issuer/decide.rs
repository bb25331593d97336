//! What the strategies say, from what is known. No I/O, no time.

#[cfg(test)]
mod tests;

use haulout_api::issuer::{
    DirectEndpointInfo, FrontendType, Strategy, StrategyFrontend, StrategyReason, StrategyStatus,
    StrategyType,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::canary::Outcome;
use super::endpoint::Endpoint;
use super::ledger::Agent;
use crate::controllers::direct_certificate::Standing;
use crate::signer::CLOCK_DIFFERENCE_LIMIT;

/// Clients of Pinniped's Concierge match it.
const FETCHED: &str = "key was fetched successfully";

/// A strategy but for the time of its last change.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Finding {
    pub(super) type_: StrategyType,
    pub(super) status: StrategyStatus,
    pub(super) reason: StrategyReason,
    pub(super) message: String,
    pub(super) frontend: Option<StrategyFrontend>,
}

/// All that decides on signing with the cluster's key.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    /// The agents that were connected at the last canary, by address.
    pub(super) agents: &'a [(&'a str, &'a Agent)],
    /// One line for each agent that is not connected, and for what stands in the way of all.
    pub(super) faults: &'a [String],
    /// Why no agent signs, if that was looked into.
    pub(super) explanation: Option<&'a str>,
    /// What clients are told.
    pub(super) endpoint: &'a Endpoint,
}

/// What the strategy for signing with the cluster's key says; `None` while too little is known.
///
/// `Success` takes an agent whose certificate the API server accepts, and none whose certificate it does not: logins go to
/// each in turn. What is missing without keeping anybody from logging in is told behind the message.
pub(super) fn signing(facts: &Facts<'_>) -> Option<Finding> {
    let first = |text: fn(&Outcome) -> Option<&str>| {
        let mut agents = facts.agents.iter();
        agents.find_map(|(address, agent)| Some((*address, text(agent.outcome.as_ref()?)?)))
    };
    if let Some((address, fault)) = first(Outcome::held_back) {
        return Some(broken(format!(
            "nothing that agent {address} signs is handed out: {fault}"
        )));
    }
    if let Some((address, said)) = first(Outcome::refused) {
        let clocks = clock_notes(facts).concat();
        return Some(broken(format!(
            "the API server does not accept what agent {address} signs: {said}; its --client-ca-file has to hold the CA \
             that the agent signs with. Compare both, and give the agent the files of kube-controller-manager's \
             --cluster-signing-cert-file and --cluster-signing-key-file{clocks}"
        )));
    }
    let mut outcomes = facts.agents.iter().map(|(_, agent)| &agent.outcome);
    if outcomes
        .clone()
        .any(|outcome| *outcome == Some(Outcome::Accepted))
    {
        return succeeded(facts);
    }
    if outcomes.any(Option::is_none) {
        return None;
    }
    if let Some((address, fault)) = first(Outcome::review_failed) {
        return Some(broken(format!(
            "it is not known whether the API server accepts what agent {address} signs, since it could not be asked by \
             SelfSubjectReview: {fault}"
        )));
    }
    facts.explanation.map(|explanation| Finding {
        type_: StrategyType::KubeClusterSigningCertificate,
        status: StrategyStatus::Error,
        reason: StrategyReason::CouldNotFetchKey,
        message: explanation.to_owned(),
        frontend: None,
    })
}

fn broken(message: String) -> Finding {
    Finding {
        type_: StrategyType::KubeClusterSigningCertificate,
        status: StrategyStatus::Error,
        reason: StrategyReason::ErrorDuringSetup,
        message,
        frontend: None,
    }
}

/// The key is in use; what is left is the address that clients are told.
fn succeeded(facts: &Facts<'_>) -> Option<Finding> {
    let info = match facts.endpoint {
        Endpoint::Awaited => return None,
        Endpoint::Broken(fault) => {
            return Some(Finding {
                reason: StrategyReason::CouldNotGetClusterInfo,
                ..broken(fault.clone())
            });
        }
        Endpoint::Known(info) => Some(info.clone()),
        Endpoint::Unknown(_) => None,
    };
    let mut message = FETCHED.to_owned();
    if let Endpoint::Unknown(note) = facts.endpoint {
        message = message + "; " + note;
    }
    message.extend(clock_notes(facts));
    let agents = facts.agents.iter().filter_map(|(address, agent)| {
        let outcome = agent.outcome.as_ref()?;
        let unchecked = || {
            Some(format!(
                "agent {address} could not be checked: {}",
                outcome.review_failed()?
            ))
        };
        outcome.unsigned().map(str::to_owned).or_else(unchecked)
    });
    let unused: Vec<String> = agents.chain(facts.faults.iter().cloned()).collect();
    if !unused.is_empty() {
        message = message + "; not every agent can be used: " + &unused.join("; ");
    }
    Some(Finding {
        type_: StrategyType::KubeClusterSigningCertificate,
        status: StrategyStatus::Success,
        reason: StrategyReason::FetchedKey,
        message,
        frontend: Some(StrategyFrontend {
            type_: FrontendType::TokenCredentialRequestAPI,
            token_credential_request_info: info,
            impersonation_proxy_info: None,
            direct_endpoint_info: None,
        }),
    })
}

/// Without the figure, which is another one each minute.
fn clock_notes(facts: &Facts<'_>) -> Vec<String> {
    let differ = facts
        .agents
        .iter()
        .filter(|(_, agent)| agent.clock_difference.abs() > CLOCK_DIFFERENCE_LIMIT);
    let note = |(address, _): &(&str, &Agent)| {
        format!(
            "; the clocks of agent {address} and of the webhook differ by more than {CLOCK_DIFFERENCE_LIMIT} s, set them by NTP"
        )
    };
    differ.map(note).collect()
}

/// What the strategy for signing says before anything is known: clients wait and ask again.
pub(super) fn awaited() -> Finding {
    Finding {
        type_: StrategyType::KubeClusterSigningCertificate,
        status: StrategyStatus::Error,
        reason: StrategyReason::Pending,
        message: "the first certificate is not signed and checked yet".to_owned(),
        frontend: None,
    }
}

/// What the strategy for the impersonation proxy says, which this version does not have.
pub(super) fn proxy() -> Finding {
    Finding {
        type_: StrategyType::ImpersonationProxy,
        status: StrategyStatus::Error,
        reason: StrategyReason::Disabled,
        message: "this version of Haulout has no impersonation proxy, whatever spec.impersonationProxy.mode says".to_owned(),
        frontend: None,
    }
}

/// What the strategy for the direct endpoint at `url` says: it is of use only where there is signing.
pub(super) fn direct(url: &str, standing: Standing, signing: &Finding) -> Finding {
    let error = |reason, message| Finding {
        type_: StrategyType::DirectEndpoint,
        status: StrategyStatus::Error,
        reason,
        message,
        frontend: None,
    };
    let certificate_authority_data = match standing {
        Standing::Pending(awaited) => {
            let message = format!("the direct endpoint has no certificate: {awaited}");
            return error(StrategyReason::Pending, message);
        }
        Standing::Unusable(fault) => return error(StrategyReason::ErrorDuringSetup, fault),
        Standing::Listening(authority) => authority,
    };
    if signing.status != StrategyStatus::Success {
        let message = format!(
            "the direct endpoint listens, but nothing is signed: {}",
            signing.message
        );
        return error(signing.reason, message);
    }
    Finding {
        type_: StrategyType::DirectEndpoint,
        status: StrategyStatus::Success,
        reason: StrategyReason::Listening,
        message: format!(
            "the direct endpoint listens; kubeconfigs name it by --concierge-endpoint={url} and the API server by server"
        ),
        frontend: Some(StrategyFrontend {
            type_: FrontendType::DirectEndpoint,
            token_credential_request_info: None,
            impersonation_proxy_info: None,
            direct_endpoint_info: Some(DirectEndpointInfo {
                endpoint: url.to_owned(),
                certificate_authority_data,
            }),
        }),
    }
}

impl Finding {
    pub(super) fn since(self, last_update_time: Time) -> Strategy {
        let Self {
            type_,
            status,
            reason,
            message,
            frontend,
        } = self;
        Strategy {
            type_,
            status,
            reason,
            message,
            last_update_time,
            frontend,
        }
    }
}

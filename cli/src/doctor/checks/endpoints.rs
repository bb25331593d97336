//! What clients are told: the API server's address and CA, and the direct endpoint.

use haulout_api::issuer::{
    DirectEndpointInfo, StrategyReason, StrategyStatus, StrategyType, TokenCredentialRequestApiInfo,
};

use super::api_server::{ROOT_CA, describe, out_of_time_remedy};
use super::judged;
use super::webhook::UPGRADE;
use crate::doctor::observations::{Issuer, Objects, Observations, Unreachable};
use crate::doctor::report::{Name, Outcome};

impl Observations {
    fn issuer(&self) -> Option<&Issuer> {
        self.objects.as_ref()?.issuer.as_ref().ok()?.as_ref()
    }

    /// Address and CA of the API server that clients are told.
    pub(in crate::doctor) fn advertised_info(&self) -> Option<&TokenCredentialRequestApiInfo> {
        let frontend = self.issuer()?.signing()?.frontend.as_ref()?;
        frontend.token_credential_request_info.as_ref()
    }

    /// Address and CA of the direct endpoint, if there is one.
    pub(in crate::doctor) fn direct_info(&self) -> Option<&DirectEndpointInfo> {
        let strategy = self.issuer()?.strategy(StrategyType::DirectEndpoint)?;
        strategy.frontend.as_ref()?.direct_endpoint_info.as_ref()
    }

    pub(super) fn has_direct_endpoint(&self) -> bool {
        let strategy = self
            .issuer()
            .map(|issuer| issuer.strategy(StrategyType::DirectEndpoint));
        strategy.flatten().is_some()
    }
}

pub(super) fn advertised(objects: &Objects, seen: &Observations) -> Outcome {
    judged(&objects.issuer, |issuer| {
        let Some(strategy) = issuer.as_ref().and_then(Issuer::signing) else {
            return Outcome::Waits(Name::Signing);
        };
        let set = format!("`{UPGRADE} --set advertise.server={}`", seen.server);
        let (Some(info), Some(answer)) = (seen.advertised_info(), &seen.advertised) else {
            return match strategy.reason {
                StrategyReason::CouldNotGetClusterInfo => {
                    Outcome::failed(strategy.message.as_str(), set)
                }
                _ => Outcome::warning(
                    format!(
                        "clients are told no address of the API server, so each kubeconfig has to have it: {}",
                        strategy.message
                    ),
                    set,
                ),
            };
        };
        let server = &info.server;
        let Err(fault) = answer else {
            return Outcome::ok(format!(
                "clients are told {server}, which answers, with a certificate of the CA that they are told"
            ));
        };
        let remedy = match fault {
            Unreachable::OtherAuthority | Unreachable::Unusable(_) => format!(
                "set advertise.server and advertise.certificateAuthorityData (base64 of PEM), or mend \
                 certificate-authority-data in ConfigMap kube-public/cluster-info; the API server's CA is printed by: {ROOT_CA}"
            ),
            Unreachable::OutOfTime { .. } => {
                out_of_time_remedy(seen, "the API server's certificate")
            }
            _ => format!(
                "tell clients an address that they reach, such as that of your kubeconfig: {set}"
            ),
        };
        Outcome::failed(
            format!("clients are told {server}: {}", describe(fault)),
            remedy,
        )
    })
}

pub(super) fn direct(objects: &Objects, seen: &Observations) -> Outcome {
    judged(&objects.issuer, |issuer| {
        let strategy = issuer
            .as_ref()
            .and_then(|issuer| issuer.strategy(StrategyType::DirectEndpoint));
        let Some(strategy) = strategy else {
            return Outcome::Waits(Name::Signing);
        };
        let told = format!("{:?}: {}", strategy.reason, strategy.message);
        match (strategy.status, strategy.reason) {
            (StrategyStatus::Success, _) => {}
            (StrategyStatus::Error, StrategyReason::Pending) => {
                return Outcome::warning(told, "run `haulout doctor` again in half a minute");
            }
            (StrategyStatus::Error, _) => {
                return Outcome::failed(
                    told,
                    "do what the message says; the helm values directEndpoint set address and certificate (docs/configuration.md)",
                );
            }
        }
        let (Some(info), Some(answer)) = (seen.direct_info(), &seen.direct) else {
            return Outcome::failed(
                told,
                "set directEndpoint.externalUrl to where clients reach it",
            );
        };
        let endpoint = &info.endpoint;
        match answer {
            Ok(answer) if answer.is_webhooks() => {
                Outcome::ok(format!("logins reach the webhook by {endpoint}"))
            }
            Ok(answer) => Outcome::failed(
                format!("a login by {endpoint} is answered {}", answer.text()),
                "let what is in front of it hand on POST with path and body as they are, to Service haulout-direct over HTTPS",
            ),
            Err(fault @ (Unreachable::OtherAuthority | Unreachable::Unusable(_))) => {
                Outcome::failed(
                    format!("{endpoint}: {}", describe(fault)),
                    "set directEndpoint.certificateAuthorityData to the CA of the certificate that clients see there, base64 of PEM",
                )
            }
            Err(fault @ Unreachable::OutOfTime { .. }) => Outcome::failed(
                format!("{endpoint}: {}", describe(fault)),
                out_of_time_remedy(seen, "its certificate"),
            ),
            Err(fault) => Outcome::failed(
                format!("{endpoint}: {}", describe(fault)),
                "let clients reach it: DNS, the Ingress or Gateway in front of Service haulout-direct, firewall; the helm value \
                 directEndpoint.externalUrl has its address",
            ),
        }
    })
}

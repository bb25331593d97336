//! What clients are told: the API server's address and CA, and the direct endpoint.

use haulout_api::issuer::{StrategyReason, StrategyStatus, StrategyType};
use reqwest::Url;

use super::api_server::{ROOT_CA, describe, out_of_time_remedy};
use super::{is_plain, judged};
use crate::doctor::observations::{Issuer, Objects, Observations, OwnDoor, Unreachable};
use crate::doctor::report::{Name, Outcome};
use crate::installation::DIRECT_SERVICE;

impl Observations {
    /// Where the kubeconfig's user logs in, if that is none of the addresses that the cluster is known by.
    fn unknown_own_door(&self) -> Option<&OwnDoor> {
        let own = self.own.as_ref()?;
        let advertised = self.advertised_info().map(|info| info.server.as_str());
        let direct = self.direct_info().map(|info| info.endpoint.as_str());
        let known = [Some(self.server.as_str()), advertised, direct];
        let address = |text: &str| Url::parse(text.trim_end_matches('/')).ok();
        let is_own = |text: &str| address(text) == address(&own.endpoint);
        (!known.into_iter().flatten().any(is_own)).then_some(own)
    }
}

/// An address that an unverified server names may be anyone's.
fn not_asked() -> Outcome {
    Outcome::Unseen(
        "addresses are not tried that a server names whose certificate is not checked".to_owned(),
    )
}

pub(super) fn advertised(objects: &Objects, seen: &Observations) -> Outcome {
    judged(&objects.issuer, |issuer| {
        let Some(strategy) = issuer.as_ref().and_then(Issuer::signing) else {
            return Outcome::Waits(Name::Signing);
        };
        if !seen.verifies_server {
            return not_asked();
        }
        let set = match is_plain(&seen.server) {
            true => format!(
                "`{} --set advertise.server={}`",
                objects.upgrade(),
                seen.server
            ),
            false => "set advertise.server, a value of the chart, to the address that people use"
                .to_owned(),
        };
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
        if answer.is_ok()
            && let Some(own) = seen.unknown_own_door()
        {
            return Outcome::warning(
                format!(
                    "the kubeconfig's user logs in at {}, and clients are told {server}{}",
                    own.endpoint,
                    seen.direct_info()
                        .map(|info| format!(" and {}", info.endpoint))
                        .unwrap_or_default()
                ),
                "make sure that it is yours, or put the address that clients are told into --concierge-endpoint of the kubeconfig",
            );
        }
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
        if !seen.verifies_server {
            return not_asked();
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
                format!(
                    "let what is in front of it hand on POST with path and body as they are, to Service {DIRECT_SERVICE} over \
                     HTTPS"
                ),
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
                format!(
                    "let clients reach it: DNS, the Ingress or Gateway in front of Service {DIRECT_SERVICE}, firewall; the helm \
                     value directEndpoint.externalUrl has its address"
                ),
            ),
        }
    })
}

//! The API server, this computer's clock, and the kubeconfig's user.

use super::Done;
use crate::cluster::CredentialFault;
use crate::doctor::observations::{AccountFault, Answer, Body, Observations, Unreachable};
use crate::doctor::report::{Name, Outcome};

/// Clocks that differ by more than so many seconds are told of.
const CLOCKS_DIFFER: i64 = 30;
/// A certificate lives five minutes, and begins five before: beyond that it has ended, or not begun, on arrival.
const CLOCKS_FORBID_LOGINS: i64 = 300;

/// Where its CA can be had from.
pub(super) const ROOT_CA: &str =
    r"`kubectl -n kube-system get configmap kube-root-ca.crt -o jsonpath='{.data.ca\.crt}'`";

pub(super) fn answers(seen: &Observations) -> Outcome {
    let server = &seen.server;
    let fault = match &seen.version {
        Ok(answer) if !answer.may_be_api_servers() => {
            return Outcome::failed(
                format!(
                    "something else than an API server answers GET {server}/version: {}",
                    answer.status
                ),
                format!(
                    "check that {server} is the API server; else look what stands before it: a login page of the network, a proxy, or \
                     a load balancer that has no API server behind it"
                ),
            );
        }
        Ok(_) if seen.verifies_server => {
            return Outcome::ok(format!(
                "{server} answers, with a certificate of the kubeconfig's CA"
            ));
        }
        Ok(_) => {
            return Outcome::warning(
                format!("{server} answers, but its certificate is not checked"),
                "take insecure-skip-tls-verify out of the kubeconfig, and put the API server's CA into \
                 certificate-authority-data",
            );
        }
        Err(fault) => fault,
    };
    let remedy = match fault {
        Unreachable::Unusable(_) => {
            "mend the cluster's entry in the kubeconfig: its server has to be an https URL, and its CA PEM".to_owned()
        }
        Unreachable::ConnectionRefused | Unreachable::TimedOut | Unreachable::Other(_) => {
            let between = match &seen.proxy {
                Some(_) => "that proxy (proxy-url in the kubeconfig, HTTPS_PROXY, NO_PROXY)",
                None => "the network between: VPN, firewall, proxy",
            };
            format!("check that {server} is the API server, and {between}")
        }
        Unreachable::OtherAuthority => format!(
            "put the API server's own CA into certificate-authority-data of the kubeconfig; where kubectl works, it is \
             printed by: {ROOT_CA}"
        ),
        Unreachable::OutOfTime { .. } => out_of_time_remedy(seen, "the API server's certificate"),
        Unreachable::Certificate(_) => format!(
            "use an address that the API server's certificate names, or add that of {server} to it (certSANs)"
        ),
        Unreachable::TlsVersion => {
            "let what ends TLS in front of the API server pass it through, or speak TLS 1.3".to_owned()
        }
    };
    let by_way_of = match &seen.proxy {
        Some(proxy) => format!(" by way of the proxy {proxy}"),
        None => String::new(),
    };
    Outcome::failed(format!("{server}{by_way_of}: {}", describe(fault)), remedy)
}

impl Answer {
    /// What stands before an API server may refuse callers without credentials in its own words.
    fn may_be_api_servers(&self) -> bool {
        matches!(self.body, Body::Status(_) | Body::Version) || [401, 403].contains(&self.status)
    }
}

impl Observations {
    /// Whether the kubeconfig's user has something to log in with, and no way to do so.
    fn finds_both_doors_closed(&self) -> bool {
        let has_token = self.own.as_ref().is_some_and(|own| !own.lacks_token);
        has_token && !self.login_path_is_open() && !self.own_door_is_open()
    }
}

/// What a server that gives no answer does.
pub(super) fn describe(fault: &Unreachable) -> String {
    match fault {
        Unreachable::Unusable(why) => format!("cannot be used: {why}"),
        Unreachable::ConnectionRefused => "nothing listens there".to_owned(),
        Unreachable::TimedOut => "no answer in time".to_owned(),
        Unreachable::OtherAuthority => "its certificate is not of the given CA".to_owned(),
        Unreachable::OutOfTime { is_early, limit } => {
            let word = if *is_early {
                "is not valid yet"
            } else {
                "has expired"
            };
            match limit {
                Some(limit) => format!("its certificate {word} ({limit})"),
                None => format!("its certificate {word}"),
            }
        }
        Unreachable::Certificate(why) => format!("its certificate is not accepted: {why}"),
        Unreachable::TlsVersion => "it does not speak TLS 1.3".to_owned(),
        Unreachable::Other(why) => why.clone(),
    }
}

pub(super) fn out_of_time_remedy(seen: &Observations, what: &str) -> String {
    format!(
        "set this computer's clock by NTP, if it is not {} in truth; else renew {what}",
        seen.now.strftime("%Y-%m-%dT%H:%M:%SZ")
    )
}

pub(super) fn clock(seen: &Observations) -> Outcome {
    let Some(difference) = seen.clock_difference else {
        return Outcome::Unseen("the API server's answer does not tell its time".to_owned());
    };
    let amount = difference.abs();
    let direction = if difference < 0 { "behind" } else { "ahead of" };
    let evidence = format!("this computer's clock is {amount} s {direction} the API server's");
    let remedy = "set this computer's clock by NTP; if it is right, set the control plane's: certificates live minutes";
    match amount {
        0..=CLOCKS_DIFFER => Outcome::ok(format!(
            "this computer's clock and the API server's differ by {amount} s"
        )),
        ..CLOCKS_FORBID_LOGINS => Outcome::warning(evidence, remedy),
        _ => Outcome::failed(evidence, remedy),
    }
}

pub(super) fn account(seen: &Observations, done: &Done) -> Outcome {
    let fault = match &seen.account {
        Some(Ok(name)) => {
            return Outcome::ok(format!(
                "the API server knows the kubeconfig's user as {name}"
            ));
        }
        Some(Err(fault)) => fault,
        None => return Outcome::Waits(Name::ApiServer),
    };
    match fault {
        AccountFault::NoCredentials(_) if done.failed(&[Name::Clock]).is_some() => {
            Outcome::Waits(Name::Clock)
        }
        AccountFault::NoCredentials(_) if seen.finds_both_doors_closed() => {
            Outcome::Waits(Name::LoginPath)
        }
        AccountFault::NoCredentials(_) if seen.own_token_does_not_log_in() => {
            Outcome::Waits(Name::Token)
        }
        AccountFault::NoCredentials(why) => Outcome::failed(
            format!("there are no credentials for the kubeconfig's user: {why}"),
            format!(
                "{}; with --kubeconfig or --context, take an administrator's to see the rest of the checks",
                match why {
                    CredentialFault::Plugin(_) =>
                        "do what the plugin's message says (docs/kubectl-login.md, When it fails); it may be its issuer that is away",
                    CredentialFault::Other(_) => "look at the user's entry in the kubeconfig",
                }
            ),
        ),
        AccountFault::NotAccepted if done.failed(&[Name::Clock]).is_some() => {
            Outcome::Waits(Name::Clock)
        }
        AccountFault::NotAccepted => Outcome::failed(
            "401: the API server does not know the kubeconfig's user",
            "renew the credentials, which may have expired or be another cluster's; with --kubeconfig or --context, take \
             others to see the rest of the checks",
        ),
        AccountFault::Other(why) => Outcome::failed(
            why.as_str(),
            "look at the API server's log: it answered without credentials, and not with them",
        ),
    }
}

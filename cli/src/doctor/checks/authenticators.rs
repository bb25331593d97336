//! The authenticators, as the webhook judges them.

use haulout_api::authenticator::{AuthenticatorPhase, JwtAuthenticatorSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::in_command;
use crate::authenticator_kind::AuthenticatorKind;
use crate::doctor::observations::{Authenticator, Observations, Seen};
use crate::doctor::report::{Name, Outcome};

/// One outcome for each authenticator, by its kind and name; one without for what is wrong with all.
pub(super) fn all(seen: &Observations) -> Vec<(Option<String>, Outcome)> {
    let Some(objects) = &seen.objects else {
        return vec![(None, Outcome::Waits(Name::Account))];
    };
    let group = seen.suffix.authentication_group();
    let mut outcomes = Vec::new();
    of_kind(
        &mut outcomes,
        AuthenticatorKind::Jwt,
        &group,
        &objects.jwt,
        |spec: &JwtAuthenticatorSpec| format!("issuer {}, audience {}", spec.issuer, spec.audience),
    );
    of_kind(
        &mut outcomes,
        AuthenticatorKind::Webhook,
        &group,
        &objects.webhook,
        |endpoint: &String| format!("endpoint {endpoint}"),
    );
    if outcomes.is_empty() {
        let outcome = Outcome::warning(
            "there is no authenticator, so nobody can log in",
            "say whose tokens log in by a JWTAuthenticator (docs/authenticators.md)",
        );
        outcomes.push((None, outcome));
    }
    outcomes
}

/// What the subject of an authenticator's check is.
pub(super) fn subject(kind: AuthenticatorKind, name: &str) -> String {
    format!("{kind}/{name}")
}

fn of_kind<S>(
    outcomes: &mut Vec<(Option<String>, Outcome)>,
    kind: AuthenticatorKind,
    group: &str,
    seen: &Seen<Vec<Authenticator<S>>>,
    describe: impl Fn(&S) -> String,
) {
    match seen {
        Ok(all) => outcomes.extend(all.iter().map(|authenticator| {
            let name = &authenticator.name;
            let resource = format!(
                "{}s.{group} {}",
                kind.kind().to_lowercase(),
                in_command(name)
            );
            let outcome = judge(authenticator, &describe(&authenticator.spec), &resource);
            (Some(subject(kind, name)), outcome)
        })),
        Err(unseen) => outcomes.push((Some(format!("{kind}/*")), unseen.into())),
    }
}

fn judge<S>(authenticator: &Authenticator<S>, described: &str, resource: &str) -> Outcome {
    let status = &authenticator.status;
    let pending = || {
        Outcome::warning(
            format!("{described}: the webhook has not judged it yet"),
            "run `haulout doctor` again in half a minute",
        )
    };
    match status.phase {
        _ if !status.is_current(authenticator.generation) => pending(),
        AuthenticatorPhase::Pending => pending(),
        AuthenticatorPhase::Ready => Outcome::ok(described),
        AuthenticatorPhase::Error => match status.cause() {
            Some(cause) => Outcome::failed(
                format!("{described}: {}: {}", cause.type_, cause.message),
                remedy(cause, resource),
            ),
            None => Outcome::failed(
                format!("{described}: its phase is Error"),
                format!("`kubectl describe {resource}`"),
            ),
        },
    }
}

fn remedy(cause: &Condition, resource: &str) -> String {
    let is_certificate = cause.message.contains("x509: ");
    match cause.type_.as_str() {
        "TLSConfigurationValid" => format!("mend spec.tls, or what it names: `kubectl edit {resource}`"),
        "IssuerURLValid" | "EndpointURLValid" => format!("mend the URL: `kubectl edit {resource}`"),
        "DiscoveryURLValid" | "JWKSURLValid" | "JWKSFetchValid" | "WebhookConnectionValid" if is_certificate => {
            format!("give its CA in spec.tls.certificateAuthorityData: `kubectl edit {resource}`")
        }
        "DiscoveryURLValid" if cause.message.contains("did not match") => {
            format!("copy the issuer's own spelling into spec.issuer: `kubectl edit {resource}`")
        }
        "DiscoveryURLValid" | "JWKSURLValid" | "JWKSFetchValid" => {
            "let the webhook's pods reach the issuer, whose address the message has: is it up, DNS, NetworkPolicy, firewall, the \
             helm values webhook.proxy"
                .to_owned()
        }
        "WebhookConnectionValid" => {
            "let the webhook's pods reach the TokenReview server: is it up, DNS, NetworkPolicy, firewall, the helm values \
             webhook.proxy"
                .to_owned()
        }
        _ => format!("mend what the message names: `kubectl edit {resource}` (docs/authenticators.md)"),
    }
}

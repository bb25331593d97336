//! The authenticator whose tokens the kubeconfig's users have.

use std::fmt;

use haulout_api::authenticator::{AuthenticatorPhase, AuthenticatorStatus};
use serde::Deserialize;
use serde_json::Value;

use super::error::GetKubeconfigError;
use crate::authenticator_kind::AuthenticatorKind;

/// An authenticator of the cluster.
#[derive(Clone, Debug)]
pub(super) struct Authenticator {
    pub(super) kind: AuthenticatorKind,
    pub(super) name: String,
    /// `spec` of the object.
    pub(super) spec: Value,
    /// Why nobody can log in by it.
    pub(super) fault: Option<String>,
}

impl fmt::Display for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// The kind that `--concierge-authenticator-type` asks for, if it does.
pub(super) fn wanted_kind(type_: &str) -> Result<Option<AuthenticatorKind>, GetKubeconfigError> {
    if type_.is_empty() {
        return Ok(None);
    }
    let kind = AuthenticatorKind::of_type(type_);
    let kind = kind.ok_or_else(|| GetKubeconfigError::AuthenticatorType(type_.to_owned()));
    kind.map(Some)
}

/// What a JWTAuthenticator says of its issuer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct JwtSpec {
    pub(super) issuer: String,
    pub(super) audience: String,
    pub(super) tls: Option<Tls>,
}

/// Whose certificate the issuer has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Tls {
    pub(super) certificate_authority_data: String,
    pub(super) certificate_authority_data_source: Option<CaSource>,
}

/// An object in the namespace of the installation that holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct CaSource {
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) key: String,
}

/// What the webhook has found wrong with an authenticator as it is now.
pub(super) fn fault(status: &AuthenticatorStatus, generation: Option<i64>) -> Option<String> {
    if status.phase != AuthenticatorPhase::Error || !status.is_current(generation) {
        return None;
    }
    Some(match status.cause() {
        Some(cause) => format!("{}: {}", cause.type_, cause.message),
        None => "its phase is Error".to_owned(),
    })
}

/// The only one that has this name, if one is asked for.
pub(super) fn choose(
    mut found: Vec<Authenticator>,
    name: &str,
) -> Result<Authenticator, GetKubeconfigError> {
    found.retain(|authenticator| name.is_empty() || authenticator.name == name);
    match (found.pop(), found.len()) {
        (Some(only), 0) => Ok(only),
        (None, _) if name.is_empty() => Err(GetKubeconfigError::NoAuthenticators),
        (None, _) => Err(GetKubeconfigError::NoAuthenticatorOfName(name.to_owned())),
        (Some(last), _) => {
            found.push(last);
            let names: Vec<String> = found.iter().map(ToString::to_string).collect();
            Err(GetKubeconfigError::SeveralAuthenticators(names.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(names: &[(AuthenticatorKind, &str)]) -> Vec<Authenticator> {
        let one = |(kind, name): &(AuthenticatorKind, &str)| Authenticator {
            kind: *kind,
            name: (*name).to_owned(),
            spec: Value::Null,
            fault: None,
        };
        names.iter().map(one).collect()
    }

    #[test]
    fn exactly_one_is_chosen() {
        use AuthenticatorKind::{Jwt, Webhook};
        let nothing = "no authenticators were found";
        let several = "multiple authenticators were found";
        for (names, name, expected) in [
            (vec![(Jwt, "a")], "", Ok("JWTAuthenticator a")),
            (vec![(Webhook, "a")], "a", Ok("WebhookAuthenticator a")),
            (
                vec![(Jwt, "a"), (Webhook, "b")],
                "b",
                Ok("WebhookAuthenticator b"),
            ),
            (vec![], "", Err(nothing)),
            (
                vec![(Jwt, "a")],
                "b",
                Err("no authenticator \"b\" was found"),
            ),
            (vec![(Jwt, "a"), (Jwt, "b")], "", Err(several)),
            (vec![(Jwt, "a"), (Webhook, "a")], "a", Err(several)),
        ] {
            let chosen = choose(found(&names), name).map(|chosen| chosen.to_string());
            match (chosen, expected) {
                (Ok(chosen), Ok(expected)) => assert_eq!(chosen, expected),
                (Err(error), Err(expected)) => {
                    let error = error.to_string();
                    assert!(error.starts_with(expected), "{error}");
                }
                (chosen, _) => panic!("{names:?} {name}: {chosen:?}"),
            }
        }
    }

    #[test]
    fn those_found_are_told() {
        let found = found(&[
            (AuthenticatorKind::Jwt, "a"),
            (AuthenticatorKind::Webhook, "b"),
        ]);
        let error = choose(found, "").unwrap_err().to_string();
        assert!(
            error.contains("JWTAuthenticator a, WebhookAuthenticator b"),
            "{error}"
        );
    }

    #[test]
    fn only_what_is_wrong_now_is_a_fault() {
        let condition = |type_: &str, status: &str, generation: i64| {
            json!({"type": type_, "status": status, "reason": "R", "message": "m",
                   "lastTransitionTime": "2026-11-18T11:06:40Z", "observedGeneration": generation})
        };
        let (ready, cause) = (
            condition("Ready", "False", 2),
            condition("JWKSURLValid", "False", 2),
        );
        let unknown = condition("JWKSFetchValid", "Unknown", 2);
        let stale = condition("JWKSURLValid", "False", 1);
        for (phase, conditions, expected) in [
            (
                "Error",
                vec![&ready, &unknown, &cause],
                Some("JWKSURLValid: m"),
            ),
            ("Error", vec![&ready], Some("its phase is Error")),
            ("Error", vec![&ready, &stale], None),
            ("Ready", vec![&cause], None),
            ("Pending", vec![], None),
        ] {
            let status = json!({"phase": phase, "conditions": conditions});
            let status = serde_json::from_value(status).unwrap();
            assert_eq!(fault(&status, Some(2)).as_deref(), expected, "{phase}");
        }
    }

    #[test]
    fn a_kind_may_be_asked_for() {
        for (type_, expected) in [("", None), ("Webhook", Some(AuthenticatorKind::Webhook))] {
            assert_eq!(wanted_kind(type_).unwrap(), expected);
        }
        let error = wanted_kind("oidc").unwrap_err().to_string();
        let expected =
            "invalid authenticator type \"oidc\", supported values are \"webhook\" and \"jwt\"";
        assert_eq!(error, expected);
    }
}

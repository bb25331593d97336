//! What was found out about a `JWTAuthenticator`, and the conditions that say so.
//!
//! Types, reasons and messages are those of Pinniped's Concierge (`internal/controller/authenticator/jwtcachefiller`), which
//! clients match.

use haulout_api::authenticator::{AuthenticatorPhase, JwtAuthenticatorSpec};
use haulout_api::conditions::{ConditionStatus, MESSAGE_MAX_CHARS, Observation};
use haulout_jwt::discovery::{DiscoveryError, Provider, WELL_KNOWN_PATH};
use haulout_jwt::keys::FetchError;
use haulout_operate::error::chain;
use url::Url;

use crate::authenticators::trust::{self, TrustError};

/// Outcome of one check: the message of a condition that holds, or why it does not.
pub(super) type Finding = Result<String, Fault>;

/// Why a condition does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    reason: &'static str,
    message: String,
}

impl Fault {
    fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }
}

/// Outcomes in the order of the checks; `None` where an earlier one stood in the way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Findings {
    pub(super) tls: Option<Finding>,
    pub(super) issuer: Option<Finding>,
    pub(super) discovery: Option<Finding>,
    pub(super) jwks_url: Option<Finding>,
    pub(super) jwks_fetch: Option<Finding>,
    pub(super) authenticator: Option<Finding>,
}

impl Findings {
    /// `Ready` when everything holds, else `Error`.
    pub(super) fn phase(&self) -> AuthenticatorPhase {
        match self
            .named()
            .iter()
            .all(|(_, finding)| matches!(finding, Some(Ok(_))))
        {
            true => AuthenticatorPhase::Ready,
            false => AuthenticatorPhase::Error,
        }
    }

    /// The seven conditions.
    pub(super) fn observations(&self) -> Vec<Observation> {
        let ready = match self.phase() {
            AuthenticatorPhase::Ready => Ok("the JWTAuthenticator is ready".to_owned()),
            AuthenticatorPhase::Pending | AuthenticatorPhase::Error => Err(Fault::new(
                "NotReady",
                "the JWTAuthenticator is not ready: see other conditions for details",
            )),
        };
        let named = self
            .named()
            .map(|(type_, finding)| (type_, finding.as_ref()));
        named
            .into_iter()
            .chain([("Ready", Some(&ready))])
            .map(|(type_, finding)| observation(type_, finding))
            .collect()
    }

    /// The message of the first check that failed.
    pub(super) fn first_fault(&self) -> Option<&str> {
        self.named()
            .into_iter()
            .find_map(|(_, finding)| match finding {
                Some(Err(fault)) => Some(fault.message.as_str()),
                _ => None,
            })
    }

    fn named(&self) -> [(&'static str, &Option<Finding>); 6] {
        [
            ("TLSConfigurationValid", &self.tls),
            ("IssuerURLValid", &self.issuer),
            ("DiscoveryURLValid", &self.discovery),
            ("JWKSURLValid", &self.jwks_url),
            ("JWKSFetchValid", &self.jwks_fetch),
            ("AuthenticatorValid", &self.authenticator),
        ]
    }
}

fn observation(type_: &'static str, finding: Option<&Finding>) -> Observation {
    let (status, reason, message) = match finding {
        Some(Ok(message)) => (ConditionStatus::True, "Success", message.as_str()),
        Some(Err(fault)) => (ConditionStatus::False, fault.reason, fault.message.as_str()),
        None => (
            ConditionStatus::Unknown,
            "UnableToValidate",
            "unable to validate; see other conditions for details",
        ),
    };
    // The API server refuses a whole status for one message that is too long.
    let message = message.chars().take(MESSAGE_MAX_CHARS).collect();
    Observation {
        type_,
        status,
        reason,
        message,
    }
}

pub(super) fn tls(trust: Result<&haulout_jwt::client::TrustRoots, &TrustError>) -> Finding {
    use haulout_jwt::client::TrustRoots::{Only, System};
    match trust {
        Ok(System) => Ok(trust::SYSTEM_ROOTS.to_owned()),
        Ok(Only(_)) => Ok(trust::CONFIGURED_ROOTS.to_owned()),
        Err(error) => Err(Fault::new("InvalidTLSConfig", error.to_string())),
    }
}

/// The certificates are well formed but TLS cannot work with them.
pub(super) fn unusable_roots(error: &haulout_jwt::client::ClientError) -> Finding {
    Err(Fault::new(
        "InvalidTLSConfig",
        format!("spec.tls is invalid: {error}"),
    ))
}

pub(super) fn issuer(issuer: &str) -> Finding {
    let url = Url::parse(issuer).map_err(|error| {
        Fault::new(
            "InvalidIssuerURL",
            format!("spec.issuer URL is invalid: {error}"),
        )
    })?;
    if url.scheme() != "https" {
        let message = format!("spec.issuer {issuer} has invalid scheme, require 'https'");
        return Err(Fault::new("InvalidIssuerURLScheme", message));
    }
    if url.path().ends_with(WELL_KNOWN_PATH) {
        let message = format!("spec.issuer {issuer} cannot include path '{WELL_KNOWN_PATH}'");
        return Err(Fault::new(
            "InvalidIssuerURLContainsWellKnownEndpoint",
            message,
        ));
    }
    if url.query().is_some() {
        let message = format!("spec.issuer {issuer} cannot include query params");
        return Err(Fault::new("InvalidIssuerURLContainsQueryParams", message));
    }
    if url.fragment().is_some() {
        let message = format!("spec.issuer {issuer} cannot include fragment");
        return Err(Fault::new("InvalidIssuerURLContainsFragment", message));
    }
    Ok("issuer is a valid URL".to_owned())
}

pub(super) fn discovery(outcome: &Result<Provider, DiscoveryError>) -> Finding {
    match outcome {
        Ok(_) => Ok("discovery performed successfully".to_owned()),
        Err(error) => Err(Fault::new(
            "InvalidDiscoveryProbe",
            format!(
                "could not perform oidc discovery on provider issuer: {}",
                chain(error)
            ),
        )),
    }
}

/// The URL of the keys, besides what to say of it.
pub(super) fn jwks_url(jwks_uri: &str) -> Result<Url, Fault> {
    let scheme = || {
        let message = format!("jwks_uri {jwks_uri} has invalid scheme, require 'https'");
        Fault::new("InvalidProviderJWKSURLScheme", message)
    };
    match Url::parse(jwks_uri) {
        Ok(url) if url.scheme() == "https" => Ok(url),
        Ok(_) | Err(url::ParseError::RelativeUrlWithoutBase) => Err(scheme()),
        Err(error) => Err(Fault::new(
            "InvalidProviderJWKSURL",
            format!("could not parse provider jwks_uri: {error}"),
        )),
    }
}

pub(super) const JWKS_URL_IS_VALID: &str = "jwks_uri is a valid URL";

/// `keys_are_usable`: whether any fetched key can verify a token.
pub(super) fn jwks_fetch(error: Option<&FetchError>, keys_are_usable: bool) -> Finding {
    match error {
        Some(error) => Err(Fault::new(
            "InvalidCouldNotFetchJWKS",
            format!("could not fetch keys: fetching keys {}", chain(error)),
        )),
        None if !keys_are_usable => Err(Fault::new(
            "InvalidCouldNotFetchJWKS",
            "could not fetch keys: the issuer publishes no key for RS256 or ES256 signatures",
        )),
        None => Ok("successfully fetched jwks".to_owned()),
    }
}

/// Whether everything that the object asks for can be done; nothing is silently left out.
pub(super) fn authenticator(spec: &JwtAuthenticatorSpec) -> Finding {
    let claims = spec.claims.clone().unwrap_or_default();
    let mut faults = Vec::new();
    for (field, name, expression) in [
        ("username", &claims.username, &claims.username_expression),
        ("groups", &claims.groups, &claims.groups_expression),
    ] {
        if !name.is_empty() && !expression.is_empty() {
            faults.push(format!(
                "claims.{field}: Invalid value: \"\": claim and expression can't both be set"
            ));
        } else if !expression.is_empty() {
            faults.push(unsupported(&format!("claims.{field}Expression")));
        }
    }
    for (field, is_set) in [
        ("claims.extra", !claims.extra.is_empty()),
        (
            "claimValidationRules",
            !spec.claim_validation_rules.is_empty(),
        ),
        (
            "userValidationRules",
            !spec.user_validation_rules.is_empty(),
        ),
    ] {
        if is_set {
            faults.push(unsupported(field));
        }
    }
    match faults.as_slice() {
        [] => Ok("authenticator initialized".to_owned()),
        [one] => Err(invalid_authenticator(one)),
        many => Err(invalid_authenticator(&format!("[{}]", many.join(", ")))),
    }
}

/// An object whose specification cannot even be read, for example because the stored CRD is an older one.
pub(super) fn unreadable(error: &serde_json::Error) -> Findings {
    Findings {
        authenticator: Some(Err(invalid_authenticator(&format!("spec: {error}")))),
        ..Findings::default()
    }
}

fn unsupported(field: &str) -> String {
    format!("{field}: Forbidden: this version of Haulout does not support it; remove spec.{field}")
}

fn invalid_authenticator(faults: &str) -> Fault {
    Fault::new(
        "InvalidAuthenticator",
        format!("could not initialize jwt authenticator: {faults}"),
    )
}

#[cfg(test)]
mod tests;

//! What was found out about a `JWTAuthenticator`, and the conditions that say so.
//!
//! Types, reasons and messages are those of Pinniped's Concierge (`internal/controller/authenticator/jwtcachefiller`), which
//! clients match.

use haulout_https::foreign;
use haulout_jwt::algorithms::AcceptedAlgorithms;
use haulout_jwt::discovery::{DiscoveryError, Provider, WELL_KNOWN_PATH};
use haulout_jwt::keys::FetchError;
use haulout_operate::error::chain;
use url::Url;

use crate::authenticators::JWT_KIND;
use crate::controllers::authenticator::findings::{self, Fault, Finding};

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

impl From<Findings> for findings::Findings {
    fn from(found: Findings) -> Self {
        Self::new(
            JWT_KIND,
            [
                ("TLSConfigurationValid", found.tls),
                ("IssuerURLValid", found.issuer),
                ("DiscoveryURLValid", found.discovery),
                ("JWKSURLValid", found.jwks_url),
                ("JWKSFetchValid", found.jwks_fetch),
                ("AuthenticatorValid", found.authenticator),
            ],
        )
    }
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

/// Longest URL of an issuer's that is called.
const MAX_URL_BYTES: usize = 2048;

/// The URL of the keys, besides what to say of it.
pub(super) fn jwks_url(jwks_uri: &str) -> Result<Url, Fault> {
    if jwks_uri.len() > MAX_URL_BYTES {
        return Err(Fault::new(
            "InvalidProviderJWKSURL",
            format!("could not parse provider jwks_uri: it is longer than {MAX_URL_BYTES} bytes"),
        ));
    }
    let scheme = || {
        let jwks_uri = foreign(jwks_uri);
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

/// `missing`: the accepted algorithms when no fetched key serves any of them.
pub(super) fn jwks_fetch(
    error: Option<&FetchError>,
    missing: Option<&AcceptedAlgorithms>,
) -> Finding {
    match (error, missing) {
        (Some(error), _) => Err(Fault::new(
            "InvalidCouldNotFetchJWKS",
            format!("could not fetch keys: fetching keys {}", chain(error)),
        )),
        (None, Some(missing)) => Err(Fault::new(
            "InvalidCouldNotFetchJWKS",
            format!(
                "could not fetch keys: the issuer publishes no key for {} signatures",
                missing.names().join(" or ")
            ),
        )),
        (None, None) => Ok("successfully fetched jwks".to_owned()),
    }
}

/// Whether what the object says about claims can be done, given what is wrong with it.
pub(super) fn authenticator(fault: Option<&str>) -> Finding {
    match fault {
        None => Ok("authenticator initialized".to_owned()),
        Some(fault) => Err(invalid_authenticator(fault)),
    }
}

/// An object whose specification cannot even be read, for example because the stored CRD is an older one.
pub(super) fn unreadable(error: &serde_json::Error) -> Findings {
    Findings {
        authenticator: Some(Err(invalid_authenticator(&format!("spec: {error}")))),
        ..Findings::default()
    }
}

fn invalid_authenticator(faults: &str) -> Fault {
    Fault::new(
        "InvalidAuthenticator",
        format!("could not initialize jwt authenticator: {faults}"),
    )
}

#[cfg(test)]
mod tests;

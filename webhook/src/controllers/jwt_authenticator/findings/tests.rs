use haulout_api::authenticator::{JwtAuthenticatorSpec, JwtTokenClaims, SigningAlgorithm};
use haulout_jwt::claims::ClaimRules;
use haulout_jwt::keys::KeySet;

use super::*;
use crate::controllers::authenticator::findings::Findings as Found;

fn holds(text: &str) -> Finding {
    Ok(text.to_owned())
}

fn fails(reason: &'static str, message: &str) -> Finding {
    Err(Fault::new(reason, message))
}

fn all_good() -> Findings {
    Findings {
        tls: Some(holds("fine")),
        issuer: Some(issuer("https://issuer.example.com")),
        discovery: Some(discovery(&Ok(Provider {
            jwks_uri: String::new(),
        }))),
        jwks_url: Some(holds(JWKS_URL_IS_VALID)),
        jwks_fetch: Some(jwks_fetch(None, None)),
        authenticator: Some(holds("authenticator initialized")),
    }
}

/// Type, status, reason and message of every condition.
fn lines(findings: Findings) -> Vec<String> {
    let mut lines: Vec<_> = Found::from(findings)
        .observations()
        .into_iter()
        .map(|o| {
            format!(
                "{} {} {}: {}",
                o.type_,
                o.status.as_str(),
                o.reason,
                o.message
            )
        })
        .collect();
    lines.sort();
    lines
}

#[test]
fn a_good_object_has_seven_true_conditions() {
    assert_eq!(
        lines(all_good()),
        [
            "AuthenticatorValid True Success: authenticator initialized",
            "DiscoveryURLValid True Success: discovery performed successfully",
            "IssuerURLValid True Success: issuer is a valid URL",
            "JWKSFetchValid True Success: successfully fetched jwks",
            "JWKSURLValid True Success: jwks_uri is a valid URL",
            "Ready True Success: the JWTAuthenticator is ready",
            "TLSConfigurationValid True Success: fine",
        ]
    );
}

#[test]
fn what_could_not_be_checked_is_unknown() {
    let findings = Findings {
        tls: Some(holds("fine")),
        issuer: Some(issuer("http://i")),
        ..Findings::default()
    };
    assert_eq!(
        lines(findings),
        [
            "AuthenticatorValid Unknown UnableToValidate: unable to validate; see other conditions for details",
            "DiscoveryURLValid Unknown UnableToValidate: unable to validate; see other conditions for details",
            "IssuerURLValid False InvalidIssuerURLScheme: spec.issuer http://i has invalid scheme, require 'https'",
            "JWKSFetchValid Unknown UnableToValidate: unable to validate; see other conditions for details",
            "JWKSURLValid Unknown UnableToValidate: unable to validate; see other conditions for details",
            "Ready False NotReady: the JWTAuthenticator is not ready: see other conditions for details",
            "TLSConfigurationValid True Success: fine",
        ]
    );
}

#[test]
fn issuer_rules() {
    for good in [
        "https://i",
        "https://i:8443/path/",
        "https://i/.well-known/other",
        "HTTPS://i",
    ] {
        assert_eq!(issuer(good), holds("issuer is a valid URL"), "{good}");
    }
    for (url, reason, message) in [
        (
            "https://",
            "InvalidIssuerURL",
            "spec.issuer URL is invalid: empty host",
        ),
        (
            "https://i:port",
            "InvalidIssuerURL",
            "spec.issuer URL is invalid: invalid port number",
        ),
        (
            "http://i",
            "InvalidIssuerURLScheme",
            "spec.issuer http://i has invalid scheme, require 'https'",
        ),
        (
            "https://i/a/.well-known/openid-configuration",
            "InvalidIssuerURLContainsWellKnownEndpoint",
            "spec.issuer https://i/a/.well-known/openid-configuration cannot include path '/.well-known/openid-configuration'",
        ),
        (
            "https://i?a=b",
            "InvalidIssuerURLContainsQueryParams",
            "spec.issuer https://i?a=b cannot include query params",
        ),
        (
            "https://i#a",
            "InvalidIssuerURLContainsFragment",
            "spec.issuer https://i#a cannot include fragment",
        ),
    ] {
        assert_eq!(issuer(url), fails(reason, message), "{url}");
    }
}

#[test]
fn discovery_faults() {
    let mismatch = DiscoveryError::IssuerMismatch {
        expected: "a".to_owned(),
        found: "b".to_owned(),
    };
    assert_eq!(
        discovery(&Err(mismatch)),
        fails(
            "InvalidDiscoveryProbe",
            "could not perform oidc discovery on provider issuer: oidc: issuer URL provided to client (\"a\") did not match the issuer URL returned by provider (\"b\")"
        )
    );
}

#[test]
fn jwks_url_rules() {
    assert_eq!(
        jwks_url("https://i/keys").unwrap().as_str(),
        "https://i/keys"
    );
    for (url, reason, message) in [
        (
            "http://i/keys",
            "InvalidProviderJWKSURLScheme",
            "jwks_uri http://i/keys has invalid scheme, require 'https'",
        ),
        (
            "",
            "InvalidProviderJWKSURLScheme",
            "jwks_uri  has invalid scheme, require 'https'",
        ),
        (
            "/keys",
            "InvalidProviderJWKSURLScheme",
            "jwks_uri /keys has invalid scheme, require 'https'",
        ),
        (
            "https://",
            "InvalidProviderJWKSURL",
            "could not parse provider jwks_uri: empty host",
        ),
        (
            "\u{1b}]0;x\r\n",
            "InvalidProviderJWKSURLScheme",
            "jwks_uri \\u{1b}]0;x\\r\\n has invalid scheme, require 'https'",
        ),
        (
            &format!("https://i/{}", "k".repeat(2048)),
            "InvalidProviderJWKSURL",
            "could not parse provider jwks_uri: it is longer than 2048 bytes",
        ),
    ] {
        assert_eq!(
            jwks_url(url).unwrap_err(),
            Fault::new(reason, message),
            "{url}"
        );
    }
}

#[test]
fn jwks_fetch_faults() {
    let malformed = FetchError::from(KeySet::parse(b"<html>").unwrap_err());
    let Err(fault) = jwks_fetch(Some(&malformed), None) else {
        panic!("a failed fetch must not count as success");
    };
    assert_eq!(
        fault,
        Fault::new(
            "InvalidCouldNotFetchJWKS",
            "could not fetch keys: fetching keys oidc: failed to decode keys: expected value at line 1 column 1"
        )
    );
    for (accepted, names) in [
        (&[][..], "RS256 or ES256"),
        (&[SigningAlgorithm::EdDsa], "EdDSA"),
    ] {
        let accepted = AcceptedAlgorithms::new(accepted);
        let message =
            format!("could not fetch keys: the issuer publishes no key for {names} signatures");
        assert_eq!(
            jwks_fetch(None, Some(&accepted)),
            fails("InvalidCouldNotFetchJWKS", &message)
        );
    }
}

#[test]
fn mistakes_about_claims_name_their_fields() {
    let spec = JwtAuthenticatorSpec {
        claims: Some(JwtTokenClaims {
            username: "u".to_owned(),
            username_expression: "claims.a".to_owned(),
            groups_expression: "nope".to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let compiled = |spec| {
        let fault = ClaimRules::compile(spec)
            .err()
            .map(|errors| errors.to_string());
        authenticator(fault.as_deref())
    };
    assert_eq!(
        compiled(&spec),
        fails(
            "InvalidAuthenticator",
            "could not initialize jwt authenticator: [claims.username: Invalid value: \"\": claim and expression can't both be set, \
             claims.groupsExpression: Invalid value: \"nope\": compilation failed: \
             ERROR: <input>:1:1: undeclared reference to 'nope' (in container '')\n | nope\n | ^]"
        )
    );
    assert_eq!(
        compiled(&JwtAuthenticatorSpec::default()),
        Ok("authenticator initialized".to_owned())
    );
}

#[test]
fn an_unreadable_object_says_so() {
    let error = serde_json::from_str::<JwtAuthenticatorSpec>("{}").unwrap_err();
    assert_eq!(
        Found::from(unreadable(&error)).first_fault(),
        Some((
            "InvalidAuthenticator",
            "could not initialize jwt authenticator: spec: missing field `issuer` at line 1 column 2"
        ))
    );
}

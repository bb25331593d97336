//! The check of an ID token: OpenID Connect Core 1.0, 3.1.3.7.

use std::time::SystemTime;

use aws_lc_rs::digest::{Algorithm, SHA256, SHA384, SHA512, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use haulout_api::authenticator::SigningAlgorithm;
use haulout_jwt::algorithms::AcceptedAlgorithms;
use haulout_jwt::keys::KeySet;
use haulout_jwt::verify::{Claims, Expectations};
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::error::{Step, refused};
use super::provider::Provider;
use super::{IssuerClient, OidcError};

/// What this one must say beside what all of them must.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ties<'a> {
    /// That of the authorization request; tokens that come by a refresh have none.
    pub(crate) nonce: Option<&'a str>,
    /// What came with it.
    pub(crate) access_token: Option<&'a str>,
}

/// The keys that the issuer publishes now.
pub(crate) async fn keys(
    client: &IssuerClient<'_>,
    provider: &Provider,
) -> Result<KeySet, OidcError> {
    let answer = client.get(Step::Keys, &provider.jwks_uri).await?;
    if answer.status != StatusCode::OK {
        return Err(refused(Step::Keys, &provider.jwks_uri, &answer, &[]));
    }
    KeySet::parse(&answer.body).map_err(OidcError::Keys)
}

/// The claims of a token of `issuer` for `audience`, if it is good at `now`.
pub(crate) fn check(
    token: &str,
    issuer: &str,
    audience: &str,
    keys: &KeySet,
    ties: Ties<'_>,
    now: SystemTime,
) -> Result<Claims, OidcError> {
    let expectations = Expectations {
        issuer: issuer.to_owned(),
        audience: audience.to_owned(),
        algorithms: AcceptedAlgorithms::new(&SigningAlgorithm::ALL),
    };
    let claims = expectations.check(token, Some(keys), now)?;
    if let Some(nonce) = ties.nonce
        && claims.get("nonce").and_then(Value::as_str) != Some(nonce)
    {
        return Err(OidcError::Nonce);
    }
    if let (Some(access_token), Some(Value::String(at_hash))) =
        (ties.access_token, claims.get("at_hash"))
        && !is_hash_of(at_hash, access_token, token)
    {
        return Err(OidcError::AccessTokenHash);
    }
    Ok(claims)
}

/// Whether this is the left half of the access token's hash, by the algorithm of the ID token (3.1.3.6).
fn is_hash_of(at_hash: &str, access_token: &str, id_token: &str) -> bool {
    let Some(algorithm) = hash_algorithm(id_token) else {
        return false;
    };
    let hash = digest(algorithm, access_token.as_bytes());
    let (left, _) = hash.as_ref().split_at(hash.as_ref().len() / 2);
    URL_SAFE_NO_PAD.encode(left) == at_hash
}

fn hash_algorithm(id_token: &str) -> Option<&'static Algorithm> {
    #[derive(Deserialize)]
    struct Header {
        alg: String,
    }
    let (header, _) = id_token.split_once('.')?;
    let header: Header = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
    match header.alg.as_str() {
        "RS256" | "PS256" | "ES256" => Some(&SHA256),
        "RS384" | "ES384" => Some(&SHA384),
        // Ed25519 has SHA-512 inside.
        "RS512" | "EdDSA" => Some(&SHA512),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(algorithm: &str) -> String {
        let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"{algorithm}"}}"#));
        format!("{header}.e30.AAAA")
    }

    /// The example of the specification, for RS256 (its appendix A.3).
    #[test]
    fn hash_is_that_of_the_specification() {
        let access_token = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y";
        let at_hash = "77QmUPtjPfzWtF2AnpK9RQ";
        assert!(is_hash_of(at_hash, access_token, &token("RS256")));
        assert!(!is_hash_of(at_hash, access_token, &token("RS512")));
        assert!(!is_hash_of(at_hash, "another", &token("RS256")));
        assert!(!is_hash_of(at_hash, access_token, &token("none")));
    }
}

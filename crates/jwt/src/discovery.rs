//! OpenID Connect discovery: where an issuer publishes its keys.

use serde::Deserialize;
use url::Url;

use crate::client::{CallError, IssuerClient};
use crate::foreign;

/// Path that is appended to the issuer.
pub const WELL_KNOWN_PATH: &str = "/.well-known/openid-configuration";

/// What of the discovery document matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// `jwks_uri` as the issuer wrote it, not yet judged; empty when absent.
    pub jwks_uri: String,
}

/// Why discovery failed. With its sources it has the texts of go-oidc's `NewProvider` where people know them.
#[derive(Debug, thiserror::Error)]
pub enum DiscoveryError {
    /// The issuer is no URL that can be called.
    #[error("parse \"{issuer}\"")]
    Url {
        /// The issuer, escaped.
        issuer: String,
        /// What is wrong with it.
        source: url::ParseError,
    },
    /// The call failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The answer is no discovery document.
    #[error("oidc: failed to decode provider discovery object")]
    Document(#[source] serde_json::Error),
    /// The document names another issuer, so nothing in it can be believed.
    #[error(
        "oidc: issuer URL provided to client (\"{expected}\") did not match the issuer URL returned by provider (\"{found}\")"
    )]
    IssuerMismatch {
        /// The issuer that was asked.
        expected: String,
        /// What it calls itself, escaped.
        found: String,
    },
}

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    issuer: String,
    #[serde(default)]
    jwks_uri: String,
}

/// Fetches the discovery document and checks that its `issuer` is `issuer`, byte for byte.
///
/// # Errors
/// [`DiscoveryError`].
pub async fn discover(client: &IssuerClient, issuer: &str) -> Result<Provider, DiscoveryError> {
    let url = discovery_url(issuer).map_err(|source| DiscoveryError::Url {
        issuer: foreign(issuer),
        source,
    })?;
    read_document(issuer, &client.get(url).await?)
}

/// URL of the discovery document of `issuer`, a trailing slash of which does not count.
///
/// # Errors
/// The issuer is no URL.
pub fn discovery_url(issuer: &str) -> Result<Url, url::ParseError> {
    Url::parse(issuer)?;
    let base = issuer.strip_suffix('/').unwrap_or(issuer);
    Url::parse(&format!("{base}{WELL_KNOWN_PATH}"))
}

fn read_document(issuer: &str, body: &[u8]) -> Result<Provider, DiscoveryError> {
    let document: Document = serde_json::from_slice(body).map_err(DiscoveryError::Document)?;
    if document.issuer != issuer {
        return Err(DiscoveryError::IssuerMismatch {
            expected: issuer.to_owned(),
            found: foreign(&document.issuer),
        });
    }
    Ok(Provider {
        jwks_uri: document.jwks_uri,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_trailing_slash_of_the_issuer_does_not_count() {
        for (issuer, url) in [
            (
                "https://i.example.com",
                "https://i.example.com/.well-known/openid-configuration",
            ),
            (
                "https://i.example.com/",
                "https://i.example.com/.well-known/openid-configuration",
            ),
            (
                "https://i.example.com/a/b",
                "https://i.example.com/a/b/.well-known/openid-configuration",
            ),
            (
                "https://i.example.com:8443/a/",
                "https://i.example.com:8443/a/.well-known/openid-configuration",
            ),
        ] {
            assert_eq!(discovery_url(issuer).unwrap().as_str(), url);
        }
        assert!(discovery_url("https://").is_err());
    }

    #[test]
    fn the_issuer_must_match_byte_for_byte() {
        let body =
            br#"{"issuer": "https://i.example.com", "jwks_uri": "https://i.example.com/keys"}"#;
        let provider = read_document("https://i.example.com", body).unwrap();
        assert_eq!(provider.jwks_uri, "https://i.example.com/keys");
        for other in [
            "https://i.example.com/",
            "https://I.example.com",
            "https://i.example.com:443",
        ] {
            let error = read_document(other, body).unwrap_err();
            assert!(
                matches!(error, DiscoveryError::IssuerMismatch { .. }),
                "{other}"
            );
        }
        let error = read_document("https://other", body).unwrap_err();
        assert_eq!(
            error.to_string(),
            "oidc: issuer URL provided to client (\"https://other\") did not match the issuer URL returned by provider (\"https://i.example.com\")"
        );
    }

    #[test]
    fn documents_that_are_none_are_refused() {
        for body in [
            &b""[..],
            b"<html>",
            br#"{"issuer": ["https://i"]}"#,
            br#"{"issuer":"https://i","issuer":"https://i"}"#,
        ] {
            let error = read_document("https://i", body).unwrap_err();
            assert!(matches!(error, DiscoveryError::Document(_)), "{error}");
            assert_eq!(
                error.to_string(),
                "oidc: failed to decode provider discovery object",
                "the cause is told by the source alone"
            );
        }
        assert!(matches!(
            read_document("https://i", b"{}").unwrap_err(),
            DiscoveryError::IssuerMismatch { .. }
        ));
        let without_keys = read_document("https://i", br#"{"issuer":"https://i"}"#).unwrap();
        assert_eq!(without_keys.jwks_uri, "");
    }

    #[test]
    fn foreign_text_is_escaped_and_cut() {
        let body = serde_json::json!({"issuer": format!("x\n{}", "é".repeat(1000))}).to_string();
        let text = read_document("https://i", body.as_bytes())
            .unwrap_err()
            .to_string();
        assert!(
            text.contains("x\\n") && text.ends_with("[truncated 703 chars]\")"),
            "{text}"
        );
    }
}

//! `TokenCredentialRequest` of `login.concierge.<suffix>/v1alpha1`: a token in, a short-lived client certificate out.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::group::{ApiGroupSuffix, VERSION};

/// Kind on the wire.
pub const KIND: &str = "TokenCredentialRequest";
/// Kind of the (always empty) list.
pub const LIST_KIND: &str = "TokenCredentialRequestList";
/// Resource name in URLs.
pub const PLURAL: &str = "tokencredentialrequests";
/// Singular resource name in discovery.
pub const SINGULAR: &str = "tokencredentialrequest";

/// The only message a client ever gets for a login that failed, whatever the cause.
pub const AUTHENTICATION_FAILED: &str = "authentication failed";

/// The path of a login, at the API server and at the direct endpoint.
pub fn login_path(suffix: &ApiGroupSuffix) -> String {
    format!("/apis/{}/{VERSION}/{PLURAL}", suffix.login_group())
}

/// Specification of a `TokenCredentialRequest`, expected on requests.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TokenCredentialRequestSpec {
    /// Bearer token supplied with the credential request.
    pub token: SecretString,
    /// Reference to the authenticator which can validate the token.
    pub authenticator: AuthenticatorReference,
}

/// `TypedLocalObjectReference` of core/v1 as Go prints it: `apiGroup` is `null` when absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AuthenticatorReference {
    /// API group of the authenticator, for example `authentication.concierge.pinniped.dev`.
    pub api_group: Option<String>,
    /// Kind of the authenticator: `JWTAuthenticator` or `WebhookAuthenticator`.
    pub kind: String,
    /// Name of the authenticator.
    pub name: String,
}

/// Status of a `TokenCredentialRequest`: either a credential or a message.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenCredentialRequestStatus {
    /// Present when the login succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<ClusterCredential>,
    /// [`AUTHENTICATION_FAILED`] when it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A client certificate and its key for the Kubernetes API.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterCredential {
    /// `notAfter` of the certificate, whole seconds, UTC.
    pub expiration_timestamp: Time,
    /// Never set by Haulout; part of the contract of Pinniped's Concierge.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub token: String,
    /// Certificate as PEM text, not base64.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub client_certificate_data: String,
    /// Private key as PEM text (PKCS#8), not base64.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub client_key_data: String,
}

impl std::fmt::Debug for ClusterCredential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClusterCredential")
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;
    use secrecy::ExposeSecret;
    use serde_json::json;

    use super::*;

    #[test]
    fn specification_is_read_and_never_shown() {
        let spec: TokenCredentialRequestSpec = serde_json::from_value(json!({
            "token": "very-secret",
            "authenticator": {"apiGroup": "g", "kind": "JWTAuthenticator", "name": "n"},
        }))
        .unwrap();
        assert_eq!(spec.token.expose_secret(), "very-secret");
        assert_eq!(spec.authenticator.api_group.as_deref(), Some("g"));
        assert!(!format!("{spec:?}").contains("very-secret"));
    }

    #[test]
    fn absent_fields_are_empty() {
        let spec: TokenCredentialRequestSpec = serde_json::from_value(json!({})).unwrap();
        assert_eq!(spec.token.expose_secret(), "");
        assert_eq!(spec.authenticator, AuthenticatorReference::default());
    }

    #[test]
    fn empty_reference_prints_like_go() {
        assert_eq!(
            serde_json::to_string(&AuthenticatorReference::default()).unwrap(),
            r#"{"apiGroup":null,"kind":"","name":""}"#
        );
    }

    #[test]
    fn status_prints_like_go() {
        let success = TokenCredentialRequestStatus {
            credential: Some(ClusterCredential {
                expiration_timestamp: Time(Timestamp::new(1_795_000_000, 999_999_999).unwrap()),
                token: String::new(),
                client_certificate_data: "cert".to_owned(),
                client_key_data: "key".to_owned(),
            }),
            message: None,
        };
        assert_eq!(
            serde_json::to_string(&success).unwrap(),
            r#"{"credential":{"expirationTimestamp":"2026-11-18T11:06:40Z","clientCertificateData":"cert","clientKeyData":"key"}}"#
        );
        let failure = TokenCredentialRequestStatus {
            credential: None,
            message: Some(AUTHENTICATION_FAILED.to_owned()),
        };
        assert_eq!(
            serde_json::to_string(&failure).unwrap(),
            r#"{"message":"authentication failed"}"#
        );
    }

    #[test]
    fn credentials_are_not_debug_printed() {
        let credential: ClusterCredential = serde_json::from_value(json!({
            "expirationTimestamp": "2026-11-23T19:34:43Z",
            "clientKeyData": "very-secret",
        }))
        .unwrap();
        assert_eq!(format!("{credential:?}"), "ClusterCredential");
    }
}

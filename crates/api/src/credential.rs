//! `TokenCredentialRequest` of `login.concierge.<suffix>/v1alpha1`: a token in, a short-lived client certificate out.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

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
    /// Never set by Haulout; part of the reference's contract.
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

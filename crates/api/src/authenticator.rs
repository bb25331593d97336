//! `JWTAuthenticator` and `WebhookAuthenticator` of `authentication.concierge.<suffix>/v1alpha1`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Specification of a `JWTAuthenticator`: which issuer's tokens are accepted and how a user is read from them.
#[derive(
    CustomResource, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema,
)]
#[kube(
    group = "authentication.concierge.pinniped.dev",
    version = "v1alpha1",
    kind = "JWTAuthenticator",
    plural = "jwtauthenticators",
    singular = "jwtauthenticator",
    status = "AuthenticatorStatus",
    category = "pinniped",
    category = "pinniped-authenticator",
    category = "pinniped-authenticators",
    printcolumn = r#"{"name":"Issuer","type":"string","jsonPath":".spec.issuer"}"#,
    printcolumn = r#"{"name":"Audience","type":"string","jsonPath":".spec.audience"}"#,
    printcolumn = r#"{"name":"Status","type":"string","jsonPath":".status.phase"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    doc = "JWTAuthenticator accepts JSON Web Tokens of one OpenID Connect issuer for one audience."
)]
#[serde(rename_all = "camelCase")]
pub struct JwtAuthenticatorSpec {
    /// URL of the OIDC issuer, used for discovery and compared byte for byte with the `iss` claim.
    #[schemars(length(min = 1), regex(pattern = "^https://"))]
    pub issuer: String,
    /// Required value of the `aud` claim. Use one audience per cluster.
    #[schemars(length(min = 1))]
    pub audience: String,
    /// How claims become a user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<JwtTokenClaims>,
    /// Rules that the token's claims must fulfil.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claim_validation_rules: Vec<ClaimValidationRule>,
    /// Rules that the resulting user must fulfil.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub user_validation_rules: Vec<UserValidationRule>,
    /// How the issuer's TLS certificate is verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsSpec>,
    /// Signature algorithms that are accepted, in place of the default `RS256` and `ES256`; others are `RS384`, `RS512`,
    /// `PS256`, `ES384` and `EdDSA`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 7), extend("x-kubernetes-list-type" = "set"))]
    pub signing_algorithms: Vec<SigningAlgorithm>,
    /// What every username gets in front, for example `oidc:`; user validation rules see it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 253))]
    pub username_prefix: String,
    /// What every group gets in front, for example `oidc:`; user validation rules see it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 253))]
    pub groups_prefix: String,
    /// How long certificates live, in seconds, in place of the webhook's default (300). The agent refuses to sign for longer
    /// than its own policy allows (3600 unless configured).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 60, max = 86_400))]
    pub certificate_lifetime_seconds: Option<u32>,
}

/// A signature algorithm of JSON Web Signatures (RFC 7518, 3.1; RFC 8037, 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SigningAlgorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    #[serde(rename = "RS384")]
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    #[serde(rename = "RS512")]
    Rs512,
    /// RSASSA-PSS with SHA-256.
    #[serde(rename = "PS256")]
    Ps256,
    /// ECDSA on P-256 with SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// ECDSA on P-384 with SHA-384.
    #[serde(rename = "ES384")]
    Es384,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

impl SigningAlgorithm {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
    ];

    /// Its name in a token's header and in a JSON Web Key.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }
}

/// Which claims, or CEL expressions over them, give the username, the groups and the extras.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JwtTokenClaims {
    /// Name of the claim that holds the username; `username` when neither it nor `usernameExpression` is set. The claim
    /// `email` counts only if `email_verified` is true or absent.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub username: String,
    /// CEL expression over `claims` that gives the username. Mutually exclusive with `username`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub username_expression: String,
    /// Name of the claim that holds the groups; `groups` when neither it nor `groupsExpression` is set.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub groups: String,
    /// CEL expression over `claims` that gives the groups. Mutually exclusive with `groups`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub groups_expression: String,
    /// Additional keys and values of the user.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extra: Vec<ExtraMapping>,
}

/// One additional key of the user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExtraMapping {
    /// Domain-prefixed path, lower case, for example `example.com/team`.
    pub key: String,
    /// CEL expression that gives a string or a list of strings.
    pub value_expression: String,
}

/// A rule over the token's claims.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClaimValidationRule {
    /// Name of a claim that must be present. Mutually exclusive with `expression` and `message`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub claim: String,
    /// Value that the claim must have.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub required_value: String,
    /// CEL expression over `claims` that must be true. Mutually exclusive with `claim` and `requiredValue`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub expression: String,
    /// Text for the log when `expression` is false.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// A rule over the resulting user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserValidationRule {
    /// CEL expression over `user` that must be true.
    pub expression: String,
    /// Text for the log when `expression` is false.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// Specification of a `WebhookAuthenticator`: tokens are judged by a TokenReview server.
#[derive(
    CustomResource, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema,
)]
#[kube(
    group = "authentication.concierge.pinniped.dev",
    version = "v1alpha1",
    kind = "WebhookAuthenticator",
    plural = "webhookauthenticators",
    singular = "webhookauthenticator",
    status = "AuthenticatorStatus",
    category = "pinniped",
    category = "pinniped-authenticator",
    category = "pinniped-authenticators",
    printcolumn = r#"{"name":"Endpoint","type":"string","jsonPath":".spec.endpoint"}"#,
    printcolumn = r#"{"name":"Status","type":"string","jsonPath":".status.phase"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    doc = "WebhookAuthenticator accepts the tokens that a TokenReview server accepts."
)]
#[serde(rename_all = "camelCase")]
pub struct WebhookAuthenticatorSpec {
    /// URL of the TokenReview server.
    #[schemars(length(min = 1), regex(pattern = "^https://"))]
    pub endpoint: String,
    /// How the server's TLS certificate is verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsSpec>,
    /// Version of `authentication.k8s.io` in which the server is asked; `v1beta1` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_review_version: Option<TokenReviewVersion>,
    /// What every username gets in front, for example `corp:`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 253))]
    pub username_prefix: String,
    /// What every group gets in front, for example `corp:`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 253))]
    pub groups_prefix: String,
    /// How long certificates live, in seconds, in place of the webhook's default (300). The agent refuses to sign for longer
    /// than its own policy allows (3600 unless configured).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 60, max = 86_400))]
    pub certificate_lifetime_seconds: Option<u32>,
}

/// Version of `authentication.k8s.io` in which a TokenReview server is asked; `v1beta1` unless given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TokenReviewVersion {
    /// What Pinniped's Concierge sends.
    #[default]
    V1beta1,
    /// The stable version.
    V1,
}

/// How a peer's TLS certificate is verified; the system's roots when nothing is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TlsSpec {
    /// X.509 Certificate Authority as base64 of a PEM bundle. If omitted, the system's roots are used.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub certificate_authority_data: String,
    /// Where to read the PEM bundle from. Mutually exclusive with `certificateAuthorityData`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_authority_data_source: Option<CertificateAuthorityDataSource>,
}

/// A key of a Secret or ConfigMap in Haulout's namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CertificateAuthorityDataSource {
    /// Kind of the object: `Secret` (type `Opaque` or `kubernetes.io/tls`) or `ConfigMap`.
    pub kind: CertificateAuthorityDataSourceKind,
    /// Name of the object, in Haulout's own namespace.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Key within the object whose value is a PEM bundle.
    #[schemars(length(min = 1))]
    pub key: String,
}

impl CertificateAuthorityDataSource {
    /// Types of Secrets that may hold a bundle; others are made for something else, and may be somebody's password.
    pub const SECRET_TYPES: [&str; 2] = ["Opaque", "kubernetes.io/tls"];
}

/// Kinds that can hold a CA bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CertificateAuthorityDataSourceKind {
    /// A Secret of type `Opaque` or `kubernetes.io/tls`.
    Secret,
    /// A ConfigMap.
    ConfigMap,
}

/// Status of an authenticator.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthenticatorStatus {
    /// Observations of the authenticator's state, one per type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::conditions::list_schema")]
    pub conditions: Vec<Condition>,
    /// Summary of the conditions.
    #[serde(default)]
    pub phase: AuthenticatorPhase,
}

impl AuthenticatorStatus {
    /// Whether it is of the spec of this generation, and not of one before.
    pub fn is_current(&self, generation: Option<i64>) -> bool {
        let mut conditions = self.conditions.iter();
        conditions.all(|condition| condition.observed_generation >= generation)
    }

    /// The first condition that does not hold, apart from the one that sums up the others.
    pub fn cause(&self) -> Option<&Condition> {
        self.conditions
            .iter()
            .find(|condition| condition.status == "False" && condition.type_ != "Ready")
    }
}

/// Summary of an authenticator's conditions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum AuthenticatorPhase {
    /// Not judged yet.
    #[default]
    Pending,
    /// Every condition is true.
    Ready,
    /// At least one condition is not true.
    Error,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn full_object_keeps_every_field() {
        let wire = json!({
            "apiVersion": "authentication.concierge.pinniped.dev/v1alpha1",
            "kind": "JWTAuthenticator",
            "metadata": {"name": "supervisor"},
            "spec": {
                "issuer": "https://issuer.example.com",
                "audience": "cluster-1",
                "claims": {
                    "username": "email",
                    "usernameExpression": "claims.email",
                    "groups": "roles",
                    "groupsExpression": "claims.roles",
                    "extra": [{"key": "example.com/team", "valueExpression": "claims.team"}],
                },
                "claimValidationRules": [
                    {"claim": "hd", "requiredValue": "example.com"},
                    {"expression": "claims.a == 'b'", "message": "a must be b"},
                ],
                "userValidationRules": [{"expression": "!user.username.startsWith('system:')", "message": "no"}],
                "tls": {
                    "certificateAuthorityData": "Zm9v",
                    "certificateAuthorityDataSource": {"kind": "ConfigMap", "name": "ca", "key": "ca.crt"},
                },
                "signingAlgorithms": ["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA"],
                "usernamePrefix": "oidc:",
                "groupsPrefix": "oidc:",
                "certificateLifetimeSeconds": 900,
            },
            "status": {
                "conditions": [{
                    "type": "Ready",
                    "status": "True",
                    "reason": "Success",
                    "message": "the JWTAuthenticator is ready",
                    "observedGeneration": 3,
                    "lastTransitionTime": "2026-11-23T19:34:43Z",
                }],
                "phase": "Ready",
            },
        });
        let parsed: JWTAuthenticator = serde_json::from_value(wire.clone()).unwrap();
        assert_eq!(serde_json::to_value(&parsed).unwrap(), wire);
        let names: Vec<_> = parsed
            .spec
            .signing_algorithms
            .iter()
            .map(|algorithm| algorithm.name())
            .collect();
        assert_eq!(json!(names), wire["spec"]["signingAlgorithms"]);
    }

    /// The CRD accepts empty values where Go's types have `omitempty`; none of them may appear when written back.
    #[test]
    fn empty_values_mean_absent() {
        let parsed: JwtAuthenticatorSpec = serde_json::from_value(json!({
            "issuer": "https://i",
            "audience": "a",
            "claims": {"username": "", "groups": "", "extra": []},
            "claimValidationRules": [],
            "tls": {"certificateAuthorityData": ""},
        }))
        .unwrap();
        assert_eq!(
            serde_json::to_value(&parsed).unwrap(),
            json!({"issuer": "https://i", "audience": "a", "claims": {}, "tls": {}})
        );
    }

    #[test]
    fn webhook_authenticator_keeps_its_shape() {
        let wire = json!({
            "apiVersion": "authentication.concierge.pinniped.dev/v1alpha1",
            "kind": "WebhookAuthenticator",
            "metadata": {"name": "w"},
            "spec": {"endpoint": "https://w.example.com/authenticate"},
        });
        let parsed: WebhookAuthenticator = serde_json::from_value(wire.clone()).unwrap();
        assert_eq!(serde_json::to_value(&parsed).unwrap(), wire);
        let with_extensions = json!({
            "endpoint": "https://w.example.com/authenticate",
            "tokenReviewVersion": "v1",
            "usernamePrefix": "corp:",
            "groupsPrefix": "corp:",
            "certificateLifetimeSeconds": 900,
        });
        let parsed: WebhookAuthenticatorSpec =
            serde_json::from_value(with_extensions.clone()).unwrap();
        assert_eq!(serde_json::to_value(&parsed).unwrap(), with_extensions);
    }

    #[test]
    fn phase_is_pending_until_judged() {
        let status: AuthenticatorStatus = serde_json::from_value(json!({})).unwrap();
        assert_eq!(status.phase, AuthenticatorPhase::Pending);
    }

    #[test]
    fn unknown_data_source_kinds_are_refused() {
        let source = json!({"kind": "Pod", "name": "n", "key": "k"});
        assert!(serde_json::from_value::<CertificateAuthorityDataSource>(source).is_err());
    }
}

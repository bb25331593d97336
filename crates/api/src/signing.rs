//! The call by which the webhook asks an agent for a certificate: `POST /v1/certificates`, JSON over mutual TLS.
//!
//! Documented for other implementers in `docs/signing-protocol.md`.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

/// Path of the call. A change that an old agent could misread gets a new path.
pub const CERTIFICATES_PATH: &str = "/v1/certificates";

/// URI SAN of the client certificate that an agent accepts.
pub const WEBHOOK_URI: &str = "haulout:webhook";

/// Username of the certificate by which the webhook checks that the API server accepts what an agent signs.
pub const CANARY_USERNAME: &str = "haulout:canary";

/// Lifetime of that certificate in seconds; it is used once, at once, and no agent gives it a longer one.
pub const CANARY_LIFETIME_SECONDS: u32 = 120;

/// An identity and a public key to be certified.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CertificateRequest {
    /// Identifier made by the webhook; stands in the audit lines of both sides. At most 64 characters of `[A-Za-z0-9._-]`.
    pub audit_id: String,
    /// Common name of the subject.
    pub username: String,
    /// Organizations of the subject; all of them end up in the certificate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Organizational units of the subject, one `key=value` for each value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extra: BTreeMap<String, Vec<String>>,
    /// Public key as base64 of a DER `SubjectPublicKeyInfo`; ECDSA P-256.
    pub public_key: String,
    /// Wanted lifetime from now in seconds; the agent refuses more than its cap and clamps to the CA's own end.
    pub lifetime_seconds: u32,
    /// Reserved for proof of the login (the token itself). An agent of this version refuses a request that carries it, be it `null`.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "present"
    )]
    pub evidence: Option<serde_json::Value>,
}

impl fmt::Debug for CertificateRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateRequest")
            .field("audit_id", &self.audit_id)
            .field("username", &self.username)
            .field("groups", &self.groups)
            .field("extra", &self.extra)
            .field("public_key", &self.public_key)
            .field("lifetime_seconds", &self.lifetime_seconds)
            // It may be a token.
            .field("has_evidence", &self.evidence.is_some())
            .finish()
    }
}

/// A field that is there, even as `null`.
fn present<'de, D: Deserializer<'de>>(field: D) -> Result<Option<serde_json::Value>, D::Error> {
    serde_json::Value::deserialize(field).map(Some)
}

/// A signed certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateResponse {
    /// One PEM `CERTIFICATE` block.
    pub certificate: String,
    /// Start of validity, seconds since the Unix epoch.
    pub not_before: i64,
    /// End of validity, seconds since the Unix epoch.
    pub not_after: i64,
    /// SHA-256 of the DER certificate, lower-case hexadecimal: what Kubernetes logs as `X509SHA256=`.
    pub x509_sha256: String,
    /// The agent's clock, milliseconds since the Unix epoch.
    pub agent_time_millis: i64,
}

/// Why an agent did not sign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SigningFailure {
    /// Class of the failure, stable for programs.
    pub reason: SigningFailureReason,
    /// What happened and what to do, for an administrator; holds no name or group.
    pub message: String,
}

/// Class of a failure and the HTTP status that carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SigningFailureReason {
    /// 400: the request is malformed.
    InvalidRequest,
    /// 401: the client certificate is not the webhook's.
    Unauthenticated,
    /// 403: the policy beside the key refuses the subject or the lifetime.
    RefusedByPolicy,
    /// 429: over the rate of the policy.
    RateLimited,
    /// 503: no usable key pair.
    KeyUnavailable,
    /// 503: no valid policy.
    PolicyUnavailable,
    /// 500: signing failed.
    Internal,
}

impl SigningFailureReason {
    /// HTTP status code that carries this reason.
    pub fn http_status(self) -> u16 {
        match self {
            Self::InvalidRequest => 400,
            Self::Unauthenticated => 401,
            Self::RefusedByPolicy => 403,
            Self::RateLimited => 429,
            Self::KeyUnavailable | Self::PolicyUnavailable => 503,
            Self::Internal => 500,
        }
    }

    /// Metric label and log value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "InvalidRequest",
            Self::Unauthenticated => "Unauthenticated",
            Self::RefusedByPolicy => "RefusedByPolicy",
            Self::RateLimited => "RateLimited",
            Self::KeyUnavailable => "KeyUnavailable",
            Self::PolicyUnavailable => "PolicyUnavailable",
            Self::Internal => "Internal",
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request() -> serde_json::Value {
        json!({
            "auditId": "a-1",
            "username": "alice",
            "groups": ["b", "a"],
            "extra": {"example.com/team": ["x", "y"]},
            "publicKey": "MFkw",
            "lifetimeSeconds": 300,
        })
    }

    #[test]
    fn request_keeps_its_shape() {
        let parsed: CertificateRequest = serde_json::from_value(request()).unwrap();
        assert_eq!(parsed.groups, ["b", "a"]);
        assert_eq!(serde_json::to_value(&parsed).unwrap(), request());
    }

    /// An agent must not sign half of what a newer webhook asked for.
    #[test]
    fn unknown_fields_are_refused() {
        let mut wire = request();
        wire["dnsNames"] = json!(["kubernetes"]);
        assert!(serde_json::from_value::<CertificateRequest>(wire).is_err());
    }

    #[test]
    fn lifetime_is_a_whole_number_of_seconds_from_zero() {
        for bad in [json!(-1), json!(1.5), json!("300"), json!(u64::MAX)] {
            let mut wire = request();
            wire["lifetimeSeconds"] = bad.clone();
            assert!(
                serde_json::from_value::<CertificateRequest>(wire).is_err(),
                "{bad}"
            );
        }
    }

    #[test]
    fn evidence_is_seen() {
        for evidence in [json!({"token": "t"}), json!(null)] {
            let mut wire = request();
            wire["evidence"] = evidence.clone();
            let parsed: CertificateRequest = serde_json::from_value(wire).unwrap();
            assert_eq!(parsed.evidence, Some(evidence));
        }
    }

    #[test]
    fn evidence_is_not_debug_printed() {
        let mut wire = request();
        wire["evidence"] = json!({"token": "very-secret"});
        let parsed: CertificateRequest = serde_json::from_value(wire).unwrap();
        let shown = format!("{parsed:?}");
        assert!(
            shown.contains("alice") && !shown.contains("very-secret"),
            "{shown}"
        );
    }

    #[test]
    fn response_keeps_its_shape() {
        let wire = json!({
            "certificate": "pem",
            "notBefore": 1,
            "notAfter": 2,
            "x509Sha256": "00",
            "agentTimeMillis": 3,
        });
        let parsed: CertificateResponse = serde_json::from_value(wire.clone()).unwrap();
        assert_eq!(serde_json::to_value(&parsed).unwrap(), wire);
    }

    #[test]
    fn failure_word_and_label_are_one() {
        let reasons = [
            (SigningFailureReason::InvalidRequest, 400),
            (SigningFailureReason::Unauthenticated, 401),
            (SigningFailureReason::RefusedByPolicy, 403),
            (SigningFailureReason::RateLimited, 429),
            (SigningFailureReason::KeyUnavailable, 503),
            (SigningFailureReason::PolicyUnavailable, 503),
            (SigningFailureReason::Internal, 500),
        ];
        for (reason, status) in reasons {
            assert_eq!(
                serde_json::to_value(reason).unwrap(),
                json!(reason.as_str())
            );
            assert_eq!(reason.http_status(), status);
        }
    }
}

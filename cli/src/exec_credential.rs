//! The two documents by which kubectl and a credential plugin talk: `KUBERNETES_EXEC_INFO` in, `ExecCredential` out.

use haulout_api::credential::ClusterCredential;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::Environment;

/// Version of the `ExecCredential` that kubectl asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ExecVersion {
    /// `client.authentication.k8s.io/v1beta1`; also the answer when nothing was asked.
    #[default]
    V1Beta1,
    /// `client.authentication.k8s.io/v1`.
    V1,
}

impl ExecVersion {
    fn api_version(self) -> &'static str {
        match self {
            Self::V1Beta1 => "client.authentication.k8s.io/v1beta1",
            Self::V1 => "client.authentication.k8s.io/v1",
        }
    }
}

/// What kubectl says of itself and the cluster.
#[derive(Debug)]
pub(crate) struct ExecInfo {
    pub(crate) version: ExecVersion,
    /// Whether the user may be asked something; yes unless kubectl says no.
    pub(crate) is_interactive: bool,
    /// `spec.cluster` byte for byte, so that its hash is the one that Pinniped's CLI makes.
    pub(crate) cluster: Option<Box<RawValue>>,
}

impl Default for ExecInfo {
    fn default() -> Self {
        Self {
            version: ExecVersion::default(),
            is_interactive: true,
            cluster: None,
        }
    }
}

impl ExecInfo {
    /// Reads `KUBERNETES_EXEC_INFO`. Anything unreadable counts as absent: the plugin also works when run by hand.
    pub(crate) fn of(environment: Environment<'_>) -> Self {
        let text = environment("KUBERNETES_EXEC_INFO").and_then(|text| text.into_string().ok());
        text.map(|text| Self::parse(&text)).unwrap_or_default()
    }

    fn parse(text: &str) -> Self {
        #[derive(Deserialize)]
        struct Wire {
            #[serde(rename = "apiVersion")]
            api_version: String,
            #[serde(default)]
            spec: Spec,
        }
        #[derive(Default, Deserialize)]
        struct Spec {
            #[serde(default)]
            cluster: Option<Box<RawValue>>,
            #[serde(default)]
            interactive: Option<bool>,
        }
        let Ok(wire) = serde_json::from_str::<Wire>(text) else {
            return Self::default();
        };
        let version = if wire.api_version == ExecVersion::V1.api_version() {
            ExecVersion::V1
        } else {
            ExecVersion::V1Beta1
        };
        Self {
            version,
            is_interactive: wire.spec.interactive.unwrap_or(true),
            cluster: wire.spec.cluster,
        }
    }
}

/// What kubectl uses for its requests.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CredentialStatus {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expiration_timestamp: Option<Time>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) token: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) client_certificate_data: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) client_key_data: String,
}

impl CredentialStatus {
    /// The token itself as the credential, of unknown lifetime.
    pub(crate) fn from_token(token: &str) -> Self {
        Self {
            expiration_timestamp: None,
            token: token.to_owned(),
            client_certificate_data: String::new(),
            client_key_data: String::new(),
        }
    }

    /// One line of JSON with a newline, as kubectl reads it from a plugin's stdout.
    pub(crate) fn to_exec_credential(&self, version: ExecVersion) -> serde_json::Result<String> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct ExecCredential<'a> {
            kind: &'static str,
            api_version: &'static str,
            spec: Spec,
            status: &'a CredentialStatus,
        }
        #[derive(Serialize)]
        struct Spec {
            interactive: bool,
        }
        let mut line = serde_json::to_string(&ExecCredential {
            kind: "ExecCredential",
            api_version: version.api_version(),
            spec: Spec { interactive: false },
            status: self,
        })?;
        line.push('\n');
        Ok(line)
    }
}

impl From<ClusterCredential> for CredentialStatus {
    fn from(credential: ClusterCredential) -> Self {
        Self {
            expiration_timestamp: Some(credential.expiration_timestamp),
            token: credential.token,
            client_certificate_data: credential.client_certificate_data,
            client_key_data: credential.client_key_data,
        }
    }
}

impl std::fmt::Debug for CredentialStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CredentialStatus")
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;

    use super::*;

    #[test]
    fn exec_info_names_the_version_and_the_cluster() {
        let v1 = ExecInfo::parse(
            r#"{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","spec":{"cluster":{"server":"https://k"},"interactive":true}}"#,
        );
        assert_eq!(v1.version, ExecVersion::V1);
        assert_eq!(v1.cluster.unwrap().get(), r#"{"server":"https://k"}"#);
        let v1beta1 = ExecInfo::parse(
            r#"{"apiVersion":"client.authentication.k8s.io/v1beta1","spec":{"interactive":false}}"#,
        );
        assert_eq!(v1beta1.version, ExecVersion::V1Beta1);
        assert!(v1beta1.cluster.is_none());
        assert!(v1.is_interactive && !v1beta1.is_interactive);
    }

    #[test]
    fn unreadable_exec_info_counts_as_absent() {
        for text in ["", "{", "null", "[]", "{}", r#"{"apiVersion":7}"#] {
            let info = ExecInfo::parse(text);
            assert_eq!(info.version, ExecVersion::V1Beta1, "{text}");
            assert!(info.cluster.is_none() && info.is_interactive, "{text}");
        }
    }

    #[test]
    fn c047_output_is_one_line_in_the_asked_version() {
        let certificate = CredentialStatus {
            expiration_timestamp: Some(Time(Timestamp::from_second(1_767_323_045).unwrap())),
            token: String::new(),
            client_certificate_data: "cert\n".to_owned(),
            client_key_data: "key\n".to_owned(),
        };
        assert_eq!(
            certificate
                .to_exec_credential(ExecVersion::V1Beta1)
                .unwrap(),
            concat!(
                r#"{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1beta1","spec":{"interactive":false},"#,
                r#""status":{"expirationTimestamp":"2026-01-02T03:04:05Z","clientCertificateData":"cert\n","clientKeyData":"key\n"}}"#,
                "\n"
            )
        );
        assert_eq!(
            CredentialStatus::from_token("t")
                .to_exec_credential(ExecVersion::V1)
                .unwrap(),
            concat!(
                r#"{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","spec":{"interactive":false},"status":{"token":"t"}}"#,
                "\n"
            )
        );
    }

    #[test]
    fn credentials_are_not_debug_printed() {
        assert_eq!(
            format!("{:?}", CredentialStatus::from_token("very-secret")),
            "CredentialStatus"
        );
    }
}

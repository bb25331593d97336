//! `CredentialIssuer` of `config.concierge.<suffix>/v1alpha1`: how this cluster hands out credentials.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Specification of a `CredentialIssuer`.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "config.concierge.pinniped.dev",
    version = "v1alpha1",
    kind = "CredentialIssuer",
    plural = "credentialissuers",
    singular = "credentialissuer",
    status = "CredentialIssuerStatus",
    category = "pinniped",
    printcolumn = r#"{"name":"ProxyMode","type":"string","jsonPath":".spec.impersonationProxy.mode"}"#,
    printcolumn = r#"{"name":"DefaultStrategy","type":"string","jsonPath":".status.strategies[?(@.status == \"Success\")].type"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    doc = "CredentialIssuer configures and reports how this cluster hands out credentials."
)]
#[serde(rename_all = "camelCase")]
pub struct CredentialIssuerSpec {
    /// Configuration of the impersonation proxy.
    pub impersonation_proxy: ImpersonationProxySpec,
}

/// Configuration of the impersonation proxy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImpersonationProxySpec {
    /// When the proxy runs.
    pub mode: ImpersonationProxyMode,
    /// The Service in front of the proxy.
    #[serde(default)]
    pub service: ImpersonationProxyServiceSpec,
    /// HTTPS endpoint by which clients reach the proxy, if the Service does not tell.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub external_endpoint: String,
    /// The proxy's serving certificate, if it shall not make one itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ImpersonationProxyTlsSpec>,
}

/// When the impersonation proxy runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ImpersonationProxyMode {
    /// Where no signing key can be reached.
    Auto,
    /// Always.
    Enabled,
    /// Never.
    Disabled,
}

/// The Service in front of the impersonation proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImpersonationProxyServiceSpec {
    /// Type of the Service.
    #[serde(default, rename = "type")]
    pub type_: ImpersonationProxyServiceType,
    /// `spec.loadBalancerIP` of the Service.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        rename = "loadBalancerIP"
    )]
    #[schemars(length(min = 1, max = 255))]
    pub load_balancer_ip: Option<String>,
    /// Annotations of the Service.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// Type of the impersonation proxy's Service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ImpersonationProxyServiceType {
    /// A Service of type LoadBalancer.
    #[default]
    LoadBalancer,
    /// A Service of type ClusterIP.
    ClusterIP,
    /// No Service.
    None,
}

/// The impersonation proxy's own serving certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImpersonationProxyTlsSpec {
    /// CA bundle that clients need, as base64 of PEM.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub certificate_authority_data: String,
    /// Name of a Secret of type `kubernetes.io/tls` in Haulout's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub secret_name: Option<String>,
}

/// Status of a `CredentialIssuer`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CredentialIssuerStatus {
    /// Ways to get a credential and whether each works; clients take the first that does.
    pub strategies: Vec<Strategy>,
}

/// One way to get a credential.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Strategy {
    /// Which way this is.
    #[serde(rename = "type")]
    pub type_: StrategyType,
    /// Whether it works.
    pub status: StrategyStatus,
    /// Why it has this status.
    pub reason: StrategyReason,
    /// What to know or do, for people.
    #[schemars(length(min = 1))]
    pub message: String,
    /// When this was last changed.
    pub last_update_time: Time,
    /// How clients use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frontend: Option<StrategyFrontend>,
}

/// Ways to get a credential.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum StrategyType {
    /// Certificates signed with the cluster's own key.
    KubeClusterSigningCertificate,
    /// An impersonating proxy.
    ImpersonationProxy,
    /// Haulout's own HTTPS listener for the same request.
    DirectEndpoint,
}

/// Whether a strategy works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum StrategyStatus {
    /// It works.
    Success,
    /// It does not.
    Error,
}

/// Why a strategy has its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum StrategyReason {
    /// The listener is up.
    Listening,
    /// Something is still awaited.
    Pending,
    /// Switched off by configuration.
    Disabled,
    /// It could not be set up.
    ErrorDuringSetup,
    /// The signing key cannot be used.
    CouldNotFetchKey,
    /// The source of the API server's address is broken.
    CouldNotGetClusterInfo,
    /// The signing key is in use.
    FetchedKey,
}

/// How clients use a strategy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StrategyFrontend {
    /// Which of the following fields applies.
    #[serde(rename = "type")]
    pub type_: FrontendType,
    /// For `TokenCredentialRequestAPI`: the API server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_credential_request_info: Option<TokenCredentialRequestApiInfo>,
    /// For `ImpersonationProxy`: the proxy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub impersonation_proxy_info: Option<ImpersonationProxyInfo>,
    /// For `DirectEndpoint`: the endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direct_endpoint_info: Option<DirectEndpointInfo>,
}

/// Which API a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FrontendType {
    /// `TokenCredentialRequest` through the Kubernetes API server.
    TokenCredentialRequestAPI,
    /// Everything through an impersonating proxy.
    ImpersonationProxy,
    /// `TokenCredentialRequest` through Haulout's own listener.
    DirectEndpoint,
}

/// Address and CA of the Kubernetes API server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenCredentialRequestApiInfo {
    /// URL of the API server.
    #[schemars(length(min = 1), regex(pattern = "^https://|^http://"))]
    pub server: String,
    /// CA of the API server as base64 of PEM.
    #[schemars(length(min = 1))]
    pub certificate_authority_data: String,
}

/// Address and CA of the impersonation proxy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImpersonationProxyInfo {
    /// URL of the proxy.
    #[schemars(length(min = 1), regex(pattern = "^https://"))]
    pub endpoint: String,
    /// CA of the proxy as base64 of PEM.
    #[schemars(length(min = 1))]
    pub certificate_authority_data: String,
}

/// Address and CA of the direct endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DirectEndpointInfo {
    /// URL of the endpoint, which kubeconfigs name beside that of the API server.
    #[schemars(length(min = 1), regex(pattern = "^https://"))]
    pub endpoint: String,
    /// CA of the endpoint as base64 of PEM; absent where its certificate is of a public CA.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub certificate_authority_data: Option<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn full_object_keeps_every_field() {
        let wire = json!({
            "apiVersion": "config.concierge.pinniped.dev/v1alpha1",
            "kind": "CredentialIssuer",
            "metadata": {"name": "haulout"},
            "spec": {
                "impersonationProxy": {
                    "mode": "disabled",
                    "service": {"type": "None", "loadBalancerIP": "192.0.2.1", "annotations": {"a": "b"}},
                    "externalEndpoint": "proxy.example.com",
                    "tls": {"certificateAuthorityData": "Zm9v", "secretName": "proxy"},
                },
            },
            "status": {
                "strategies": [
                    {
                        "type": "KubeClusterSigningCertificate",
                        "status": "Success",
                        "reason": "FetchedKey",
                        "message": "key was fetched successfully",
                        "lastUpdateTime": "2026-11-23T19:34:43Z",
                        "frontend": {
                            "type": "TokenCredentialRequestAPI",
                            "tokenCredentialRequestInfo": {
                                "server": "https://k.example.com",
                                "certificateAuthorityData": "Zm9v",
                            },
                        },
                    },
                    {
                        "type": "ImpersonationProxy",
                        "status": "Success",
                        "reason": "Listening",
                        "message": "m",
                        "lastUpdateTime": "2026-11-23T19:34:43Z",
                        "frontend": {
                            "type": "ImpersonationProxy",
                            "impersonationProxyInfo": {
                                "endpoint": "https://p.example.com",
                                "certificateAuthorityData": "Zm9v",
                            },
                        },
                    },
                    {
                        "type": "DirectEndpoint",
                        "status": "Success",
                        "reason": "Listening",
                        "message": "m",
                        "lastUpdateTime": "2026-11-23T19:34:43Z",
                        "frontend": {
                            "type": "DirectEndpoint",
                            "directEndpointInfo": {
                                "endpoint": "https://login.example.com",
                                "certificateAuthorityData": "Zm9v",
                            },
                        },
                    },
                ],
            },
        });
        let parsed: CredentialIssuer = serde_json::from_value(wire.clone()).unwrap();
        assert_eq!(serde_json::to_value(&parsed).unwrap(), wire);
    }

    #[test]
    fn service_defaults_to_a_load_balancer() {
        let spec: ImpersonationProxySpec = serde_json::from_value(json!({"mode": "auto"})).unwrap();
        assert_eq!(
            spec.service.type_,
            ImpersonationProxyServiceType::LoadBalancer
        );
    }

    #[test]
    fn an_endpoint_of_a_public_ca_names_none() {
        let info = DirectEndpointInfo {
            endpoint: "https://login.example.com".to_owned(),
            certificate_authority_data: None,
        };
        let wire = json!({"endpoint": "https://login.example.com"});
        assert_eq!(serde_json::to_value(info).unwrap(), wire);
    }

    /// Clients read the list without looking whether it is there.
    #[test]
    fn empty_strategies_are_printed() {
        assert_eq!(
            serde_json::to_value(CredentialIssuerStatus::default()).unwrap(),
            json!({"strategies": []})
        );
    }

    #[test]
    fn every_reason_has_its_word() {
        let words = [
            (StrategyReason::Listening, "Listening"),
            (StrategyReason::Pending, "Pending"),
            (StrategyReason::Disabled, "Disabled"),
            (StrategyReason::ErrorDuringSetup, "ErrorDuringSetup"),
            (StrategyReason::CouldNotFetchKey, "CouldNotFetchKey"),
            (
                StrategyReason::CouldNotGetClusterInfo,
                "CouldNotGetClusterInfo",
            ),
            (StrategyReason::FetchedKey, "FetchedKey"),
        ];
        for (reason, word) in words {
            assert_eq!(serde_json::to_value(reason).unwrap(), json!(word));
        }
    }
}

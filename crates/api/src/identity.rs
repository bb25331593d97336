//! `WhoAmIRequest` of `identity.concierge.<suffix>/v1alpha1`: who the API server says that the caller is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Kind on the wire.
pub const KIND: &str = "WhoAmIRequest";
/// Kind of the (always empty) list.
pub const LIST_KIND: &str = "WhoAmIRequestList";
/// Resource name in URLs.
pub const PLURAL: &str = "whoamirequests";
/// Singular resource name in discovery.
pub const SINGULAR: &str = "whoamirequest";

/// Status of a `WhoAmIRequest`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WhoAmIRequestStatus {
    /// The identity as Kubernetes sees it.
    pub kubernetes_user_info: KubernetesUserInfo,
}

/// The caller and the audiences that the authenticator accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KubernetesUserInfo {
    /// The caller.
    pub user: UserInfo,
    /// Absent behind the aggregator, which does not forward audiences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audiences: Vec<String>,
}

/// A user as Kubernetes describes it (`authentication.k8s.io` `UserInfo`), group order kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserInfo {
    /// Name of the user; may be empty only before validation.
    pub username: String,
    /// Unique identifier; empty where none is known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// Groups in the order in which they came.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Additional information; keys are domain-prefixed paths.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extra: BTreeMap<String, Vec<String>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_prints_like_go_and_keeps_group_order() {
        let status = WhoAmIRequestStatus {
            kubernetes_user_info: KubernetesUserInfo {
                user: UserInfo {
                    username: "alice".to_owned(),
                    uid: String::new(),
                    groups: vec!["ops".to_owned(), "devs".to_owned()],
                    extra: BTreeMap::from([(
                        "authentication.kubernetes.io/credential-id".to_owned(),
                        vec!["X509SHA256=00".to_owned()],
                    )]),
                },
                audiences: Vec::new(),
            },
        };
        let wire = r#"{"kubernetesUserInfo":{"user":{"username":"alice","groups":["ops","devs"],"extra":{"authentication.kubernetes.io/credential-id":["X509SHA256=00"]}}}}"#;
        assert_eq!(serde_json::to_string(&status).unwrap(), wire);
        assert_eq!(
            serde_json::from_str::<WhoAmIRequestStatus>(wire).unwrap(),
            status
        );
    }
}

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

impl UserInfo {
    /// The user with a prefix before its name and one before each group. What is empty stays so, to be refused as such.
    #[must_use]
    pub fn with_prefixes(mut self, username_prefix: &str, groups_prefix: &str) -> Self {
        let put_before = |prefix: &str, name: &mut String| {
            if !name.is_empty() {
                name.insert_str(0, prefix);
            }
        };
        put_before(username_prefix, &mut self.username);
        for group in &mut self.groups {
            put_before(groups_prefix, group);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_stand_before_names_and_make_none_of_nothing() {
        let prefixed = |username: &str, groups: &[&str]| {
            let user = UserInfo {
                username: username.to_owned(),
                uid: "7".to_owned(),
                groups: groups.iter().map(ToString::to_string).collect(),
                ..UserInfo::default()
            };
            let user = user.with_prefixes("u:", "g:");
            assert_eq!(user.uid, "7");
            (user.username, user.groups)
        };
        assert_eq!(
            prefixed("alice", &["ops", "", "g:"]),
            (
                "u:alice".to_owned(),
                vec!["g:ops".to_owned(), String::new(), "g:g:".to_owned()]
            )
        );
        assert_eq!(prefixed("", &[]), (String::new(), Vec::new()));
    }

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

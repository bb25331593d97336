//! The kinds that the server serves, and where.

use haulout_api::group::{ApiGroupSuffix, VERSION};
use haulout_api::{credential, identity};

/// A kind whose objects can be created and (always empty) listed. Cluster-scoped, in the one
/// version that there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedKind {
    /// The API group, its suffix as configured.
    pub group: String,
    /// `<group>/<version>`.
    pub api_version: String,
    /// The kind, such as `TokenCredentialRequest`.
    pub kind: &'static str,
    /// The kind of the list.
    pub list_kind: &'static str,
    /// The resource, such as `tokencredentialrequests`.
    pub plural: &'static str,
    /// The resource in the singular.
    pub singular: &'static str,
}

impl ServedKind {
    /// `TokenCredentialRequest`.
    pub fn token_credential_request(suffix: &ApiGroupSuffix) -> Self {
        let group = suffix.login_group();
        Self {
            api_version: format!("{group}/{VERSION}"),
            group,
            kind: credential::KIND,
            list_kind: credential::LIST_KIND,
            plural: credential::PLURAL,
            singular: credential::SINGULAR,
        }
    }

    /// `WhoAmIRequest`.
    pub fn who_am_i_request(suffix: &ApiGroupSuffix) -> Self {
        let group = suffix.identity_group();
        Self {
            api_version: format!("{group}/{VERSION}"),
            group,
            kind: identity::KIND,
            list_kind: identity::LIST_KIND,
            plural: identity::PLURAL,
            singular: identity::SINGULAR,
        }
    }

    /// The path of discovery: `/apis/<group>/<version>`.
    pub fn group_path(&self) -> String {
        format!("/apis/{}", self.api_version)
    }

    /// The path of the collection: `/apis/<group>/<version>/<resource>`.
    pub fn path(&self) -> String {
        format!("/apis/{}/{}", self.api_version, self.plural)
    }
}

//! The documents, their fields in the order in which Kubernetes prints them.

use haulout_api::group::VERSION;
use serde::Serialize;

use crate::kinds::ServedKind;
use crate::negotiate::DiscoveryVersion;

const VERBS: [&str; 2] = ["create", "list"];
const CATEGORIES: [&str; 1] = ["pinniped"];

/// `/`: what there is.
#[derive(Debug, Serialize)]
pub(super) struct RootPaths {
    paths: Vec<String>,
}

impl RootPaths {
    pub(super) fn of(kinds: &[&ServedKind], others: &[&str]) -> Self {
        let mut paths = vec!["/apis".to_owned()];
        paths.extend(
            kinds
                .iter()
                .flat_map(|k| [format!("/apis/{}", k.group), k.group_path()]),
        );
        paths.extend(others.iter().map(|&path| path.to_owned()));
        paths.sort();
        Self { paths }
    }
}

/// `APIGroupList` of `v1`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ApiGroupList<'a> {
    kind: &'static str,
    api_version: &'static str,
    groups: Vec<ApiGroup<'a>>,
}

impl<'a> ApiGroupList<'a> {
    pub(super) fn of(kinds: &[&'a ServedKind]) -> Self {
        Self {
            kind: "APIGroupList",
            api_version: "v1",
            groups: kinds.iter().map(|kind| ApiGroup::of(kind, false)).collect(),
        }
    }
}

/// `APIGroup` of `v1`, which bears kind and version only where it stands alone.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ApiGroup<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    api_version: Option<&'static str>,
    name: &'a str,
    versions: [GroupVersion<'a>; 1],
    preferred_version: GroupVersion<'a>,
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct GroupVersion<'a> {
    group_version: &'a str,
    version: &'static str,
}

impl<'a> ApiGroup<'a> {
    pub(super) fn of(kind: &'a ServedKind, alone: bool) -> Self {
        let version = GroupVersion {
            group_version: &kind.api_version,
            version: VERSION,
        };
        Self {
            kind: alone.then_some("APIGroup"),
            api_version: alone.then_some("v1"),
            name: &kind.group,
            versions: [version],
            preferred_version: version,
        }
    }
}

/// `APIResourceList` of `v1`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ApiResourceList<'a> {
    kind: &'static str,
    api_version: &'static str,
    group_version: &'a str,
    resources: [ApiResource; 1],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ApiResource {
    name: &'static str,
    singular_name: &'static str,
    namespaced: bool,
    kind: &'static str,
    verbs: [&'static str; 2],
    categories: [&'static str; 1],
}

impl<'a> ApiResourceList<'a> {
    pub(super) fn of(kind: &'a ServedKind) -> Self {
        Self {
            kind: "APIResourceList",
            api_version: "v1",
            group_version: &kind.api_version,
            resources: [ApiResource {
                name: kind.plural,
                singular_name: kind.singular,
                namespaced: false,
                kind: kind.kind,
                verbs: VERBS,
                categories: CATEGORIES,
            }],
        }
    }
}

/// `APIGroupDiscoveryList` of `apidiscovery.k8s.io`, alike in both versions.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GroupDiscoveryList<'a> {
    kind: &'static str,
    api_version: String,
    metadata: Metadata<'a>,
    items: Vec<GroupDiscovery<'a>>,
}

#[derive(Debug, Serialize)]
struct Metadata<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct GroupDiscovery<'a> {
    metadata: Metadata<'a>,
    versions: [VersionDiscovery; 1],
}

#[derive(Debug, Serialize)]
struct VersionDiscovery {
    version: &'static str,
    resources: [ResourceDiscovery; 1],
    freshness: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceDiscovery {
    resource: &'static str,
    response_kind: ResponseKind,
    scope: &'static str,
    singular_resource: &'static str,
    verbs: [&'static str; 2],
    categories: [&'static str; 1],
}

/// Group and version are empty where they are those of the entry.
#[derive(Debug, Serialize)]
struct ResponseKind {
    group: &'static str,
    version: &'static str,
    kind: &'static str,
}

impl<'a> GroupDiscoveryList<'a> {
    pub(super) fn of(kinds: &[&'a ServedKind], version: DiscoveryVersion) -> Self {
        Self {
            kind: "APIGroupDiscoveryList",
            api_version: format!("apidiscovery.k8s.io/{}", version.version()),
            metadata: Metadata { name: None },
            items: kinds.iter().map(|kind| GroupDiscovery::of(kind)).collect(),
        }
    }
}

impl<'a> GroupDiscovery<'a> {
    fn of(kind: &'a ServedKind) -> Self {
        Self {
            metadata: Metadata {
                name: Some(&kind.group),
            },
            versions: [VersionDiscovery {
                version: VERSION,
                resources: [ResourceDiscovery {
                    resource: kind.plural,
                    response_kind: ResponseKind {
                        group: "",
                        version: "",
                        kind: kind.kind,
                    },
                    scope: "Cluster",
                    singular_resource: kind.singular,
                    verbs: VERBS,
                    categories: CATEGORIES,
                }],
                freshness: "Current",
            }],
        }
    }
}

//! A CA and the leaf that it issues: judged as they stand in a Secret, and renewed in time.
//!
//! The serving certificate of door A and the certificates between webhook and agents are kept so.

mod contents;
mod expiry;
mod plan;

use std::collections::BTreeMap;
use std::time::Duration;

use haulout_operate::cluster::{CallError, call, post_params};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::{Api, Client, Resource};

pub(crate) use self::contents::{
    AUTHORITIES, AUTHORITY_KEY, BACKDATED, Contents, Data, LEAF, LEAF_KEY, RenewError, data_of,
    usable,
};
pub use self::expiry::ExpiryMetrics;
pub(crate) use self::plan::{is_announced, part_left, plan};

/// Owner of what is kept, where we run as one.
const DEPLOYMENT: &str = "haulout-webhook";

/// What CA and leaf are to be.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Common name of the CA.
    pub authority_name: &'static str,
    /// Names by which the leaf's server is called, the one that clients verify first.
    pub dns_names: Vec<String>,
    /// Life of the CA.
    pub ca_lifetime: Duration,
    /// Life of the leaf.
    pub leaf_lifetime: Duration,
    /// How long those who must trust a new CA are told of it before its first leaf.
    pub announced_for: Duration,
}

/// A Secret of our own namespace, which the leader makes and nobody else writes.
pub(super) struct OwnSecret {
    pub(super) secrets: Api<Secret>,
    deployments: Api<Deployment>,
    name: String,
    labels: BTreeMap<String, String>,
}

impl OwnSecret {
    pub(super) fn new(
        client: Client,
        namespace: &str,
        name: String,
        labels: BTreeMap<String, String>,
    ) -> Self {
        Self {
            secrets: Api::namespaced(client.clone(), namespace),
            deployments: Api::namespaced(client, namespace),
            name,
            labels,
        }
    }

    /// Makes the Secret, or changes what it was `current`ly found to be.
    pub(super) async fn write(
        &self,
        current: Option<&Secret>,
        data: Data,
    ) -> Result<Secret, CallError> {
        let (params, labels) = (post_params(), self.labels.clone());
        let Some(current) = current else {
            let metadata = ObjectMeta {
                name: Some(self.name.clone()),
                labels: Some(labels),
                owner_references: self.owner().await.map(|owner| vec![owner]),
                ..ObjectMeta::default()
            };
            let secret = Secret {
                metadata,
                data: Some(data),
                ..Secret::default()
            };
            return call(self.secrets.create(&params, &secret)).await;
        };
        let mut secret = current.clone();
        secret.data = Some(data);
        secret
            .metadata
            .labels
            .get_or_insert_default()
            .extend(labels);
        call(self.secrets.replace(&self.name, &params, &secret)).await
    }

    /// Our Deployment, if we run as one and may read it: the Secret is removed with it.
    async fn owner(&self) -> Option<OwnerReference> {
        call(self.deployments.get_metadata(DEPLOYMENT))
            .await
            .ok()?
            .owner_ref(&())
    }
}

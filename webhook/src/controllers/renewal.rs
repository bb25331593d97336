//! A CA and the leaf that it issues: judged as they stand in a Secret, and renewed in time.
//!
//! The serving certificate of door A and the certificates between webhook and agents are kept so.

mod contents;
mod expiry;
mod plan;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use haulout_operate::cluster::{CallError, call, post_params};
use haulout_operate::owner::Owner;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;

pub(crate) use self::contents::{
    AUTHORITIES, AUTHORITY_KEY, BACKDATED, Contents, Data, LEAF, LEAF_KEY, RenewError, data_of,
    usable,
};
pub use self::expiry::ExpiryMetrics;
pub(crate) use self::plan::{is_announced, part_left, plan};
use super::Environment;

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
    owner: Arc<Owner>,
    name: String,
    labels: BTreeMap<String, String>,
}

impl OwnSecret {
    pub(super) fn new(
        environment: &Environment,
        namespace: &str,
        name: String,
        labels: BTreeMap<String, String>,
    ) -> Self {
        Self {
            secrets: Api::namespaced(environment.client.clone(), namespace),
            owner: Arc::clone(&environment.owner),
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
                owner_references: self.owner.reference().await.map(|owner| vec![owner]),
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
}

//! Our own Deployment, which owns what we make in its namespace: all of it is removed with it.

use std::fmt;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Api, Client, Resource};
use tokio::sync::OnceCell;

use crate::cluster::call;

/// The Deployment, by its name, and what is known of it.
pub struct Owner {
    deployments: Api<Deployment>,
    name: String,
    known: OnceCell<OwnerReference>,
}

impl Owner {
    /// Asks nothing yet.
    pub fn new(client: Client, namespace: &str, deployment: &str) -> Self {
        Self {
            deployments: Api::namespaced(client, namespace),
            name: deployment.to_owned(),
            known: OnceCell::new(),
        }
    }

    /// Its reference; none where we do not run as a Deployment, or may not read it.
    ///
    /// Once known it stays: what we make anew while we are being removed goes as well, since the garbage collector removes
    /// what an object owns that is gone.
    pub async fn reference(&self) -> Option<OwnerReference> {
        let find = async || {
            let found = call(self.deployments.get_metadata(&self.name)).await.ok();
            found.and_then(|found| found.owner_ref(&())).ok_or(())
        };
        self.known.get_or_try_init(find).await.ok().cloned()
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Owner")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

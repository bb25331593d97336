//! `haulout agent-values`: prints the values with which the chart places the agent.

mod advertise;
mod text;

use std::io::Write;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;

use advertise::Advertise;

use crate::Environment;
use crate::agent_placement::{ControlPlane, PlacementError};
use crate::arguments::ClusterFlags;
use crate::cluster::{Cluster, ClusterError};
use crate::standard_output::{PrintError, print};

/// Why no values were printed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AgentValuesError {
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error(transparent)]
    Placement(#[from] PlacementError),
    #[error(transparent)]
    Print(#[from] PrintError),
}

/// Prints them, as YAML for `helm install -f -`.
pub(crate) fn run(
    flags: &ClusterFlags,
    environment: Environment<'_>,
    stdout: &mut dyn Write,
) -> Result<(), AgentValuesError> {
    let (values, advertise) = Cluster::with(flags, environment, async |cluster| {
        let values = ControlPlane::read(cluster).await?.agent_values()?;
        Ok::<_, AgentValuesError>((values, read_advertise(cluster).await))
    })?;
    Ok(print(stdout, format!("{values}{advertise}"))?)
}

/// Whoever may not read cluster-info is told nothing of it: the agent's place does not depend on it.
async fn read_advertise(cluster: &Cluster) -> Advertise {
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client(), "kube-public");
    let cluster_info = cluster.get("cluster-info", &maps, "cluster-info").await;
    let has_cluster_info = cluster_info.ok().map(|found| found.is_some());
    Advertise::decide(has_cluster_info, cluster.server())
}

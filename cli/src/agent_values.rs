//! `haulout agent-values`: prints the values with which the chart places the agent.

mod values;

use std::io::{self, Write};

use haulout_api::controller_manager::{LABEL_SELECTORS, NAMESPACE};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;

pub(crate) use values::{AgentValues, PlacementError};

use crate::arguments::ClusterFlags;
use crate::cluster::{Cluster, ClusterError};

/// Why no values were printed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AgentValuesError {
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error(transparent)]
    Placement(#[from] PlacementError),
    #[error("failed to print the result")]
    Print(#[source] io::Error),
}

/// Prints them, as YAML for `helm install -f -`.
pub(crate) fn run(flags: &ClusterFlags, stdout: &mut dyn Write) -> Result<(), AgentValuesError> {
    let values = Cluster::with(flags, async |cluster| read(cluster).await)?;
    write!(stdout, "{values}")
        .and_then(|()| stdout.flush())
        .map_err(AgentValuesError::Print)
}

/// Reads from the cluster's pods and nodes where the agent belongs.
pub(crate) async fn read(cluster: &Cluster) -> Result<AgentValues, AgentValuesError> {
    let pods: Api<Pod> = Api::namespaced(cluster.client(), NAMESPACE);
    let what = "the pods of kube-controller-manager";
    let mut found = Vec::new();
    for selector in LABEL_SELECTORS {
        found.extend(cluster.list(what, &pods, selector).await?);
    }
    let nodes: Api<Node> = Api::all(cluster.client());
    let nodes = cluster.list("the nodes", &nodes, "").await?;
    Ok(AgentValues::decide(&found, &nodes)?)
}

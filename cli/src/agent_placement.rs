//! Where the agent belongs: from controller-manager pods to values of the chart.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use haulout_api::controller_manager::{
    CONTROL_PLANE_LABEL, LABEL_SELECTORS, NAMESPACE, NoneRuns, RunAs, SigningFiles,
    SigningFilesError, choose, is_controller_manager, is_running, node_name, signing_files,
};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;

use crate::cluster::{Cluster, ClusterError};

/// What tells where the agent belongs.
pub(crate) struct ControlPlane {
    /// Those of kube-controller-manager; one that has several labels is there several times.
    pods: Vec<Pod>,
    nodes: Vec<Node>,
}

impl ControlPlane {
    pub(crate) async fn read(cluster: &Cluster) -> Result<Self, ClusterError> {
        let api: Api<Pod> = Api::namespaced(cluster.client(), NAMESPACE);
        let what = "the pods of kube-controller-manager";
        let mut pods = Vec::new();
        for selector in LABEL_SELECTORS {
            pods.extend(cluster.list(what, &api, selector).await?);
        }
        let nodes: Api<Node> = Api::all(cluster.client());
        let nodes = cluster.list("the nodes", &nodes, "").await?;
        Ok(Self { pods, nodes })
    }

    /// What to place, if all running controller-managers agree.
    pub(crate) fn agent_values(&self) -> Result<AgentValues, PlacementError> {
        AgentValues::decide(&self.pods, &self.nodes)
    }
}

/// Presets of the chart: name, certificate, key, and the user and group that can read the key.
const PRESETS: [(&str, &str, &str, RunAs); 2] = [
    (
        "kubeadm",
        "/etc/kubernetes/pki/ca.crt",
        "/etc/kubernetes/pki/ca.key",
        RunAs { user: 0, group: 0 },
    ),
    (
        "talos",
        "/system/secrets/kubernetes/kube-controller-manager/ca.crt",
        "/system/secrets/kubernetes/kube-controller-manager/ca.key",
        RunAs {
            user: 65535,
            group: 65535,
        },
    ),
];

/// Where the agent belongs, and how that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AgentValues {
    pub(crate) files: SigningFiles,
    /// Names of the pods that told, each with its node.
    pub(crate) pods: BTreeMap<String, String>,
    /// What the label of control plane nodes has for a value; the chart expects none.
    pub(crate) label_value: String,
    /// Nodes with such a pod that the chart would put no agent on.
    pub(crate) unlabelled: BTreeSet<String>,
    /// Nodes that the chart would put an agent on, and no such pod runs there.
    pub(crate) without: BTreeSet<String>,
}

/// Why there are no values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PlacementError {
    #[error(
        "{0}; Haulout signs beside kube-controller-manager, with its key, so it needs a cluster whose control plane nodes \
         run pods of yours"
    )]
    NoneRuns(NoneRuns),
    #[error("cannot tell what {pod} on node {node} signs with")]
    Unknown {
        pod: String,
        node: String,
        source: SigningFilesError,
    },
    #[error(
        "the control plane nodes differ, and the agent is the same on all of them; let them agree: {0}"
    )]
    Differ(String),
    #[error(
        "the control plane nodes differ, and agents run on those whose label {CONTROL_PLANE_LABEL} has the one value that the \
         chart is told; let them agree: {0}"
    )]
    LabelsDiffer(String),
}

impl AgentValues {
    /// What to place, if all running controller-managers agree.
    fn decide(pods: &[Pod], nodes: &[Node]) -> Result<Self, PlacementError> {
        choose(distinct(pods), nodes).map_err(PlacementError::NoneRuns)?;
        let mut found: Vec<(SigningFiles, String, String)> = Vec::new();
        for pod in distinct(pods).filter(|pod| is_running(pod)) {
            let name = pod.metadata.name.clone().unwrap_or_default();
            let node = node_name(pod).unwrap_or_default().to_owned();
            match signing_files(pod) {
                Ok(files) => found.push((files, name, node)),
                Err(source) => {
                    let pod = name;
                    return Err(PlacementError::Unknown { pod, node, source });
                }
            }
        }
        let differ = || PlacementError::Differ(differences(&found));
        let mut all = found.iter().map(|(files, ..)| files);
        let files = all.next().cloned().ok_or_else(differ)?;
        if !all.all(|other| is_same(other, &files)) {
            return Err(differ());
        }
        let pods: BTreeMap<_, _> = found
            .into_iter()
            .map(|(_, name, node)| (name, node))
            .collect();
        let with_pod: BTreeSet<_> = pods.values().cloned().collect();
        let label_value = label_value(nodes)?;
        let labelled = nodes.iter().filter_map(control_plane);
        let labelled: BTreeSet<_> = labelled.map(|(name, _)| name).collect();
        Ok(Self {
            label_value,
            unlabelled: with_pod.difference(&labelled).cloned().collect(),
            without: labelled.difference(&with_pod).cloned().collect(),
            files,
            pods,
        })
    }

    /// The preset of the chart that says exactly this.
    pub(crate) fn preset(&self) -> Option<&'static str> {
        let SigningFiles {
            certificate,
            key,
            run_as,
        } = &self.files;
        PRESETS
            .into_iter()
            .find(|(_, certificate_path, key_path, user)| {
                certificate.host_path == *certificate_path
                    && key.host_path == *key_path
                    && run_as == user
            })
            .map(|(name, ..)| name)
    }
}

/// Both lists may have the same pod, as its labels match both selectors.
fn distinct(pods: &[Pod]) -> impl Iterator<Item = &Pod> {
    let mut names = BTreeSet::new();
    pods.iter()
        .filter(move |pod| is_controller_manager(pod) && names.insert(&pod.metadata.name))
}

/// Whether the agent would be the same: it sees paths of the node.
fn is_same(a: &SigningFiles, b: &SigningFiles) -> bool {
    let seen = |files: &SigningFiles| {
        let SigningFiles {
            certificate,
            key,
            run_as,
        } = files.clone();
        (certificate.host_path, key.host_path, run_as)
    };
    seen(a) == seen(b)
}

fn differences(found: &[(SigningFiles, String, String)]) -> String {
    let mut text = String::new();
    for (files, pod, node) in found {
        let SigningFiles {
            certificate,
            key,
            run_as: RunAs { user, group },
        } = files;
        let _infallible = write!(
            text,
            "{}{pod} on node {node} has {} and {}, user {user}, group {group}",
            if text.is_empty() { "" } else { "; " },
            certificate.host_path,
            key.host_path,
        );
    }
    text
}

/// The value that all control plane nodes have: the chart refuses to install where one has another than it is told.
fn label_value(nodes: &[Node]) -> Result<String, PlacementError> {
    let labelled: BTreeMap<_, _> = nodes.iter().filter_map(control_plane).collect();
    let mut values: BTreeSet<_> = labelled.values().cloned().collect();
    if values.len() > 1 {
        let differences: Vec<_> = labelled
            .iter()
            .map(|(node, value)| format!("node {node} has \"{value}\""))
            .collect();
        return Err(PlacementError::LabelsDiffer(differences.join("; ")));
    }
    Ok(values.pop_first().unwrap_or_default())
}

/// Name and value of the label, if this is a control plane node.
fn control_plane(node: &Node) -> Option<(String, String)> {
    let value = node.metadata.labels.as_ref()?.get(CONTROL_PLANE_LABEL)?;
    Some((node.metadata.name.clone()?, value.clone()))
}

#[cfg(test)]
mod tests;

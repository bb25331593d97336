//! What kubeadm tells everybody about the cluster.

use anyhow::Context as _;
use serde_json::json;

use super::kubeconfig;
use super::pki::ClusterPki;

/// `kube-public/cluster-info` and the right of everybody to read it, as `kubeadm init` makes them.
pub(super) fn cluster_info(server: &str, pki: &ClusterPki) -> anyhow::Result<String> {
    let role = "kubeadm:bootstrap-signer-clusterinfo";
    let metadata = |name: &str| json!({ "namespace": "kube-public", "name": name });
    let kubeconfig = kubeconfig::cluster_info(server, &pki.signing_pair().certificate)
        .context("failed to write cluster-info")?;
    let list = json!({
        "apiVersion": "v1",
        "kind": "List",
        "items": [
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": metadata("cluster-info"),
                "data": { "kubeconfig": kubeconfig },
            },
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "Role",
                "metadata": metadata(role),
                "rules": [{
                    "apiGroups": [""],
                    "resources": ["configmaps"],
                    "resourceNames": ["cluster-info"],
                    "verbs": ["get"],
                }],
            },
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "RoleBinding",
                "metadata": metadata(role),
                "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role },
                "subjects": [{
                    "apiGroup": "rbac.authorization.k8s.io",
                    "kind": "User",
                    "name": "system:anonymous",
                }],
            },
        ],
    });
    Ok(list.to_string())
}

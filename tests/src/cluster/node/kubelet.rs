//! Configuration of kubelet and kube-proxy.

use serde_json::{Value, json};

use super::containerd::SOCKET;
use super::network::POD_RANGE;

/// Where kubelet looks for static pods.
pub(super) const STATIC_PODS: &str = "/etc/kubernetes/manifests";
/// The CA that signs the client certificates of kubelet's callers.
pub(super) const CLIENT_CA: &str = "/etc/kubernetes/pki/ca.crt";
/// What keeps ordinary pods from control plane nodes; kubeadm and Talos set the same.
pub(super) const TAINT: &str = "node-role.kubernetes.io/control-plane";

/// Configuration of kubelet; its containers go into this control group.
pub(super) fn kubelet(control_group: &str) -> Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": { "enabled": false },
            "webhook": { "enabled": true },
            "x509": { "clientCAFile": CLIENT_CA },
        },
        "authorization": { "mode": "Webhook" },
        "containerRuntimeEndpoint": format!("unix://{SOCKET}"),
        "staticPodPath": STATIC_PODS,
        "registerWithTaints": [{ "key": TAINT, "effect": "NoSchedule" }],
        "clusterDNS": ["10.96.0.10"],
        "clusterDomain": "cluster.local",
        // There is nothing to look up: no cluster DNS runs, and pods find the API server by its address.
        "resolvConf": "",
        // Below a group that can be removed, and without a limit on what all pods take together.
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": control_group,
        "enforceNodeAllocatable": [],
        "failCgroupV1": false,
        "failSwapOn": false,
        // Nothing is pulled, so nothing that was removed would come back.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "1%",
            "imagefs.available": "1%",
        },
    })
}

/// Configuration of kube-proxy.
pub(super) fn kube_proxy(node: &str, kubeconfig: &str) -> Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "hostnameOverride": node,
        "clusterCIDR": POD_RANGE,
        "clientConnection": { "kubeconfig": kubeconfig },
        // This computer's, not the node's: it stays as it is.
        "conntrack": { "maxPerCore": 0 },
        "oomScoreAdj": 0,
    })
}

//! The files that a node's programs read, in the node's own file system.

use std::path::Path;

use super::{containerd, controller_manager, kubelet, network};
use crate::cluster::binaries::NodePrograms;
use crate::cluster::kubeconfig::{Credential, write_kubeconfig};
use crate::cluster::pki::{ClusterPki, write as write_file};
use crate::cluster::profile::Profile;

pub(super) const CONTAINERD: &str = "/etc/containerd/config.toml";
pub(super) const KUBELET: &str = "/var/lib/kubelet/config.yaml";
pub(super) const KUBELET_KUBECONFIG: &str = "/etc/kubernetes/kubelet.conf";
pub(super) const KUBE_PROXY: &str = "/etc/kubernetes/kube-proxy.yaml";
const KUBE_PROXY_KUBECONFIG: &str = "/etc/kubernetes/kube-proxy.conf";

/// From where kubelet takes what the Node object calls `osImage`.
const OS_RELEASE: &str = "/etc/os-release";
const TALOS_RELEASE: &str =
    "NAME=\"Talos\"\nID=talos\nVERSION_ID=v1.13.0\nPRETTY_NAME=\"Talos (v1.13.0)\"\n";

/// What a node is told of its cluster.
#[derive(Clone, Copy, Debug)]
pub(in crate::cluster) struct Membership<'a> {
    pub(in crate::cluster) profile: Profile,
    pub(in crate::cluster) pki: &'a ClusterPki,
    pub(in crate::cluster) server: &'a str,
}

/// Writes what containerd reads.
///
/// # Errors
/// A file cannot be written.
pub(super) fn write_for_containerd(root: &Path, programs: &NodePrograms) -> anyhow::Result<()> {
    let network = serde_json::to_string_pretty(&network::cni_template())?;
    write_file(&inside(root, containerd::NETWORK), &network, 0o644)?;
    let configuration = containerd::configuration(programs);
    write_file(&inside(root, CONTAINERD), &configuration, 0o644)
}

/// Writes what kubelet, kube-proxy and kube-controller-manager read; pods go into this control group.
///
/// # Errors
/// A file cannot be read or written.
pub(super) fn write(
    root: &Path,
    node: &str,
    control_group: &str,
    membership: Membership<'_>,
) -> anyhow::Result<()> {
    let Membership {
        profile,
        pki,
        server,
    } = membership;
    let ca = pki.signing_pair().certificate;
    for folder in [kubelet::STATIC_PODS, "/etc/kubernetes/pki"] {
        std::fs::create_dir_all(inside(root, folder))?;
    }
    let client_ca = std::fs::read_to_string(&ca)?;
    write_file(&inside(root, kubelet::CLIENT_CA), &client_ca, 0o644)?;
    for (path, pair) in [
        (KUBELET_KUBECONFIG, pki.node(node)?),
        (KUBE_PROXY_KUBECONFIG, pki.pair("kube-proxy")),
    ] {
        let credential = Credential::Certificate(pair);
        write_kubeconfig(&inside(root, path), server, &ca, &credential)?;
    }
    for (path, configuration) in [
        (KUBELET, kubelet::kubelet(control_group)),
        (KUBE_PROXY, kubelet::kube_proxy(node, KUBE_PROXY_KUBECONFIG)),
    ] {
        let text = serde_json::to_string_pretty(&configuration)?;
        write_file(&inside(root, path), &text, 0o644)?;
    }
    if profile == Profile::Talos {
        let release = inside(root, OS_RELEASE);
        // Else a link would lead out of the node's file system.
        std::fs::remove_file(&release)?;
        write_file(&release, TALOS_RELEASE, 0o644)?;
    }
    controller_manager::write_files(root, pki, server, profile)?;
    let pod = serde_json::to_string_pretty(&controller_manager::pod(root, profile)?)?;
    let path = inside(root, kubelet::STATIC_PODS).join("kube-controller-manager.yaml");
    write_file(&path, &pod, 0o600)
}

/// A path of the node as one that this process can use.
pub(super) fn inside(root: &Path, path: &str) -> std::path::PathBuf {
    root.join(path.trim_start_matches('/'))
}

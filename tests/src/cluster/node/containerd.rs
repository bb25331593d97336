//! containerd and what goes through it: images, containers.

use serde_json::json;

use super::images::PAUSE_IMAGE;
use crate::cluster::binaries::NodePrograms;

/// Where containerd listens; its own default.
pub(super) const SOCKET: &str = "/run/containerd/containerd.sock";
/// Template of the pods' network.
pub(super) const NETWORK: &str = "/etc/cni/template";
/// Namespace of what Kubernetes runs.
pub(super) const NAMESPACE: &str = "k8s.io";

/// Its configuration file.
pub(super) fn configuration(programs: &NodePrograms) -> String {
    // Paths as JSON strings, which are strings of TOML.
    let programs = json!(programs.folder());
    format!(
        "version = 3
disabled_plugins = ['io.containerd.tracing.processor.v1.otlp']
[grpc]
  address = '{SOCKET}'
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = '{PAUSE_IMAGE}'
[plugins.'io.containerd.cri.v1.runtime']
  # Lowering a score needs CAP_SYS_RESOURCE, which some hosts of virtual machines withhold.
  restrict_oom_score_adj = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = [{programs}]
  conf_dir = '/etc/cni/net.d'
  conf_template = '{NETWORK}'
[plugins.'io.containerd.cri.v1.runtime'.containerd]
  default_runtime_name = 'runc'
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = 'io.containerd.runc.v2'
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
    SystemdCgroup = false
"
    )
}

//! Nodes that run pods: containerd, kubelet and kube-proxy, each node on a [machine](machine::Machine) of its own.
//!
//! The control plane's processes share the network of the first one, as they do on a real control plane node, and
//! kube-controller-manager is a static pod laid out like the profile.

mod access;
pub(super) mod cgroups;
mod command;
mod containerd;
mod controller_manager;
mod files;
mod images;
mod kubelet;
mod machine;
mod network;
mod site;

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::Value;

pub use self::access::{NodeAccess, kept_nodes};
pub(super) use self::files::Membership;
pub use self::images::write_program_image;
use self::machine::{Entrance, Machine};
pub use self::network::is_between_nodes;
pub(super) use self::site::Site;
use super::kubectl::Kubectl;
use super::poll::wait_for;
use super::process::{Launch, Process};

const READY_LIMIT: Duration = Duration::from_secs(90);

/// The network of the first machine, which the control plane's processes share.
#[derive(Clone, Debug)]
pub(super) struct Seat {
    address: Ipv4Addr,
    entrance: Entrance,
}

/// A machine that can run containers, and that no cluster knows yet.
#[derive(Debug)]
pub(super) struct Host {
    // Dropped in this order.
    containerd: Process,
    machine: Machine,
    access: NodeAccess,
    number: u8,
}

/// A node of a cluster; dropping it ends it with its pods.
#[derive(Debug)]
pub struct Node {
    // Dropped in this order.
    kube_proxy: Process,
    kubelet: Process,
    host: Host,
}

impl Seat {
    /// Address of the API server.
    pub(super) fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Moves a process of the control plane there.
    pub(super) fn take(&self, launch: Launch) -> Launch {
        self.entrance.in_network(launch)
    }
}

impl Node {
    /// What can be done to it from outside.
    pub fn access(&self) -> &NodeAccess {
        &self.host.access
    }

    /// The process whose end is the end of all that runs on the node, as if its power were cut. To be killed: a lesser signal does
    /// not reach the node.
    pub fn machine(&mut self) -> &mut Process {
        self.host.machine.process()
    }

    /// kubelet, to be looked at or killed; a signal would stop short at the process that waits for it.
    pub fn kubelet(&mut self) -> &mut Process {
        &mut self.kubelet
    }

    /// Its processes but the machine's.
    pub(super) fn parts(&mut self) -> [&mut Process; 3] {
        [
            &mut self.kubelet,
            &mut self.kube_proxy,
            &mut self.host.containerd,
        ]
    }

    /// Waits until kubelet calls it ready, marks it as a node of the control plane, which kubelet may not, and gives the
    /// addresses of its pods.
    async fn wait_until_ready(&mut self, kubectl: &Kubectl) -> anyhow::Result<String> {
        let name = self.host.access.name().to_owned();
        let what = format!("{name} ready");
        let pods = wait_for(&what, READY_LIMIT, &mut self.parts(), async || {
            let node = kubectl.json(&["get", "node", &name]).await?;
            ensure!(is_ready(&node), "not yet: {node}");
            let pods = node.pointer("/spec/podCIDR").and_then(Value::as_str);
            pods.map(str::to_owned).context("no addresses for pods")
        })
        .await?;
        kubectl
            .run([
                "label",
                "node",
                &name,
                "node-role.kubernetes.io/control-plane=",
                "node.kubernetes.io/exclude-from-external-load-balancers=",
            ])
            .await?;
        Ok(pods)
    }

    /// Lets it live on when this value is dropped.
    pub(super) fn release(self) {
        self.kube_proxy.release();
        self.kubelet.release();
        self.host.containerd.release();
        self.host.machine.release();
    }
}

/// Whether kubelet says so, and kube-controller-manager has taken away what kept pods off meanwhile.
fn is_ready(node: &Value) -> bool {
    let list = |field| node.pointer(field).and_then(Value::as_array);
    let ready = list("/status/conditions")
        .into_iter()
        .flatten()
        .any(|condition| {
            condition.get("type").is_some_and(|kind| kind == "Ready")
                && condition
                    .get("status")
                    .is_some_and(|status| status == "True")
        });
    let passing = |taint: &Value| {
        let key = taint.get("key").and_then(Value::as_str);
        key.is_some_and(|key| key.starts_with("node.kubernetes.io/"))
    };
    ready && !list("/spec/taints").into_iter().flatten().any(passing)
}

/// Names count from 1, as people do.
fn name(number: u8) -> String {
    format!("node-{}", u16::from(number) + 1)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn node_is_ready_when_pods_may_come() {
        let own = "node-role.kubernetes.io/control-plane";
        for (status, taints, expected) in [
            ("True", json!([{ "key": own }]), true),
            ("True", json!(null), true),
            ("False", json!([{ "key": own }]), false),
            (
                "True",
                json!([{ "key": own }, { "key": "node.kubernetes.io/not-ready" }]),
                false,
            ),
        ] {
            let node = json!({
                "spec": { "taints": taints },
                "status": { "conditions": [
                    { "type": "MemoryPressure", "status": "False" },
                    { "type": "Ready", "status": status },
                ] },
            });
            assert_eq!(is_ready(&node), expected, "{node}");
        }
        assert!(!is_ready(&json!({})));
    }
}

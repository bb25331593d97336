//! The network between this computer, the nodes of a cluster, and their pods.
//!
//! The first node has the switch. Pods have a link each to their node (plugin `ptp`), as kind and others do it: whatever
//! they send is routed, and so seen by kube-proxy's rules.

use std::net::{IpAddr, Ipv4Addr};
use std::process::Stdio;

use anyhow::bail;
use serde_json::{Value, json};
use tokio::process::Command;

use super::command::run;
use super::machine::{Entrance, SYSTEM_PATH};

/// Addresses of all pods, as kubeadm's examples and Talos have it.
pub(in crate::cluster) const POD_RANGE: &str = "10.244.0.0/16";
/// Begin of the name of this computer's side of the link.
const LINK: &str = "haulout";
/// The bridge of the first node.
const SWITCH: &str = "switch";
/// Its address, in each cluster the same: a bridge without one of its own takes that of a port, and another when the port
/// goes with its node, while neighbours keep on sending to the one before.
const SWITCH_ADDRESS: &str = "02:00:00:00:00:01";

/// Addresses of this computer and of nodes, for one cluster: a part of what RFC 2544 sets aside for tests.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Subnet(u8);

impl Subnet {
    /// Links this computer with the first machine of a cluster, in a subnet that no other cluster has.
    ///
    /// # Errors
    /// All are taken, or the kernel refuses.
    pub(super) async fn link(first: &Entrance) -> anyhow::Result<Self> {
        for number in 0..=u8::MAX {
            let link = format!("{LINK}{number}");
            // The name is what decides between two clusters that start at once.
            let add = format!(
                "link add {link} type veth peer name uplink netns {}",
                first.id()
            );
            match ip(None, &add).await {
                Err(error) if error.to_string().contains("File exists") => continue,
                added => added?,
            }
            let subnet = Self(number);
            let host = subnet.host();
            ip(
                None,
                &format!("address add {host}/24 dev {link}\nlink set {link} up"),
            )
            .await?;
            let node = subnet.node(0);
            let inside = format!(
                "link set lo up\n\
                 link add {SWITCH} address {SWITCH_ADDRESS} type bridge\n\
                 link set {SWITCH} up\n\
                 link set uplink master {SWITCH} up\n\
                 address add {node}/24 dev {SWITCH}\n\
                 route add default via {host}"
            );
            ip(Some(first), &inside).await?;
            return Ok(subnet);
        }
        bail!("256 clusters with nodes are up: end some with `cargo xtask cluster down`")
    }

    /// Links a further machine with the first one, which passes packets on between pods.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(super) async fn join(
        self,
        first: &Entrance,
        further: &Entrance,
        number: u8,
    ) -> anyhow::Result<()> {
        let outside = format!(
            "link add port{number} type veth peer name uplink netns {}\n\
             link set port{number} master {SWITCH} up",
            further.id()
        );
        let inside = format!(
            "link set lo up\n\
             link set uplink up\n\
             address add {}/24 dev uplink\n\
             route add default via {}\n\
             route add {POD_RANGE} via {}",
            self.node(number),
            self.host(),
            self.node(0),
        );
        ip(Some(first), &outside).await?;
        ip(Some(further), &inside).await
    }

    /// Leads to the pods of a further node by way of it, on the first one.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(super) async fn route(
        self,
        first: &Entrance,
        number: u8,
        pods: &str,
    ) -> anyhow::Result<()> {
        if number == 0 {
            return Ok(());
        }
        let node = self.node(number);
        ip(Some(first), &format!("route add {pods} via {node}")).await
    }

    /// This computer.
    pub(super) fn host(self) -> Ipv4Addr {
        self.address(1)
    }

    /// A node, counted from 0.
    pub(super) fn node(self, number: u8) -> Ipv4Addr {
        self.address(number.saturating_add(2))
    }

    fn address(self, last: u8) -> Ipv4Addr {
        Ipv4Addr::new(198, 18, self.0, last)
    }
}

/// Whether an address is of the network between this computer and nodes of ours, which nobody else reaches.
pub fn is_between_nodes(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(address) if address.octets().starts_with(&[198, 18]))
}

/// Configuration of the pods' network. containerd puts in which addresses kube-controller-manager allotted to the node.
pub(super) fn cni_template() -> Value {
    json!({
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [
            {
                "type": "ptp",
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{ "subnet": "{{.PodCIDR}}" }]],
                    "routes": [{ "dst": "0.0.0.0/0" }],
                },
            },
            { "type": "portmap", "capabilities": { "portMappings": true } },
        ],
    })
}

/// Lets answers to pods come back from this computer, which has no route to them.
///
/// # Errors
/// `iptables` is missing, or the kernel refuses.
pub(super) async fn masquerade(machine: &Entrance) -> anyhow::Result<()> {
    let rule = ["-s", POD_RANGE, "!", "-d", POD_RANGE, "-j", "MASQUERADE"];
    let mut command = machine.command("iptables".as_ref());
    command
        .args(["--wait", "-t", "nat", "-A", "POSTROUTING"])
        .args(rule);
    run(command).await.map(drop)
}

/// Runs commands of ip(8), one a line, here or in a machine's network, up to the first that fails.
async fn ip(machine: Option<&Entrance>, commands: &str) -> anyhow::Result<()> {
    for line in commands.lines() {
        let mut command = match machine {
            None => Command::new("ip"),
            Some(machine) => machine.network_command("ip"),
        };
        command
            .args(line.split_whitespace())
            .env("PATH", SYSTEM_PATH)
            .stdin(Stdio::null());
        run(command).await?;
    }
    Ok(())
}

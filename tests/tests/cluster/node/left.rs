//! What a cluster with nodes leaves behind: nothing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use haulout_tests::cluster::{Cluster, Node, NodeAccess, admin_kubeconfig, wait_for};

const LIMIT: Duration = Duration::from_secs(20);

/// What of a running cluster has to be gone after it.
#[derive(Debug)]
pub(super) struct Traces {
    folder: PathBuf,
    /// With the time of their start, which tells them from others that get the same id.
    processes: BTreeSet<(u32, String)>,
    control_group: String,
    /// Index of the link to the first node.
    link: String,
}

impl Traces {
    pub(super) fn of(cluster: &Cluster) -> Self {
        let nodes: Vec<&NodeAccess> = cluster.nodes().iter().map(Node::access).collect();
        Self::of_folder(cluster.folder(), &nodes)
    }

    /// The same for a cluster that another process started; its nodes run their first pods already.
    pub(super) fn of_folder(folder: &Path, nodes: &[&NodeAccess]) -> Self {
        let networks: Vec<PathBuf> = (nodes.iter())
            .map(|node| network(&node.root().with_file_name("ns/net")).unwrap())
            .collect();
        let control_group = control_group(nodes[0]);
        let belongs = |process: &u32| {
            let folder = PathBuf::from(format!("/proc/{process}"));
            let groups = std::fs::read_to_string(folder.join("cgroup")).unwrap_or_default();
            groups.contains(&control_group)
                || network(&folder.join("ns/net")).is_some_and(|own| networks.contains(&own))
        };
        let processes: BTreeSet<(u32, String)> = processes()
            .filter(belongs)
            .filter_map(|process| Some((process, start(process)?)))
            .collect();
        // etcd, kube-apiserver, kube-scheduler; of a node: unshare, pause, three services, and a pod's shim and two processes.
        let expected = 3 + 8 * nodes.len();
        assert!(processes.len() >= expected, "{processes:?}");
        Self {
            folder: folder.to_owned(),
            link: link(folder),
            processes,
            control_group,
        }
    }

    pub(super) async fn are_gone(self) {
        wait_for("end of all processes", LIMIT, &mut [], async || {
            let left: Vec<_> = (self.processes.iter())
                .filter(|(process, started)| start(*process).as_ref() == Some(started))
                .collect();
            anyhow::ensure!(left.is_empty(), "{left:?}");
            Ok(())
        })
        .await
        .unwrap();
        wait_for("end of the link", LIMIT, &mut [], async || {
            let links = names("/sys/class/net")
                .map(|name| std::fs::read_to_string(format!("/sys/class/net/{name}/ifindex")).ok());
            anyhow::ensure!(!links.flatten().any(|link| link == self.link));
            Ok(())
        })
        .await
        .unwrap();
        let groups: Vec<_> = names("/sys/fs/cgroup")
            .map(|name| {
                Path::new("/sys/fs/cgroup")
                    .join(name)
                    .join(&self.control_group)
            })
            .filter(|group| group.exists())
            .collect();
        assert!(groups.is_empty(), "{groups:?}");
        assert!(!self.folder.exists(), "{}", self.folder.display());
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
        assert!(!mounts.contains(self.folder.to_str().unwrap()), "{mounts}");
    }
}

/// Index of this computer's side of the link to the first node, whose address all kubeconfigs have.
fn link(folder: &Path) -> String {
    let kubeconfig = std::fs::read_to_string(admin_kubeconfig(folder)).unwrap();
    let (_, rest) = kubeconfig.split_once("https://198.18.").unwrap();
    let (number, _) = rest.split_once('.').unwrap();
    std::fs::read_to_string(format!("/sys/class/net/haulout{number}/ifindex")).unwrap()
}

/// Name of the group of all containers of a cluster.
fn control_group(node: &NodeAccess) -> String {
    let configuration = node.root().join("var/lib/kubelet/config.yaml");
    let configuration = std::fs::read_to_string(configuration).unwrap();
    let configuration: serde_json::Value = serde_json::from_str(&configuration).unwrap();
    let group = configuration["cgroupRoot"].as_str().unwrap();
    let name = group.split('/').find(|part| !part.is_empty());
    name.unwrap().to_owned()
}

fn network(link: &Path) -> Option<PathBuf> {
    std::fs::read_link(link).ok()
}

fn processes() -> impl Iterator<Item = u32> {
    names("/proc").filter_map(|name| name.parse().ok())
}

fn names(folder: &str) -> impl Iterator<Item = String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok())
}

/// When a process started, unless it has ended.
fn start(process: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    let alive = fields.next()? != "Z";
    alive.then(|| fields.nth(18).unwrap_or_default().to_owned())
}

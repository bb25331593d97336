//! Nodes that run pods: containerd, kubelet and kube-proxy, each node on a [machine](Machine) of its own.
//!
//! The control plane's processes share the network of the first one, as they do on a real control plane node, and
//! kube-controller-manager is a static pod laid out like the profile.

mod access;
pub(super) mod cgroups;
mod command;
mod containerd;
mod controller_manager;
mod images;
mod kubelet;
mod machine;
mod network;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::Value;

pub use self::access::{NodeAccess, kept_nodes};
use self::command::run;
pub use self::images::write_program_image;
use self::machine::{Blueprint, Entrance, Machine};
use self::network::Subnet;
use super::binaries::{KubernetesBinaries, NodePrograms};
use super::kubeconfig::{Credential, write_kubeconfig};
use super::kubectl::Kubectl;
use super::pki::{ClusterPki, write};
use super::poll::wait_for;
use super::process::{Launch, Process};
use super::profile::Profile;

const CONTAINERD_LIMIT: Duration = Duration::from_secs(30);
const READY_LIMIT: Duration = Duration::from_secs(90);
const KUBELET_KUBECONFIG: &str = "/etc/kubernetes/kubelet.conf";
const KUBE_PROXY_KUBECONFIG: &str = "/etc/kubernetes/kube-proxy.conf";

/// Where the nodes of a cluster stand, there before its control plane: the network, and what each node is made from.
#[derive(Debug)]
pub(super) struct Site {
    folder: PathBuf,
    subnet: Subnet,
    programs: NodePrograms,
    images: Vec<PathBuf>,
    detached: bool,
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

/// The network of the first machine, which the control plane's processes share.
#[derive(Clone, Debug)]
pub(super) struct Seat {
    address: Ipv4Addr,
    entrance: Entrance,
}

/// A node of a cluster; dropping it ends it with its pods.
#[derive(Debug)]
pub struct Node {
    // Dropped in this order.
    kube_proxy: Process,
    kubelet: Process,
    host: Host,
}

/// What a node is told of its cluster.
#[derive(Clone, Copy, Debug)]
pub(super) struct Membership<'a> {
    pub(super) profile: Profile,
    pub(super) pki: &'a ClusterPki,
    pub(super) server: &'a str,
}

impl Site {
    /// Builds the programs of a node if they are missing, makes images, and starts the first machine and containerd on it.
    ///
    /// # Errors
    /// Programs cannot be had, this process is not root, or the kernel lacks something.
    pub(super) async fn prepare(
        folder: &Path,
        binaries: &KubernetesBinaries,
        detached: bool,
    ) -> anyhow::Result<(Self, Host)> {
        let programs = NodePrograms::find_or_build().await?;
        let archives = folder.join("images");
        std::fs::create_dir(&archives)?;
        let images = images::write(binaries, &programs, &archives)?;
        let machine = start_machine(0, folder, &programs, detached).await?;
        let subnet = Subnet::link(machine.entrance()).await?;
        let site = Self {
            folder: folder.to_owned(),
            subnet,
            programs,
            images,
            detached,
        };
        let host = site.equip(machine, 0)?;
        Ok((site, host))
    }

    /// Makes a node of the first machine, and further ones beside it; they need not be ready yet.
    ///
    /// # Errors
    /// A machine or a part of a node cannot be started, or containerd does not work.
    pub(super) async fn join_all(
        &self,
        first: Host,
        count: u8,
        membership: Membership<'_>,
    ) -> anyhow::Result<Vec<Node>> {
        let switch = first.machine.entrance().clone();
        let mut nodes = vec![self.join(first, membership).await?];
        for number in 1..count {
            let (folder, programs) = (&self.folder, &self.programs);
            let machine = start_machine(number, folder, programs, self.detached).await?;
            self.subnet
                .join(&switch, machine.entrance(), number)
                .await?;
            let mut host = self.equip(machine, number)?;
            self.load_images(&mut host).await?;
            nodes.push(self.join(host, membership).await?);
        }
        Ok(nodes)
    }

    /// Waits until nodes are ready and their pods reach one another.
    ///
    /// # Errors
    /// A part of a node ended, or a node did not become ready in time; the text has the end of the logs.
    pub(super) async fn wait_until_ready(
        &self,
        nodes: &mut [Node],
        kubectl: &Kubectl,
    ) -> anyhow::Result<()> {
        let mut switch = None;
        for node in nodes {
            let pods = node.wait_until_ready(kubectl).await?;
            let switch = switch.get_or_insert_with(|| node.host.machine.entrance().clone());
            self.subnet.route(switch, node.host.number, &pods).await?;
        }
        Ok(())
    }

    fn equip(&self, machine: Machine, number: u8) -> anyhow::Result<Host> {
        let root = machine.entrance().root();
        let network = serde_json::to_string_pretty(&network::cni_template())?;
        write(&root.join(containerd::NETWORK_FILE), &network, 0o644)?;
        let configuration = containerd::configuration(&self.programs);
        write(&root.join(CONTAINERD_FILE), &configuration, 0o644)?;
        let mut launch = self.launch("containerd", number);
        launch.arguments = vec![format!("--config=/{CONTAINERD_FILE}").into()];
        let entrance = machine.entrance();
        let name = name(number);
        Ok(Host {
            containerd: Process::start(entrance.inside(launch))?,
            access: NodeAccess::new(name, &self.folder, entrance.clone(), &self.programs),
            machine,
            number,
        })
    }

    /// Where the control plane goes.
    pub(super) fn seat(&self, first: &Host) -> Seat {
        Seat {
            address: self.subnet.node(0),
            entrance: first.machine.entrance().clone(),
        }
    }

    /// Address of this computer as pods see it.
    pub(super) fn host_address(&self) -> Ipv4Addr {
        self.subnet.host()
    }

    async fn join(&self, host: Host, membership: Membership<'_>) -> anyhow::Result<Node> {
        let access = &host.access;
        network::masquerade(host.machine.entrance()).await?;
        let root = access.root();
        self.write_files(&root, host.number, membership)?;
        let entrance = host.machine.entrance();
        let mut launch = self.launch("kubelet", host.number);
        launch.arguments = [
            format!("--config=/{KUBELET_FILE}"),
            format!("--kubeconfig={KUBELET_KUBECONFIG}"),
            format!("--hostname-override={}", access.name()),
            format!("--node-ip={}", self.subnet.node(host.number)),
        ]
        .map(Into::into)
        .to_vec();
        let kubelet = Process::start(entrance.inside(launch))?;
        let mut launch = self.launch("kube-proxy", host.number);
        launch.arguments = vec![format!("--config=/{KUBE_PROXY_FILE}").into()];
        let kube_proxy = Process::start(entrance.inside(launch))?;
        Ok(Node {
            kube_proxy,
            kubelet,
            host,
        })
    }

    /// Waits for containerd and gives it the images of the cluster's own pods.
    ///
    /// # Errors
    /// It ended, or refuses one.
    pub(super) async fn load_images(&self, host: &mut Host) -> anyhow::Result<()> {
        let access = &host.access;
        let parts = &mut [&mut host.containerd];
        wait_for("containerd ready", CONTAINERD_LIMIT, parts, async || {
            run(access.ctr(&["version"])).await
        })
        .await?;
        for image in &self.images {
            access.load_image(image).await?;
        }
        Ok(())
    }

    fn write_files(
        &self,
        root: &Path,
        number: u8,
        membership: Membership<'_>,
    ) -> anyhow::Result<()> {
        let Membership {
            profile,
            pki,
            server,
        } = membership;
        let name = name(number);
        let ca = pki.signing_pair().certificate;
        let inside = |path: &str| root.join(path.trim_start_matches('/'));
        for folder in [kubelet::STATIC_PODS, "/etc/kubernetes/pki"] {
            std::fs::create_dir_all(inside(folder))?;
        }
        let client_ca = std::fs::read_to_string(&ca)?;
        write(&inside(kubelet::CLIENT_CA), &client_ca, 0o644)?;
        let node = pki.node(&name)?;
        for (path, pair) in [
            (KUBELET_KUBECONFIG, node),
            (KUBE_PROXY_KUBECONFIG, pki.pair("kube-proxy")),
        ] {
            write_kubeconfig(&inside(path), server, &ca, &Credential::Certificate(pair))?;
        }
        let group = cgroups::create(&self.folder, &name)?;
        for (path, configuration) in [
            (KUBELET_FILE, kubelet::kubelet(&group)),
            (
                KUBE_PROXY_FILE,
                kubelet::kube_proxy(&name, KUBE_PROXY_KUBECONFIG),
            ),
        ] {
            let text = serde_json::to_string_pretty(&configuration)?;
            write(&inside(path), &text, 0o644)?;
        }
        controller_manager::write_files(root, pki, server, profile)?;
        let pod = controller_manager::pod(root, profile)?;
        let path = inside(kubelet::STATIC_PODS).join("kube-controller-manager.yaml");
        write(&path, &serde_json::to_string_pretty(&pod)?, 0o600)
    }

    fn launch(&self, program: &str, number: u8) -> Launch {
        Launch {
            name: format!("{}-{program}", name(number)),
            program: self.programs.program(program),
            arguments: Vec::new(),
            environment: Vec::new(),
            user: None,
            detached: self.detached,
            folder: self.folder.clone(),
        }
    }
}

const CONTAINERD_FILE: &str = "etc/containerd/config.toml";
const KUBELET_FILE: &str = "var/lib/kubelet/config.yaml";
const KUBE_PROXY_FILE: &str = "etc/kubernetes/kube-proxy.yaml";

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

    /// The process whose end is the end of all that runs on the node, as if its power were cut. To be signalled or killed: what
    /// else is done to it does not reach the node.
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
            let conditions = node.pointer("/status/conditions");
            ensure!(is_ready(&node), "not yet: {conditions:?}");
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

fn is_ready(node: &Value) -> bool {
    let conditions = node.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().any(|condition| {
        condition.get("type").is_some_and(|kind| kind == "Ready")
            && condition
                .get("status")
                .is_some_and(|status| status == "True")
    })
}

async fn start_machine(
    number: u8,
    folder: &Path,
    programs: &NodePrograms,
    detached: bool,
) -> anyhow::Result<Machine> {
    Machine::start(Blueprint {
        name: &name(number),
        folder,
        programs: programs.folder(),
        init: &programs.pause(),
        detached,
    })
    .await
}

/// Names count from 1, as people do.
fn name(number: u8) -> String {
    format!("node-{}", u16::from(number) + 1)
}

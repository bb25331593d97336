//! How nodes come to be: machines, the network between them, and what runs on each.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::ensure;

use super::access::NodeAccess;
use super::command::run;
use super::machine::{Blueprint, Machine};
use super::network::{self, Subnet};
use super::{Host, Membership, Node, Seat, cgroups, files, images, name};
use crate::cluster::binaries::{KubernetesBinaries, NodePrograms};
use crate::cluster::kubectl::Kubectl;
use crate::cluster::pki::is_root;
use crate::cluster::process::{Launch, Process};
use crate::cluster::wait_for;

const CONTAINERD_LIMIT: Duration = Duration::from_secs(30);

/// Where the nodes of a cluster stand, there before its control plane: the network, and what each node is made from.
#[derive(Debug)]
pub(in crate::cluster) struct Site {
    folder: PathBuf,
    subnet: Subnet,
    programs: NodePrograms,
    images: Vec<PathBuf>,
    detached: bool,
}

impl Site {
    /// Builds the programs of a node if they are missing, makes images, and starts the first machine and containerd on it.
    ///
    /// # Errors
    /// Programs cannot be had, this process is not root, or the kernel lacks something.
    pub(in crate::cluster) async fn prepare(
        folder: &Path,
        binaries: &KubernetesBinaries,
        detached: bool,
    ) -> anyhow::Result<(Self, Host)> {
        ensure!(is_root(), "a node needs root: its containers do");
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
    pub(in crate::cluster) async fn join_all(
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
    pub(in crate::cluster) async fn wait_until_ready(
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
        files::write_for_containerd(&root, &self.programs)?;
        let mut launch = self.launch("containerd", number);
        launch.arguments = vec![format!("--config={}", files::CONTAINERD).into()];
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
    pub(in crate::cluster) fn seat(&self, first: &Host) -> Seat {
        Seat {
            address: self.subnet.node(0),
            entrance: first.machine.entrance().clone(),
        }
    }

    /// Address of this computer as pods see it.
    pub(in crate::cluster) fn host_address(&self) -> Ipv4Addr {
        self.subnet.host()
    }

    async fn join(&self, host: Host, membership: Membership<'_>) -> anyhow::Result<Node> {
        let access = &host.access;
        network::masquerade(host.machine.entrance()).await?;
        let root = access.root();
        let group = cgroups::create(&self.folder, access.name())?;
        files::write(&root, access.name(), &group, membership)?;
        let entrance = host.machine.entrance();
        let mut launch = self.launch("kubelet", host.number);
        launch.arguments = [
            format!("--config={}", files::KUBELET),
            format!("--kubeconfig={}", files::KUBELET_KUBECONFIG),
            format!("--hostname-override={}", access.name()),
            format!("--node-ip={}", self.subnet.node(host.number)),
        ]
        .map(Into::into)
        .to_vec();
        let kubelet = Process::start(entrance.inside(launch))?;
        let mut launch = self.launch("kube-proxy", host.number);
        launch.arguments = vec![format!("--config={}", files::KUBE_PROXY).into()];
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
    pub(in crate::cluster) async fn load_images(&self, host: &mut Host) -> anyhow::Result<()> {
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

//! A real Kubernetes control plane as processes on loopback: etcd, kube-apiserver, kube-controller-manager, kube-scheduler.
//!
//! Everything of a cluster stands in one folder below `HAULOUT_STATE` (default `target/clusters`) and on ports of its own,
//! so that several run side by side. Dropping a [`Cluster`] ends its processes and removes its folder; if the owner is
//! killed, the kernel kills the processes and the next start removes the folder.
//!
//! With [`ClusterOptions::nodes`] it has nodes that run pods too.

mod access;
mod binaries;
mod cluster_info;
mod control_plane;
mod haulout;
mod helm;
mod installation;
mod kubeconfig;
mod kubectl;
mod node;
mod pki;
mod pods;
mod poll;
mod ports;
mod process;
mod profile;
mod progress;
mod providers;
mod reverse_proxy;
mod state;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};

pub use self::access::Access;
pub use self::binaries::{HelmVersion, KubernetesBinaries, NodePrograms};
pub(crate) use self::binaries::{
    find_or_build_oidc, find_or_build_talos_arguments, find_or_build_talos_machinery,
};
pub use self::haulout::{
    AUDIENCE, AUTHENTICATOR, Addresses, Agent, HauloutStack, Products, Replica, StackOptions,
    TARGET, TOKEN_VARIABLE, exchange_flags, target_folder,
};
pub use self::helm::{CHART, Helm};
pub use self::installation::{AGENT_NAMESPACE, Images, Installation, NAMESPACE};
pub use self::kubeconfig::{Credential, write_kubeconfig};
pub use self::kubectl::Kubectl;
pub use self::node::{Node, NodeAccess, is_between_nodes, kept_nodes, write_program_image};
pub use self::pki::{AGENT_USER, ClusterPki, Pair};
pub use self::poll::wait_for;
pub use self::ports::free_ports;
pub use self::process::{Launch, Process};
pub use self::profile::{Anonymous, LOGIN_PATH, Profile};
pub use self::providers::{Provider, find_or_install_keycloak, find_or_install_oidc_provider};
pub use self::reverse_proxy::{ReverseProxy, ServerAuthority, ServerPair};
pub use self::state::{end_kept_cluster, kept_cluster_folder, kept_clusters, sweep_lost_clusters};
use cluster_info::cluster_info;
use control_plane::ControlPlane;
use node::{Membership, Seat, Site};
use state::StateFolder;

const ADMIN_KUBECONFIG: &str = "admin.kubeconfig";
const KUBECTL_CACHE: &str = "kubectl-cache";
const READY_LIMIT: Duration = Duration::from_secs(60);
const CALL_LIMIT: Duration = Duration::from_secs(10);
/// How often a start is tried when another program takes a port between its choice and its use.
const PORT_TRIES: usize = 3;

/// What to start.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// Whose cluster it resembles.
    pub profile: Profile,
    /// What anonymous requests may reach; [`Profile::anonymous`] unless changed.
    pub anonymous: Anonymous,
    /// Further arguments of kube-apiserver.
    pub api_server_arguments: Vec<String>,
    /// Further files of the cluster's folder by name, there before the start. The components run in that folder, so that a
    /// bare name in an argument leads there.
    pub files: Vec<(String, String)>,
    /// Name under which the cluster can be left up by [`Cluster::keep`]; its processes then do not die with this one.
    pub keep_as: Option<String>,
    /// How many nodes that run pods; needs root. All are nodes of the control plane, with its taint, and
    /// kube-controller-manager is a static pod of each.
    pub nodes: u8,
}

impl ClusterOptions {
    /// The profile as it is defined, to be ended with this process.
    pub fn new(profile: Profile) -> Self {
        Self {
            profile,
            anonymous: profile.anonymous(),
            api_server_arguments: Vec::new(),
            files: Vec::new(),
            keep_as: None,
            nodes: 0,
        }
    }
}

/// A part of the control plane.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Component {
    /// etcd.
    Etcd,
    /// kube-apiserver.
    ApiServer,
    /// kube-controller-manager.
    ControllerManager,
    /// kube-scheduler.
    Scheduler,
}

/// A running cluster.
#[derive(Debug)]
pub struct Cluster {
    // Dropped in this order: who calls goes before who is called, and the folder last.
    nodes: Vec<Node>,
    scheduler: Process,
    controller_manager: Option<Process>,
    api_server: Process,
    etcd: Process,
    kubectl: Kubectl,
    pki: ClusterPki,
    binaries: KubernetesBinaries,
    server: String,
    options: ClusterOptions,
    site: Option<Site>,
    folder: StateFolder,
}

impl Cluster {
    /// Starts a cluster and waits until it serves; the Kubernetes binaries are built first if they are missing.
    ///
    /// # Errors
    /// Binaries cannot be had, or a component ended or did not become ready within a minute: the text then has the end of
    /// its log.
    pub async fn start(options: ClusterOptions) -> anyhow::Result<Self> {
        let binaries = KubernetesBinaries::find_or_build().await?;
        let mut tries = 1;
        loop {
            // On the heap: it is large, and so would be all that wait for it.
            match Box::pin(Self::start_once(&options, &binaries)).await {
                Err(error) if tries < PORT_TRIES && ports::is_clash(&error) => tries += 1,
                result => return result,
            }
        }
    }

    async fn start_once(
        options: &ClusterOptions,
        binaries: &KubernetesBinaries,
    ) -> anyhow::Result<Self> {
        let state = StateFolder::create(options.keep_as.as_deref(), options.profile)?;
        let folder = state.path();
        for (name, text) in &options.files {
            pki::write(&folder.join(name), text, 0o600)?;
        }
        let detached = options.keep_as.is_some();
        let (site, mut host) = match options.nodes {
            0 => (None, None),
            _ => {
                let (site, host) = Site::prepare(folder, binaries, detached).await?;
                (Some(site), Some(host))
            }
        };
        let seat = site.as_ref().zip(host.as_ref());
        let seat = seat.map(|(site, host)| site.seat(host));
        let address = seat.as_ref().map_or(Ipv4Addr::LOCALHOST, Seat::address);
        let pki = ClusterPki::create(&folder.join("pki"), options.profile, address)?;
        let plane = ControlPlane::new(folder, binaries, &pki, options, seat)?;
        let server = plane.server();
        let kubectl = Kubectl::new(
            binaries.program("kubectl"),
            plane.kubeconfig("admin")?,
            folder.join(KUBECTL_CACHE),
        );

        let mut etcd = Process::start(plane.etcd())?;
        let mut api_server = Process::start(plane.api_server()?)?;
        if let Some((site, host)) = site.as_ref().zip(host.as_mut()) {
            site.load_images(host).await?;
        }
        let parts = &mut [&mut etcd, &mut api_server];
        wait_for("kube-apiserver ready", READY_LIMIT, parts, async || {
            kubectl.run(["get", "--raw", "/readyz"]).await
        })
        .await?;
        let scheduler = Process::start(plane.scheduler()?)?;
        let membership = Membership {
            profile: options.profile,
            pki: &pki,
            server: &server,
        };
        let mut nodes = Vec::new();
        let mut controller_manager = None;
        if let (Some(site), Some(host)) = (&site, host) {
            nodes = site.join_all(host, options.nodes, membership).await?;
        } else {
            controller_manager = Some(Process::start(plane.controller_manager()?)?);
        }
        let mut parts = vec![&mut api_server];
        parts.extend(&mut controller_manager);
        parts.extend(nodes.iter_mut().flat_map(Node::parts));
        wait_for_controllers(&kubectl, &mut parts).await?;
        if let Some(site) = &site {
            site.wait_until_ready(&mut nodes, &kubectl).await?;
        }
        if options.profile == Profile::Kubeadm {
            kubectl.apply(&cluster_info(&server, &pki)?).await?;
        }

        Ok(Self {
            nodes,
            scheduler,
            controller_manager,
            api_server,
            etcd,
            kubectl,
            binaries: binaries.clone(),
            server,
            options: options.clone(),
            pki,
            site,
            folder: state,
        })
    }

    /// Profile that it was started with.
    pub fn profile(&self) -> Profile {
        self.options.profile
    }

    /// Folder with everything that belongs to the cluster; more may be put into it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// URL of kube-apiserver, `https://127.0.0.1:PORT`.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// kubectl as `kubernetes-admin`, a member of `system:masters`.
    pub fn kubectl(&self) -> &Kubectl {
        &self.kubectl
    }

    /// Its keys and certificates.
    pub fn pki(&self) -> &ClusterPki {
        &self.pki
    }

    /// The Kubernetes programs that it runs.
    pub fn binaries(&self) -> &KubernetesBinaries {
        &self.binaries
    }

    /// Path of a CA certificate that signs kube-apiserver's serving certificate.
    pub fn ca_certificate(&self) -> PathBuf {
        self.pki.signing_pair().certificate
    }

    /// Whether its processes survive this one.
    pub fn is_detached(&self) -> bool {
        self.options.keep_as.is_some()
    }

    /// Writes a kubeconfig for another user into the cluster's folder and gives its path.
    ///
    /// # Errors
    /// A file cannot be read or written.
    pub fn kubeconfig(&self, name: &str, credential: &Credential) -> anyhow::Result<PathBuf> {
        let path = self.folder().join(format!("{name}.kubeconfig"));
        write_kubeconfig(&path, &self.server, &self.ca_certificate(), credential)?;
        Ok(path)
    }

    /// Sends a request without credentials and gives the status that kube-apiserver answers.
    ///
    /// # Errors
    /// It did not answer within ten seconds.
    pub async fn anonymous_status(&self, path: &str) -> anyhow::Result<u16> {
        crate::ensure_crypto();
        let ca = reqwest::Certificate::from_pem(&std::fs::read(self.ca_certificate())?)?;
        let client = reqwest::Client::builder()
            .tls_certs_only([ca])
            .timeout(CALL_LIMIT)
            .no_proxy()
            .build()?;
        let answer = client.get(format!("{}{path}", self.server)).send().await?;
        Ok(answer.status().as_u16())
    }

    /// The process of a component, to be looked at, signalled or killed.
    ///
    /// # Errors
    /// It is a pod: kube-controller-manager in a cluster with nodes.
    pub fn process(&mut self, component: Component) -> anyhow::Result<&mut Process> {
        match component {
            Component::Etcd => Ok(&mut self.etcd),
            Component::ApiServer => Ok(&mut self.api_server),
            Component::ControllerManager => (self.controller_manager.as_mut())
                .context("kube-controller-manager is a pod in a cluster with nodes"),
            Component::Scheduler => Ok(&mut self.scheduler),
        }
    }

    /// Kills a component, starts it again and waits until kube-apiserver is ready.
    ///
    /// # Errors
    /// It did not become ready within a minute.
    pub async fn restart(&mut self, component: Component) -> anyhow::Result<()> {
        self.process(component)?.restart()?;
        self.wait_until_ready().await
    }

    /// Waits until kube-apiserver is ready.
    ///
    /// # Errors
    /// It did not become ready within a minute, or it has ended.
    pub async fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let parts = &mut [&mut self.etcd, &mut self.api_server];
        wait_for("kube-apiserver ready", READY_LIMIT, parts, async || {
            self.kubectl.run(["get", "--raw", "/readyz"]).await
        })
        .await
        .map(drop)
    }

    /// Leaves the cluster up, for [`end_kept_cluster`] to end, and gives its folder.
    ///
    /// # Errors
    /// The cluster was not started with `keep_as`.
    pub fn keep(self) -> anyhow::Result<PathBuf> {
        ensure!(
            self.is_detached(),
            "the cluster was not started to be left up"
        );
        let path = self.folder().to_owned();
        self.folder.keep()?;
        for process in [self.scheduler, self.api_server, self.etcd] {
            process.release();
        }
        self.controller_manager
            .into_iter()
            .for_each(Process::release);
        self.nodes.into_iter().for_each(Node::release);
        Ok(path)
    }
}

/// Waits until kube-controller-manager works.
async fn wait_for_controllers(
    kubectl: &Kubectl,
    processes: &mut [&mut Process],
) -> anyhow::Result<()> {
    let what = "kube-controller-manager ready";
    wait_for(what, READY_LIMIT, processes, async || {
        // What it makes first in each namespace; pods and token requests need both.
        kubectl
            .run(["get", "-n", "kube-public", "serviceaccount/default"])
            .await?;
        kubectl
            .run(["get", "-n", "kube-public", "configmap/kube-root-ca.crt"])
            .await
    })
    .await
    .map(drop)
}

/// Path of the administrator's kubeconfig in a cluster's folder.
pub fn admin_kubeconfig(folder: &Path) -> PathBuf {
    folder.join(ADMIN_KUBECONFIG)
}

/// kubectl as the administrator of a cluster that was left up, by its folder.
///
/// # Errors
/// The Kubernetes programs cannot be had.
pub async fn kept_kubectl(folder: &Path) -> anyhow::Result<Kubectl> {
    let binaries = KubernetesBinaries::find_or_build().await?;
    let cache = folder.join(KUBECTL_CACHE);
    Ok(Kubectl::new(
        binaries.program("kubectl"),
        admin_kubeconfig(folder),
        cache,
    ))
}

/// Root of the checkout that this was compiled from.
pub fn workspace_root() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests)
}

//! The programs of a node that runs pods.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use tokio::process::Command;

use super::build::{Build, CONTAINERD, KUBERNETES, Program};
use super::{given, names};

const OF_KUBERNETES: [Program; 2] = [
    Program::required("kubelet", "k8s.io/kubernetes/cmd/kubelet"),
    Program::required("kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy"),
];

const OF_CONTAINERD: [Program; 7] = [
    Program::required(
        "containerd",
        "github.com/containerd/containerd/v2/cmd/containerd",
    ),
    Program::required(
        "containerd-shim-runc-v2",
        "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
    ),
    Program::required("ctr", "github.com/containerd/containerd/v2/cmd/ctr"),
    Program::required(
        "host-local",
        "github.com/containernetworking/plugins/plugins/ipam/host-local",
    ),
    Program::required(
        "loopback",
        "github.com/containernetworking/plugins/plugins/main/loopback",
    ),
    Program::required(
        "portmap",
        "github.com/containernetworking/plugins/plugins/meta/portmap",
    ),
    Program::required(
        "ptp",
        "github.com/containernetworking/plugins/plugins/main/ptp",
    ),
];

/// The first process of each pod, and of the node itself.
const PAUSE: &str = "pause";

/// A folder with kubelet, kube-proxy, containerd, the plugins of its network, and `pause`.
#[derive(Clone, Debug)]
pub struct NodePrograms {
    folder: PathBuf,
}

impl NodePrograms {
    /// Takes the programs from `HAULOUT_NODE_BIN`, else from a folder in `target/kubernetes`, where those that are missing
    /// or stale are built first. The first build takes about six minutes on two cores.
    ///
    /// # Errors
    /// The given folder lacks a program, `go` or `cc` is not installed, or a build failed.
    pub async fn find_or_build() -> anyhow::Result<Self> {
        let programs = names(&OF_KUBERNETES)
            .chain(names(&OF_CONTAINERD))
            .chain([PAUSE]);
        let folder = match given("HAULOUT_NODE_BIN", programs)? {
            Some(folder) => folder,
            None => build().await.context(
                "no programs for a node; HAULOUT_NODE_BIN may name a folder with ready-made ones",
            )?,
        };
        Ok(Self { folder })
    }

    /// Folder of the programs.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Path of one program.
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Path of the program that does nothing but wait, and wait for what is orphaned.
    pub fn pause(&self) -> PathBuf {
        self.program(PAUSE)
    }
}

async fn build() -> anyhow::Result<PathBuf> {
    let name = format!("node-{}", KUBERNETES.version()?);
    let kubernetes = Build::new(&KUBERNETES, &OF_KUBERNETES, &name)?;
    let containerd = Build::new(&CONTAINERD, &OF_CONTAINERD, &name)?;
    kubernetes.run().await?;
    let folder = containerd.run().await?;
    compile_pause(&folder).await?;
    Ok(folder)
}

/// A tenth of a second: not worth a look whether it is stale.
async fn compile_pause(folder: &Path) -> anyhow::Result<()> {
    let source = crate::cluster::workspace_root().join("tests/cluster/node/pause.c");
    // Another run may do the same, and one may be running the old.
    let own = tempfile::tempdir_in(folder)?;
    let new = own.path().join(PAUSE);
    let status = Command::new("cc")
        .args(["-static", "-Os", "-s", "-o"])
        .args([&new, &source])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .status()
        .await
        .context("failed to run `cc` (package gcc)")?;
    ensure!(status.success(), "`cc` failed ({status}); see above");
    std::fs::rename(&new, folder.join(PAUSE))?;
    Ok(())
}

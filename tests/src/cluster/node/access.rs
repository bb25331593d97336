//! What can be done to a running node from outside, by its owner or by another program after [`Cluster::keep`].
//!
//! [`Cluster::keep`]: crate::cluster::Cluster::keep

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::command::run;
use super::containerd::{NAMESPACE, SOCKET};
use super::machine::Entrance;
use super::{cgroups, controller_manager, name};
use crate::cluster::binaries::NodePrograms;
use crate::cluster::pki::Pair;
use crate::cluster::process::noted;
use crate::cluster::profile::Profile;
use crate::cluster::wait_for;

const IMAGE_LIMIT: Duration = Duration::from_secs(30);

/// A running node, as seen from this computer.
#[derive(Clone, Debug)]
pub struct NodeAccess {
    name: String,
    cluster: PathBuf,
    entrance: Entrance,
    programs: NodePrograms,
}

impl NodeAccess {
    pub(super) fn new(
        name: String,
        cluster: &Path,
        entrance: Entrance,
        programs: &NodePrograms,
    ) -> Self {
        Self {
            name,
            cluster: cluster.to_owned(),
            entrance,
            programs: programs.clone(),
        }
    }

    /// Name of its Node object.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Root of its file system. Paths below it are ordinary paths for this process, if it is root.
    pub fn root(&self) -> PathBuf {
        self.entrance.root()
    }

    /// Where the signing pair is that its kube-controller-manager reads, and that an agent mounts: the profile's paths,
    /// below [`NodeAccess::root`].
    pub fn signing_pair(&self, profile: Profile) -> Pair {
        controller_manager::signing_pair(&self.root(), profile)
    }

    /// Loads an image from an archive, as `docker save` writes it, for pods to use.
    ///
    /// # Errors
    /// The archive cannot be read, or containerd refuses it.
    pub async fn load_image(&self, archive: &Path) -> anyhow::Result<()> {
        let file =
            File::open(archive).with_context(|| format!("failed to open {}", archive.display()))?;
        let mut import = self.ctr(&["images", "import", "-"]);
        import.stdin(Stdio::from(file));
        run(import).await?;
        // Until kubelet's side of containerd has seen it, a pod may be told that it is missing.
        let unseen = r#"labels."io.cri-containerd.image"!=managed"#;
        wait_for("image taken over", IMAGE_LIMIT, &mut [], async || {
            let unseen = run(self.ctr(&["images", "list", "--quiet", unseen])).await?;
            ensure!(unseen.is_empty(), "not yet: {unseen}");
            Ok(())
        })
        .await
    }

    /// Processes of a container by the id that the pod's status has behind `containerd://`, as this computer sees them: they
    /// can be looked at below `/proc` and signalled. The first is the one that the others came from.
    ///
    /// # Errors
    /// It does not run on this node.
    pub fn container_processes(&self, id: &str) -> anyhow::Result<Vec<u32>> {
        cgroups::processes(&self.cluster, &self.name, id)
    }

    pub(super) fn ctr(&self, arguments: &[&str]) -> tokio::process::Command {
        let mut command = self.entrance.command(&self.programs.program("ctr"));
        command
            .args(["--address", SOCKET, "--namespace", NAMESPACE])
            .args(arguments);
        command
    }
}

/// Nodes of a cluster that was left up, by its folder; none if it has none.
///
/// # Errors
/// The programs of a node cannot be had.
pub async fn kept_nodes(cluster: &Path) -> anyhow::Result<Vec<NodeAccess>> {
    let mut nodes = Vec::new();
    for name in (0..=u8::MAX).map(name) {
        let Some(process) = noted(cluster, &name) else {
            break;
        };
        let programs = NodePrograms::find_or_build().await?;
        let entrance = Entrance::new(process, programs.folder());
        nodes.push(NodeAccess::new(name, cluster, entrance, &programs));
    }
    Ok(nodes)
}

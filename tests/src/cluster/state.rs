//! Folders of clusters: one each, removed with its cluster or by the next one to start.

use std::fs::Permissions;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

use super::node;
use super::process::{self, Identity};
use super::profile::Profile;

const RECORD: &str = "cluster.json";

/// What a folder says of its cluster.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Record {
    /// The process whose end is the cluster's end; absent once the cluster is left up.
    owner: Option<Identity>,
}

/// The folder of one cluster; dropping it removes it, unless it is kept.
#[derive(Debug)]
pub(super) struct StateFolder {
    path: PathBuf,
    kept: bool,
}

impl StateFolder {
    /// Makes a folder for a cluster: `name` in the state root, or a new name of its own.
    pub(super) fn create(name: Option<&str>, profile: Profile) -> anyhow::Result<Self> {
        let root = state_root()?;
        std::fs::create_dir_all(&root).with_context(|| {
            format!(
                "failed to create {}; set HAULOUT_STATE to a folder that you may write",
                root.display()
            )
        })?;
        sweep(&root);
        Self::create_in(&root, name, profile)
    }

    fn create_in(root: &Path, name: Option<&str>, profile: Profile) -> anyhow::Result<Self> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let own = std::process::id();
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let unique = format!("{profile}-{own}-{count}");
        // Filled under a name that no sweep looks at: a folder is never seen without its record.
        let new = root.join(format!(".new-{unique}"));
        let path = root.join(name.unwrap_or(&unique));
        let fill = || -> anyhow::Result<()> {
            std::fs::create_dir(&new)?;
            // The agent, which runs as another user when we are root, has to pass through.
            std::fs::set_permissions(&new, Permissions::from_mode(0o711))?;
            let owner = Identity::of(own);
            std::fs::write(new.join(RECORD), serde_json::to_vec(&Record { owner })?)?;
            match std::fs::rename(&new, &path) {
                Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => bail!(
                    "{} is there already: end that cluster with `cargo xtask cluster down`",
                    path.display()
                ),
                renamed => Ok(renamed?),
            }
        };
        if let Err(error) = fill() {
            drop(std::fs::remove_dir_all(&new));
            return Err(error.context(format!("failed to make {}", path.display())));
        }
        Ok(Self { path, kept: false })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves the folder in place for `cluster down`.
    pub(super) fn keep(mut self) -> anyhow::Result<()> {
        let record = serde_json::to_vec(&Record { owner: None })?;
        std::fs::write(self.path.join(RECORD), record)?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for StateFolder {
    fn drop(&mut self) {
        if !self.kept {
            remove(&self.path);
        }
    }
}

/// Where clusters live: `HAULOUT_STATE`, or `target/clusters` of the checkout.
///
/// As root the agent runs as another user, who must be able to pass through; a checkout below a private folder such as
/// `/root` does not let him, and then clusters live in the folder for temporary files.
pub(super) fn state_root() -> anyhow::Result<PathBuf> {
    if let Some(root) = std::env::var_os("HAULOUT_STATE").filter(|root| !root.is_empty()) {
        return std::path::absolute(root).context("HAULOUT_STATE is no path");
    }
    let root = super::workspace_root().join("target/clusters");
    if super::pki::is_root() && !others_may_pass(&root) {
        return Ok(std::env::temp_dir().join("haulout-clusters"));
    }
    Ok(root)
}

fn others_may_pass(path: &Path) -> bool {
    path.ancestors().all(|folder| {
        std::fs::metadata(folder).map_or(true, |meta| meta.permissions().mode() & 0o001 != 0)
    })
}

/// Names of the clusters that were left up.
pub fn kept_clusters() -> anyhow::Result<Vec<String>> {
    let root = state_root()?;
    let mut names: Vec<String> = records(&root)
        .into_iter()
        .filter(|(_, record)| record.owner.is_none())
        .filter_map(|(path, _)| Some(path.file_name()?.to_str()?.to_owned()))
        .collect();
    names.sort_unstable();
    Ok(names)
}

/// Folder of a cluster that was left up.
pub fn kept_cluster_folder(name: &str) -> anyhow::Result<PathBuf> {
    Ok(state_root()?.join(name))
}

/// Ends a cluster that was left up and removes its folder.
///
/// # Errors
/// There is no such cluster.
pub fn end_kept_cluster(name: &str) -> anyhow::Result<()> {
    if !kept_clusters()?.iter().any(|kept| kept == name) {
        bail!("no cluster `{name}` is up");
    }
    remove(&kept_cluster_folder(name)?);
    Ok(())
}

/// Ends and removes what owners left behind that were killed.
pub fn sweep_lost_clusters() {
    if let Ok(root) = state_root() {
        sweep(&root);
    }
}

fn sweep(root: &Path) {
    for (path, record) in records(root) {
        if record.owner.is_some_and(|owner| !owner.is_alive()) {
            remove(&path);
        }
    }
}

fn records(root: &Path) -> Vec<(PathBuf, Record)> {
    let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
    let record = |path: PathBuf| {
        let text = std::fs::read(path.join(RECORD)).ok()?;
        Some((path, serde_json::from_slice(&text).ok()?))
    };
    entries
        .filter(|entry| !entry.file_name().as_encoded_bytes().starts_with(b"."))
        .filter_map(|entry| record(entry.path()))
        .collect()
}

fn remove(path: &Path) {
    process::kill_noted(path);
    node::cgroups::remove(path);
    // A process that was killed a moment ago may still create files; and nothing is left to do if it goes wrong.
    for _ in 0..10 {
        match std::fs::remove_dir_all(path) {
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            Ok(()) | Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write_record(folder: &Path, owner: Option<Identity>) {
        std::fs::create_dir(folder).unwrap();
        let record = serde_json::to_vec(&Record { owner }).unwrap();
        std::fs::write(folder.join(RECORD), record).unwrap();
    }

    #[test]
    fn folder_goes_with_its_value() {
        let root = tempfile::tempdir().unwrap();
        let folder = StateFolder::create_in(root.path(), None, Profile::Talos).unwrap();
        let path = folder.path().to_owned();
        assert!(path.join(RECORD).exists());
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn kept_folder_stays_and_bars_its_name() {
        let root = tempfile::tempdir().unwrap();
        let create = || StateFolder::create_in(root.path(), Some("dev"), Profile::Kubeadm);
        create().unwrap().keep().unwrap();
        sweep(root.path());
        assert!(root.path().join("dev").join(RECORD).exists());
        let error = format!("{:#}", create().unwrap_err());
        assert!(error.contains("cargo xtask cluster down"), "{error}");
    }

    #[test]
    fn sweep_removes_only_what_lost_its_owner() {
        let root = tempfile::tempdir().unwrap();
        let own = Identity::of(std::process::id()).unwrap();
        let mut gone = serde_json::to_value(own).unwrap();
        gone["started"] = 1.into();
        write_record(&root.path().join("ours"), Some(own));
        write_record(&root.path().join("kept"), None);
        write_record(
            &root.path().join("lost"),
            serde_json::from_value(gone).unwrap(),
        );
        std::fs::create_dir(root.path().join("foreign")).unwrap();
        sweep(root.path());
        let mut left: Vec<_> = std::fs::read_dir(root.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        left.sort_unstable();
        assert_eq!(left, ["foreign", "kept", "ours"]);
    }
}

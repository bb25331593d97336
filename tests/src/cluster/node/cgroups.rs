//! Control groups of a cluster's containers: the one thing that outlives the processes of its nodes.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use aws_lc_rs::digest::{SHA256, digest};

const ROOT: &str = "/sys/fs/cgroup";
const TRIES: u32 = 250;
const PAUSE: Duration = Duration::from_millis(20);

/// What version 2 passes on to children only if it is told to, and kubelet asks for.
const CONTROLLERS: &str = "+cpuset +cpu +memory +pids";

/// Makes the control group of a node's pods in each hierarchy, and gives its name there.
///
/// # Errors
/// The kernel refuses, or nothing is mounted at `/sys/fs/cgroup`.
pub(super) fn create(cluster: &Path, node: &str) -> anyhow::Result<String> {
    let name = name(cluster);
    for hierarchy in hierarchies() {
        let own = hierarchy.join(&name);
        let group = own.join(node);
        std::fs::create_dir_all(&group)
            .with_context(|| format!("failed to make the control group {}", group.display()))?;
        if hierarchy == Path::new(ROOT) {
            for parent in [&hierarchy, &own] {
                std::fs::write(parent.join("cgroup.subtree_control"), CONTROLLERS)
                    .with_context(|| format!("failed to pass {CONTROLLERS} on"))?;
            }
        }
        // What version 1 gives to a new group: no processor at all, or as much of them as one process.
        for (parent, child) in [(&hierarchy, &own), (&own, &group)] {
            for file in ["cpuset.cpus", "cpuset.mems"] {
                inherit(parent, child, file)?;
            }
            let shares = child.join("cpu.shares");
            if shares.exists() {
                std::fs::write(shares, shares_of_all_processors())?;
            }
        }
    }
    Ok(format!("/{name}/{node}"))
}

/// Copies a setting that a new group of version 1 lacks.
fn inherit(parent: &Path, group: &Path, file: &str) -> anyhow::Result<()> {
    if parent != Path::new(ROOT) && group.join(file).exists() {
        let value = std::fs::read(parent.join(file))?;
        std::fs::write(group.join(file), value)?;
    }
    Ok(())
}

/// What kubelet gives to all pods, as if their group stood at the top.
fn shares_of_all_processors() -> String {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    (1024 * processors).to_string()
}

/// Processes of a container, as this computer sees them; its first one first.
///
/// # Errors
/// There is no such container.
pub(super) fn processes(cluster: &Path, node: &str, container: &str) -> anyhow::Result<Vec<u32>> {
    let group = groups(cluster)
        .into_iter()
        .find_map(|group| find(&group.join(node), container))
        .with_context(|| format!("{node} runs no container {container}"))?;
    let list = group.join("cgroup.procs");
    let list = std::fs::read_to_string(&list)
        .with_context(|| format!("failed to read {}", list.display()))?;
    Ok(list.lines().filter_map(|id| id.parse().ok()).collect())
}

fn find(group: &Path, name: &str) -> Option<PathBuf> {
    let groups = std::fs::read_dir(group).into_iter().flatten().flatten();
    groups.map(|entry| entry.path()).find_map(|path| {
        if path.file_name()? == name {
            return Some(path);
        }
        find(&path, name)
    })
}

/// Removes those of a cluster whose processes have been killed; waits a while for their end.
pub(in crate::cluster) fn remove(cluster: &Path) {
    for group in groups(cluster) {
        for _ in 0..TRIES {
            match remove_tree(&group) {
                // A process in it is not quite gone.
                Err(error) if error.kind() == ErrorKind::ResourceBusy => std::thread::sleep(PAUSE),
                Ok(()) | Err(_) => break,
            }
        }
    }
}

/// A control group is a folder of files that go with it, and of further groups.
fn remove_tree(group: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(group)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    std::fs::remove_dir(group)
}

/// The cluster's own, in each hierarchy.
fn groups(cluster: &Path) -> Vec<PathBuf> {
    let name = name(cluster);
    let groups = hierarchies().into_iter().map(|root| root.join(&name));
    groups.filter(|group| group.is_dir()).collect()
}

/// Name of the control group of all pods of a cluster.
fn name(cluster: &Path) -> String {
    let hash = haulout_pki::hex(digest(&SHA256, cluster.as_os_str().as_encoded_bytes()).as_ref());
    format!("haulout-{}", hash.get(..16).unwrap_or(&hash))
}

/// The one of version 2, or those of version 1.
fn hierarchies() -> Vec<PathBuf> {
    let root = Path::new(ROOT);
    if root.join("cgroup.procs").exists() {
        return vec![root.to_owned()];
    }
    let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
    // Several names of one hierarchy are links.
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders.map(|entry| entry.path()).collect()
}

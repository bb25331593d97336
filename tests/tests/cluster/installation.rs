//! The chart on a real node: from an empty cluster to a login, and the pages that lead there.

mod migration;
mod pages;
mod talos;

use haulout_tests::cluster::AGENT_NAMESPACE;

use crate::installed::Installed;

const SIGNING: &str = "/etc/haulout/signing";

/// By what the kernel says of its process.
async fn the_agent_has_what_it_needs_and_no_more(installed: &Installed, user: u32) {
    let pods = installed.pods(AGENT_NAMESPACE).await;
    let [pod] = pods.as_slice() else {
        panic!("{pods:?}");
    };
    let id = pod["status"]["containerStatuses"][0]["containerID"].as_str();
    let id = id.unwrap().strip_prefix("containerd://").unwrap();
    let node = installed.cluster.nodes()[0].access().clone();
    let processes = node.container_processes(id).unwrap();
    let [process] = processes.as_slice() else {
        panic!("{processes:?}");
    };

    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    for line in status.lines() {
        match line.split_once(":\t") {
            Some(("Uid" | "Gid", ids)) => {
                assert_eq!(ids, format!("{user}\t{user}\t{user}\t{user}"))
            }
            Some((name, bits)) if name.starts_with("Cap") => {
                assert_eq!(u64::from_str_radix(bits, 16).unwrap(), 0, "{line}");
            }
            Some(("NoNewPrivs", flag)) => assert_eq!(flag, "1"),
            Some(("Seccomp", mode)) => assert_eq!(mode, "2"),
            _ => {}
        }
    }

    let mounts = std::fs::read_to_string(format!("/proc/{process}/mountinfo")).unwrap();
    let options = |path: &str| {
        let mut lines = mounts.lines().map(|line| line.split(' '));
        let mut line = lines.find(|line| line.clone().nth(4) == Some(path))?;
        line.nth(5).map(str::to_owned)
    };
    for path in [
        "/",
        &format!("{SIGNING}/ca.crt"),
        &format!("{SIGNING}/ca.key"),
    ] {
        let options = options(path).unwrap();
        assert!(
            options.split(',').any(|option| option == "ro"),
            "{path}: {options}"
        );
    }

    // Beside the pair there is another secret on the host, in the same folder.
    let pair = node.signing_pair(installed.cluster.profile());
    let neighbours = ["service-account.key", "sa.key"];
    let folder = pair.key.parent().unwrap();
    let neighbour = neighbours
        .into_iter()
        .find(|name| folder.join(name).exists());
    let neighbour = neighbour.unwrap();
    let root = format!("/proc/{process}/root");
    let mut seen = Vec::new();
    for entry in std::fs::read_dir(format!("{root}{SIGNING}")).unwrap() {
        seen.push(entry.unwrap().file_name().into_string().unwrap());
    }
    seen.sort_unstable();
    assert_eq!(seen, ["ca.crt", "ca.key"]);
    let on_the_host = std::fs::metadata(folder.join(neighbour)).unwrap();
    assert!(
        !contains_file(root.as_ref(), &on_the_host),
        "{neighbour} can be reached"
    );
}

/// Whether a file is somewhere below a folder, by whatever name.
fn contains_file(folder: &std::path::Path, file: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(entries) = std::fs::read_dir(folder) else {
        return false;
    };
    entries.flatten().any(|entry| {
        let Ok(meta) = entry.metadata() else {
            return false;
        };
        if meta.is_dir() {
            let virtual_files = ["proc", "sys", "dev"];
            let name = entry.file_name();
            return !virtual_files.iter().any(|known| name == *known)
                && contains_file(&entry.path(), file);
        }
        (meta.dev(), meta.ino()) == (file.dev(), file.ino())
    })
}

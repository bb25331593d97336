//! kube-controller-manager's pod and files, compared with what kubeadm and Talos make of them.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use haulout_tests::cluster::{Cluster, Profile, wait_for};
use serde_json::{Value, json};

const NAME: &str = "kube-controller-manager";
const TOLD_LIMIT: Duration = Duration::from_secs(60);

pub(super) async fn is_laid_out_as_on_talos(cluster: &Cluster) {
    has_fields(&pod(cluster).await, include_str!("talos.yaml"));
    let folder = "system/secrets/kubernetes/kube-controller-manager";
    let folder = cluster.nodes()[0].access().root().join(folder);
    assert_eq!(owner_and_mode(&folder), (0, 0, 0o755));
    let names = ["ca.crt", "ca.key", "kubeconfig", "service-account.key"];
    assert_eq!(entries(&folder), names);
    for name in names {
        let file = folder.join(name);
        assert_eq!(owner_and_mode(&file), (65535, 65535, 0o400), "{name}");
    }
    is_the_pair_of_the_cluster(cluster, Profile::Talos);
    runs_as(cluster, 65535, "0000000000000000").await;
}

pub(super) async fn is_laid_out_as_by_kubeadm(cluster: &Cluster) {
    let pod = pod(cluster).await;
    has_fields(&pod, include_str!("kubeadm.yaml"));
    for (name, path, kind) in [
        ("k8s-certs", "/etc/kubernetes/pki", "DirectoryOrCreate"),
        (
            "kubeconfig",
            "/etc/kubernetes/controller-manager.conf",
            "FileOrCreate",
        ),
    ] {
        let volume = json!({ "name": name, "hostPath": { "path": path, "type": kind } });
        let mount = json!({ "name": name, "mountPath": path, "readOnly": true });
        let volumes = pod["spec"]["volumes"].as_array().unwrap();
        assert!(volumes.contains(&volume), "{volume}: {volumes:?}");
        let mounts = pod["spec"]["containers"][0]["volumeMounts"]
            .as_array()
            .unwrap();
        assert!(mounts.contains(&mount), "{mount}: {mounts:?}");
    }
    for node in cluster.nodes() {
        let root = node.access().root();
        for (file, mode) in [
            ("etc/kubernetes/pki/ca.crt", 0o644),
            ("etc/kubernetes/pki/ca.key", 0o600),
            ("etc/kubernetes/pki/sa.key", 0o600),
            ("etc/kubernetes/pki/sa.pub", 0o644),
            ("etc/kubernetes/pki/front-proxy-ca.crt", 0o644),
            ("etc/kubernetes/controller-manager.conf", 0o600),
        ] {
            assert_eq!(owner_and_mode(&root.join(file)), (0, 0, mode), "{file}");
        }
    }
    is_the_pair_of_the_cluster(cluster, Profile::Kubeadm);
    // What containerd leaves to root unless told otherwise.
    runs_as(cluster, 0, "00000000a80425fb").await;
}

/// Compares fields, by JSON pointer, with what a file says of them.
fn has_fields(pod: &Value, expected: &str) {
    let image = pod["spec"]["containers"][0]["image"].as_str().unwrap();
    let (_, version) = image.rsplit_once(":v").unwrap();
    let expected = expected.replace("VERSION", version);
    let expected: BTreeMap<String, Value> = serde_saphyr::from_str(&expected).unwrap();
    for (field, expected) in expected {
        let own = pod.pointer(&field).cloned().unwrap_or_default();
        assert_eq!(own, expected, "{field}");
    }
}

/// The mirror of the static pod on the first node.
async fn pod(cluster: &Cluster) -> Value {
    let arguments = [
        "get",
        "pod",
        "-n",
        "kube-system",
        "kube-controller-manager-node-1",
    ];
    let pod = cluster.kubectl().json(&arguments).await.unwrap();
    assert_eq!(pod["spec"]["containers"].as_array().unwrap().len(), 1);
    pod
}

fn is_the_pair_of_the_cluster(cluster: &Cluster, profile: Profile) {
    let signing = cluster.pki().signing_pair();
    for node in cluster.nodes() {
        let pair = node.access().signing_pair(profile);
        for (own, expected) in [
            (&pair.certificate, &signing.certificate),
            (&pair.key, &signing.key),
        ] {
            let (own, expected) = (
                std::fs::read(own).unwrap(),
                std::fs::read(expected).unwrap(),
            );
            assert!(own == expected, "{}", node.access().name());
        }
    }
}

/// User, group and capabilities of the process itself.
async fn runs_as(cluster: &Cluster, id: u32, capabilities: &str) {
    let pod = "kube-controller-manager-node-1";
    // kubelet tells of a container of a static pod some time after it has started it.
    let processes = wait_for(NAME, TOLD_LIMIT, &mut [], async || {
        (cluster.container_processes("kube-system", pod, NAME)).await
    });
    let process = processes.await.unwrap()[0];
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let ids = format!("\t{id}\t{id}\t{id}\t{id}");
    for expected in [
        // The kernel keeps 15 letters.
        "Name:\tkube-controller".to_owned(),
        format!("Uid:{ids}"),
        format!("Gid:{ids}"),
        format!("CapEff:\t{capabilities}"),
    ] {
        assert!(
            status.lines().any(|line| line == expected),
            "{expected}: {status}"
        );
    }
}

fn owner_and_mode(path: &Path) -> (u32, u32, u32) {
    let meta = std::fs::metadata(path).unwrap();
    (meta.uid(), meta.gid(), meta.mode() & 0o7777)
}

fn entries(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort_unstable();
    names
}

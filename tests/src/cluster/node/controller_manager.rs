//! kube-controller-manager as the static pod that a profile makes of it, with the files that it reads.
//!
//! kubeadm: `cmd/kubeadm/app/phases/controlplane` of Kubernetes 1.36. Talos: what 1.13 renders, the release for that version.

use std::os::unix::fs::chown;
use std::path::Path;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::network::POD_RANGE;
use super::{files, images};
use crate::cluster::binaries::kubernetes_version;
use crate::cluster::control_plane::SERVICE_RANGE;
use crate::cluster::kubeconfig::{Credential, write_kubeconfig};
use crate::cluster::pki::{AGENT_USER, ClusterPki, Pair, write};
use crate::cluster::profile::Profile;

const NAME: &str = "kube-controller-manager";
const PORT: u16 = 10257;
const KUBEADM_FOLDER: &str = "/etc/kubernetes/pki";
const KUBEADM_KUBECONFIG: &str = "/etc/kubernetes/controller-manager.conf";
const TALOS_FOLDER: &str = "/system/secrets/kubernetes/kube-controller-manager";

/// Paths of the signing pair in the file system at `root`.
pub(super) fn signing_pair(root: &Path, profile: Profile) -> Pair {
    let folder = match profile {
        Profile::Kubeadm => KUBEADM_FOLDER,
        Profile::Talos => TALOS_FOLDER,
    };
    let folder = files::inside(root, folder);
    Pair {
        certificate: folder.join("ca.crt"),
        key: folder.join("ca.key"),
    }
}

/// Writes what the pod reads into the file system at `root`, with the owner and mode of the profile.
///
/// # Errors
/// A file cannot be read or written.
pub(super) fn write_files(
    root: &Path,
    pki: &ClusterPki,
    server: &str,
    profile: Profile,
) -> anyhow::Result<()> {
    let inside = |path: &str| files::inside(root, path);
    let signing = pki.signing_pair();
    let account_key = pki.key("sa");
    match profile {
        Profile::Kubeadm => {
            let folder = inside(KUBEADM_FOLDER);
            for (source, name, mode) in [
                (&signing.certificate, "ca.crt", 0o644),
                (&signing.key, "ca.key", 0o600),
                (&account_key, "sa.key", 0o600),
                (&pki.service_account_public_key(), "sa.pub", 0o644),
                (
                    &pki.certificate("front-proxy-ca"),
                    "front-proxy-ca.crt",
                    0o644,
                ),
            ] {
                copy(source, &folder.join(name), mode)?;
            }
            write_kubeconfig(
                &inside(KUBEADM_KUBECONFIG),
                server,
                &signing.certificate,
                &Credential::Certificate(pki.pair(NAME)),
            )
        }
        Profile::Talos => {
            let folder = inside(TALOS_FOLDER);
            std::fs::create_dir_all(&folder)?;
            for (source, name) in [
                (&signing.certificate, "ca.crt"),
                (&signing.key, "ca.key"),
                (&account_key, "service-account.key"),
            ] {
                copy(source, &folder.join(name), 0o400)?;
            }
            let kubeconfig = folder.join("kubeconfig");
            let credential = Credential::Certificate(pki.pair(NAME));
            write_kubeconfig(&kubeconfig, server, &signing.certificate, &credential)?;
            let text = std::fs::read_to_string(&kubeconfig)?;
            write(&kubeconfig, &text, 0o400)?;
            for entry in std::fs::read_dir(&folder)? {
                let path = entry?.path();
                chown(&path, Some(AGENT_USER), Some(AGENT_USER))
                    .with_context(|| format!("failed to give {} away", path.display()))?;
            }
            Ok(())
        }
    }
}

fn copy(source: &Path, target: &Path, mode: u32) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(source)
        .with_context(|| format!("failed to read {}", source.display()))?;
    write(target, &text, mode)
}

/// The pod.
///
/// # Errors
/// The version of Kubernetes is not known.
pub(super) fn pod(root: &Path, profile: Profile) -> anyhow::Result<Value> {
    match profile {
        Profile::Kubeadm => kubeadm_pod(root),
        Profile::Talos => talos_pod(),
    }
}

fn kubeadm_pod(root: &Path) -> anyhow::Result<Value> {
    let pki = |name: &str| format!("{KUBEADM_FOLDER}/{name}");
    let flags = [
        ("allocate-node-cidrs", "true".to_owned()),
        ("authentication-kubeconfig", KUBEADM_KUBECONFIG.to_owned()),
        ("authorization-kubeconfig", KUBEADM_KUBECONFIG.to_owned()),
        ("bind-address", "127.0.0.1".to_owned()),
        ("client-ca-file", pki("ca.crt")),
        ("cluster-cidr", POD_RANGE.to_owned()),
        ("cluster-name", "kubernetes".to_owned()),
        ("cluster-signing-cert-file", pki("ca.crt")),
        ("cluster-signing-key-file", pki("ca.key")),
        ("controllers", "*,bootstrapsigner,tokencleaner".to_owned()),
        ("kubeconfig", KUBEADM_KUBECONFIG.to_owned()),
        ("leader-elect", "true".to_owned()),
        ("requestheader-client-ca-file", pki("front-proxy-ca.crt")),
        ("root-ca-file", pki("ca.crt")),
        ("service-account-private-key-file", pki("sa.key")),
        ("service-cluster-ip-range", SERVICE_RANGE.to_owned()),
        ("use-service-account-credentials", "true".to_owned()),
    ];
    let volumes = kubeadm_volumes(root);
    let mounts: Vec<Value> = volumes
        .iter()
        .map(|(name, path, _)| json!({ "name": name, "mountPath": path, "readOnly": true }))
        .collect();
    let volumes: Vec<Value> = volumes
        .iter()
        .map(|(name, path, kind)| json!({ "name": name, "hostPath": { "path": path, "type": kind } }))
        .collect();
    let probe = |failures: u8| {
        json!({
            "httpGet": {
                "host": "127.0.0.1",
                "path": "/healthz",
                "port": "probe-port",
                "scheme": "HTTPS",
            },
            "initialDelaySeconds": 10,
            "periodSeconds": 10,
            "timeoutSeconds": 15,
            "failureThreshold": failures,
        })
    };
    Ok(json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": NAME,
            "namespace": "kube-system",
            "labels": { "component": NAME, "tier": "control-plane" },
        },
        "spec": {
            "containers": [{
                "name": NAME,
                "image": images::controller_manager()?,
                "imagePullPolicy": "IfNotPresent",
                "command": command(&[NAME], &flags),
                "ports": [{ "name": "probe-port", "containerPort": PORT, "protocol": "TCP" }],
                "livenessProbe": probe(8),
                "startupProbe": probe(24),
                "resources": { "requests": { "cpu": "200m" } },
                "volumeMounts": mounts,
            }],
            "hostNetwork": true,
            "priority": 2_000_001_000,
            "priorityClassName": "system-node-critical",
            "securityContext": { "seccompProfile": { "type": "RuntimeDefault" } },
            "volumes": volumes,
        },
    }))
}

/// Name, path and type of each; some only where the computer has them.
fn kubeadm_volumes(root: &Path) -> Vec<(&'static str, &'static str, &'static str)> {
    let folder = "DirectoryOrCreate";
    let optional = |path: &str| files::inside(root, path).is_dir();
    [
        ("ca-certs", "/etc/ssl/certs", folder),
        ("etc-ca-certificates", "/etc/ca-certificates", folder),
        ("k8s-certs", KUBEADM_FOLDER, folder),
        ("kubeconfig", KUBEADM_KUBECONFIG, "FileOrCreate"),
        (
            "usr-local-share-ca-certificates",
            "/usr/local/share/ca-certificates",
            folder,
        ),
        (
            "usr-share-ca-certificates",
            "/usr/share/ca-certificates",
            folder,
        ),
    ]
    .into_iter()
    .filter(|(name, path, _)| !name.ends_with("ca-certificates") || optional(path))
    .collect()
}

/// Talos gives it to kubelet by a URL. From a file, as here, kubelet adds a toleration of `NoExecute`: the one difference.
fn talos_pod() -> anyhow::Result<Value> {
    let version = kubernetes_version()?;
    let secret = |name: &str| format!("{TALOS_FOLDER}/{name}");
    let flags = [
        ("allocate-node-cidrs", "true".to_owned()),
        ("authentication-kubeconfig", secret("kubeconfig")),
        ("authorization-kubeconfig", secret("kubeconfig")),
        ("bind-address", "127.0.0.1".to_owned()),
        ("cluster-cidr", POD_RANGE.to_owned()),
        ("cluster-signing-cert-file", secret("ca.crt")),
        ("cluster-signing-key-file", secret("ca.key")),
        ("configure-cloud-routes", "false".to_owned()),
        ("controllers", "*,tokencleaner".to_owned()),
        ("kubeconfig", secret("kubeconfig")),
        ("leader-elect", "true".to_owned()),
        ("profiling", "false".to_owned()),
        ("root-ca-file", secret("ca.crt")),
        (
            "service-account-private-key-file",
            secret("service-account.key"),
        ),
        ("service-cluster-ip-range", SERVICE_RANGE.to_owned()),
        ("tls-min-version", "VersionTLS13".to_owned()),
    ];
    let program = format!("/usr/local/bin/{NAME}");
    let begin = [&*program, "--use-service-account-credentials"];
    let probe = json!({
        "httpGet": { "host": "localhost", "path": "/healthz", "port": PORT, "scheme": "HTTPS" },
    });
    Ok(json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": NAME,
            "namespace": "kube-system",
            "annotations": { "talos.dev/config-version": "1", "talos.dev/secrets-version": "1" },
            "labels": {
                "tier": "control-plane",
                "k8s-app": NAME,
                "component": NAME,
                "app.kubernetes.io/name": NAME,
                "app.kubernetes.io/version": version.trim_start_matches('v'),
                "app.kubernetes.io/component": "control-plane",
                "app.kubernetes.io/managed-by": "Talos",
            },
        },
        "spec": {
            "containers": [{
                "name": NAME,
                "image": images::controller_manager()?,
                "command": command(&begin, &flags),
                "env": [{
                    "name": "POD_IP",
                    "valueFrom": { "fieldRef": { "fieldPath": "status.podIP" } },
                }],
                "resources": { "requests": { "cpu": "50m", "memory": "256Mi" } },
                "startupProbe": probe,
                "livenessProbe": probe,
                "securityContext": {
                    "allowPrivilegeEscalation": false,
                    "capabilities": { "drop": ["ALL"] },
                    "seccompProfile": { "type": "RuntimeDefault" },
                },
                "volumeMounts": [
                    { "name": "secrets", "mountPath": TALOS_FOLDER, "readOnly": true },
                ],
            }],
            "hostNetwork": true,
            "priority": 2_000_000_000,
            "priorityClassName": "system-cluster-critical",
            "securityContext": {
                "runAsNonRoot": true,
                "runAsUser": AGENT_USER,
                "runAsGroup": AGENT_USER,
            },
            "volumes": [{ "name": "secrets", "hostPath": { "path": TALOS_FOLDER } }],
        },
    }))
}

fn command(begin: &[&str], flags: &[(&str, String)]) -> Vec<String> {
    let begin = begin.iter().map(|&word| word.to_owned());
    let flags = flags
        .iter()
        .map(|(name, value)| format!("--{name}={value}"));
    begin.chain(flags).collect()
}

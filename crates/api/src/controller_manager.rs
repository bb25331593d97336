//! Which pod is a cluster's kube-controller-manager, and which files of its node it signs client certificates with.

mod command;
mod error;

use std::cmp::Reverse;

use k8s_openapi::api::core::v1::{Container, HostPathVolumeSource, Node, Pod, PodSpec};

pub use error::{NoneRuns, SigningFilesError};

use command::{flag_value, is_shell};

/// Namespace of every kube-controller-manager that runs as a pod.
pub const NAMESPACE: &str = "kube-system";

/// Selectors that find its pods: kubeadm sets the first label, Talos before 1.9 only the second.
pub const LABEL_SELECTORS: [&str; 2] = [
    "component=kube-controller-manager",
    "k8s-app=kube-controller-manager",
];

/// Label of control plane nodes, by which the chart picks those that agents run on. Its value is empty unless somebody gave it
/// another.
pub const CONTROL_PLANE_LABEL: &str = "node-role.kubernetes.io/control-plane";

/// The flags that name a file, in order of preference, and the path that is used without them.
struct Flags {
    names: [&'static str; 2],
    default: &'static str,
}

const CERTIFICATE: Flags = Flags {
    names: [
        "--cluster-signing-cert-file",
        "--cluster-signing-kube-apiserver-client-cert-file",
    ],
    default: "/etc/kubernetes/ca/ca.pem",
};
const KEY: Flags = Flags {
    names: [
        "--cluster-signing-key-file",
        "--cluster-signing-kube-apiserver-client-key-file",
    ],
    default: "/etc/kubernetes/ca/ca.key",
};

/// What a kube-controller-manager signs client certificates with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningFiles {
    /// Certificate of the CA.
    pub certificate: SigningFile,
    /// Private key of the CA.
    pub key: SigningFile,
    /// Who can read the key.
    pub run_as: RunAs,
}

/// One of the two files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningFile {
    /// Flag that names it, with its dashes; `None` for the path that is used without one.
    pub flag: Option<&'static str>,
    /// Path inside the container.
    pub path: String,
    /// Path of the same file on the node.
    pub host_path: String,
}

/// User and group of a container's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunAs {
    /// User ID; 0 where the pod names none.
    pub user: i64,
    /// Group ID; 0 where the pod names none.
    pub group: i64,
}

/// Whether a pod is a kube-controller-manager, by its namespace and labels.
pub fn is_controller_manager(pod: &Pod) -> bool {
    pod.metadata.namespace.as_deref() == Some(NAMESPACE)
        && LABEL_SELECTORS
            .iter()
            .filter_map(|selector| selector.split_once('='))
            .any(|(label, value)| {
                let labels = pod.metadata.labels.as_ref();
                labels
                    .and_then(|labels| labels.get(label))
                    .map(String::as_str)
                    == Some(value)
            })
}

/// The running kube-controller-manager among `pods` that is to be asked: the newest one on a node of `nodes` that is not
/// cordoned, else the newest.
///
/// # Errors
/// [`NoneRuns`] when there is none.
pub fn choose<'a>(
    pods: impl IntoIterator<Item = &'a Pod>,
    nodes: &[Node],
) -> Result<&'a Pod, NoneRuns> {
    let candidates: Vec<_> = pods
        .into_iter()
        .filter(|pod| is_controller_manager(pod))
        .collect();
    let takes_pods = |name: Option<&str>| {
        let node = nodes
            .iter()
            .find(|node| node.metadata.name.as_deref() == name);
        node.is_some_and(|node| {
            !node
                .spec
                .as_ref()
                .and_then(|spec| spec.unschedulable)
                .unwrap_or(false)
        })
    };
    candidates
        .iter()
        .copied()
        .filter(|pod| is_running(pod))
        .min_by_key(|pod| {
            let metadata = &pod.metadata;
            (
                !takes_pods(node_name(pod)),
                Reverse(metadata.creation_timestamp.as_ref().map(|time| time.0)),
                metadata.name.as_deref(),
            )
        })
        .ok_or(NoneRuns {
            candidates: candidates.len(),
        })
}

/// Whether a pod's phase is `Running`. A pod that is not ready or about to be deleted still tells its files.
pub fn is_running(pod: &Pod) -> bool {
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    phase == Some("Running")
}

/// Name of the node that a pod runs on.
pub fn node_name(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref()
}

/// Reads from a kube-controller-manager's pod what it signs client certificates with.
///
/// Command and arguments of each container are read as kube-controller-manager reads them. Its configuration files are not.
///
/// # Errors
/// [`SigningFilesError`] says why a file cannot be told, or is out of reach of another pod.
pub fn signing_files(pod: &Pod) -> Result<SigningFiles, SigningFilesError> {
    let spec = pod.spec.as_ref().ok_or(SigningFilesError::NoContainer)?;
    let (certificate, _) = find(spec, &CERTIFICATE)?;
    let (key, container) = find(spec, &KEY)?;
    let (user, group) = run_as(spec, container);
    Ok(SigningFiles {
        certificate,
        key,
        run_as: RunAs {
            user: user.unwrap_or(0),
            group: group.unwrap_or(0),
        },
    })
}

/// The user and the group that a pod names for a container of it, whose own security context wins over the pod's.
pub fn run_as(spec: &PodSpec, container: &Container) -> (Option<i64>, Option<i64>) {
    let own = container.security_context.as_ref();
    let pods = spec.security_context.as_ref();
    let user = own.and_then(|own| own.run_as_user);
    let group = own.and_then(|own| own.run_as_group);
    (
        user.or_else(|| pods?.run_as_user),
        group.or_else(|| pods?.run_as_group),
    )
}

/// The file that `flags` name, and the container that it belongs to.
fn find<'a>(
    spec: &'a PodSpec,
    flags: &Flags,
) -> Result<(SigningFile, &'a Container), SigningFilesError> {
    let mut shell = None;
    for container in &spec.containers {
        if is_shell(container) {
            shell = shell.or(Some(container));
            continue;
        }
        for flag in flags.names {
            let Some(path) = flag_value(container, flag) else {
                continue;
            };
            if path.contains("$(") {
                return Err(SigningFilesError::Variable {
                    flag,
                    path: path.to_owned(),
                });
            }
            let host_path = host_path(spec, container, path)?;
            let file = SigningFile {
                flag: Some(flag),
                path: path.to_owned(),
                host_path,
            };
            return Ok((file, container));
        }
    }
    if let Some(container) = shell {
        return Err(SigningFilesError::Shell {
            container: container.name.clone(),
        });
    }
    let container = spec
        .containers
        .first()
        .ok_or(SigningFilesError::NoContainer)?;
    let host_path = host_path(spec, container, flags.default).map_err(|_| {
        let [preferred, _] = flags.names;
        SigningFilesError::Unset {
            flag: preferred,
            path: flags.default,
        }
    })?;
    let file = SigningFile {
        flag: None,
        path: flags.default.to_owned(),
        host_path,
    };
    Ok((file, container))
}

/// The path on the node of a file inside a container: through the innermost mount that holds it.
fn host_path(
    spec: &PodSpec,
    container: &Container,
    path: &str,
) -> Result<String, SigningFilesError> {
    let path = path.to_owned();
    let Some(file) = parts(&path) else {
        return Err(SigningFilesError::NotPlain { path });
    };
    let mount = container
        .volume_mounts
        .iter()
        .flatten()
        .filter_map(|mount| {
            let at = parts(&mount.mount_path)?;
            let below = file.strip_prefix(at.as_slice())?.to_vec();
            Some((mount, below))
        })
        .min_by_key(|(_, below)| below.len());
    let Some((mount, below)) = mount else {
        let container = container.name.clone();
        return Err(SigningFilesError::NotMounted { path, container });
    };
    let volume = mount.name.clone();
    if mount
        .sub_path_expr
        .as_ref()
        .is_some_and(|expression| !expression.is_empty())
    {
        return Err(SigningFilesError::SubPathExpression { path, volume });
    }
    let mut volumes = spec.volumes.iter().flatten();
    let source = volumes.find(|candidate| candidate.name == volume);
    let Some(HostPathVolumeSource { path: root, .. }) =
        source.and_then(|volume| volume.host_path.as_ref())
    else {
        return Err(SigningFilesError::NotOnHost { path, volume });
    };
    let sub_path = mount.sub_path.as_deref().unwrap_or_default();
    let all = segments(root).chain(segments(sub_path)).chain(below);
    Ok(all.fold(String::new(), |path, segment| path + "/" + segment))
}

/// The segments of an absolute path that leads nowhere upwards.
fn parts(path: &str) -> Option<Vec<&str>> {
    let is_plain = path.starts_with('/') && segments(path).all(|segment| segment != "..");
    is_plain.then(|| segments(path).collect())
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/')
        .filter(|segment| !matches!(*segment, "" | "."))
}

#[cfg(test)]
mod tests;

//! Changes to the agent's pod, each of which one rule of the policy refuses.

use serde_json::{Value, json};

/// A change, and the begin of the message that refuses it.
#[derive(Clone)]
pub(super) struct Row {
    pub(super) change: Change,
    pub(super) message: &'static str,
}

#[derive(Clone, Debug)]
pub(super) enum Change {
    /// Sets what the JSON pointer below the spec leads to; `-` is the end of a list.
    Set(&'static str, Value),
    /// Removes it.
    Remove(&'static str),
}
use Change::{Remove, Set};

impl Change {
    pub(super) fn apply(&self, spec: &mut Value) {
        let (Set(pointer, _) | Remove(pointer)) = self;
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let parent = spec.pointer_mut(parent).unwrap();
        match (self, parent) {
            (Set(_, value), Value::Object(map)) => drop(map.insert(key.to_owned(), value.clone())),
            (Set(_, value), Value::Array(list)) if key == "-" => list.push(value.clone()),
            (Set(_, value), Value::Array(list)) => {
                list[key.parse::<usize>().unwrap()] = value.clone()
            }
            (Remove(_), Value::Object(map)) => drop(map.remove(key).unwrap()),
            _ => panic!("{self:?}"),
        }
    }
}

const CONTAINERS: &str = "a pod in haulout-agent has one container";
pub(super) const IMAGE: &str = "a container in haulout-agent has the agent's image";
const ARGUMENTS: &str = "a container in haulout-agent has the agent's arguments";
const COMMANDS: &str = "a container in haulout-agent runs no command";
const PROBES: &str = "a container in haulout-agent has probes of its own pod";
const VOLUMES: &str = "a pod in haulout-agent has no volume, nor token";
const TYPES: &str = "a pod in haulout-agent has host paths of the agent's type";
const MOUNTS: &str = "a container in haulout-agent mounts its volumes";
const HOST: &str = "a pod in haulout-agent has no namespace and no port";
const NODES: &str = "a pod in haulout-agent selects control plane nodes";
const USER: &str = "a pod in haulout-agent runs as the owner";
const RIGHTS: &str = "a container in haulout-agent has no capability";
const SECCOMP: &str = "a pod in haulout-agent has the runtime's seccomp";

pub(super) const RUNTIME: &str = "a pod in haulout-agent has no further say";
/// Whoever makes pods may take this RuntimeClass, which has to be there.
pub(super) const RUNTIME_CLASS: &str = "other";

/// At least one for each part of each rule.
pub(super) fn rows() -> Vec<Row> {
    containers()
        .into_iter()
        .chain(volumes())
        .chain(mounts())
        .chain(rights())
        .chain(runtime())
        .map(|(message, change)| Row { change, message })
        .collect()
}

/// Those of containers and what they run.
fn containers() -> Vec<(&'static str, Change)> {
    let probe = || json!({"exec": {"command": ["/haulout-agent"]}});
    vec![
        (
            CONTAINERS,
            Set(
                "/initContainers",
                json!([{"name": "other", "image": "busybox"}]),
            ),
        ),
        (IMAGE, Set("/containers/0/image", json!("busybox"))),
        (
            IMAGE,
            Set("/containers/0/image", json!("haulout/haulout-agent:0.1.1")),
        ),
        (
            ARGUMENTS,
            Set("/containers/0/command", json!(["/haulout-agent"])),
        ),
        (
            ARGUMENTS,
            Set("/containers/0/args/-", json!("--listen=[::]:1")),
        ),
        (
            ARGUMENTS,
            Set(
                "/containers/0/args/4",
                json!("--tls-key=/etc/haulout/signing/ca.key"),
            ),
        ),
        (ARGUMENTS, Remove("/containers/0/args")),
        (
            ARGUMENTS,
            Set("/containers/0/env", json!([{"name": "A", "value": "b"}])),
        ),
        (
            ARGUMENTS,
            Set(
                "/containers/0/envFrom",
                json!([{"secretRef": {"name": "other"}}]),
            ),
        ),
        (
            COMMANDS,
            Set("/containers/0/lifecycle", json!({"postStart": probe()})),
        ),
        (COMMANDS, Set("/containers/0/livenessProbe", probe())),
        (COMMANDS, Set("/containers/0/readinessProbe", probe())),
        (COMMANDS, Set("/containers/0/startupProbe", probe())),
        (
            PROBES,
            Set(
                "/containers/0/livenessProbe/httpGet/host",
                json!("127.0.0.1"),
            ),
        ),
        (
            PROBES,
            Set(
                "/containers/0/readinessProbe/httpGet/httpHeaders",
                json!([{"name": "Host", "value": "a"}]),
            ),
        ),
        (
            PROBES,
            Set(
                "/containers/0/startupProbe",
                json!({"tcpSocket": {"host": "127.0.0.1", "port": 22}}),
            ),
        ),
    ]
}

/// Those of what the pod shares with its host, and what it may do.
fn rights() -> Vec<(&'static str, Change)> {
    let profile = || json!({"type": "Unconfined"});
    vec![
        (HOST, Set("/hostNetwork", json!(true))),
        (HOST, Set("/hostPID", json!(true))),
        (HOST, Set("/hostIPC", json!(true))),
        (HOST, Set("/containers/0/ports/0/hostPort", json!(9443))),
        (NODES, Remove("/nodeSelector")),
        (NODES, Set("/nodeSelector", json!({"pool": "workers"}))),
        (
            NODES,
            Set(
                "/nodeSelector",
                json!({"node-role.kubernetes.io/control-plane": "no"}),
            ),
        ),
        (USER, Set("/securityContext/runAsUser", json!(1))),
        (USER, Remove("/securityContext/runAsUser")),
        (USER, Set("/securityContext/runAsGroup", json!(1))),
        (
            USER,
            Set("/containers/0/securityContext/runAsUser", json!(1)),
        ),
        (
            USER,
            Set("/containers/0/securityContext/runAsGroup", json!(1)),
        ),
        (
            RIGHTS,
            Set(
                "/containers/0/securityContext/capabilities/add",
                json!(["DAC_OVERRIDE"]),
            ),
        ),
        (
            RIGHTS,
            Remove("/containers/0/securityContext/capabilities/drop"),
        ),
        (
            RIGHTS,
            Set(
                "/containers/0/securityContext/capabilities/drop",
                json!(["KILL"]),
            ),
        ),
        (
            RIGHTS,
            Set(
                "/containers/0/securityContext/readOnlyRootFilesystem",
                json!(false),
            ),
        ),
        // What is privileged may not be without.
        (
            RIGHTS,
            Remove("/containers/0/securityContext/allowPrivilegeEscalation"),
        ),
        (SECCOMP, Remove("/securityContext/seccompProfile")),
        (SECCOMP, Set("/securityContext/seccompProfile", profile())),
        (
            SECCOMP,
            Set("/containers/0/securityContext/seccompProfile", profile()),
        ),
    ]
}

/// Those of how the node runs the pod.
fn runtime() -> Vec<(&'static str, Change)> {
    let level = || json!({"level": "s0:c1"});
    let profile = || json!({"type": "Unconfined"});
    let sysctl = json!([{"name": "kernel.shm_rmid_forced", "value": "1"}]);
    let claim = json!([{"name": "a", "resourceClaimName": "b"}]);
    let alias = json!([{"ip": "127.0.0.1", "hostnames": ["a"]}]);
    [
        Set("/runtimeClassName", json!(RUNTIME_CLASS)),
        Set("/resourceClaims", claim),
        Set("/hostUsers", json!(false)),
        Set("/hostAliases", alias),
        Set("/securityContext/sysctls", sysctl),
        Set("/securityContext/seLinuxOptions", level()),
        Set("/securityContext/appArmorProfile", profile()),
        Set("/containers/0/securityContext/seLinuxOptions", level()),
        Set("/containers/0/securityContext/appArmorProfile", profile()),
    ]
    .map(|change| (RUNTIME, change))
    .into()
}

/// With a token, whose volume two rules refuse: the first of them is told.
pub(super) fn rows_with_a_token() -> Vec<Row> {
    let pointer = "/automountServiceAccountToken";
    [Remove(pointer), Set(pointer, json!(true))]
        .map(|change| Row {
            change,
            message: VOLUMES,
        })
        .into()
}

/// Those of volumes.
fn volumes() -> Vec<(&'static str, Change)> {
    let add = |kind: &str, source: Value| Set("/volumes/-", json!({"name": "other", kind: source}));
    let token = json!({"sources": [{"serviceAccountToken": {"path": "token"}}]});
    let item = |path: &str| json!([{"key": "a", "path": path}]);
    vec![
        (
            VOLUMES,
            add(
                "hostPath",
                json!({"path": "/etc/kubernetes/pki/ca.key", "type": "File"}),
            ),
        ),
        (VOLUMES, add("emptyDir", json!({}))),
        (VOLUMES, add("projected", token)),
        (
            VOLUMES,
            add("secret", json!({"secretName": "haulout-agent-tls"})),
        ),
        (VOLUMES, add("csi", json!({"driver": "example.com"}))),
        (
            VOLUMES,
            Set("/volumes/0/hostPath/path", json!("/etc/kubernetes/pki")),
        ),
        (
            VOLUMES,
            Set(
                "/volumes/0/hostPath/path",
                json!("/etc/kubernetes/pki/sa.key"),
            ),
        ),
        (
            VOLUMES,
            Set(
                "/volumes/1/hostPath/path",
                json!("/etc/kubernetes/pki/sa.key"),
            ),
        ),
        (VOLUMES, Set("/volumes/2/configMap/name", json!("other"))),
        (
            VOLUMES,
            Set("/volumes/2/configMap/items", item("policy.yaml")),
        ),
        (VOLUMES, Set("/volumes/3/secret/secretName", json!("other"))),
        (VOLUMES, Set("/volumes/3/secret/items", item("tls.key"))),
        (
            TYPES,
            Set("/volumes/0/hostPath/type", json!("FileOrCreate")),
        ),
        (
            TYPES,
            Set("/volumes/1/hostPath/type", json!("DirectoryOrCreate")),
        ),
        (TYPES, Remove("/volumes/1/hostPath/type")),
    ]
}

/// Those of where volumes are mounted.
fn mounts() -> Vec<(&'static str, Change)> {
    vec![
        (MOUNTS, Remove("/containers/0/volumeMounts/0/readOnly")),
        (
            MOUNTS,
            Set(
                "/containers/0/volumeMounts/0/mountPath",
                json!("/etc/haulout/tls/tls.crt"),
            ),
        ),
        (
            MOUNTS,
            Set(
                "/containers/0/volumeMounts/1/mountPath",
                json!("/etc/haulout/tls/tls.key"),
            ),
        ),
        (
            MOUNTS,
            Set("/containers/0/volumeMounts/2/mountPath", json!("/etc")),
        ),
        (
            MOUNTS,
            Set("/containers/0/volumeMounts/3/mountPath", json!("/etc")),
        ),
        (
            MOUNTS,
            Set("/containers/0/volumeMounts/2/subPath", json!("a")),
        ),
        (
            MOUNTS,
            Set("/containers/0/volumeMounts/2/subPathExpr", json!("a")),
        ),
    ]
}

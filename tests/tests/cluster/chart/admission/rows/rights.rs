//! Of what a pod shares with its host, what it may do, and how the node runs it.

use serde_json::json;

use super::Change::{self, Remove, Set};

const HOST: &str = "a pod in haulout-agent has no namespace and no port";
const NODES: &str = "a pod in haulout-agent selects control plane nodes";
const USER: &str = "a pod in haulout-agent runs as the owner";
const RIGHTS: &str = "a container in haulout-agent has no capability";
const SECCOMP: &str = "a pod in haulout-agent has the runtime's seccomp";

pub(in super::super) const RUNTIME: &str = "a pod in haulout-agent has no further say";
/// Whoever makes pods may take this RuntimeClass, which has to be there.
pub(in super::super) const RUNTIME_CLASS: &str = "other";

/// Those of what the pod shares with its host, and what it may do.
pub(super) fn rights() -> Vec<(&'static str, Change)> {
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
pub(super) fn runtime() -> Vec<(&'static str, Change)> {
    let level = || json!({"level": "s0:c1"});
    let profile = || json!({"type": "Unconfined"});
    let sysctl = json!([{"name": "kernel.shm_rmid_forced", "value": "1"}]);
    let claim = json!([{"name": "a", "resourceClaimName": "b"}]);
    let device = json!({"smarter-devices/fuse": "1"});
    let alias = json!([{"ip": "127.0.0.1", "hostnames": ["a"]}]);
    [
        Set("/runtimeClassName", json!(RUNTIME_CLASS)),
        Set("/resourceClaims", claim),
        Set("/containers/0/resources", json!({"limits": device})),
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

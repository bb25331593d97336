//! Of volumes, and where they are mounted.

use serde_json::{Value, json};

use super::Change::{self, Remove, Set};
use super::Row;

const VOLUMES: &str = "a pod in haulout-agent has no volume, nor token";
const TYPES: &str = "a pod in haulout-agent has host paths of the agent's type";
const MOUNTS: &str = "a container in haulout-agent mounts its volumes";

/// Those of volumes.
pub(super) fn volumes() -> Vec<(&'static str, Change)> {
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
pub(super) fn mounts() -> Vec<(&'static str, Change)> {
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

/// With a token, whose volume two rules refuse: the first of them is told.
pub(in super::super) fn rows_with_a_token() -> Vec<Row> {
    let pointer = "/automountServiceAccountToken";
    [Remove(pointer), Set(pointer, json!(true))]
        .map(|change| Row {
            change,
            message: VOLUMES,
        })
        .into()
}

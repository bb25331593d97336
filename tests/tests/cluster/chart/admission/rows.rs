//! Changes to the agent's pod, each of which one rule of the policy refuses.

mod rights;
mod volumes;

use serde_json::{Value, json};

pub(super) use self::rights::{RUNTIME, RUNTIME_CLASS};
use self::rights::{rights, runtime};
pub(super) use self::volumes::rows_with_a_token;
use self::volumes::{mounts, volumes};

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

//! The agent: its namespace, whom it stands beside, its pods, and whether they can read the signing key.

mod cause;

use haulout_api::controller_manager::{LABEL_SELECTORS, node_name, signing_files};
use k8s_openapi::api::core::v1::{Namespace, Pod};

use self::cause::Cause;
use super::webhook::runs_as_process;
use super::{Done, in_command, judged};
use crate::doctor::observations::{Objects, Seen};
use crate::doctor::report::{Finding, Name, Outcome};
use crate::installation::{AGENT, AGENT_NAMESPACE};

const ENFORCE: &str = "pod-security.kubernetes.io/enforce";
const PRIVILEGED: &str = "privileged";
/// Where the webhook is no pod either.
const AS_PROCESSES: &str =
    "the agents run as processes; the check signing shows whether they can be used";
/// A DaemonSet whose pods were refused is tried again later and later.
fn try_again() -> String {
    format!("`kubectl -n {AGENT_NAMESPACE} rollout restart daemonset/{AGENT}`")
}

pub(super) fn namespaces(objects: &Objects) -> Outcome {
    judged(&objects.agent_namespace, |namespace| {
        let Some(namespace) = namespace else {
            return absent(objects, &format!("namespace {AGENT_NAMESPACE}"));
        };
        let level = level(namespace);
        let shown = level.unwrap_or("no label");
        if level != Some(PRIVILEGED) {
            let evidence = format!(
                "namespace {AGENT_NAMESPACE}: {ENFORCE}: {shown}; the agent takes two files of the node, which PodSecurity \
                 allows at level privileged only"
            );
            let remedy = format!(
                "`kubectl label --overwrite namespace {AGENT_NAMESPACE} {ENFORCE}={PRIVILEGED}`"
            );
            // Pods that are there stay, and not every cluster enforces a level where no label asks for one.
            return match Cause::of(objects) {
                Some(Cause::PodSecurity(_)) => {
                    let remedy = format!("{remedy}; {}", try_again());
                    weighed(ready(objects), Finding::new(evidence, remedy))
                }
                _ => Outcome::warning(evidence, remedy),
            };
        }
        let system = &objects.namespace;
        match known_level(&objects.system_namespace) {
            Some(PRIVILEGED) => Outcome::warning(
                format!("namespace {system}: {ENFORCE}: {PRIVILEGED}; nothing there needs it"),
                format!("`kubectl label --overwrite namespace {system} {ENFORCE}=restricted`"),
            ),
            _ => Outcome::ok(format!(
                "namespace {AGENT_NAMESPACE} admits the agent: {ENFORCE}: {shown}"
            )),
        }
    })
}

fn level(namespace: &Namespace) -> Option<&str> {
    let labels = namespace.metadata.labels.as_ref()?;
    labels.get(ENFORCE).map(String::as_str)
}

fn known_level(namespace: &Seen<Option<Namespace>>) -> Option<&str> {
    namespace.as_ref().ok()?.as_ref().and_then(level)
}

pub(super) fn controller_manager(objects: &Objects) -> Outcome {
    judged(&objects.controller_managers, |managers| {
        if let Some(pod) = managers.unlabelled.first() {
            let name = name(pod);
            let [first, second] = LABEL_SELECTORS;
            return Outcome::failed(
                format!(
                    "pod kube-system/{name} has neither the label {first} nor {second}, so it is not found as \
                     kube-controller-manager"
                ),
                format!(
                    "set the label in the manifest of that static pod, on node {}; until it restarts: `kubectl -n kube-system \
                     label pod {} {first}`",
                    node_name(pod).unwrap_or("NODE"),
                    in_command(name)
                ),
            );
        }
        let Some(pod) = managers.labelled.first() else {
            if objects.has_no_deployment() {
                return absent(objects, "pod of kube-controller-manager");
            }
            let evidence =
                "kube-controller-manager runs as no pod, so nothing tells where the signing key is";
            let remedy = "place the agent by agent.preset=custom with agent.certFile, agent.keyFile, agent.runAsUser and \
                          agent.runAsGroup; a cluster whose control plane somebody else runs has no key to sign with";
            // Somebody has placed it by hand, then.
            return match objects.daemon_set {
                Ok(Some(_)) if Cause::of(objects).is_none() => Outcome::warning(evidence, remedy),
                _ => Outcome::failed(evidence, remedy),
            };
        };
        let labels = pod.metadata.labels.clone().unwrap_or_default();
        let has = |selector: &&&str| {
            let (label, value) = selector.split_once('=').unwrap_or_default();
            labels.get(label).map(String::as_str) == Some(value)
        };
        let label = LABEL_SELECTORS
            .iter()
            .find(has)
            .copied()
            .unwrap_or_default();
        let name = name(pod);
        let others = match managers.labelled.len() {
            1 => String::new(),
            many => format!(" (of {many})"),
        };
        let found = format!("{name}{others} is found by {label}");
        match signing_files(pod) {
            Ok(files) => Outcome::ok(format!(
                "{found}, and signs with {} as user {}",
                files.key.host_path, files.run_as.user
            )),
            Err(error) => Outcome::warning(
                format!("{found}, but what it signs with cannot be told: {error}"),
                "name the files yourself: agent.preset=custom with agent.certFile, agent.keyFile, agent.runAsUser and \
                 agent.runAsGroup",
            ),
        }
    })
}

pub(super) fn pods(objects: &Objects) -> Outcome {
    judged(&objects.daemon_set, |daemon_set| {
        let Some(daemon_set) = daemon_set else {
            return absent(objects, &format!("DaemonSet {AGENT_NAMESPACE}/{AGENT}"));
        };
        let status = daemon_set.status.as_ref();
        let wanted = status.map_or(0, |status| status.desired_number_scheduled);
        let ready = ready(objects);
        let evidence =
            format!("{ready} of {wanted} pods of DaemonSet {AGENT_NAMESPACE}/{AGENT} are ready");
        let Some(cause) = Cause::of(objects) else {
            return Outcome::ok(evidence);
        };
        let told_by = match &cause {
            Cause::PodSecurity(_) if known_level(&objects.agent_namespace) != Some(PRIVILEGED) => {
                Some(Name::Namespaces)
            }
            Cause::Key(_) => Some(Name::SigningKey),
            Cause::PodSecurity(_) | Cause::Other(_) => None,
        };
        match told_by {
            Some(other) if ready == 0 => Outcome::Waits(other),
            Some(_) => Outcome::ok(evidence),
            None => {
                let Finding {
                    evidence: why,
                    remedy,
                } = cause.into_finding();
                weighed(ready, Finding::new(format!("{evidence}; {why}"), remedy))
            }
        }
    })
}

pub(super) fn signing_key(objects: &Objects, done: &Done) -> Outcome {
    judged(&objects.daemon_set, |daemon_set| match Cause::of(objects) {
        Some(Cause::Key(finding)) => weighed(ready(objects), finding),
        _ => match (done.obstacle(&[Name::Agent]), daemon_set) {
            (Some(obstacle), _) => Outcome::Waits(obstacle),
            (None, Some(_)) => Outcome::ok("each agent that is ready has read the key"),
            (None, None) => Outcome::Unseen(AS_PROCESSES.to_owned()),
        },
    })
}

/// What to say of something of the agents that is not there.
fn absent(objects: &Objects, what: &str) -> Outcome {
    if runs_as_process(objects) {
        Outcome::Unseen(AS_PROCESSES.to_owned())
    } else if objects.has_no_deployment() {
        Outcome::Waits(Name::Webhook)
    } else {
        Outcome::failed(
            format!("there is no {what}, and agents run there"),
            objects.made_again(),
        )
    }
}

/// How many agents are ready.
fn ready(objects: &Objects) -> i32 {
    let daemon_set = objects.daemon_set.iter().flatten().next();
    let status = daemon_set.and_then(|daemon_set| daemon_set.status.as_ref());
    status.map_or(0, |status| status.number_ready)
}

/// Where some agents are ready, people log in.
fn weighed(ready: i32, finding: Finding) -> Outcome {
    if ready == 0 {
        Outcome::Failed(finding)
    } else {
        Outcome::Warning(finding)
    }
}

fn name(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or_default()
}

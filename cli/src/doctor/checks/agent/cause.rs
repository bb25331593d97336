//! Why an agent is not ready.

use haulout_api::controller_manager::{
    CONTROL_PLANE_LABEL, NoneRuns, SigningFiles, choose, run_as, signing_files,
};
use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetStatus};
use k8s_openapi::api::core::v1::{Event, Node, Pod, PodSpec};
use k8s_openapi::jiff::Timestamp;

use super::try_again;
use crate::doctor::checks::webhook::{Waiting, explained, is_ready, waiting};
use crate::doctor::checks::{in_command, is_plain};
use crate::doctor::observations::Objects;
use crate::doctor::report::Finding;
use crate::installation::{AGENT, AGENT_NAMESPACE, AGENT_SECRET};

/// How the kubelet names the volume that is no file of the node.
const TLS_VOLUME: &str = "volume \"tls\"";
/// How the CredentialIssuer tells that an agent has no key.
const KEY_UNAVAILABLE: &str = "KeyUnavailable";

/// Why an agent is not ready; each kind is told of by another check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// PodSecurity refuses the pod.
    PodSecurity(Finding),
    /// The pod does not get, or cannot read, the files of the signing key.
    Key(Finding),
    Other(Finding),
}

impl Cause {
    /// `None` where all agents are ready, or there is no DaemonSet to have any.
    pub(super) fn of(objects: &Objects) -> Option<Self> {
        let daemon_set = objects.daemon_set.as_ref().ok()?.as_ref()?;
        let status = daemon_set.status.clone().unwrap_or_default();
        let wanted = status.desired_number_scheduled;
        if wanted == 0 {
            return Some(Self::no_node(objects, daemon_set));
        }
        let pods: Vec<_> = objects.agent_pods.iter().flatten().collect();
        let unready = pods.iter().copied().find(|pod| {
            // What is on its way out is not missed.
            !is_ready(pod) && pod.metadata.deletion_timestamp.is_none()
        });
        if status.number_ready >= wanted && unready.is_none() {
            return None;
        }
        if let Some(refusal) = refusal(objects, &status) {
            return Some(Self::refused(refusal, objects));
        }
        Some(match unready {
            Some(pod) => Self::of_pod(pod, objects, daemon_set),
            None => Self::Other(Finding::new(
                "a pod is not there yet",
                format!("`kubectl -n {AGENT_NAMESPACE} describe daemonset {AGENT}`"),
            )),
        })
    }

    pub(super) fn into_finding(self) -> Finding {
        match self {
            Self::PodSecurity(finding) | Self::Key(finding) | Self::Other(finding) => finding,
        }
    }

    fn no_node(objects: &Objects, daemon_set: &DaemonSet) -> Self {
        let spec = daemon_set
            .spec
            .as_ref()
            .and_then(|spec| spec.template.spec.as_ref());
        let selector = spec.and_then(|spec| spec.node_selector.clone());
        let selector = selector.unwrap_or_default();
        let labels: Vec<_> = selector
            .iter()
            .map(|(label, value)| format!("{label}={value}"))
            .collect();
        let has_all = |node: &&Node| {
            let labels = node.metadata.labels.clone().unwrap_or_default();
            selector
                .iter()
                .all(|(label, value)| labels.get(label) == Some(value))
        };
        if let Some(node) = objects.nodes.iter().flatten().find(has_all) {
            let name = node.metadata.name.as_deref().unwrap_or_default();
            return Self::Other(Finding::new(
                format!(
                    "node {name} has the labels that it selects, but a taint that it does not tolerate"
                ),
                format!(
                    "set the helm value agent.tolerations; the taints are shown by `kubectl describe node {}`",
                    in_command(name)
                ),
            ));
        }
        let value = selector
            .get(CONTROL_PLANE_LABEL)
            .cloned()
            .unwrap_or_default();
        Self::Other(Finding::new(
            format!("no node has all of the labels {}", labels.join(", ")),
            format!(
                "`kubectl label node NODE {CONTROL_PLANE_LABEL}={value}` for each control plane node; or, where they have another \
                 value, set the helm value agent.nodeSelector, which `haulout agent-values` prints"
            ),
        ))
    }

    fn refused(refusal: &str, objects: &Objects) -> Self {
        // The name of a pod in front of it is another one each time.
        let why = refusal
            .split_once("is forbidden: ")
            .map_or(refusal, |(_, why)| why);
        let evidence = format!("its pods cannot be made: {why}");
        if why.contains("violates PodSecurity") {
            Self::PodSecurity(Finding::new(
                evidence,
                format!(
                    "{}; if they are refused again, by what admits them beside the namespace's label",
                    try_again()
                ),
            ))
        } else {
            Self::Other(Finding::new(
                evidence,
                format!(
                    "mend what refuses them; if it is a policy of Haulout, `{}` puts DaemonSet and policy in step",
                    objects.upgrade()
                ),
            ))
        }
    }

    fn of_pod(pod: &Pod, objects: &Objects, daemon_set: &DaemonSet) -> Self {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let is_created = pod
            .status
            .as_ref()
            .and_then(|status| status.phase.as_deref())
            .is_some_and(|phase| phase == "Running");
        let mount = last(objects, |event| {
            event.involved_object.name.as_deref() == Some(name)
                && event.reason.as_deref() == Some("FailedMount")
        });
        if let Some(fault) = mount.filter(|_| !is_created) {
            return if fault.contains(TLS_VOLUME) {
                Self::Other(Finding::new(
                    fault,
                    format!(
                        "the webhook that leads fills Secret {AGENT_NAMESPACE}/{AGENT_SECRET}: look at its log; if there is no \
                         such Secret, `{}`",
                        objects.upgrade()
                    ),
                ))
            } else {
                Self::Key(Finding::new(
                    format!("pod {name} does not get its files: {fault}"),
                    "set agent.preset, or agent.certFile and agent.keyFile, to what `haulout agent-values` prints",
                ))
            };
        }
        let waiting = waiting(pod);
        let has_image = !waiting.is_some_and(Waiting::is_for_image);
        if let Some(finding) = misplaced(objects, daemon_set).filter(|_| has_image) {
            return Self::Key(finding);
        }
        let mut strategies = objects
            .issuer
            .iter()
            .flatten()
            .flat_map(|issuer| &issuer.strategies);
        let told = strategies.find(|strategy| strategy.message.contains(KEY_UNAVAILABLE));
        if let Some(strategy) = told.filter(|_| is_created) {
            return Self::Key(Finding::new(
                strategy.message.as_str(),
                "give the agent the pair that kube-controller-manager signs with, and its user: `haulout agent-values` prints the \
                 values",
            ));
        }
        let (why, remedy) = explained(objects, waiting, AGENT_NAMESPACE, "agent");
        Self::Other(Finding::new(
            format!("pod {name} is not ready{why}"),
            remedy,
        ))
    }
}

/// What keeps the DaemonSet's pods from being made, if one is missing.
fn refusal<'a>(objects: &'a Objects, status: &DaemonSetStatus) -> Option<&'a str> {
    if status.current_number_scheduled >= status.desired_number_scheduled {
        return None;
    }
    last(objects, |event| {
        event.involved_object.kind.as_deref() == Some("DaemonSet")
            && event.reason.as_deref() == Some("FailedCreate")
    })
}

/// The message of the last such event.
fn last(objects: &Objects, counts: impl Fn(&Event) -> bool) -> Option<&str> {
    let time = |event: &&Event| -> Option<Timestamp> {
        let series = event
            .series
            .as_ref()
            .and_then(|series| series.last_observed_time.as_ref());
        let times = [
            series.map(|time| time.0),
            event.last_timestamp.as_ref().map(|time| time.0),
            event.event_time.as_ref().map(|time| time.0),
        ];
        times.into_iter().flatten().max()
    };
    let events = objects
        .agent_events
        .iter()
        .flatten()
        .filter(|event| counts(event));
    events.max_by_key(time)?.message.as_deref()
}

/// How the agent is placed otherwise than the kube-controller-manager whose key it is to read.
fn misplaced(objects: &Objects, daemon_set: &DaemonSet) -> Option<Finding> {
    let managers = &objects.controller_managers.as_ref().ok()?.labelled;
    let nodes = objects.nodes.as_deref().unwrap_or_default();
    let manager: Result<&Pod, NoneRuns> = choose(managers, nodes);
    let SigningFiles {
        certificate,
        key,
        run_as: right,
    } = signing_files(manager.ok()?).ok()?;
    let agent = daemon_set.spec.as_ref()?.template.spec.as_ref()?;
    let (user, group) = run_as(agent, agent.containers.first()?);
    let differs = if !mounts(agent, &key.host_path) || !mounts(agent, &certificate.host_path) {
        format!(
            "it does not mount {} and {}",
            certificate.host_path, key.host_path
        )
    } else if user != Some(right.user) || group != Some(right.group) {
        format!(
            "it runs as user {}, group {}, and the key {} is for user {}, group {}",
            shown(user),
            shown(group),
            key.host_path,
            right.user,
            right.group
        )
    } else {
        return None;
    };
    let (certificate, key) = (certificate.host_path, key.host_path);
    let remedy = if is_plain(&certificate) && is_plain(&key) {
        format!(
            "`{} --set agent.preset=custom,agent.certFile={certificate},agent.keyFile={key},agent.runAsUser={},agent.runAsGroup={}`; \
             or a preset, if `haulout agent-values` prints one",
            objects.upgrade(),
            right.user,
            right.group
        )
    } else {
        "set the values that `haulout agent-values` prints".to_owned()
    };
    Some(Finding::new(
        format!("the agent cannot read the key of kube-controller-manager: {differs}"),
        remedy,
    ))
}

fn mounts(agent: &PodSpec, path: &str) -> bool {
    let mut volumes = agent.volumes.iter().flatten();
    volumes.any(|volume| {
        volume
            .host_path
            .as_ref()
            .is_some_and(|source| source.path == path)
    })
}

fn shown(id: Option<i64>) -> String {
    id.map_or_else(|| "of its image".to_owned(), |id| id.to_string())
}

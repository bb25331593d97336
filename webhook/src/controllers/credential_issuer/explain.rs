//! Why no agent signs, in words for whoever is to mend it. No I/O.

#[cfg(test)]
mod tests;

use std::time::{Duration, SystemTime};

use haulout_api::controller_manager::{
    self, CONTROL_PLANE_LABEL, NoneRuns, RunAs, SigningFiles, is_running,
};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Event, Pod, PodSpec};
use kube::ResourceExt;

/// What Kubernetes says when it makes no pod, when a pod cannot have its files, and, among others, its image.
pub(super) const FAILED_CREATE: &str = "FailedCreate";
pub(super) const FAILED_MOUNT: &str = "FailedMount";
pub(super) const FAILED: &str = "Failed";
/// How the kubelet's message on an image begins.
const NO_IMAGE: &str = "Failed to pull image";
/// How it names the volume that is no file of the node.
const TLS_VOLUME: &str = "volume \"tls\"";
/// An older event tells of a past that may be mended.
const EVENT_COUNTS_FOR: Duration = Duration::from_secs(15 * 60);

/// What is seen of the agents' DaemonSet and of kube-controller-manager; texts say why something cannot be seen.
#[derive(Clone, Debug)]
pub(super) struct Sights {
    /// `None` where there is no such object.
    pub(super) daemon_set: Result<Option<Box<DaemonSet>>, String>,
    /// Of the DaemonSet and its pods: [`FAILED_CREATE`], [`FAILED_MOUNT`] and [`FAILED`].
    pub(super) events: Result<Vec<Event>, String>,
    /// With one of the labels of kube-controller-manager, each once.
    pub(super) controller_managers: Result<Vec<Pod>, String>,
}

/// What the agents themselves say.
#[derive(Clone, Copy, Debug)]
pub(super) enum Said<'a> {
    /// Each agent that is connected says why it does not sign.
    Refusals(&'a str),
    /// None is connected, and this is why.
    Nothing {
        text: &'a str,
        /// Whether there are addresses of agents at all.
        have_addresses: bool,
    },
}

impl Said<'_> {
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Refusals(text) | Self::Nothing { text, .. } => text,
        }
    }
}

/// Why no agent of the DaemonSet called `name` (`namespace/name`) signs.
pub(super) fn explain(name: &str, said: Said<'_>, sights: &Sights, now: SystemTime) -> String {
    let (cause, have_addresses) = match said {
        Said::Refusals(texts) => (Cause::Of(texts.to_owned()), true),
        Said::Nothing {
            text,
            have_addresses,
        } => (absence(name, text, sights, now), have_addresses),
    };
    let managers = sights.controller_managers.as_deref();
    let text = match cause {
        Cause::Of(text) => text,
        // Something else runs agents, and has told their addresses.
        Cause::NoPlace(why) if have_addresses => format!("{}; {why}", said.text()),
        // The control plane runs somewhere else; Pinniped's text tells that, and clients match it.
        Cause::NoPlace(_) if managers.is_ok_and(<[Pod]>::is_empty) => {
            return NoneRuns { candidates: 0 }.to_string();
        }
        Cause::NoPlace(why) => why,
    };
    let notes = match managers {
        Ok(pods) => manager_notes(pods, daemon_set(sights)),
        Err(fault) => vec![format!(
            "error while looking for controller manager pod: {fault}"
        )],
    };
    [vec![text], notes].concat().join("; ")
}

enum Cause {
    Of(String),
    /// There is no DaemonSet, or it finds no node.
    NoPlace(String),
}

fn daemon_set(sights: &Sights) -> Option<&DaemonSet> {
    sights.daemon_set.as_ref().ok()?.as_deref()
}

/// Why there is no agent to be connected to; `text` is what the connections say.
fn absence(name: &str, text: &str, sights: &Sights, now: SystemTime) -> Cause {
    let daemon_set = match &sights.daemon_set {
        Err(fault) => return Cause::Of(format!("{text}; failed to get DaemonSet {name}: {fault}")),
        Ok(None) => {
            return Cause::NoPlace(format!(
                "there is no DaemonSet {name}, which runs the agents; install it with the chart or manifests of this version"
            ));
        }
        Ok(Some(daemon_set)) => daemon_set,
    };
    let namespace = daemon_set.namespace().unwrap_or_default();
    let status = daemon_set.status.clone().unwrap_or_default();
    let wanted = status.desired_number_scheduled;
    if wanted == 0 {
        let value = control_plane_value(daemon_set);
        return Cause::NoPlace(format!(
            "DaemonSet {name} finds no node for an agent: none that fits its nodeSelector has the label {CONTROL_PLANE_LABEL} \
             with the value \"{value}\"; label the control plane nodes (kubectl label node NODE {CONTROL_PLANE_LABEL}={value}), \
             or, where they have another value, set it by the helm value agent.nodeSelector"
        ));
    }
    if status.current_number_scheduled < wanted
        && let Some(refusal) = last_event(sights, now, |reason, _| reason == FAILED_CREATE)
    {
        // The name of a pod in front of it is another one each time.
        let refusal = refusal
            .split_once("is forbidden: ")
            .map_or(refusal, |(_, why)| why);
        return Cause::Of(if refusal.contains("violates PodSecurity") {
            format!(
                "PodSecurity lets no pod of DaemonSet {name} be made, since the agent takes two files of the node by hostPath: \
                 {refusal}; run kubectl label --overwrite namespace {namespace} pod-security.kubernetes.io/enforce=privileged"
            )
        } else {
            format!("the pods of DaemonSet {name} cannot be made: {refusal}")
        });
    }
    if status.number_ready == 0
        && let Some(fault) = last_event(sights, now, keeps_a_pod_from_starting)
    {
        return Cause::Of(if fault.starts_with(NO_IMAGE) {
            format!(
                "a pod of DaemonSet {name} does not get its image: {fault}; where images come from is set by the helm values image"
            )
        } else if fault.contains(TLS_VOLUME) {
            format!(
                "a pod of DaemonSet {name} does not get its certificates: {fault}; helm makes their Secret, empty, and the webhook \
                 fills it: if it does not exist, run helm upgrade with --reset-then-reuse-values"
            )
        } else {
            format!(
                "a pod of DaemonSet {name} does not get its files: {fault}; where they are on the node is set by the helm values \
                 agent.preset, agent.certFile and agent.keyFile, and what fits is printed by haulout agent-values"
            )
        });
    }
    if status.number_ready < wanted {
        return Cause::Of(format!(
            "{} of {wanted} pods of DaemonSet {name} are ready, and {text}; see kubectl -n {namespace} get pods, and their logs",
            status.number_ready
        ));
    }
    Cause::Of(format!(
        "all pods of DaemonSet {name} are ready, but {text}; look for a NetworkPolicy or a firewall that keeps the webhook from \
         their port 9443"
    ))
}

/// The value of the label of control plane nodes that the agents are placed by.
fn control_plane_value(daemon_set: &DaemonSet) -> &str {
    let selector = daemon_set
        .spec
        .as_ref()
        .and_then(|spec| spec.template.spec.as_ref()?.node_selector.as_ref());
    selector
        .and_then(|selector| selector.get(CONTROL_PLANE_LABEL))
        .map_or("", String::as_str)
}

/// Decides by an event's reason and message.
fn keeps_a_pod_from_starting(reason: &str, message: &str) -> bool {
    reason == FAILED_MOUNT || reason == FAILED && message.starts_with(NO_IMAGE)
}

/// The message of the last event that is not of the past and whose reason and message `counts`.
fn last_event(
    sights: &Sights,
    now: SystemTime,
    counts: impl Fn(&str, &str) -> bool,
) -> Option<&str> {
    let time = |event: &Event| -> Option<SystemTime> {
        let series = event
            .series
            .as_ref()
            .and_then(|series| series.last_observed_time.as_ref());
        let last = event.last_timestamp.as_ref().map(|time| time.0);
        let newest = [
            last,
            series.map(|time| time.0),
            event.event_time.as_ref().map(|time| time.0),
            event
                .metadata
                .creation_timestamp
                .as_ref()
                .map(|time| time.0),
        ];
        newest.into_iter().flatten().max().map(SystemTime::from)
    };
    let events = sights.events.as_deref().unwrap_or_default().iter();
    events
        .filter_map(|event| {
            let message = event.message.as_deref()?;
            counts(event.reason.as_deref()?, message).then_some((time(event)?, message))
        })
        .filter(|(at, _)| {
            now.duration_since(*at)
                .is_ok_and(|age| age < EVENT_COUNTS_FOR)
                || *at > now
        })
        .max_by_key(|(at, _)| *at)
        .map(|(_, message)| message)
}

/// What else is to be said of kube-controller-manager, whose key the agents sign with.
fn manager_notes(pods: &[Pod], daemon_set: Option<&DaemonSet>) -> Vec<String> {
    if pods.is_empty() {
        return Vec::new();
    }
    let running: Vec<&Pod> = pods.iter().filter(|pod| is_running(pod)).collect();
    if running.is_empty() {
        let candidates = pods.len();
        return vec![format!("{}; look into their logs", NoneRuns { candidates })];
    }
    let mut notes = Vec::new();
    let mut known: Vec<(String, SigningFiles)> = Vec::new();
    for pod in running {
        let name = pod.name_any();
        match controller_manager::signing_files(pod) {
            Err(fault) => notes.push(format!("what {name} signs with cannot be told: {fault}")),
            Ok(files) => known.push((name, files)),
        }
    }
    let mut distinct = known.iter();
    if let Some((name, files)) = distinct.next() {
        if let Some((other, _)) = distinct.find(|(_, others)| others != files) {
            notes.push(format!(
                "{name} and {other} sign with different files; one DaemonSet cannot serve both"
            ));
        }
        let spec = daemon_set.and_then(|set| set.spec.as_ref()?.template.spec.as_ref());
        notes.extend(spec.and_then(|spec| placement_note(name, files, spec)));
    }
    notes
}

/// How the agents are to be placed, unless they are so.
fn placement_note(name: &str, files: &SigningFiles, agent: &PodSpec) -> Option<String> {
    let (certificate, key) = (&files.certificate.host_path, &files.key.host_path);
    let mounts = |path: &String| {
        let mut volumes = agent.volumes.iter().flatten();
        volumes.any(|volume| {
            volume
                .host_path
                .as_ref()
                .is_some_and(|source| source.path == *path)
        })
    };
    let as_whom = run_as(agent);
    if mounts(certificate) && mounts(key) && as_whom.is_none_or(|as_whom| as_whom == files.run_as) {
        return None;
    }
    let RunAs { user, group } = files.run_as;
    Some(format!(
        "the agent is not placed as {name} is: set the helm values agent.preset=custom, agent.certFile={certificate}, \
         agent.keyFile={key}, agent.runAsUser={user} and agent.runAsGroup={group}, or a preset if haulout agent-values prints one"
    ))
}

/// As whom the agent runs, if its pods say so.
fn run_as(agent: &PodSpec) -> Option<RunAs> {
    let (user, group) = controller_manager::run_as(agent, agent.containers.first()?);
    Some(RunAs {
        user: user?,
        group: group?,
    })
}

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::*;

const NAME: &str = "haulout-agent/haulout-agent";
const UNREACHABLE: &str = "no signing agent is reachable (0 of 0 agents connected)";
const NOW: i64 = 1_800_000_000;

fn now() -> SystemTime {
    Timestamp::new(NOW, 0).unwrap().into()
}

fn time(seconds_ago: i64) -> String {
    Timestamp::new(NOW - seconds_ago, 0).unwrap().to_string()
}

fn of<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

/// A DaemonSet that wants, has and has ready so many pods, with kubeadm's placement.
fn daemon_set(wanted: i32, current: i32, ready: i32) -> Option<Box<DaemonSet>> {
    let host_path =
        |name: &str, path: &str| json!({"name": name, "hostPath": {"path": path, "type": "File"}});
    of(json!({
        "metadata": {"namespace": "haulout-agent", "name": "haulout-agent"},
        "spec": {
            "selector": {},
            "template": {"spec": {
                "securityContext": {"runAsUser": 0, "runAsGroup": 0},
                "containers": [{"name": "agent"}],
                "volumes": [
                    host_path("signing-certificate", "/etc/kubernetes/pki/ca.crt"),
                    host_path("signing-key", "/etc/kubernetes/pki/ca.key"),
                    {"name": "policy", "configMap": {"name": "haulout-agent"}},
                ],
            }},
        },
        "status": {
            "desiredNumberScheduled": wanted, "currentNumberScheduled": current, "numberReady": ready,
            "numberMisscheduled": 0,
        },
    }))
}

fn event(reason: &str, message: &str, seconds_ago: i64) -> Event {
    of(json!({
        "metadata": {"name": "e"}, "involvedObject": {},
        "reason": reason, "message": message, "lastTimestamp": time(seconds_ago),
    }))
}

/// A kube-controller-manager as kubeadm makes it, with these flags.
fn manager(name: &str, phase: &str, command: &[&str]) -> Pod {
    of(json!({
        "metadata": {
            "namespace": "kube-system", "name": name,
            "labels": {"component": "kube-controller-manager"},
            "creationTimestamp": time(3600),
        },
        "spec": {
            "containers": [{
                "name": "kube-controller-manager", "command": command,
                "volumeMounts": [
                    {"name": "k8s-certs", "mountPath": "/etc/kubernetes/pki"},
                    {"name": "other", "mountPath": "/other"},
                ],
            }],
            "volumes": [
                {"name": "k8s-certs", "hostPath": {"path": "/etc/kubernetes/pki"}},
                {"name": "other", "hostPath": {"path": "/srv/other"}},
            ],
        },
        "status": {"phase": phase},
    }))
}

const KUBEADM: [&str; 3] = [
    "kube-controller-manager",
    "--cluster-signing-cert-file=/etc/kubernetes/pki/ca.crt",
    "--cluster-signing-key-file=/etc/kubernetes/pki/ca.key",
];

fn running() -> Vec<Pod> {
    vec![manager("kcm-a", "Running", &KUBEADM)]
}

fn sights(daemon_set: Option<Box<DaemonSet>>, events: Vec<Event>, pods: Vec<Pod>) -> Sights {
    Sights {
        daemon_set: Ok(daemon_set),
        events: Ok(events),
        controller_managers: Ok(pods),
    }
}

fn absent(sights: &Sights) -> String {
    let said = Said::Nothing {
        text: UNREACHABLE,
        have_addresses: false,
    };
    explain(NAME, said, sights, now())
}

fn has(text: &str, needles: &[&str]) {
    for needle in needles {
        assert!(text.contains(needle), "{needle}: {text}");
    }
}

/// Where nothing of the control plane can be reached, Pinniped's whole text stands, which clients match.
#[test]
fn a_cluster_without_controller_manager_is_told_in_pinnipeds_words() {
    let expected = "could not find a healthy kube-controller-manager pod (0 candidates): note that this error is the \
                    expected behavior for some cluster types, including most cloud provider clusters (e.g. GKE, AKS, EKS)";
    assert_eq!(absent(&sights(None, vec![], vec![])), expected);
    assert_eq!(
        absent(&sights(daemon_set(0, 0, 0), vec![], vec![])),
        expected
    );
    // There are agents where kube-controller-manager is no pod, too.
    let text = absent(&sights(daemon_set(1, 1, 1), vec![], vec![]));
    assert!(!text.contains("candidates"), "{text}");
}

/// Agents can be processes that an EndpointSlice names.
#[test]
fn an_agent_that_is_known_and_cut_off_is_named_whoever_runs_it() {
    let said = Said::Nothing {
        text: "no signing agent is reachable (0 of 1 agents connected; 10.0.0.1:9443: failed to connect)",
        have_addresses: true,
    };
    for daemon_set in [None, daemon_set(0, 0, 0)] {
        let text = explain(NAME, said, &sights(daemon_set, vec![], vec![]), now());
        has(
            &text,
            &["10.0.0.1:9443", "DaemonSet haulout-agent/haulout-agent"],
        );
        assert!(!text.contains("candidates"), "{text}");
    }
}

/// As the kubelet has it.
const NO_KEY: &str = "MountVolume.SetUp failed for volume \"signing-key\" : hostPath type check failed: \
                      /etc/kubernetes/pki/ca.key is not a file";

#[test]
fn each_way_in_which_agents_are_absent_is_told_with_its_remedy() {
    let security = "Error creating: pods \"haulout-agent-x7k2p\" is forbidden: violates PodSecurity \"baseline:latest\": \
                    hostPath volumes (volumes \"signing-certificate\", \"signing-key\")";
    let quota = "Error creating: pods \"haulout-agent-x7k2p\" is forbidden: exceeded quota: pods";
    let cases: [(_, Vec<Event>, &[&str]); 8] = [
        (
            None,
            vec![],
            &[
                "there is no DaemonSet haulout-agent/haulout-agent",
                "install",
            ],
        ),
        (
            daemon_set(0, 0, 0),
            vec![],
            &[
                "the label node-role.kubernetes.io/control-plane with the value \"\"",
                "(kubectl label node NODE node-role.kubernetes.io/control-plane=)",
            ],
        ),
        (
            daemon_set(1, 0, 0),
            vec![event(FAILED_CREATE, security, 60)],
            &[
                "violates PodSecurity \"baseline:latest\": hostPath volumes",
                "kubectl label --overwrite namespace haulout-agent pod-security.kubernetes.io/enforce=privileged",
            ],
        ),
        (
            daemon_set(1, 0, 0),
            vec![event(FAILED_CREATE, quota, 60)],
            &["cannot be made: exceeded quota: pods"],
        ),
        // Of the past, or of pods that are there by now.
        (
            daemon_set(1, 0, 0),
            vec![event(FAILED_CREATE, security, 3600)],
            &["0 of 1 pods"],
        ),
        (
            daemon_set(1, 1, 0),
            vec![event(FAILED_CREATE, security, 60)],
            &["0 of 1 pods"],
        ),
        (
            daemon_set(3, 3, 1),
            vec![event(FAILED_MOUNT, NO_KEY, 60)],
            &["1 of 3 pods", UNREACHABLE, "get pods"],
        ),
        (
            daemon_set(1, 1, 1),
            vec![],
            &["all pods", UNREACHABLE, "NetworkPolicy", "9443"],
        ),
    ];
    for (daemon_set, events, needles) in cases {
        let text = absent(&sights(daemon_set, events, running()));
        has(&text, needles);
        assert!(
            !text.contains("x7k2p"),
            "another text with each pod: {text}"
        );
    }
}

#[test]
fn what_keeps_a_pod_from_starting_is_told_by_the_last_event_of_any() {
    let certificates =
        "MountVolume.SetUp failed for volume \"tls\" : secret \"haulout-agent-tls\" not found";
    let image = "Failed to pull image \"registry.example.com/haulout-agent:0.1.0\": not found";
    let cases: [(Vec<Event>, &[&str]); 3] = [
        (
            vec![
                event(FAILED_MOUNT, "older", 90),
                event(FAILED_MOUNT, NO_KEY, 60),
            ],
            &[
                "/etc/kubernetes/pki/ca.key is not a file",
                "agent.keyFile",
                "haulout agent-values",
            ],
        ),
        (
            vec![event(FAILED_MOUNT, certificates, 60)],
            &["does not get its certificates", "helm upgrade"],
        ),
        // The first is of a pod that is gone, the last of no image.
        (
            vec![
                event(FAILED_MOUNT, certificates, 90),
                event(FAILED, image, 60),
                event(FAILED, "Error: ImagePullBackOff", 30),
            ],
            &["does not get its image", image],
        ),
    ];
    for (events, needles) in cases {
        has(
            &absent(&sights(daemon_set(1, 1, 0), events, running())),
            needles,
        );
    }
}

#[test]
fn the_label_is_told_with_the_value_that_agents_are_placed_by() {
    let mut daemon_set = daemon_set(0, 0, 0).unwrap();
    let template = &mut daemon_set.spec.as_mut().unwrap().template;
    let selector = json!({"kubernetes.io/os": "linux", CONTROL_PLANE_LABEL: "true"});
    template.spec.as_mut().unwrap().node_selector = of(selector);
    has(
        &absent(&sights(Some(daemon_set), vec![], running())),
        &[
            "the label node-role.kubernetes.io/control-plane with the value \"true\"",
            "(kubectl label node NODE node-role.kubernetes.io/control-plane=true)",
        ],
    );
}

#[test]
fn what_cannot_be_seen_is_said_and_hides_nothing() {
    let forbidden = || "is forbidden".to_owned();
    let blind = Sights {
        daemon_set: Err(forbidden()),
        events: Err(forbidden()),
        controller_managers: Err(forbidden()),
    };
    has(
        &absent(&blind),
        &[
            UNREACHABLE,
            "failed to get DaemonSet haulout-agent/haulout-agent: is forbidden",
            "error while looking for controller manager pod: is forbidden",
        ],
    );
    let no_events = Sights {
        events: Err(forbidden()),
        ..sights(daemon_set(1, 0, 0), vec![], running())
    };
    has(&absent(&no_events), &["0 of 1 pods"]);
}

#[test]
fn agents_that_answer_are_heard_first() {
    let refusal = "agent 10.0.0.1:9443 did not sign: KeyUnavailable: failed to read ca.key: permission denied";
    let text = |pods| {
        let sights = sights(daemon_set(1, 1, 1), vec![], pods);
        explain(NAME, Said::Refusals(refusal), &sights, now())
    };
    assert_eq!(text(running()), refusal);
    assert_eq!(text(vec![]), refusal);
    let moved = [
        "kube-controller-manager",
        "--cluster-signing-cert-file=/other/ca.pem",
        "--cluster-signing-key-file=/other/ca.key",
    ];
    let placed = text(vec![manager("kcm-a", "Running", &moved)]);
    assert!(placed.starts_with(refusal), "{placed}");
    has(
        &placed,
        &[
            "kcm-a",
            "agent.preset=custom",
            "agent.certFile=/srv/other/ca.pem",
            "agent.keyFile=/srv/other/ca.key",
            "agent.runAsUser=0",
            "agent.runAsGroup=0",
        ],
    );
}

#[test]
fn another_user_alone_is_another_placement() {
    let mut talos = manager("kcm-a", "Running", &KUBEADM);
    let spec = talos.spec.as_mut().unwrap();
    spec.security_context = of(json!({"runAsUser": 65535, "runAsGroup": 65535}));
    let sights = sights(daemon_set(1, 1, 0), vec![], vec![talos]);
    has(
        &absent(&sights),
        &["agent.runAsUser=65535 and agent.runAsGroup=65535"],
    );
}

#[test]
fn controller_managers_that_tell_nothing_are_told_of() {
    let text = |pods| absent(&sights(daemon_set(1, 1, 0), vec![], pods));
    let pending = |name| manager(name, "Pending", &KUBEADM);
    has(
        &text(vec![pending("kcm-a")]),
        &["could not find a healthy kube-controller-manager pod (1 candidate)"],
    );
    let two = text(vec![pending("kcm-a"), pending("kcm-b")]);
    has(&two, &["kube-controller-manager pod (2 candidates)"]);
    assert!(!two.contains("cloud provider"), "{two}");

    let shell = manager(
        "kcm-a",
        "Running",
        &["sh", "-c", "exec kube-controller-manager --x"],
    );
    has(
        &text(vec![shell]),
        &["what kcm-a signs with cannot be told", "by a shell"],
    );

    let other = [
        "kube-controller-manager",
        "--cluster-signing-kube-apiserver-client-cert-file=/other/ca.pem",
        "--cluster-signing-kube-apiserver-client-key-file=/other/ca.key",
    ];
    let different = vec![
        manager("kcm-a", "Running", &KUBEADM),
        manager("kcm-b", "Running", &other),
    ];
    has(
        &text(different),
        &["kcm-a and kcm-b sign with different files"],
    );
    // One that does not run does not count beside one that does.
    let alone = text(vec![
        pending("kcm-b"),
        manager("kcm-a", "Running", &KUBEADM),
    ]);
    assert!(!alone.contains("kcm-b"), "{alone}");
}

use serde_json::{Value, json};

use super::*;

/// A controller-manager on `node` that signs with files below `folder`, which is `on_node` there.
fn pod(node: &str, folder: &str, on_node: &str, user: Option<i64>) -> Pod {
    from(json!({
        "metadata": {
            "name": format!("kube-controller-manager-{node}"),
            "namespace": "kube-system",
            "labels": {"component": "kube-controller-manager", "k8s-app": "kube-controller-manager"},
        },
        "spec": {
            "nodeName": node,
            "securityContext": {"runAsUser": user, "runAsGroup": user},
            "containers": [{
                "name": "kube-controller-manager",
                "command": [
                    "kube-controller-manager",
                    format!("--cluster-signing-cert-file={folder}/ca.crt"),
                    format!("--cluster-signing-key-file={folder}/ca.key"),
                ],
                "volumeMounts": [{"name": "certs", "mountPath": folder}],
            }],
            "volumes": [{"name": "certs", "hostPath": {"path": on_node}}],
        },
        "status": {"phase": "Running"},
    }))
}

fn from<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn kubeadm(node: &str) -> Pod {
    pod(node, "/etc/kubernetes/pki", "/etc/kubernetes/pki", None)
}

fn talos(node: &str) -> Pod {
    let folder = "/system/secrets/kubernetes/kube-controller-manager";
    pod(node, folder, folder, Some(65535))
}

fn control_plane_node(name: &str, value: &str) -> Node {
    from(json!({"metadata": {"name": name, "labels": {CONTROL_PLANE_LABEL: value}}}))
}

fn control_plane(names: &[&str]) -> Vec<Node> {
    let nodes = names.iter().map(|name| control_plane_node(name, ""));
    nodes.collect()
}

#[test]
fn layouts_that_a_preset_has_are_told_by_its_name() {
    let elsewhere = pod("a", "/etc/kubernetes/pki", "/srv/pki", None);
    let other_user = pod("a", "/etc/kubernetes/pki", "/etc/kubernetes/pki", Some(1));
    let cases = [
        (kubeadm("a"), Some("kubeadm")),
        (talos("a"), Some("talos")),
        (elsewhere, None),
        (other_user, None),
    ];
    for (pod, preset) in cases {
        let values = AgentValues::decide(&[pod], &control_plane(&["a"])).unwrap();
        assert_eq!(values.preset(), preset);
    }
}

#[test]
fn a_preset_is_printed_with_where_it_comes_from() {
    let pods = [kubeadm("b"), kubeadm("a"), kubeadm("a")];
    let values = AgentValues::decide(&pods, &control_plane(&["a", "b"])).unwrap();
    let expected = "\
# kube-controller-manager-a on node a
# kube-controller-manager-b on node b
# signs with /etc/kubernetes/pki/ca.crt (--cluster-signing-cert-file)
# and /etc/kubernetes/pki/ca.key (--cluster-signing-key-file)
# and runs as user 0, group 0.
agent:
  preset: kubeadm
";
    assert_eq!(values.to_string(), expected);
}

#[test]
fn other_layouts_are_printed_with_paths_of_the_node() {
    let pods = [pod("a", "/pki", "/srv/\"k8s\" pki", Some(7))];
    let values = AgentValues::decide(&pods, &control_plane(&["b"])).unwrap();
    let expected = "\
# kube-controller-manager-a on node a
# signs with /srv/\"k8s\" pki/ca.crt, /pki/ca.crt in its container (--cluster-signing-cert-file)
# and /srv/\"k8s\" pki/ca.key, /pki/ca.key in its container (--cluster-signing-key-file)
# and runs as user 7, group 7.
# Mind: node a has no label node-role.kubernetes.io/control-plane, so no agent would run there.
# Mind: node b has that label of a control plane node, but no kube-controller-manager runs there.
agent:
  preset: custom
  certFile: \"/srv/\\\"k8s\\\" pki/ca.crt\"
  keyFile: \"/srv/\\\"k8s\\\" pki/ca.key\"
  runAsUser: 7
  runAsGroup: 7
";
    assert_eq!(values.to_string(), expected);
    let read: Value = serde_saphyr::from_str(&values.to_string()).unwrap();
    assert_eq!(read["agent"]["certFile"], "/srv/\"k8s\" pki/ca.crt");
}

/// Without it the chart would put agents nowhere, so it refuses.
#[test]
fn another_value_of_the_label_is_a_value_of_the_chart() {
    let nodes = ["a", "b"].map(|name| control_plane_node(name, "true"));
    let values = AgentValues::decide(&[kubeadm("a"), kubeadm("b")], &nodes).unwrap();
    let expected = "\
# and runs as user 0, group 0.
agent:
  preset: kubeadm
  # The value that the control plane nodes have.
  nodeSelector:
    node-role.kubernetes.io/control-plane: \"true\"
";
    assert!(values.to_string().ends_with(expected), "{values}");
    let pods = [
        pod("a", "/pki", "/pki", None),
        pod("b", "/pki", "/pki", None),
    ];
    let values = AgentValues::decide(&pods, &nodes).unwrap();
    let read: Value = serde_saphyr::from_str(&values.to_string()).unwrap();
    assert_eq!(read["agent"]["runAsGroup"], 0);
    let selector = json!({"node-role.kubernetes.io/control-plane": "true"});
    assert_eq!(read["agent"]["nodeSelector"], selector);
}

#[test]
fn control_planes_whose_labels_differ_are_named() {
    let nodes = [control_plane_node("b", "true"), control_plane_node("a", "")];
    let error = AgentValues::decide(&[kubeadm("a"), kubeadm("b")], &nodes).unwrap_err();
    let expected = "the control plane nodes differ, and agents run on those whose label \
        node-role.kubernetes.io/control-plane has the one value that the chart is told; let them agree: \
        node a has \"\"; node b has \"true\"";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn nothing_in_a_path_ends_a_comment_or_steers_a_terminal() {
    for (character, escaped) in [
        ('\n', r"\U0000000A"),
        ('\u{1b}', r"\U0000001B"),
        ('\u{7f}', r"\U0000007F"),
        ('\u{85}', r"\U00000085"),
        ('\u{2028}', r"\U00002028"),
        ('\u{2029}', r"\U00002029"),
        ('\u{1f511}', r"\U0001F511"),
    ] {
        let folder = format!("/x{character}agent: {{}}");
        let values = AgentValues::decide(&[pod("a", "/pki", &folder, None)], &[]).unwrap();
        let text = values.to_string();
        assert!(
            text.chars().all(|c| matches!(c, ' '..='~' | '\n')),
            "{text}"
        );
        assert!(
            text.contains(&format!("# and /x{escaped}agent: {{}}/ca.key, ")),
            "{text}"
        );
        let read: Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(read["agent"]["keyFile"], format!("{folder}/ca.key"));
    }
}

#[test]
fn paths_in_containers_may_differ() {
    let pods = [
        pod("a", "/pki", "/etc/kubernetes/pki", None),
        pod("b", "/certs", "/etc/kubernetes/pki", None),
    ];
    let values = AgentValues::decide(&pods, &[]).unwrap();
    assert_eq!(values.preset(), Some("kubeadm"));
}

#[test]
fn control_planes_that_differ_are_named() {
    let pods = [kubeadm("a"), talos("b")];
    let error = AgentValues::decide(&pods, &[]).unwrap_err();
    let expected = "the control plane nodes differ, and the agent is the same on all of them; let them agree: \
        kube-controller-manager-a on node a has /etc/kubernetes/pki/ca.crt and /etc/kubernetes/pki/ca.key, user 0, \
        group 0; kube-controller-manager-b on node b has \
        /system/secrets/kubernetes/kube-controller-manager/ca.crt and \
        /system/secrets/kubernetes/kube-controller-manager/ca.key, user 65535, group 65535";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn only_what_runs_counts() {
    let mut pending = talos("b");
    pending.status = None;
    let values = AgentValues::decide(&[pending.clone(), kubeadm("a")], &[]).unwrap();
    assert_eq!(values.preset(), Some("kubeadm"));

    let error = AgentValues::decide(&[pending], &[]).unwrap_err();
    assert_eq!(error, PlacementError::NoneRuns(NoneRuns { candidates: 1 }));
}

#[test]
fn one_that_cannot_be_told_spoils_the_answer() {
    let mut shell = kubeadm("b");
    let container = &mut shell.spec.as_mut().unwrap().containers[0];
    container.command = Some(["sh", "-c", "exec x"].map(str::to_owned).to_vec());
    let error = AgentValues::decide(&[kubeadm("a"), shell], &[]).unwrap_err();
    let source = SigningFilesError::Shell {
        container: "kube-controller-manager".to_owned(),
    };
    let pod = "kube-controller-manager-b".to_owned();
    assert_eq!(
        error,
        PlacementError::Unknown {
            pod,
            node: "b".to_owned(),
            source
        }
    );
}

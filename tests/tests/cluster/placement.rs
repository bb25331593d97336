//! `haulout agent-values` against controller-manager pods as distributions make them.

use std::path::Path;
use std::process::Output;
use std::time::Duration;

use haulout_api::controller_manager::CONTROL_PLANE_LABEL;
use haulout_tests::cluster::{Cluster, ClusterOptions, Credential, Products, Profile};
use serde_json::{Value, json};
use tokio::process::Command;

const LIMIT: Duration = Duration::from_secs(60);

/// Runs the program with this kubeconfig.
pub(crate) async fn haulout(kubeconfig: &Path, arguments: &[&str]) -> Output {
    let program = Products::find().unwrap().program("haulout");
    let output = Command::new(program)
        .args(arguments)
        .env("KUBECONFIG", kubeconfig)
        .kill_on_drop(true)
        .output();
    tokio::time::timeout(LIMIT, output).await.unwrap().unwrap()
}

/// What was printed, if the exit code is `code`.
pub(crate) fn printed(output: &Output, code: i32) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{stdout}{stderr}");
    (stdout, stderr)
}

/// Puts a control plane node and its controller-manager into the cluster, as the kubelet reports a static pod.
pub(crate) async fn add_control_plane(cluster: &Cluster, node: &str, profile: Profile) {
    let (folder, label, user) = match profile {
        Profile::Kubeadm => ("/etc/kubernetes/pki", "component", json!({})),
        Profile::Talos => (
            "/system/secrets/kubernetes/kube-controller-manager",
            "k8s-app",
            json!({"runAsNonRoot": true, "runAsUser": 65535, "runAsGroup": 65535}),
        ),
    };
    let name = format!("kube-controller-manager-{node}");
    let objects = json!({"apiVersion": "v1", "kind": "List", "items": [
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": node, "labels": {"node-role.kubernetes.io/control-plane": ""}},
        },
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name,
                "namespace": "kube-system",
                "labels": {label: "kube-controller-manager", "tier": "control-plane"},
            },
            "spec": {
                "nodeName": node,
                "hostNetwork": true,
                "automountServiceAccountToken": false,
                "priorityClassName": "system-node-critical",
                "securityContext": user,
                "containers": [{
                    "name": "kube-controller-manager",
                    "image": "kube-controller-manager",
                    "command": [
                        "kube-controller-manager",
                        "--use-service-account-credentials",
                        format!("--cluster-signing-cert-file={folder}/ca.crt"),
                        format!("--cluster-signing-key-file={folder}/ca.key"),
                        "--use-service-account-credentials=true",
                    ],
                    "volumeMounts": [{"name": "certs", "mountPath": folder, "readOnly": true}],
                }],
                "volumes": [{"name": "certs", "hostPath": {"path": folder}}],
            },
        },
    ]});
    let kubectl = cluster.kubectl();
    kubectl.apply(&objects.to_string()).await.unwrap();
    let running = r#"{"status":{"phase":"Running"}}"#;
    let patch = ["-n", "kube-system", "patch", "pod", &name, "-p", running];
    let of_status = ["--subresource=status"];
    kubectl.run(patch.iter().chain(&of_status)).await.unwrap();
}

async fn remove_control_plane(cluster: &Cluster, node: &str) {
    let pod = format!("pod/kube-controller-manager-{node}");
    let delete = [
        "-n",
        "kube-system",
        "delete",
        &pod,
        "--grace-period=0",
        "--force",
    ];
    cluster.kubectl().run(delete).await.unwrap();
    cluster
        .kubectl()
        .run(["delete", "node", node])
        .await
        .unwrap();
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_agent_values_are_read_from_the_controller_managers() {
    let cluster = Cluster::start(ClusterOptions::new(Profile::Kubeadm))
        .await
        .unwrap();
    let kubeconfig = cluster.kubectl().kubeconfig();

    let (stdout, stderr) = printed(&haulout(kubeconfig, &["agent-values"]).await, 1);
    assert_eq!(stdout, "", "only values go to stdout");
    assert!(
        stderr.starts_with(
            "Error: could not find a healthy kube-controller-manager pod (0 candidates)"
        ),
        "{stderr}"
    );

    add_control_plane(&cluster, "cp-1", Profile::Kubeadm).await;
    let (stdout, stderr) = printed(&haulout(kubeconfig, &["agent-values"]).await, 0);
    assert!(
        stdout.starts_with("# kube-controller-manager-cp-1 on node cp-1\n"),
        "{stdout}"
    );
    let values: Value = serde_saphyr::from_str(&stdout).unwrap();
    assert_eq!(values, json!({"agent": {"preset": "kubeadm"}}));
    assert_eq!(stderr, "");

    add_control_plane(&cluster, "cp-2", Profile::Talos).await;
    let (_, stderr) = printed(&haulout(kubeconfig, &["agent-values"]).await, 1);
    assert!(
        stderr.contains("nodes differ") && stderr.contains("cp-1") && stderr.contains("cp-2"),
        "{stderr}"
    );

    // Found by the other label alone.
    remove_control_plane(&cluster, "cp-1").await;
    let (stdout, _) = printed(&haulout(kubeconfig, &["agent-values"]).await, 0);
    let values: Value = serde_saphyr::from_str(&stdout).unwrap();
    assert_eq!(values, json!({"agent": {"preset": "talos"}}));

    let label = format!("{CONTROL_PLANE_LABEL}=true");
    let relabel = ["label", "--overwrite", "node", "cp-2", &label];
    cluster.kubectl().run(relabel).await.unwrap();
    let (stdout, _) = printed(&haulout(kubeconfig, &["agent-values"]).await, 0);
    let values: Value = serde_saphyr::from_str(&stdout).unwrap();
    let selector = json!({CONTROL_PLANE_LABEL: "true"});
    let expected = json!({"agent": {"preset": "talos", "nodeSelector": selector}});
    assert_eq!(values, expected);
    rights_and_kubeconfigs_count(&cluster).await;
    the_address_is_named_where_nothing_else_does(&cluster).await;
}

/// As on Talos, which makes no cluster-info.
async fn the_address_is_named_where_nothing_else_does(cluster: &Cluster) {
    let kubectl = cluster.kubectl();
    let cluster_info = ["-n", "kube-public", "configmap", "cluster-info"];
    let delete = [&["delete"], &cluster_info[..]].concat();
    kubectl.run(delete).await.unwrap();

    let (stdout, _) = printed(&haulout(kubectl.kubeconfig(), &["agent-values"]).await, 0);
    let values: Value = serde_saphyr::from_str(&stdout).unwrap();
    assert_eq!(values.get("advertise"), None, "{stdout}");
    let loopback = format!(
        "kubeconfig has \"{}\", which is this computer alone",
        cluster.server()
    );
    let text = stdout.replace("\n# ", " ");
    assert!(text.contains(&loopback), "{stdout}");
}

async fn rights_and_kubeconfigs_count(cluster: &Cluster) {
    let token = ["create", "token", "default"];
    let token = cluster.kubectl().run(token).await.unwrap();
    let file = cluster.folder().join("account.token");
    std::fs::write(&file, token.trim()).unwrap();
    // By a credential plugin, as kubeconfigs of companies have it.
    let plugin = json!({
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "/bin/sh",
        "args": ["-c", r#"printf '{"kind":"ExecCredential","apiVersion":"%s","status":{"token":"%s"}}' \
                          client.authentication.k8s.io/v1 "$(cat "$0")""#, file],
        "interactiveMode": "Never",
    });
    let nobody = cluster
        .kubeconfig("nobody", &Credential::Exec(plugin))
        .unwrap();
    let flag = format!("--kubeconfig={}", nobody.display());
    let admin = cluster.kubectl().kubeconfig();
    let (stdout, stderr) = printed(&haulout(admin, &["agent-values", &flag]).await, 1);
    assert_eq!(stdout, "");
    assert!(
        stderr.contains("system:serviceaccount:default:default") && stderr.contains("cannot list"),
        "{stderr}"
    );

    let output = haulout(admin, &["agent-values", "--context=elsewhere"]).await;
    let (_, stderr) = printed(&output, 1);
    assert!(stderr.contains("elsewhere"), "{stderr}");
    printed(&haulout(admin, &["agent-values", "--nope"]).await, 2);
}

//! `haulout kubeconfig` for people who administer nothing: the catalogue is a ConfigMap of the cluster.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use haulout_tests::cluster::{Products, Profile, StackOptions, TOKEN_VARIABLE};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::running::Running;

/// Runs `haulout kubeconfig` as who has this kubeconfig, and gives what it says if it fails.
async fn make(kubeconfig: &Path, output: &Path) -> Result<(), String> {
    let mut command = Command::new(Products::find().unwrap().program("haulout"));
    command
        .args(["kubeconfig", "--from=configmap/kube-public/clusters"])
        .arg("--output")
        .arg(output)
        .env("KUBECONFIG", kubeconfig)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(Duration::from_secs(60), command.output()).await;
    let output = output.expect("it does not end").unwrap();
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8(output.stderr).unwrap()),
    }
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_who_administers_nothing_logs_in_by_what_a_config_map_lists() {
    let running = Running::start(Profile::Kubeadm, &StackOptions::default()).await;
    let cluster = &running.cluster;
    let kubectl = cluster.kubectl();
    let anybody = cluster.folder().join("anybody.kubeconfig");
    let server = cluster.server();
    let ca = std::fs::read(cluster.ca_certificate()).unwrap();
    let ca = BASE64_STANDARD.encode(ca);
    let without_credentials = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "a", "users": [],
        "clusters": [{"name": "a", "cluster": {"server": server, "certificate-authority-data": ca}}],
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": ""}}],
    });
    std::fs::write(&anybody, without_credentials.to_string()).unwrap();
    let output = cluster.folder().join("made.kubeconfig");

    let error = make(&anybody, &output).await.unwrap_err();
    assert!(error.contains("forbidden"), "{error}");
    let role = "--resource=configmaps --resource-name=clusters";
    let create = format!("-n kube-public create role clusters --verb=get {role}");
    kubectl
        .run(create.split(' ').collect::<Vec<_>>())
        .await
        .unwrap();
    let bind =
        "-n kube-public create rolebinding clusters --role=clusters --group=system:unauthenticated";
    kubectl
        .run(bind.split(' ').collect::<Vec<_>>())
        .await
        .unwrap();
    let error = make(&anybody, &output).await.unwrap_err();
    assert!(
        error.contains("there is no ConfigMap kube-public/clusters"),
        "{error}"
    );

    let stanza = running.stack.exec_stanza(cluster, None).unwrap();
    let catalogue = json!({"clusters": [{
        "name": "here", "server": server, "certificateAuthorityData": ca, "arguments": stanza["args"],
    }]});
    let config_map = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "clusters", "namespace": "kube-public"},
        "data": {"clusters.yaml": catalogue.to_string()},
    });
    kubectl.apply(&config_map.to_string()).await.unwrap();
    make(&anybody, &output).await.unwrap();
    let token = running.stack.token("alice", &["devs"]).await.unwrap();
    let whoami = ["auth", "whoami", "-o", "json"];
    let as_alice = kubectl.with_kubeconfig(&output);
    let review = as_alice
        .run_with(&whoami, &[(TOKEN_VARIABLE, &token)])
        .await;
    let review: Value = serde_json::from_str(&review.unwrap()).unwrap();
    assert_eq!(review["status"]["userInfo"]["username"], "alice");
}

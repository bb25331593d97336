//! Nodes that run pods: kube-controller-manager laid out like the profile, the network, and a clean end.

mod controller_manager;
mod left;
mod workload;

use std::time::Duration;

use anyhow::{Context as _, ensure};
use haulout_tests::cluster::{Cluster, ClusterOptions, Profile, kept_nodes, wait_for};
use rustix::process::Signal;
use serde_json::json;

use self::left::Traces;
use self::workload::Workload;
use crate::xtask::{Installation, signal};

const POD_LIMIT: Duration = Duration::from_secs(120);

async fn start(profile: Profile, nodes: u8) -> Cluster {
    let options = ClusterOptions {
        nodes,
        ..ClusterOptions::new(profile)
    };
    Cluster::start(options).await.unwrap()
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn node_of_talos_runs_pods() {
    let cluster = start(Profile::Talos, 1).await;
    let traces = Traces::of(&cluster);
    is_a_control_plane_node(&cluster, "node-1").await;
    controller_manager::is_laid_out_as_on_talos(&cluster).await;

    let workload = Workload::start(&cluster, 1).await;
    workload.reaches_the_api_server(&cluster).await;
    workload.has_logs(&cluster).await;
    workload.reaches_this_computer(&cluster).await;
    workload.is_reached_from_this_computer(&cluster).await;
    workload.survives_a_kill(&cluster).await;

    for (namespace, refused) in [("default", true), ("kube-system", false)] {
        let outcome = cluster.kubectl().apply(&privileged_pod(namespace)).await;
        let told = outcome.err().map(|error| error.to_string());
        assert_eq!(told.is_some(), refused, "{namespace}: {told:?}");
        if let Some(told) = told {
            assert!(
                told.contains(r#"violates PodSecurity "baseline:latest""#),
                "{told}"
            );
        }
    }
    drop(cluster);
    traces.are_gone().await;
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn node_of_kubeadm_runs_pods_with_another_beside_it() {
    let mut cluster = start(Profile::Kubeadm, 2).await;
    let traces = Traces::of(&cluster);
    for name in ["node-1", "node-2"] {
        is_a_control_plane_node(&cluster, name).await;
    }
    controller_manager::is_laid_out_as_by_kubeadm(&cluster).await;
    cluster
        .kubectl()
        .apply(&privileged_pod("default"))
        .await
        .unwrap();

    let workload = Workload::start(&cluster, 2).await;
    workload.is_spread(&cluster).await;
    workload.reaches_the_api_server(&cluster).await;
    workload.reaches_itself_across_nodes(&cluster).await;
    workload.has_logs(&cluster).await;
    workload.reaches_this_computer(&cluster).await;

    // The second node is cut off; the cluster lives on.
    let [_, second] = cluster.nodes_mut() else {
        panic!("two nodes were asked for");
    };
    second.machine().kill();
    cluster
        .kubectl()
        .run(["get", "--raw", "/readyz"])
        .await
        .unwrap();
    drop(cluster);
    traces.are_gone().await;
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn node_of_a_killed_owner_is_swept() {
    let installation = Installation::new(None).await;
    let up = ["cluster", "up", "--node", "--profile", "talos"];
    let mut child = installation.command(&up).spawn().unwrap();
    let folder = installation.state().join("talos");
    let node = wait_for("a pod", POD_LIMIT, &mut [], async || {
        let nodes = kept_nodes(&folder).await?;
        let node = nodes.into_iter().next().context("no node yet")?;
        let pods = node.root().join("var/log/containers");
        ensure!(std::fs::read_dir(pods)?.next().is_some(), "no pod yet");
        Ok(node)
    })
    .await
    .unwrap();
    let traces = Traces::of_folder(&folder, &[&node]);
    signal(&child, Signal::KILL);
    child.wait().unwrap();
    // Whatever it says: it looks for clusters that lost their owner first.
    drop(installation.run(&["cluster", "down"]));
    assert_eq!(installation.clusters(), [""; 0]);
    traces.are_gone().await;
}

/// Labels and taint that both kubeadm and Talos set.
async fn is_a_control_plane_node(cluster: &Cluster, name: &str) {
    let node = cluster
        .kubectl()
        .json(&["get", "node", name])
        .await
        .unwrap();
    let labels = &node["metadata"]["labels"];
    for label in [
        "node-role.kubernetes.io/control-plane",
        "node.kubernetes.io/exclude-from-external-load-balancers",
    ] {
        assert_eq!(labels[label], "", "{labels}");
    }
    let taint = json!({ "key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule" });
    assert_eq!(node["spec"]["taints"], json!([taint]));

    // What another program finds that knows the folder only.
    let found = kept_nodes(cluster.folder()).await.unwrap();
    let found = found.iter().find(|node| node.name() == name).unwrap();
    let own = (cluster.nodes().iter())
        .find(|node| node.access().name() == name)
        .unwrap();
    assert_eq!(found.root(), own.access().root());
}

fn privileged_pod(namespace: &str) -> String {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": "privileged", "namespace": namespace },
        "spec": {
            "containers": [{
                "name": "c",
                "image": "c",
                "imagePullPolicy": "Never",
                "securityContext": { "privileged": true },
            }],
        },
    })
    .to_string()
}

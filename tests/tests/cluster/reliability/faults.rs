//! Faults of webhooks, agents and the control plane, each brought about for real.

use std::time::Duration;

use haulout_tests::cluster::{AGENT_NAMESPACE, Component, NAMESPACE, Node, NodeAccess};
use haulout_tests::fault_table::Demand;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::Trial;
use crate::installed::Installed;
use crate::running::until;

pub(super) const WEBHOOK: [&str; 3] = ["-n", NAMESPACE, "deployment/haulout-webhook"];
pub(super) const AGENT: [&str; 3] = ["-n", AGENT_NAMESPACE, "daemonset/haulout-agent"];
const LEASE: [&str; 4] = ["lease", "-n", NAMESPACE, "haulout-webhook"];

pub(super) async fn none_at_all(trial: &mut Trial) {
    trial
        .lasting("no fault", Demand::NotNoticed, async |_| {})
        .await;
}

pub(super) async fn of_webhooks(trial: &mut Trial) {
    trial
        .ending(
            "webhook killed, another left",
            Demand::NoneLost,
            async |installed| {
                // Each in turn: the API server keeps its connection to one of them.
                let mut pods = installed.pods(NAMESPACE).await;
                let leader = installed.leader().await;
                pods.sort_by_key(|pod| name(pod) != name(&leader));
                for pod in pods {
                    installed.kill(&pod).await;
                }
            },
        )
        .await;
    trial
        .lasting(
            "webhooks restarted one after the other",
            Demand::NotNoticed,
            async |installed| {
                installed.roll_out(&WEBHOOK).await;
            },
        )
        .await;
    trial
        .lasting(
            "webhook evicted, another left",
            Demand::NoneLost,
            async |installed| {
                installed.evict(&installed.leader().await).await;
            },
        )
        .await;
    trial.installed.wait_for_rollouts().await;
    trial
        .lasting("Lease deleted", Demand::NotNoticed, async |installed| {
            installed.run(&["delete"], &LEASE).await;
        })
        .await;
    trial
        .ending("node drained", Demand::NoneLost, async |installed| {
            let node = installed.cluster.nodes()[1].access().name().to_owned();
            let drain = [
                "drain",
                &node,
                "--ignore-daemonsets",
                "--delete-emptydir-data",
            ];
            installed.run(&drain, &[]).await;
            installed.run(&["uncordon", &node], &[]).await;
        })
        .await;
    trial.installed.wait_for_rollouts().await;
}

pub(super) async fn of_agents(trial: &mut Trial) {
    trial
        .lasting(
            "agent killed, another left",
            Demand::RecoveryWithin(Duration::from_secs(1)),
            async |installed| {
                installed
                    .kill(&installed.pods(AGENT_NAMESPACE).await[0])
                    .await;
            },
        )
        .await;
    trial
        .lasting(
            "agents restarted one after the other",
            Demand::NotNoticed,
            async |installed| {
                installed.roll_out(&AGENT).await;
            },
        )
        .await;

    // The second node is no control plane node for a while, and so the first has the only agent.
    let second = trial.installed.cluster.nodes()[1]
        .access()
        .name()
        .to_owned();
    let label = "node-role.kubernetes.io/control-plane";
    let node = ["label", "node", second.as_str()];
    trial.installed.run(&node, &[&format!("{label}-")]).await;
    trial.installed.wait_for_agents(1).await;
    let webhooks = trial.installed.webhooks().await;
    trial
        .ending(
            "the only agent killed",
            Demand::RecoveryWithin(Duration::from_secs(5)),
            async |installed| {
                installed
                    .kill(&installed.pods(AGENT_NAMESPACE).await[0])
                    .await;
            },
        )
        .await;
    assert_eq!(trial.installed.webhooks().await, webhooks);
    trial.installed.run(&node, &[&format!("{label}=")]).await;
    trial.installed.wait_for_agents(2).await;
}

pub(super) async fn of_the_control_plane(trial: &mut Trial) {
    trial
        .ending(
            "API server killed and started",
            Demand::NoneLost,
            async |installed| {
                installed
                    .cluster
                    .restart(Component::ApiServer)
                    .await
                    .unwrap();
            },
        )
        .await;
    trial
        .ending("etcd paused for 5 s", Demand::NoneLost, async |installed| {
            let etcd = installed.cluster.process(Component::Etcd).unwrap();
            etcd.signal(Signal::STOP).unwrap();
            tokio::time::sleep(Duration::from_secs(5)).await;
            etcd.signal(Signal::CONT).unwrap();
        })
        .await;
}

pub(super) fn restarts(pod: &Value) -> i64 {
    pod["status"]["containerStatuses"][0]["restartCount"]
        .as_i64()
        .unwrap()
}

pub(super) fn is_ready(pod: &Value) -> bool {
    pod["status"]["containerStatuses"][0]["ready"] == true
}

pub(super) fn name(pod: &Value) -> &str {
    pod["metadata"]["name"].as_str().unwrap()
}

impl Installed {
    pub(super) async fn run(&self, first: &[&str], second: &[&str]) -> String {
        let arguments = [first, second].concat();
        self.kubectl().run(&arguments).await.unwrap()
    }

    /// The webhook that holds the Lease.
    async fn leader(&self) -> Value {
        let mut leader = None;
        until("a leader", async || {
            let lease = self.run(&["get", "-o", "json"], &LEASE).await;
            let lease: Value = serde_json::from_str(&lease).unwrap();
            let holder = &lease["spec"]["holderIdentity"];
            let pods = self.pods(NAMESPACE).await;
            leader = pods
                .into_iter()
                .find(|pod| pod["metadata"]["name"] == *holder);
            leader.is_some()
        })
        .await;
        leader.unwrap()
    }

    /// Each webhook's name, and how often it was started again.
    async fn webhooks(&self) -> Vec<(String, i64)> {
        let pods = self.pods(NAMESPACE).await;
        pods.iter()
            .map(|pod| (name(pod).to_owned(), restarts(pod)))
            .collect()
    }

    pub(super) fn node_of(&self, pod: &Value) -> &NodeAccess {
        let mut nodes = self.cluster.nodes().iter().map(Node::access);
        nodes
            .find(|node| pod["spec"]["nodeName"] == node.name())
            .unwrap()
    }

    /// `kill -9` of a pod's container; waits until kubelet has started another, and that is ready.
    async fn kill(&self, pod: &Value) {
        let id = pod["status"]["containerStatuses"][0]["containerID"].as_str();
        let id = id.unwrap().strip_prefix("containerd://").unwrap();
        for process in self.node_of(pod).container_processes(id).unwrap() {
            let process = Pid::from_raw(i32::try_from(process).unwrap()).unwrap();
            kill_process(process, Signal::KILL).unwrap();
        }
        let killed = restarts(pod);
        let namespace = pod["metadata"]["namespace"].as_str().unwrap();
        until("the killed pod is back", async || {
            let get = ["get", "pod", name(pod), "-n", namespace];
            let pod = self.kubectl().json(&get).await.unwrap();
            restarts(&pod) > killed && is_ready(&pod)
        })
        .await;
    }

    /// As a drain does it, by the Eviction API.
    async fn evict(&self, pod: &Value) {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{}/eviction", name(pod));
        let eviction = json!({
            "apiVersion": "policy/v1", "kind": "Eviction",
            "metadata": { "name": name(pod), "namespace": NAMESPACE },
        });
        let file = self.cluster.folder().join("eviction.json");
        std::fs::write(&file, eviction.to_string()).unwrap();
        let file = file.to_str().unwrap();
        self.run(&["create", "--raw", &path, "-f", file], &[]).await;
    }

    pub(super) async fn roll_out(&self, workload: &[&str]) {
        self.run(&["rollout", "restart"], workload).await;
        self.run(&["rollout", "status", "--timeout=55s"], workload)
            .await;
    }

    pub(super) async fn wait_for_rollouts(&self) {
        for workload in [&WEBHOOK, &AGENT] {
            self.run(&["rollout", "status", "--timeout=55s"], workload)
                .await;
        }
    }

    pub(super) async fn wait_for_agents(&self, count: usize) {
        until(&format!("{count} agents"), async || {
            let pods = self.pods(AGENT_NAMESPACE).await;
            pods.len() == count && pods.iter().all(is_ready)
        })
        .await;
    }
}

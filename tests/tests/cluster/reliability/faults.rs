//! The faults, each brought about for real.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use haulout_operate::clock::Clock;
use haulout_pki::authority::generate_authority;
use haulout_pki::profile::Validity;
use haulout_tests::cluster::{AGENT_NAMESPACE, Component, NAMESPACE, Pair};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::Trial;
use crate::installed::Installed;
use crate::running::until;

const WEBHOOK: [&str; 3] = ["-n", NAMESPACE, "deployment/haulout-webhook"];
const AGENT: [&str; 3] = ["-n", AGENT_NAMESPACE, "daemonset/haulout-agent"];
const SERVING: [&str; 4] = ["secret", "-n", NAMESPACE, "haulout-serving"];
const API_SERVICE: [&str; 2] = ["apiservice", "v1alpha1.login.concierge.pinniped.dev"];
/// Common name of the CA that replaces the cluster's.
const NEW_CA: &str = "kubernetes-2";
const AGENTS_TLS: [&str; 4] = ["secret", "-n", AGENT_NAMESPACE, "haulout-agent-tls"];
const LEASE: [&str; 4] = ["lease", "-n", NAMESPACE, "haulout-webhook"];

pub(super) async fn none_at_all(trial: &mut Trial) {
    trial.lasting("no fault", async |_| {}).await;
}

pub(super) async fn of_webhooks(trial: &mut Trial) {
    trial
        .ending("webhook killed, another left", async |installed| {
            // Each in turn: the API server keeps its connection to one of them.
            let mut pods = installed.pods(NAMESPACE).await;
            let leader = installed.leader().await;
            pods.sort_by_key(|pod| name(pod) != name(&leader));
            for pod in pods {
                installed.kill(&pod).await;
            }
        })
        .await;
    trial
        .lasting(
            "webhooks restarted one after the other",
            async |installed| {
                installed.roll_out(&WEBHOOK).await;
            },
        )
        .await;
    trial
        .lasting("webhook evicted, another left", async |installed| {
            installed.evict(&installed.leader().await).await;
        })
        .await;
    trial.installed.wait_for_rollouts().await;
    trial
        .lasting("Lease deleted", async |installed| {
            installed.run(&["delete"], &LEASE).await;
        })
        .await;
    trial
        .ending("node drained", async |installed| {
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
        .lasting("agent killed, another left", async |installed| {
            installed
                .kill(&installed.pods(AGENT_NAMESPACE).await[0])
                .await;
        })
        .await;
    trial
        .lasting("agents restarted one after the other", async |installed| {
            installed.roll_out(&AGENT).await;
        })
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
    trial
        .ending("the only agent killed", async |installed| {
            installed
                .kill(&installed.pods(AGENT_NAMESPACE).await[0])
                .await;
        })
        .await;
    trial.installed.run(&node, &[&format!("{label}=")]).await;
    trial.installed.wait_for_agents(2).await;
}

pub(super) async fn of_the_control_plane(trial: &mut Trial) {
    trial
        .ending("API server killed and started", async |installed| {
            installed
                .cluster
                .restart(Component::ApiServer)
                .await
                .unwrap();
        })
        .await;
    trial
        .ending("etcd paused for 5 s", async |installed| {
            let etcd = installed.cluster.process(Component::Etcd).unwrap();
            etcd.signal(Signal::STOP).unwrap();
            tokio::time::sleep(Duration::from_secs(5)).await;
            etcd.signal(Signal::CONT).unwrap();
        })
        .await;
}

pub(super) async fn rotations(trial: &mut Trial) {
    trial
        .lasting("serving leaf renewed", async |installed| {
            installed.renew_leaf(&SERVING).await;
        })
        .await;
    trial
        .lasting("agents' leaf renewed", async |installed| {
            installed.renew_leaf(&AGENTS_TLS).await;
        })
        .await;
    trial
        .ending("front proxy's CA replaced", async |installed| {
            installed.cluster.pki().replace_front_proxy().unwrap();
            installed
                .cluster
                .restart(Component::ApiServer)
                .await
                .unwrap();
            // It publishes the CA only now, and looks at an API that refused it again after five seconds.
            let available = ["wait", "--for=condition=Available", "--timeout=55s"];
            installed.run(&available, &API_SERVICE).await;
        })
        .await;
    trial
        .ending("cluster's CA replaced", async |installed| {
            installed.replace_signing_pair().await;
        })
        .await;
}

fn restarts(pod: &Value) -> i64 {
    pod["status"]["containerStatuses"][0]["restartCount"]
        .as_i64()
        .unwrap()
}

fn is_ready(pod: &Value) -> bool {
    pod["status"]["containerStatuses"][0]["ready"] == true
}

fn name(pod: &Value) -> &str {
    pod["metadata"]["name"].as_str().unwrap()
}

impl Installed {
    async fn run(&self, first: &[&str], second: &[&str]) -> String {
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

    /// `kill -9` of a pod's container; waits until kubelet has started another, and that is ready.
    async fn kill(&self, pod: &Value) {
        let node = pod["spec"]["nodeName"].as_str().unwrap();
        let id = pod["status"]["containerStatuses"][0]["containerID"].as_str();
        let id = id.unwrap().strip_prefix("containerd://").unwrap();
        let nodes = self.cluster.nodes().iter();
        let node = nodes
            .map(|node| node.access())
            .find(|access| access.name() == node);
        for process in node.unwrap().container_processes(id).unwrap() {
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

    async fn roll_out(&self, workload: &[&str]) {
        self.run(&["rollout", "restart"], workload).await;
        self.run(&["rollout", "status", "--timeout=55s"], workload)
            .await;
    }

    async fn wait_for_rollouts(&self) {
        for workload in [&WEBHOOK, &AGENT] {
            self.run(&["rollout", "status", "--timeout=55s"], workload)
                .await;
        }
    }

    async fn wait_for_agents(&self, count: usize) {
        until(&format!("{count} agents"), async || {
            let pods = self.pods(AGENT_NAMESPACE).await;
            pods.len() == count && pods.iter().all(is_ready)
        })
        .await;
    }

    /// Without a leaf in the Secret the leader signs another by the same CA, as it does when one grows old.
    async fn renew_leaf(&self, secret: &[&str]) {
        let seen = self.secret(secret, "tls.crt").await;
        let patch = r#"--patch=[{"op":"remove","path":"/data/tls.crt"}]"#;
        self.run(&["patch", "--type=json", patch], secret).await;
        // It has no right to watch the agents' Secret, and reads it every 30 s; `until` waits as long.
        until("a new leaf", async || {
            let leaf = self.secret(secret, "tls.crt").await;
            !leaf.is_empty() && leaf != seen
        })
        .await;
    }

    /// What a Secret holds under this key, base64; empty where it holds nothing.
    async fn secret(&self, secret: &[&str], key: &str) -> String {
        let text = self.run(&["get", "-o", "json"], secret).await;
        let secret: Value = serde_json::from_str(&text).unwrap();
        secret["data"][key].as_str().unwrap_or_default().to_owned()
    }

    /// As an administrator replaces the cluster's CA: the API server trusts both first; then the pair on the nodes is
    /// another one, written in place as Talos does it; and what is signed with it is accepted.
    async fn replace_signing_pair(&self) {
        let now = Clock::system().now();
        let validity = Validity {
            not_before: now - Duration::from_secs(300),
            not_after: now + Duration::from_secs(86400),
        };
        let new = generate_authority(NEW_CA, validity).unwrap();
        let trusted = self.cluster.pki().signing_pair().certificate;
        let both = std::fs::read_to_string(&trusted).unwrap() + &new.certificate_pem;
        write_in_place(&trusted, &both);
        until("the API server trusts both", async || {
            let path = "-o=jsonpath={.data.client-ca-file}";
            let map = ["extension-apiserver-authentication", "-n", "kube-system"];
            let known = self.run(&["get", "configmap", path], &map).await;
            known.contains(new.certificate_pem.trim())
        })
        .await;
        let profile = self.cluster.profile();
        for node in self.cluster.nodes() {
            let Pair { certificate, key } = node.access().signing_pair(profile);
            write_in_place(&key, &new.key_pem);
            write_in_place(&certificate, &new.certificate_pem);
        }
        let target = self.target();
        until("certificates of the new CA", async || {
            let certificate = target.log_in().await;
            certificate.is_ok_and(|certificate| issuer(&certificate) == NEW_CA)
        })
        .await;
        self.as_alice(&["auth", "whoami"]).await.unwrap();
    }
}

/// Common name of who has signed a certificate, by openssl.
fn issuer(certificate: &str) -> String {
    let mut openssl = Command::new("openssl")
        .args(["x509", "-noout", "-issuer", "-nameopt", "multiline"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = openssl.stdin.take().unwrap();
    input.write_all(certificate.as_bytes()).unwrap();
    drop(input);
    let output = openssl.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let name = text.lines().find_map(|line| line.split_once("= "));
    name.unwrap_or_default().1.to_owned()
}

fn write_in_place(path: &Path, text: &str) {
    // Keeps inode, owner and mode.
    std::fs::write(path, text).unwrap();
}

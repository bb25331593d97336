//! Certificates that Haulout keeps for itself, and the front proxy's CA: renewed, replaced, and found expired.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::ensure;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use haulout_tests::cluster::{AGENT_NAMESPACE, Component, NAMESPACE, wait_for};
use haulout_tests::fault_table::Demand;
use serde_json::{Value, json};

use super::Trial;
use super::faults::WEBHOOK;
use crate::installed::Installed;
use crate::rotations::expired_leaf;

const SERVING: [&str; 4] = ["secret", "-n", NAMESPACE, "haulout-serving"];
const SIGNING_CA: [&str; 4] = ["secret", "-n", NAMESPACE, "haulout-signing-ca"];
const AGENTS_TLS: [&str; 4] = ["secret", "-n", AGENT_NAMESPACE, "haulout-agent-tls"];
const API_SERVICE: [&str; 2] = ["apiservice", "v1alpha1.login.concierge.pinniped.dev"];

/// A CA of Haulout and its leaf.
struct Chain {
    /// The CA's Secret.
    ca: [&'static str; 4],
    /// That of the leaf.
    leaf: [&'static str; 4],
    /// Whom the leaf is for.
    name: &'static str,
    /// How long a new CA is announced before its first leaf.
    announced_for: Duration,
}

const CHAINS: [Chain; 2] = [
    Chain {
        ca: SERVING,
        leaf: SERVING,
        name: "haulout-api.haulout-system.svc",
        announced_for: Duration::from_secs(60),
    },
    Chain {
        ca: SIGNING_CA,
        leaf: AGENTS_TLS,
        name: "haulout-agent.haulout-agent.svc",
        announced_for: Duration::from_secs(120),
    },
];
/// A CA is replaced 21 days before its end, three lives of a leaf.
const NEAR_ITS_END: &str = "20";
/// More than the minute and a half within which the kubelet brings a changed Secret.
const KUBELET_LIMIT: Duration = Duration::from_secs(120);
/// More than the 30 s after which the leader reads the agents' Secret again: it has no right to watch it.
const LEADER_LIMIT: Duration = Duration::from_secs(90);
/// More than the grace that a pod is given to end.
const END_LIMIT: Duration = Duration::from_secs(90);

pub(super) async fn renewed(trial: &mut Trial) {
    trial
        .lasting(
            "serving leaf renewed",
            Demand::NotNoticed,
            async |installed| {
                installed.renew_leaf(&SERVING).await;
            },
        )
        .await;
    trial
        .lasting(
            "agents' leaf renewed",
            Demand::NotNoticed,
            async |installed| {
                installed.renew_leaf(&AGENTS_TLS).await;
            },
        )
        .await;
}

pub(super) async fn replaced_by_the_cluster(trial: &mut Trial) {
    trial
        .ending(
            "front proxy's CA replaced",
            Demand::NoneLost,
            async |installed| {
                installed.cluster.pki().replace_front_proxy().unwrap();
                installed
                    .cluster
                    .restart(Component::ApiServer)
                    .await
                    .unwrap();
                // It publishes the CA only now, and looks at an API that refused it again after five seconds.
                let available = ["wait", "--for=condition=Available", "--timeout=55s"];
                installed.run(&available, &API_SERVICE).await;
            },
        )
        .await;
}

pub(super) async fn replaced_in_time(trial: &mut Trial) {
    let fault = "serving CA and agents' CA replaced in time";
    trial
        .lasting(fault, Demand::NotNoticed, async |installed| {
            let begun = Instant::now();
            let mut old = Vec::new();
            for Chain { ca, leaf, .. } in &CHAINS {
                old.push(installed.secret(leaf, "tls.crt").await);
                installed.bring_near_its_end(ca).await;
            }
            for (chain, old) in CHAINS.iter().zip(old) {
                let leaf = async || installed.secret(&chain.leaf, "tls.crt").await;
                let almost = chain.announced_for - Duration::from_secs(5);
                tokio::time::sleep(almost.saturating_sub(begun.elapsed())).await;
                assert!(leaf().await == old, "a leaf of a CA that not all know yet");
                until("a leaf of the new CA", LEADER_LIMIT, async || {
                    leaf().await != old
                })
                .await;
            }
            installed.have_agents_secret_mounted().await;
            // Every connection is a new one from here on, and of new certificates at both ends.
            installed.roll_out(&WEBHOOK).await;
        })
        .await;
}

pub(super) async fn found_expired(trial: &mut Trial) {
    let installed = &trial.installed;
    installed.run(&["scale", "--replicas=0"], &WEBHOOK).await;
    until("no webhook", END_LIMIT, async || {
        installed.pods(NAMESPACE).await.is_empty()
    })
    .await;
    let mut expired = Vec::new();
    for Chain { ca, leaf, name, .. } in &CHAINS {
        let authority = installed.secret(ca, "ca.crt").await;
        let key = installed.secret(ca, "ca.key").await;
        let data = expired_leaf(&authority, &key, name);
        installed.merge(leaf, &data).await;
        expired.push(data["tls.crt"].clone());
    }
    // They begin with what they find.
    let agents = ["delete", "pods", "--all", "-n", AGENT_NAMESPACE];
    installed.run(&agents, &[]).await;
    installed.wait_for_agents(2).await;
    trial
        .ending(
            "leaves expired at the start",
            Demand::NoneLost,
            async |installed| {
                installed.run(&["scale", "--replicas=2"], &WEBHOOK).await;
                installed.wait_for_rollouts().await;
                for (Chain { leaf, .. }, expired) in CHAINS.iter().zip(&expired) {
                    until(
                        "a leaf instead of the expired one",
                        LEADER_LIMIT,
                        async || installed.secret(leaf, "tls.crt").await != *expired,
                    )
                    .await;
                }
                let target = installed.target();
                wait_for("a login", KUBELET_LIMIT, &mut [], async || {
                    target.log_in().await.map_err(anyhow::Error::msg)
                })
                .await
                .unwrap();
            },
        )
        .await;
}

/// Looks again and again until `done`.
async fn until(what: &str, limit: Duration, mut done: impl AsyncFnMut() -> bool) {
    wait_for(what, limit, &mut [], async || {
        ensure!(done().await, "it is as before");
        Ok(())
    })
    .await
    .unwrap();
}

impl Installed {
    /// Without a leaf in the Secret the leader signs another by the same CA, as it does when one grows old.
    async fn renew_leaf(&self, secret: &[&str]) {
        let seen = self.secret(secret, "tls.crt").await;
        let patch = r#"--patch=[{"op":"remove","path":"/data/tls.crt"}]"#;
        self.run(&["patch", "--type=json", patch], secret).await;
        until("a new leaf", LEADER_LIMIT, async || {
            let leaf = self.secret(secret, "tls.crt").await;
            !leaf.is_empty() && leaf != seen
        })
        .await;
    }

    /// Signs a CA anew, so that it ends soon, and waits until the leader has made another. It keeps key and name: all
    /// that it has issued is as good as before.
    async fn bring_near_its_end(&self, secret: &[&str]) {
        let key = self.secret(secret, "ca.key").await;
        let files = [
            ("ca.crt", &self.secret(secret, "ca.crt").await),
            ("ca.key", &key),
        ];
        let [certificate, key_file] = files.map(|(name, data)| {
            let path = self.cluster.folder().join(format!("near-its-end-{name}"));
            std::fs::write(&path, STANDARD.decode(data).unwrap()).unwrap();
            path
        });
        let output = Command::new("openssl")
            .args(["x509", "-days", NEAR_ITS_END, "-in"])
            .arg(certificate)
            .arg("-signkey")
            .arg(key_file)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let data = json!({ "ca.crt": STANDARD.encode(output.stdout) });
        self.merge(secret, &data).await;
        until("another CA", LEADER_LIMIT, async || {
            self.secret(secret, "ca.key").await != key
        })
        .await;
    }

    /// Has the kubelets look at the agents' Secret now, not within a minute and a half, and waits until agents have read it.
    async fn have_agents_secret_mounted(&self) {
        let leaf = self.secret(&AGENTS_TLS, "tls.crt").await;
        let leaf = STANDARD.decode(leaf).unwrap();
        let annotate = ["annotate", "pods", "--all", "-n", AGENT_NAMESPACE];
        self.run(&annotate, &["tests/changed=true"]).await;
        for pod in self.pods(AGENT_NAMESPACE).await {
            let uid = pod["metadata"]["uid"].as_str().unwrap();
            let volume = "volumes/kubernetes.io~secret/tls/tls.crt";
            let mounted = format!("var/lib/kubelet/pods/{uid}/{volume}");
            let mounted = self.node_of(&pod).root().join(mounted);
            until("the new leaf at an agent", KUBELET_LIMIT, async || {
                std::fs::read(&mounted).is_ok_and(|mounted| mounted == leaf)
            })
            .await;
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
    }

    /// What a Secret holds under this key, base64; empty where it holds nothing.
    async fn secret(&self, secret: &[&str], key: &str) -> String {
        let text = self.run(&["get", "-o", "json"], secret).await;
        let secret: Value = serde_json::from_str(&text).unwrap();
        secret["data"][key].as_str().unwrap_or_default().to_owned()
    }

    /// Changes some of a Secret's data.
    async fn merge(&self, secret: &[&str], data: &Value) {
        let patch = format!("--patch={}", json!({ "data": data }));
        self.run(&["patch", "--type=merge", &patch], secret).await;
    }
}

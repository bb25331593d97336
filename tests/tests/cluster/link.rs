//! Agents found by their Service, and certificates between them and the webhook that nobody has to bring.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use haulout_tests::cluster::{Profile, StackOptions};
use haulout_tests::logins;
use serde_json::{Value, json};

use crate::running::{Running, until};

const CA_SECRET: [&str; 4] = ["secret", "-n", "haulout-system", "haulout-signing-ca"];
const AGENTS_SECRET: [&str; 4] = ["secret", "-n", "haulout-agent", "haulout-agent-tls"];

fn linked() -> StackOptions {
    StackOptions {
        linked: true,
        ..StackOptions::unlimited()
    }
}

impl Running {
    async fn secret(&self, which: [&str; 4]) -> Value {
        let get: Vec<&str> = ["get"].into_iter().chain(which).collect();
        self.cluster.kubectl().json(&get).await.unwrap()
    }

    async fn patch_secret(&self, which: [&str; 4], patch: &str) {
        let how = ["--type", "json", "-p", patch];
        let arguments = ["patch"].into_iter().chain(which).chain(how);
        self.cluster.kubectl().run(arguments).await.unwrap();
    }

    /// How many agents the webhook is connected to.
    async fn until_connected(&self, agents: usize) {
        let port = self.stack.addresses().webhook_metrics;
        let line = format!("\nhaulout_agents{{state=\"connected\"}} {agents}\n");
        until(&format!("{agents} agents connected"), async || {
            self.plain(port, "/metrics").await.1.contains(&line)
        })
        .await;
    }

    async fn logs_in(&self, token: &str) -> bool {
        let (_, _, answer) = self.post(&logins::body(token)).await;
        answer["status"]["credential"].is_object()
    }
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_agents_are_found_by_their_service_and_the_dead_are_skipped() {
    let mut running = Running::start(Profile::Talos, &linked()).await;
    let token = running.long_lived_token().await;
    running.log_in_ten_times(&token, "by a Service").await;
    let first = running.stack.addresses().agent;
    let second = running
        .stack
        .start_agent(&running.cluster, "haulout-agent-1")
        .unwrap();
    let ports = [first, second.addresses.agent];
    running.stack.set_agent_endpoints(&ports).await.unwrap();
    running.until_connected(2).await;

    running.stack.agent().kill();
    let killed = Instant::now();
    while killed.elapsed() < Duration::from_secs(3) {
        // Its endpoint stands there still.
        let at = killed.elapsed();
        let is_good = running.logs_in(&token).await || running.logs_in(&token).await;
        assert!(
            is_good,
            "both tries failed, {at:?} after one of two agents was killed"
        );
        if at > Duration::from_secs(1) {
            running.log_in(&token, "a second after the kill").await;
        }
    }

    let mut second = second;
    second.process.kill();
    assert!(!running.logs_in(&token).await, "nobody is there");
    let (status, checks) = running
        .plain(running.stack.addresses().webhook_metrics, "/readyz?verbose")
        .await;
    assert_eq!(status, 200, "{checks}");
    assert!(
        checks.contains("[+]agents degraded, does not count: 0 of 2"),
        "{checks}"
    );

    let third = running
        .stack
        .start_agent(&running.cluster, "haulout-agent-2")
        .unwrap();
    let port = third.addresses.agent;
    running.stack.set_agent_endpoints(&[port]).await.unwrap();
    let back = Instant::now();
    until("a login by an agent elsewhere", async || {
        running.logs_in(&token).await
    })
    .await;
    assert!(
        back.elapsed() < Duration::from_secs(5),
        "{:?}",
        back.elapsed()
    );
    running.log_in_ten_times(&token, "by the third agent").await;
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_certificates_of_the_link_are_kept_good_without_a_failed_login() {
    // A P-256 CA: an RSA signature on a busy machine may wait longer than the agent lets it.
    let mut running = Running::start(Profile::Talos, &linked()).await;
    let token = running.long_lived_token().await;
    let keys = |secret: &Value| -> BTreeSet<String> {
        secret["data"]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect()
    };
    let (ca, agents) = (
        running.secret(CA_SECRET).await,
        running.secret(AGENTS_SECRET).await,
    );
    assert!(keys(&ca).iter().eq(["ca.crt", "ca.key"]));
    assert!(keys(&agents).iter().eq(["ca.crt", "tls.crt", "tls.key"]));
    let labels =
        json!({"app.kubernetes.io/name": "haulout", "app.kubernetes.io/component": "webhook"});
    assert_eq!(ca["metadata"]["labels"], labels);

    // The administrator's way to a new CA. The kubelet is late.
    let without_key = r#"[{"op":"remove","path":"/data/ca.key"}]"#;
    running.patch_secret(CA_SECRET, without_key).await;
    let begun = Instant::now();
    let (mut mounts, mut good) = (vec![Duration::from_secs(60), Duration::from_secs(150)], 0);
    while begun.elapsed() < Duration::from_secs(160) {
        running
            .log_in(
                &token,
                &format!("{:?} after the loss of the key", begun.elapsed()),
            )
            .await;
        good += 1;
        if mounts.first().is_some_and(|at| begun.elapsed() > *at) {
            mounts.remove(0);
            running.stack.mount_agent_secret().await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(good > 500, "{good}");
    let (new_ca, new_agents) = (
        running.secret(CA_SECRET).await,
        running.secret(AGENTS_SECRET).await,
    );
    assert_ne!(new_ca["data"]["ca.key"], ca["data"]["ca.key"]);
    assert_eq!(new_agents["data"]["ca.crt"], new_ca["data"]["ca.crt"]);
    assert_ne!(new_agents["data"]["tls.crt"], agents["data"]["tls.crt"]);

    // Who starts now has a certificate of the new CA alone.
    running.stack.webhook().kill();
    running.stack.webhook().restart().unwrap();
    running.stack.wait_until_available().await.unwrap();
    running.log_in_ten_times(&token, "by the new CA").await;

    let broken = r#"[{"op":"replace","path":"/data/tls.crt","value":"anVuaw=="}]"#;
    running.patch_secret(AGENTS_SECRET, broken).await;
    // It is read every 30 s.
    tokio::time::sleep(Duration::from_secs(15)).await;
    until("a leaf instead of junk", async || {
        running.secret(AGENTS_SECRET).await["data"]["tls.crt"] != "anVuaw=="
    })
    .await;
    running.stack.mount_agent_secret().await.unwrap();
    running.log_in_ten_times(&token, "after a repair").await;
}

//! Rotations and crashes while people log in.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use haulout_tests::cluster::{AUDIENCE, Component, Profile, StackOptions};
use haulout_tests::load::{self, Connection, Plan};
use haulout_tests::logins::{self, Answer, Door};
use serde_json::json;

use crate::login::Running;

const TRIES: u32 = 600;
const PAUSE: Duration = Duration::from_millis(50);

impl Running {
    async fn leaf(&self) -> String {
        let secret = self
            .cluster
            .kubectl()
            .json(&["get", "secret", "-n", "haulout-system", "haulout-serving"])
            .await
            .unwrap();
        secret["data"]["tls.crt"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// Logs in over and over on fresh connections, as long as `go_on`, and gives how often it went well and what failed.
    async fn log_in_while(&self, token: &str, go_on: &AtomicBool) -> (usize, Vec<String>) {
        let body = Bytes::from(logins::body(token).to_string());
        let (mut good, mut failures) = (0, Vec::new());
        while go_on.load(Ordering::Relaxed) {
            let door = Door::of(&self.cluster, &self.stack).await.unwrap();
            let endpoint = door.endpoint().unwrap();
            let plan = Plan {
                requests: 20,
                streams: 2,
                rate: None,
            };
            match Connection::open(&endpoint).await {
                Ok(connection) => {
                    let body = body.clone();
                    let outcome = load::run(
                        &Arc::new(connection),
                        plan,
                        move |_| logins::request(&body),
                        |status, answer| Answer::Credential.judge(status, answer),
                    )
                    .await;
                    good += outcome.latencies.len();
                    failures.extend(outcome.failures);
                }
                Err(error) => failures.push(format!("{error:#}")),
            }
        }
        (good, failures)
    }
}

async fn long_lived_token(running: &Running) -> String {
    let now = haulout_operate::clock::Clock::system().now();
    let expires = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() + 600;
    let claims = json!({"username": "alice", "groups": ["devs"], "aud": AUDIENCE, "exp": expires});
    running.stack.token_with(&claims).await.unwrap()
}

async fn until<F: AsyncFnMut() -> bool>(what: &str, mut done: F) {
    for _ in 0..TRIES {
        if done().await {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
    panic!("{what}: not in time");
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_the_serving_leaf_rotates_without_a_failed_login() {
    let running = Running::start(Profile::Talos, &StackOptions::default()).await;
    let token = long_lived_token(&running).await;
    let before = running.leaf().await;
    let go_on = AtomicBool::new(true);
    let rotations = async {
        let mut seen = before.clone();
        for _ in 0..3 {
            // Without a leaf in the Secret the leader signs another by the same CA, as it does when one grows old.
            let patch = r#"[{"op":"remove","path":"/data/tls.crt"}]"#;
            let what = ["secret", "-n", "haulout-system", "haulout-serving"];
            let how = ["--type=json", "-p", patch];
            let arguments = ["patch"].into_iter().chain(what).chain(how);
            running.cluster.kubectl().run(arguments).await.unwrap();
            until("a new leaf", async || {
                let leaf = running.leaf().await;
                !leaf.is_empty() && leaf != seen
            })
            .await;
            seen = running.leaf().await;
        }
        // Logins with the newest leaf too.
        tokio::time::sleep(Duration::from_secs(1)).await;
        go_on.store(false, Ordering::Relaxed);
    };
    let ((good, failures), ()) = tokio::join!(running.log_in_while(&token, &go_on), rotations);
    assert!(
        failures.is_empty(),
        "{} of {good}: {:?}",
        failures.len(),
        failures.first()
    );
    assert!(good > 100, "{good}");
    running.kubectl(&token, &["auth", "whoami"]).await.unwrap();
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_a_deleted_serving_secret_comes_back() {
    let mut running = Running::start(Profile::Kubeadm, &StackOptions::default()).await;
    let before = running.leaf().await;
    let kubectl = running.cluster.kubectl().clone();
    kubectl
        .run([
            "delete",
            "secret",
            "-n",
            "haulout-system",
            "haulout-serving",
        ])
        .await
        .unwrap();
    until("a new Secret", async || {
        let get = [
            "get",
            "secret",
            "-n",
            "haulout-system",
            "haulout-serving",
            "--ignore-not-found",
            "-o",
            "name",
        ];
        !kubectl.run(get).await.unwrap().is_empty() && running.leaf().await != before
    })
    .await;
    running.stack.wait_until_available().await.unwrap();
    // A caBundle that somebody emptied is filled again.
    let name = "apiservice/v1alpha1.login.concierge.pinniped.dev";
    let patch = r#"{"spec":{"caBundle":null}}"#;
    kubectl
        .run(["patch", name, "--type=merge", "-p", patch])
        .await
        .unwrap();
    until("the caBundle", async || {
        let bundle = kubectl
            .run(["get", name, "-o", "jsonpath={.spec.caBundle}"])
            .await
            .unwrap();
        !bundle.is_empty()
    })
    .await;
    let token = long_lived_token(&running).await;
    until("a login", async || {
        running.kubectl(&token, &["auth", "whoami"]).await.is_ok()
    })
    .await;
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_the_front_proxy_ca_is_swapped() {
    let mut running = Running::start(Profile::Kubeadm, &StackOptions::default()).await;
    let token = long_lived_token(&running).await;
    let old = Door::of(&running.cluster, &running.stack).await.unwrap();
    let old = old.endpoint().unwrap();
    let connection = Arc::new(Connection::open(&old).await.unwrap());
    let body = Bytes::from(logins::body(&token).to_string());
    let (status, _) = connection.send(logins::request(&body)).await.unwrap();
    assert_eq!(status, 201);

    running.cluster.pki().replace_front_proxy().unwrap();
    running.cluster.restart(Component::ApiServer).await.unwrap();
    // The API server publishes the new CA beside its own; the next login through it must work again.
    until("a login", async || {
        running.kubectl(&token, &["auth", "whoami"]).await.is_ok()
    })
    .await;

    // kube-apiserver adds to what it has published before; an administrator who distrusts the old CA removes all of it.
    let forget = [
        "delete",
        "configmap",
        "-n",
        "kube-system",
        "extension-apiserver-authentication",
    ];
    running.cluster.kubectl().run(forget).await.unwrap();

    // What the old certificate says counts no more, on the connection that was open before: its peer is anonymous now,
    // whoever its headers name, and anonymous may create but not list.
    until("the old front proxy is nobody", async || {
        let mut list = logins::request(&Bytes::new());
        *list.method_mut() = http::Method::GET;
        list.headers_mut().insert(
            "x-remote-user",
            http::HeaderValue::from_static("kubernetes-admin"),
        );
        list.headers_mut().insert(
            "x-remote-group",
            http::HeaderValue::from_static("system:masters"),
        );
        let (status, _) = connection.send(list).await.unwrap();
        status == 403 || status == 401
    })
    .await;
    until("a login by the new front proxy", async || {
        running.kubectl(&token, &["auth", "whoami"]).await.is_ok()
    })
    .await;
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_agent_and_webhook_come_back_after_a_kill() {
    let mut running = Running::start(Profile::Talos, &StackOptions::default()).await;
    let token = long_lived_token(&running).await;
    running.kubectl(&token, &["auth", "whoami"]).await.unwrap();

    running.stack.agent().kill();
    let (status, _, answer) = running.post(&logins::body(&token)).await;
    assert_eq!(
        (status, &answer["status"]),
        (201, &json!({"message": "authentication failed"}))
    );
    running.stack.agent().restart().unwrap();
    until("a login after the agent's restart", async || {
        let (_, _, answer) = running.post(&logins::body(&token)).await;
        answer["status"]["credential"].is_object()
    })
    .await;

    running.stack.webhook().kill();
    running.stack.webhook().restart().unwrap();
    running.stack.wait_until_available().await.unwrap();
    until("a login after the webhook's restart", async || {
        running.kubectl(&token, &["auth", "whoami"]).await.is_ok()
    })
    .await;

    running.cluster.restart(Component::ApiServer).await.unwrap();
    until("a login after the API server's restart", async || {
        running.kubectl(&token, &["auth", "whoami"]).await.is_ok()
    })
    .await;
}

//! Rotations while people log in.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use haulout_operate::clock::Clock;
use haulout_pki::authority::SigningAuthority;
use haulout_pki::profile::Validity;
use haulout_pki::secret_key::KeyPair;
use haulout_tests::cluster::{Component, Profile, StackOptions};
use haulout_tests::load::{self, Connection, Plan};
use haulout_tests::logins::{self, Answer, Door};
use http::StatusCode;
use serde_json::{Value, json};

use crate::running::{Running, until};

const SERVING_SECRET: [&str; 4] = ["secret", "-n", "haulout-system", "haulout-serving"];
const API_SERVICES: [&str; 2] = [
    "apiservice/v1alpha1.identity.concierge.pinniped.dev",
    "apiservice/v1alpha1.login.concierge.pinniped.dev",
];

impl Running {
    /// What the Secret of the serving certificate holds under this key, base64; empty where it holds nothing.
    async fn serving(&self, key: &str) -> String {
        let get = ["get", "--ignore-not-found", "-o", "json"];
        let arguments = get.into_iter().chain(SERVING_SECRET);
        let text = self.cluster.kubectl().run(arguments).await.unwrap();
        let secret: Value = serde_json::from_str(&text).unwrap_or_default();
        secret["data"][key].as_str().unwrap_or_default().to_owned()
    }

    /// Changes that Secret.
    async fn patch_serving(&self, kind: &str, patch: &str) {
        let how = ["--type", kind, "-p", patch];
        let arguments = ["patch"].into_iter().chain(SERVING_SECRET).chain(how);
        self.cluster.kubectl().run(arguments).await.unwrap();
    }

    /// What the API server is told to trust, base64, for each of our APIServices.
    async fn ca_bundles(&self) -> Vec<String> {
        let mut bundles = Vec::new();
        for name in API_SERVICES {
            let bundle = ["get", name, "-o", "jsonpath={.spec.caBundle}"];
            bundles.push(self.cluster.kubectl().run(bundle).await.unwrap());
        }
        bundles
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

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_the_serving_leaf_rotates_without_a_failed_login() {
    let running = Running::start(Profile::Talos, &StackOptions::unlimited()).await;
    let token = running.long_lived_token().await;
    let go_on = AtomicBool::new(true);
    let rotations = async {
        let mut seen = running.serving("tls.crt").await;
        for _ in 0..3 {
            // Without a leaf in the Secret the leader signs another by the same CA, as it does when one grows old.
            let without_leaf = r#"[{"op":"remove","path":"/data/tls.crt"}]"#;
            running.patch_serving("json", without_leaf).await;
            until("a new leaf", async || {
                let leaf = running.serving("tls.crt").await;
                !leaf.is_empty() && leaf != seen
            })
            .await;
            seen = running.serving("tls.crt").await;
        }
        running.log_in_ten_times(&token, "after rotations").await;
        go_on.store(false, Ordering::Relaxed);
    };
    let through_the_api_server = async {
        let mut good = 0;
        while go_on.load(Ordering::Relaxed) {
            running.log_in(&token, "while the leaf rotates").await;
            good += 1;
        }
        good
    };
    let ((good, failures), good_through_the_api_server, ()) = tokio::join!(
        running.log_in_while(&token, &go_on),
        through_the_api_server,
        rotations
    );
    assert!(
        failures.is_empty(),
        "{} of {good}: {:?}",
        failures.len(),
        failures.first()
    );
    assert!(good > 100, "{good}");
    assert!(
        good_through_the_api_server > 10,
        "{good_through_the_api_server}"
    );
    running.kubectl(&token, &["auth", "whoami"]).await.unwrap();
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_a_lost_or_expired_serving_certificate_is_replaced() {
    let mut running = Running::start(Profile::Kubeadm, &StackOptions::default()).await;
    let token = running.long_lived_token().await;
    a_deleted_secret_comes_back(&mut running, &token).await;
    a_wiped_bundle_is_filled(&running).await;
    running.log_in_ten_times(&token, "after a wiped one").await;
    an_expired_leaf_is_replaced(&running).await;
    running
        .log_in_ten_times(&token, "after an expired one")
        .await;
}

async fn a_deleted_secret_comes_back(running: &mut Running, token: &str) {
    let (old_ca, old_leaf) = (
        running.serving("ca.crt").await,
        running.serving("tls.crt").await,
    );
    let body = logins::body(token);
    let go_on = AtomicBool::new(true);
    // With its key the CA is lost too, so that the API server must be told of another before it can trust us again.
    let meanwhile = async {
        while go_on.load(Ordering::Relaxed) {
            let (status, _, answer) = running.post(&body).await;
            let is_good = status == 201 && answer["status"]["credential"].is_object();
            assert!(is_good || status == 503, "{status}: {answer}");
        }
    };
    let replacement = async {
        let delete = ["delete"].into_iter().chain(SERVING_SECRET);
        running.cluster.kubectl().run(delete).await.unwrap();
        until("a new CA", async || {
            let ca = running.serving("ca.crt").await;
            !ca.is_empty() && ca != old_ca
        })
        .await;
        let ca = running.serving("ca.crt").await;
        until("the new CA in both APIServices", async || {
            running.ca_bundles().await == [ca.as_str(); 2]
        })
        .await;
        go_on.store(false, Ordering::Relaxed);
    };
    tokio::join!(meanwhile, replacement);
    assert_ne!(running.serving("tls.crt").await, old_leaf);
    running.stack.wait_until_available().await.unwrap();
    running.log_in_ten_times(token, "after a deleted one").await;

    let secret: Vec<&str> = ["get"].into_iter().chain(SERVING_SECRET).collect();
    let secret = running.cluster.kubectl().json(&secret).await.unwrap();
    assert_eq!(
        secret["metadata"]["labels"],
        json!({"app.kubernetes.io/name": "haulout", "app.kubernetes.io/component": "webhook"})
    );
}

async fn a_wiped_bundle_is_filled(running: &Running) {
    let ca = running.serving("ca.crt").await;
    for name in API_SERVICES {
        let wipe = r#"{"spec":{"caBundle":null}}"#;
        let patch = ["patch", name, "--type=merge", "-p", wipe];
        running.cluster.kubectl().run(patch).await.unwrap();
        until(&format!("caBundle of {name}"), async || {
            running.ca_bundles().await == [ca.as_str(); 2]
        })
        .await;
    }
}

/// A leaf of the right CA that ended an hour ago, as after a restore from an old backup.
async fn an_expired_leaf_is_replaced(running: &Running) {
    let (ca, ca_key) = (
        running.serving("ca.crt").await,
        running.serving("ca.key").await,
    );
    let data = expired_leaf(&ca, &ca_key, "haulout-api.haulout-system.svc");
    let leaf = data["tls.crt"].clone();
    let patch = json!({ "data": data });
    running.patch_serving("merge", &patch.to_string()).await;
    until("a leaf instead of the expired one", async || {
        let now_there = running.serving("tls.crt").await;
        !now_there.is_empty() && leaf != now_there
    })
    .await;
    assert_eq!(running.serving("ca.crt").await, ca, "the CA was good");
    // Which a client verifies, its dates included.
    let door = Door::of(&running.cluster, &running.stack).await.unwrap();
    let endpoint = door.endpoint().unwrap();
    Connection::open(&endpoint).await.unwrap();
}

/// Data of a Secret with a leaf that ended an hour ago, for this name. All of it is base64, the CA that signs it too.
pub(crate) fn expired_leaf(ca: &str, ca_key: &str, name: &str) -> Value {
    let pem = |base64: &str| STANDARD.decode(base64).unwrap();
    let now = Clock::system().now();
    let authority = SigningAuthority::from_pem(&pem(ca), &pem(ca_key), now).unwrap();
    let key = KeyPair::generate_p256().unwrap();
    let hour = Duration::from_secs(3600);
    let validity = Validity {
        not_before: now - 2 * hour,
        not_after: now - hour,
    };
    let leaf = authority
        .issue_serving_certificate(&[name.to_owned()], &[], &key.spki_der(), validity)
        .unwrap();
    json!({
        "tls.crt": STANDARD.encode(leaf.pem),
        "tls.key": STANDARD.encode(key.pkcs8_pem().as_bytes()),
    })
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_the_front_proxy_ca_is_swapped() {
    let mut running = Running::start(Profile::Kubeadm, &StackOptions::default()).await;
    let token = running.long_lived_token().await;
    let old = Door::of(&running.cluster, &running.stack).await.unwrap();
    let old = old.endpoint().unwrap();
    let connection = Connection::open(&old).await.unwrap();
    let list_as_admin = async || {
        let mut list = logins::request(&Bytes::new());
        *list.method_mut() = http::Method::GET;
        for (name, value) in [
            ("x-remote-user", "kubernetes-admin"),
            ("x-remote-group", "system:masters"),
        ] {
            let value = http::HeaderValue::from_static(value);
            list.headers_mut().insert(name, value);
        }
        connection.send(list).await.map(|(status, _)| status)
    };
    assert_eq!(list_as_admin().await.unwrap(), 200);

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

    // The old certificate counts no more, on the connection that was open before: who shows one that is not the front
    // proxy's is refused, whoever the headers name.
    let mut then = None;
    until("the old front proxy is not believed", async || {
        let answer = list_as_admin().await;
        then = (!matches!(answer, Ok(StatusCode::OK))).then_some(answer);
        then.is_some()
    })
    .await;
    // Or the connection is closed already, as that of a peer that is not trusted any more.
    if let Some(Ok(status)) = then {
        assert_eq!(status, 401);
    }
    until("a login by the new front proxy", async || {
        running.kubectl(&token, &["auth", "whoami"]).await.is_ok()
    })
    .await;
}

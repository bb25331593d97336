//! The webhook's rights: no more than `manifests/rbac` lists, what happens without one, and that the chart's policy on its
//! writes leaves it what it needs.

use std::collections::BTreeSet;

use haulout_tests::cluster::{Profile, StackOptions, workspace_root};
use haulout_tests::logins;
use serde_json::{Value, json};

use crate::running::{Running, until};

const WEBHOOK: &str = "system:serviceaccount:haulout-system:haulout-webhook";
const READER: &str = "haulout-extension-apiserver-authentication-reader";

/// API group, resource, name or nothing for any, verb.
type Right = [String; 4];

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_the_webhook_has_the_listed_rights_and_survives_without_one() {
    let mut running = Running::start(Profile::Kubeadm, &StackOptions::default()).await;
    for namespace in [
        "haulout-system",
        "haulout-agent",
        "kube-system",
        "kube-public",
        "default",
    ] {
        rights_are_those_of_the_manifests(&running, namespace).await;
    }
    a_missing_binding_is_told_and_healed(&mut running).await;
}

fn manifest() -> String {
    std::fs::read_to_string(workspace_root().join("manifests/rbac/webhook.yaml")).unwrap()
}

async fn rights_are_those_of_the_manifests(running: &Running, namespace: &str) {
    // What every ServiceAccount may: its like without a binding shows it.
    let baseline = running.rights("system:serviceaccount:haulout-system:default", namespace);
    let mut expected = baseline.await;
    expected.extend(listed(running, namespace).await);
    let actual = running.rights(WEBHOOK, namespace).await;
    let surplus: Vec<_> = actual.difference(&expected).collect();
    let missing: Vec<_> = expected.difference(&actual).collect();
    assert!(
        surplus.is_empty() && missing.is_empty(),
        "{namespace}: surplus {surplus:?}, missing {missing:?}"
    );
}

impl Running {
    /// What `kubectl auth can-i --list` shows for this user, but whole: it asks with the same review.
    async fn rights(&self, user: &str, namespace: &str) -> BTreeSet<Right> {
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview",
            "spec": {"namespace": namespace},
        });
        let as_user = format!("--as={user}");
        let create = [
            "create",
            "--validate=false",
            &as_user,
            "-o",
            "json",
            "-f",
            "-",
        ];
        let kubectl = self.cluster.kubectl();
        let output = kubectl.output_of(&create, &review.to_string()).await;
        let output = output.unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        let answer: Value = serde_json::from_slice(&output.stdout).expect(&errors);
        rights_of(&answer["status"]["resourceRules"])
    }
}

/// The rights that the generated file gives the webhook in a namespace.
async fn listed(running: &Running, namespace: &str) -> BTreeSet<Right> {
    let objects: Vec<Value> = serde_saphyr::from_multiple(&manifest()).unwrap();
    let is_ours = |subject: &Value| {
        subject["kind"] == "ServiceAccount"
            && subject["name"] == "haulout-webhook"
            && subject["namespace"] == "haulout-system"
    };
    let mut rights = BTreeSet::new();
    for binding in &objects {
        let mut subjects = binding["subjects"].as_array().into_iter().flatten();
        let role = &binding["roleRef"];
        let place = &binding["metadata"]["namespace"];
        if !subjects.any(is_ours) || !(place.is_null() || place == namespace) {
            continue;
        }
        let found = objects.iter().find(|object| {
            object["kind"] == role["kind"]
                && object["metadata"]["name"] == role["name"]
                && object["metadata"]["namespace"] == *place
        });
        if let Some(found) = found {
            rights.extend(rights_of(&found["rules"]));
            continue;
        }
        // One that Kubernetes ships.
        let name = role["name"].as_str().unwrap();
        let shipped = ["get", "role", name, "-n", namespace];
        let shipped = running.cluster.kubectl().json(&shipped).await.unwrap();
        rights.extend(rights_of(&shipped["rules"]));
    }
    assert!(!rights.is_empty(), "{namespace}: nothing is listed");
    rights
}

fn rights_of(rules: &Value) -> BTreeSet<Right> {
    let list = |rule: &Value, key: &str| -> Vec<String> {
        let values = rule[key].as_array().into_iter().flatten();
        values
            .filter_map(|value| value.as_str().map(str::to_owned))
            .collect()
    };
    let mut rights = BTreeSet::new();
    for rule in rules.as_array().unwrap() {
        let mut names = list(rule, "resourceNames");
        if names.is_empty() {
            names.push(String::new());
        }
        for group in list(rule, "apiGroups") {
            for resource in list(rule, "resources") {
                for name in &names {
                    for verb in list(rule, "verbs") {
                        rights.insert([group.clone(), resource.clone(), name.clone(), verb]);
                    }
                }
            }
        }
    }
    rights
}

/// Without the right to read who the front proxy is, or whose tokens to accept, the webhook says so once, stays up, and
/// goes on when it has the right.
async fn a_missing_binding_is_told_and_healed(running: &mut Running) {
    let kubectl = running.cluster.kubectl().clone();
    let token = running.long_lived_token().await;
    let port = running.stack.addresses().webhook_metrics;
    for binding in [
        &["rolebinding", "-n", "kube-system", READER][..],
        &["clusterrolebinding", "haulout-webhook"],
    ] {
        kubectl.run([&["delete"], binding].concat()).await.unwrap();
    }
    // A watch that began with the right would go on without it.
    until("the rights are gone", async || {
        let rights = running.rights(WEBHOOK, "kube-system").await;
        let of = |right: &Right| ["configmaps", "jwtauthenticators"].contains(&right[1].as_str());
        !rights.iter().any(of)
    })
    .await;
    let before = running.webhook_log().lines().count();
    running.stack.webhook().restart().unwrap();

    let mut shown = String::new();
    until("a failed readyz that names the right", async || {
        let (status, text) = running.plain(port, "/readyz").await;
        shown = text;
        let line = shown
            .lines()
            .find(|line| line.starts_with("[-]front-proxy failed: "))
            .unwrap_or_default();
        status == 500 && line.contains("extension-apiserver-authentication-reader")
    })
    .await;
    let failures = r#"{controller="front-proxy-ca",result="failure"} "#;
    until("three attempts", async || {
        let (_, metrics) = running.plain(port, "/metrics").await;
        let counter = metrics.lines().find_map(|line| line.split_once(failures));
        counter.is_some_and(|(_, count)| count.parse::<u32>().unwrap() >= 3)
    })
    .await;
    assert_eq!(running.plain(port, "/livez").await.0, 200, "{shown}");
    assert!(running.stack.webhook().is_running());
    let log = running.webhook_log();
    for (right, parts) in [
        (
            "extension-apiserver-authentication",
            &[
                "bind the Role extension-apiserver-authentication-reader in kube-system",
                "is forbidden",
            ][..],
        ),
        (
            "jwtauthenticators",
            &["failed to watch JWTAuthenticators", "is forbidden"],
        ),
    ] {
        let lines = log.lines().skip(before);
        let told: Vec<&str> = lines.filter(|line| line.contains(right)).collect();
        assert_eq!(told.len(), 1, "{right}: {told:#?}");
        for part in [r#""level":"warn""#, WEBHOOK].iter().chain(parts) {
            assert!(told[0].contains(part), "{part}: {}", told[0]);
        }
    }

    kubectl.apply(&manifest()).await.unwrap();
    until("readiness", async || {
        running.plain(port, "/readyz").await.0 == 200
    })
    .await;
    running.stack.wait_until_available().await.unwrap();
    running
        .log_in_ten_times(&token, "with the right again")
        .await;
}

/// Everything that it may make is taken from it under the chart's policy on what it writes.
#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_the_webhook_makes_all_of_its_own_anew_under_the_policy_on_its_writes() {
    let options = StackOptions {
        linked: true,
        ..StackOptions::default()
    };
    let running = Running::start(Profile::Kubeadm, &options).await;
    let kubectl = running.cluster.kubectl();
    let token = running.long_lived_token().await;
    put_policy_in_force(&running).await;

    let own = [
        &["secret", "haulout-serving", "-n", "haulout-system"][..],
        &["secret", "haulout-signing-ca", "-n", "haulout-system"],
        &["lease", "haulout-webhook", "-n", "haulout-system"],
        &["credentialissuer", "haulout"],
    ];
    for object in own {
        kubectl.run([&["delete"], object].concat()).await.unwrap();
    }
    // As SECURITY.md has it done after a break-in.
    let of_agents = ["haulout-agent-tls", "-n", "haulout-agent"];
    for begin in [&["delete", "secret"][..], &["create", "secret", "generic"]] {
        kubectl.run([begin, &of_agents].concat()).await.unwrap();
    }
    for object in own {
        until(&format!("{object:?} is made anew"), async || {
            let get = [&["get"], object].concat();
            kubectl.run(get).await.is_ok()
        })
        .await;
    }
    until("the agents' Secret is filled", async || {
        let get = [&["get", "secret"], &of_agents[..]].concat();
        let secret = kubectl.json(&get).await;
        secret.unwrap()["data"].is_object()
    })
    .await;
    until("its status is written", async || {
        let issuer = kubectl.json(&["get", "credentialissuer", "haulout"]).await;
        issuer.unwrap()["status"]["strategies"].is_array()
    })
    .await;
    until("a login by the new CAs", async || {
        running.stack.mount_agent_secret().await.unwrap();
        let (_, _, answer) = running.post(&logins::body(&token)).await;
        answer["status"]["credential"].is_object()
    })
    .await;
}

async fn put_policy_in_force(running: &Running) {
    let file = workspace_root().join("manifests/install-kubeadm.yaml");
    let chart = std::fs::read_to_string(file).unwrap();
    let mut policy: Vec<Value> = serde_saphyr::from_multiple(&chart).unwrap();
    policy.retain(|object| object["metadata"]["name"] == "haulout-webhook-writes");
    assert_eq!(policy.len(), 2, "the policy and its binding");
    let kubectl = running.cluster.kubectl();
    for object in policy {
        kubectl.apply(&object.to_string()).await.unwrap();
    }
    let as_webhook = format!("--as={WEBHOOK}");
    let other = ["create", "secret", "generic", "other"];
    let how = ["-n", "haulout-system", "--dry-run=server", &as_webhook];
    until("the policy counts", async || {
        kubectl.run([other, how].concat()).await.is_err()
    })
    .await;
}

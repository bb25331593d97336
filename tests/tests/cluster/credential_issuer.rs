//! The CredentialIssuer: made, and its status true in every case that processes can bring about.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use haulout_tests::cluster::{Profile, StackOptions};
use haulout_tests::logins;
use serde_json::{Value, json};

use crate::running::{Running, until};

const NAME: &str = "haulout";
const CLUSTER_INFO: [&str; 4] = ["configmap", "-n", "kube-public", "cluster-info"];
/// Longer than the controller waits before it looks again.
const A_FEW_LOOKS: Duration = Duration::from_secs(12);
/// Pinniped's words for a cluster without a kube-controller-manager that can be seen.
const NO_CANDIDATES: &str = "could not find a healthy kube-controller-manager pod (0 candidates): note that this error is the \
                             expected behavior for some cluster types, including most cloud provider clusters (e.g. GKE, AKS, EKS)";

impl Running {
    /// The strategy for signing with the cluster's key, once it has this reason and its message holds this text.
    async fn strategy(&self, reason: &str, text: &str) -> Value {
        let mut last = Value::Null;
        let found = tokio::time::timeout(Duration::from_secs(60), async {
            loop {
                last = self.credential_issuer(NAME).await["status"]["strategies"].clone();
                let message = last[0]["message"].as_str().unwrap_or_default();
                if last[0]["reason"] == reason && message.contains(text) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        });
        found
            .await
            .unwrap_or_else(|_| panic!("{reason}, {text}: {last:#}"));
        let types: Vec<_> = last
            .as_array()
            .unwrap()
            .iter()
            .map(|one| &one["type"])
            .collect();
        assert_eq!(
            types,
            ["KubeClusterSigningCertificate", "ImpersonationProxy"]
        );
        assert_eq!(last[1]["reason"], "Disabled");
        let is_success = reason == "FetchedKey";
        assert_eq!(
            last[0]["status"],
            if is_success { "Success" } else { "Error" }
        );
        assert_eq!(last[0]["frontend"].is_object(), is_success, "{last:#}");
        last[0].clone()
    }

    async fn kubectl_as_admin<const N: usize>(&self, arguments: [&str; N]) -> String {
        self.cluster.kubectl().run(arguments).await.unwrap()
    }

    fn info(&self) -> Value {
        let ca = std::fs::read(self.cluster.ca_certificate()).unwrap();
        json!({"server": self.cluster.server(), "certificateAuthorityData": STANDARD.encode(ca)})
    }
}

fn fields(value: &Value) -> serde_json::Map<String, Value> {
    value.as_object().cloned().unwrap()
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_the_credential_issuer_of_kubeadm_tells_whether_people_can_log_in() {
    let mut running = Running::start(Profile::Kubeadm, &StackOptions::default()).await;
    let strategy = running.strategy("FetchedKey", "").await;
    assert_eq!(strategy["message"], "key was fetched successfully");
    assert_eq!(
        strategy["frontend"],
        json!({"type": "TokenCredentialRequestAPI", "tokenCredentialRequestInfo": running.info()})
    );
    it_is_labelled_and_owned(&running).await;
    nothing_is_written_without_need(&running).await;
    a_broken_cluster_info_is_told_and_healed(&running).await;
    it_is_made_again(&running).await;
    a_stopped_agent_is_told_and_healed(&mut running).await;
    rights_that_are_missing_keep_nobody_from_logging_in(&mut running).await;
    let port = running.stack.addresses().webhook_metrics;
    let (_, metrics) = running.plain(port, "/metrics").await;
    assert!(
        metrics.contains("haulout_canary_total{result=\"accepted\"}"),
        "{metrics}"
    );
}

async fn it_is_labelled_and_owned(running: &Running) {
    let issuer = running.credential_issuer(NAME).await;
    let login = "v1alpha1.login.concierge.pinniped.dev";
    let uid =
        running.kubectl_as_admin(["get", "apiservice", login, "-o", "jsonpath={.metadata.uid}"]);
    assert_eq!(
        issuer["metadata"]["ownerReferences"],
        json!([{"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "name": login, "uid": uid.await}])
    );
    assert_eq!(
        issuer["metadata"]["labels"],
        json!({"app.kubernetes.io/name": "haulout", "app.kubernetes.io/component": "webhook"})
    );
    assert_eq!(issuer["spec"]["impersonationProxy"]["mode"], "disabled");
    let table = running.kubectl_as_admin(["get", "credentialissuer"]).await;
    assert!(
        table.contains("disabled") && table.contains("KubeClusterSigningCertificate"),
        "{table}"
    );
}

/// Neither when nothing changes nor when somebody edits the specification, which is not configured.
async fn nothing_is_written_without_need(running: &Running) {
    let patch = r#"{"spec":{"impersonationProxy":{"mode":"auto"}}}"#;
    running
        .kubectl_as_admin([
            "patch",
            "credentialissuer",
            NAME,
            "--type=merge",
            "-p",
            patch,
        ])
        .await;
    let before = running.credential_issuer(NAME).await;
    tokio::time::sleep(A_FEW_LOOKS).await;
    assert_eq!(running.credential_issuer(NAME).await, before);
    assert_eq!(before["spec"]["impersonationProxy"]["mode"], "auto");
}

async fn a_broken_cluster_info_is_told_and_healed(running: &Running) {
    let get = ["get"]
        .into_iter()
        .chain(CLUSTER_INFO)
        .chain(["-o", "json"]);
    let good = running.cluster.kubectl().run(get).await.unwrap();
    let mut good: Value = serde_json::from_str(&good).unwrap();
    good["metadata"] = json!({"namespace": "kube-public", "name": "cluster-info"});
    let patch = [
        "--type=merge",
        "-p",
        r#"{"data":{"kubeconfig":"clusters: []"}}"#,
    ];
    let patch = ["patch"].into_iter().chain(CLUSTER_INFO).chain(patch);
    running.cluster.kubectl().run(patch).await.unwrap();
    let fault = "could not extract Kubernetes API endpoint info from kube-public/cluster-info configmap: \
                 kubeconfig in key \"kubeconfig\" does not contain any clusters";
    running.strategy("CouldNotGetClusterInfo", fault).await;
    // Which keeps nobody from logging in.
    let token = running.long_lived_token().await;
    running.log_in(&token, "with a broken cluster-info").await;
    running
        .cluster
        .kubectl()
        .apply(&good.to_string())
        .await
        .unwrap();
    running.strategy("FetchedKey", "").await;
}

async fn it_is_made_again(running: &Running) {
    let old = running.credential_issuer(NAME).await["metadata"]["uid"].clone();
    running
        .kubectl_as_admin(["delete", "credentialissuer", NAME])
        .await;
    let strategy = running.strategy("FetchedKey", "").await;
    assert_eq!(
        strategy["frontend"]["tokenCredentialRequestInfo"],
        running.info()
    );
    let issuer = running.credential_issuer(NAME).await;
    assert_ne!(issuer["metadata"]["uid"], old);
    assert_eq!(issuer["spec"]["impersonationProxy"]["mode"], "disabled");
}

async fn a_stopped_agent_is_told_and_healed(running: &mut Running) {
    running.stack.agent().kill();
    let address = format!("127.0.0.1:{}", running.stack.addresses().agent);
    running.strategy("CouldNotFetchKey", &address).await;
    // It is back, but cannot read its key.
    let key = running.stack.signing_pair().key.clone();
    std::fs::rename(&key, key.with_extension("away")).unwrap();
    running.stack.agent().restart().unwrap();
    running.strategy("CouldNotFetchKey", "KeyUnavailable").await;
    std::fs::rename(key.with_extension("away"), &key).unwrap();
    running.strategy("FetchedKey", "").await;
}

async fn rights_that_are_missing_keep_nobody_from_logging_in(running: &mut Running) {
    for namespace in ["kube-public", "kube-system", "haulout-agent"] {
        running
            .kubectl_as_admin(["delete", "rolebinding", "-n", namespace, "haulout-webhook"])
            .await;
    }
    running.stack.webhook().kill();
    running.stack.webhook().restart().unwrap();
    running.stack.wait_until_available().await.unwrap();
    let fault = "failed to get kube-public/cluster-info configmap: ";
    let strategy = running.strategy("FetchedKey", fault).await;
    assert_eq!(
        strategy["frontend"],
        json!({"type": "TokenCredentialRequestAPI"})
    );
    let token = running.long_lived_token().await;
    running
        .log_in(&token, "without rights to look at the cluster")
        .await;
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_the_credential_issuer_of_talos_judges_the_signing_key() {
    let running = Running::start(Profile::Talos, &StackOptions::default()).await;
    let strategy = running.strategy("FetchedKey", "advertise.server").await;
    assert_eq!(
        strategy["frontend"],
        json!({"type": "TokenCredentialRequestAPI"})
    );

    let ours = running.cluster.pki().signing_pair();
    let foreign = running.cluster.pki().foreign_authority().unwrap();
    running.stack.sign_with(&foreign).unwrap();
    // A login shows the webhook that another CA signs, so that it need not wait for its minute.
    let token = running.long_lived_token().await;
    until("another CA signs", async || {
        running.post(&logins::body(&token)).await;
        let strategies = &running.credential_issuer(NAME).await["status"]["strategies"];
        strategies[0]["reason"] == "ErrorDuringSetup"
    })
    .await;
    running
        .strategy("ErrorDuringSetup", "401 Unauthorized")
        .await;
    running.stack.sign_with(&ours).unwrap();
    running.strategy("FetchedKey", "").await;

    running
        .stack
        .sign_with(&running.cluster.pki().front_proxy_authority())
        .unwrap();
    until("no login succeeds", async || {
        let (_, _, answer) = running.post(&logins::body(&token)).await;
        answer["status"] == json!({"message": "authentication failed"})
    })
    .await;
    running.strategy("ErrorDuringSetup", "front proxy").await;
    for _ in 0..10 {
        let (status, _, answer) = running.post(&logins::body(&token)).await;
        assert_eq!(
            (status, &answer["status"]),
            (201, &json!({"message": "authentication failed"}))
        );
    }
    running.stack.sign_with(&ours).unwrap();
    running.strategy("FetchedKey", "").await;
    running.log_in(&token, "with the right key again").await;
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_the_credential_issuer_is_as_configured_and_one_of_two_webhooks_writes_it() {
    let options = StackOptions {
        webhook: fields(&json!({
            "labels": {"team": "access"},
            "credentialIssuer": {
                "spec": {"impersonationProxy": {"mode": "auto", "service": {"type": "None"}}},
            },
            "advertise": {"server": "https://k.example.com:6443"},
        })),
        ..StackOptions::default()
    };
    let mut running = Running::start(Profile::Talos, &options).await;
    let info = {
        let ca = std::fs::read(running.cluster.ca_certificate()).unwrap();
        json!({"server": "https://k.example.com:6443", "certificateAuthorityData": STANDARD.encode(ca)})
    };
    let strategy = running.strategy("FetchedKey", "").await;
    assert_eq!(strategy["message"], "key was fetched successfully");
    assert_eq!(strategy["frontend"]["tokenCredentialRequestInfo"], info);
    let before = running.credential_issuer(NAME).await;
    assert_eq!(before["metadata"]["labels"], json!({"team": "access"}));
    let wanted = json!({"mode": "auto", "service": {"type": "None"}});
    assert_eq!(before["spec"]["impersonationProxy"], wanted);

    let patch =
        r#"{"metadata":{"labels":{"team":null}},"spec":{"impersonationProxy":{"mode":"enabled"}}}"#;
    running
        .kubectl_as_admin([
            "patch",
            "credentialissuer",
            NAME,
            "--type=merge",
            "-p",
            patch,
        ])
        .await;
    until("the specification is put back", async || {
        let issuer = running.credential_issuer(NAME).await;
        issuer["spec"]["impersonationProxy"] == wanted
            && issuer["metadata"]["labels"]["team"] == "access"
    })
    .await;

    let replica = running.stack.start_replica(&running.cluster).await.unwrap();
    let before = running.credential_issuer(NAME).await;
    running.stack.webhook().kill();
    until("the other leads", async || {
        let (_, metrics) = running
            .plain(replica.addresses.webhook_metrics, "/metrics")
            .await;
        metrics.contains("\nhaulout_leader 1\n")
            && metrics.contains("haulout_canary_total{result=\"accepted\"}")
    })
    .await;
    // It has found the same, and so it has written nothing.
    tokio::time::sleep(A_FEW_LOOKS).await;
    assert_eq!(running.credential_issuer(NAME).await, before);
}

/// With the DaemonSet that the real controller-manager tends, on a node that only exists on paper.
#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_the_credential_issuer_says_why_no_agent_runs() {
    let nowhere =
        json!({"certFile": "/nonexistent", "keyFile": "/nonexistent", "caFile": "/nonexistent"});
    let service = json!({"namespace": "haulout-agent", "name": "haulout-agent"});
    let options = StackOptions {
        webhook: fields(&json!({"agent": {"service": service, "tls": nowhere}})),
        ..StackOptions::default()
    };
    let running = Running::start(Profile::Kubeadm, &options).await;
    let strategy = running.strategy("CouldNotFetchKey", "").await;
    assert_eq!(strategy["message"], NO_CANDIDATES);
    let level = "pod-security.kubernetes.io/enforce=";
    let set_level = async |name: &str| {
        let level = format!("{level}{name}");
        running
            .kubectl_as_admin(["label", "--overwrite", "namespace", "haulout-agent", &level])
            .await;
    };
    set_level("baseline").await;
    let apply = async |object: Value| {
        running
            .cluster
            .kubectl()
            .apply(&object.to_string())
            .await
            .unwrap()
    };
    apply(node()).await;
    apply(daemon_set()).await;
    let remedy = "run kubectl label --overwrite namespace haulout-agent pod-security.kubernetes.io/enforce=privileged";
    let strategy = running.strategy("CouldNotFetchKey", remedy).await;
    let message = strategy["message"].as_str().unwrap();
    assert!(
        message.contains("violates PodSecurity \"baseline:"),
        "{message}"
    );

    set_level("privileged").await;
    running
        .kubectl_as_admin([
            "-n",
            "haulout-agent",
            "rollout",
            "restart",
            "daemonset/haulout-agent",
        ])
        .await;
    running
        .strategy("CouldNotFetchKey", "0 of 1 pods of DaemonSet")
        .await;

    apply(controller_manager(&json!([
        "sh",
        "-c",
        "exec kube-controller-manager"
    ])))
    .await;
    running
        .kubectl_as_admin([
            "-n",
            "kube-system",
            "patch",
            "pod",
            "kube-controller-manager-paper",
            "--subresource=status",
            "--type=merge",
            "-p",
            r#"{"status":{"phase":"Running"}}"#,
        ])
        .await;
    running
        .strategy(
            "CouldNotFetchKey",
            "starts kube-controller-manager by a shell",
        )
        .await;
}

fn node() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": "paper", "labels": {"node-role.kubernetes.io/control-plane": ""}},
    })
}

fn daemon_set() -> Value {
    let labels = json!({"app.kubernetes.io/component": "agent"});
    json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": {"namespace": "haulout-agent", "name": "haulout-agent"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "nodeSelector": {"node-role.kubernetes.io/control-plane": ""},
                    "automountServiceAccountToken": false,
                    "containers": [{"name": "agent", "image": "haulout/haulout-agent:0.1.0"}],
                    "volumes": [{
                        "name": "signing-key",
                        "hostPath": {"path": "/etc/kubernetes/pki/ca.key", "type": "File"},
                    }],
                },
            },
        },
    })
}

fn controller_manager(command: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "namespace": "kube-system", "name": "kube-controller-manager-paper",
            "labels": {"component": "kube-controller-manager"},
        },
        "spec": {
            "nodeName": "paper",
            "automountServiceAccountToken": false,
            "containers": [{"name": "kube-controller-manager", "image": "kube-controller-manager", "command": command}],
            "tolerations": [{"operator": "Exists"}],
        },
    })
}

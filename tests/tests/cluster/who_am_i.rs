//! `WhoAmIRequest`: what it says is what the API server says, for every kind of caller.

use haulout_tests::cluster::{ClusterOptions, Credential, Profile, StackOptions, TOKEN_VARIABLE};
use reqwest::Client;
use serde_json::{Value, json};

use crate::audit;
use crate::running::{Running, until};

type Headers<'a> = [(&'a str, &'a str)];

const REVIEWS: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";

impl Running {
    /// Posts an object of this kind and gives status and answer.
    async fn ask(
        &self,
        client: &Client,
        path: &str,
        object: &Value,
        headers: &Headers<'_>,
    ) -> (u16, Value) {
        let mut request = client.post(self.url(path)).json(object);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// The user that a `WhoAmIRequest` shows.
    pub(crate) async fn who_am_i(&self, client: &Client, headers: &Headers<'_>) -> Value {
        let version = format!("{}/v1alpha1", self.stack.suffix().identity_group());
        let object = json!({"apiVersion": version, "kind": "WhoAmIRequest"});
        let path = format!("/apis/{version}/whoamirequests");
        let (status, answer) = self.ask(client, &path, &object, headers).await;
        assert_eq!(status, 201, "{headers:?}: {answer}");
        let info = &answer["status"]["kubernetesUserInfo"];
        assert_eq!(info.get("audiences"), None, "{answer}");
        info["user"].clone()
    }

    /// The same, compared with what the API server itself says of the same caller.
    async fn agreed_user(&self, client: &Client, headers: &Headers<'_>) -> Value {
        let object = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
        let (status, review) = self.ask(client, REVIEWS, &object, headers).await;
        assert_eq!(status, 201, "{headers:?}: {review}");
        let user = self.who_am_i(client, headers).await;
        assert_eq!(user, review["status"]["userInfo"], "{headers:?}");
        user
    }

    /// A token of the ServiceAccount `someone` in `default`.
    async fn account_token(&self, more: &[&str]) -> String {
        let create = ["create", "token", "someone"].iter().chain(more);
        let token = self.cluster.kubectl().run(create).await.unwrap();
        format!("Bearer {}", token.trim())
    }
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_identities_and_audit_events_are_those_of_the_api_server() {
    let mut options = ClusterOptions::new(Profile::Kubeadm);
    // The API server always sends the header; whether it counts, its ConfigMap says.
    let uid = "--requestheader-uid-headers=X-Remote-Uid".to_owned();
    options.api_server_arguments.push(uid);
    audit::record_all(&mut options);
    let enabled = json!({"audit": {"logUsernamesAndGroups": "enabled"}});
    let stack = StackOptions {
        webhook: enabled.as_object().unwrap().clone(),
        ..StackOptions::default()
    };
    let mut running = Running::start_in(options, &stack).await;
    an_administrator_is_himself(&running).await;
    groups_stand_in_the_order_of_the_certificate(&running).await;
    service_accounts_are_themselves(&running).await;
    impersonation_is_the_api_server_s_own(&running).await;
    strangers_are_anonymous(&running).await;
    audit::events_bear_the_id_of_the_api_server(&mut running).await;
}

/// By `haulout whoami`, for whoever the kubeconfig's user is, a plugin's included.
#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn c122_cluster_the_command_line_shows_whom_the_api_server_sees() {
    let running = Running::start(Profile::Talos, &StackOptions::default()).await;
    let token = running.stack.token("alice", &["ops", "devs"]).await;
    let stanza = running.stack.exec_stanza(&running.cluster, None);
    let exec = Credential::Exec(stanza.unwrap());
    let alice = running.cluster.kubeconfig("user", &exec).unwrap();
    let program = running.stack.products().program("haulout");
    let ask = |flags: &[&str]| {
        let mut command = std::process::Command::new(&program);
        command.arg("whoami").args(flags);
        command.env(TOKEN_VARIABLE, token.as_deref().unwrap());
        let output = command.output().unwrap();
        let texts = [output.stdout, output.stderr];
        let [stdout, stderr] = texts.map(|text| String::from_utf8(text).unwrap());
        (output.status.code(), stdout, stderr)
    };
    let of_alice = format!("--kubeconfig={}", alice.display());
    let expected = format!(
        "Current cluster info:\n\nName: local\nURL: {}\n\nCurrent user info:\n\n\
         Username: alice\nGroups: ops, devs, system:authenticated\n",
        running.cluster.server()
    );
    assert_eq!(ask(&[&of_alice]), (Some(0), expected, String::new()));

    let admin = running.cluster.kubectl();
    let of_admin = format!("--kubeconfig={}", admin.kubeconfig().display());
    let (code, json, stderr) = ask(&[&of_admin, "--output=json"]);
    assert_eq!(code, Some(0), "{stderr}");
    let answer: Value = serde_json::from_str(&json).unwrap();
    let review = admin.json(&["auth", "whoami"]).await.unwrap();
    let user = &answer["status"]["kubernetesUserInfo"]["user"];
    assert_eq!(user, &review["status"]["userInfo"]);

    let (code, _, stderr) = ask(&[&of_admin, "--api-group-suffix=other.example.com"]);
    assert_eq!(code, Some(1));
    let hint =
        "is the Pinniped WhoAmI API running and healthy?): identity.concierge.other.example.com";
    assert!(stderr.contains(hint), "{stderr}");
}

async fn an_administrator_is_himself(running: &Running) {
    let kubectl = running.cluster.kubectl();
    let review = kubectl.json(&["auth", "whoami"]).await.unwrap();
    let request =
        r#"{"apiVersion":"identity.concierge.pinniped.dev/v1alpha1","kind":"WhoAmIRequest"}"#;
    let create = ["create", "--validate=false", "-o", "json", "-f", "-"];
    let output = kubectl.output_of(&create, request).await.unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let user = &answer["status"]["kubernetesUserInfo"]["user"];
    assert_eq!(user, &review["status"]["userInfo"]);
    assert_eq!(user["username"], "kubernetes-admin");
    assert_eq!(
        user["groups"],
        json!(["system:masters", "system:authenticated"])
    );
}

/// A certificate holds its groups as a SET, which DER sorts by their encodings: shorter ones first.
async fn groups_stand_in_the_order_of_the_certificate(running: &Running) {
    let token = running.stack.token("alice", &["b", "aa", "a"]).await;
    let credential = running.log_in(&token.unwrap(), "alice").await;
    let client = running.client_of(&credential);
    let user = running.agreed_user(&client, &[]).await;
    assert_eq!(user["username"], "alice");
    assert_eq!(
        user["groups"],
        json!(["a", "b", "aa", "system:authenticated"])
    );
    let credential = &user["extra"]["authentication.kubernetes.io/credential-id"][0];
    let credential = credential.as_str().unwrap_or_default();
    assert!(credential.starts_with("X509SHA256="), "{user}");
}

async fn service_accounts_are_themselves(running: &Running) {
    let kubectl = running.cluster.kubectl();
    let objects = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"name": "someone", "namespace": "default"}},
        // Without a node it stays pending, which is enough to be bound to.
        {"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "somewhere", "namespace": "default"},
            "spec": {"serviceAccountName": "someone", "containers": [{"name": "c", "image": "c"}]}},
        {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token",
            "metadata": {"name": "legacy", "namespace": "default",
                "annotations": {"kubernetes.io/service-account.name": "someone"}}},
    ]});
    kubectl.apply(&objects.to_string()).await.unwrap();
    let account = kubectl.json(&["get", "serviceaccount", "someone"]).await;
    let pod = kubectl.json(&["get", "pod", "somewhere"]).await.unwrap();
    let [account_uid, pod_uid] =
        [&account.unwrap(), &pod].map(|object| object["metadata"]["uid"].clone());
    let expected = json!({
        "username": "system:serviceaccount:default:someone",
        "uid": account_uid,
        "groups": [
            "system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated",
        ],
    });
    let same_but_extra = |user: &Value| {
        let mut user = user.clone();
        user.as_object_mut().unwrap().remove("extra");
        assert_eq!(user, expected);
    };
    let client = running.client(None);

    let uid = pod_uid.as_str().unwrap();
    let to_pod = ["--bound-object-kind=Pod", "--bound-object-name=somewhere"];
    let to_uid = format!("--bound-object-uid={uid}");
    let bound = running
        .account_token(&[&to_pod[..], &[&to_uid]].concat())
        .await;
    let user = running
        .agreed_user(&client, &[("authorization", &bound)])
        .await;
    same_but_extra(&user);
    let extra = |key: &str| &user["extra"][format!("authentication.kubernetes.io/{key}")];
    assert_eq!(extra("pod-name"), &json!(["somewhere"]), "{user}");
    assert_eq!(extra("pod-uid"), &json!([uid]), "{user}");
    let credential = extra("credential-id")[0].as_str().unwrap_or_default();
    assert!(credential.starts_with("JTI="), "{user}");

    let mut legacy = String::new();
    until("a token in the Secret", async || {
        let token = [
            "get",
            "secret",
            "legacy",
            "-o",
            "go-template={{.data.token | base64decode}}",
        ];
        legacy = kubectl.run(token).await.unwrap_or_default();
        legacy.starts_with("ey")
    })
    .await;
    let legacy = format!("Bearer {legacy}");
    let user = running
        .agreed_user(&client, &[("authorization", &legacy)])
        .await;
    same_but_extra(&user);

    // The API server refuses; we are not asked.
    let foreign = running.account_token(&["--audience=elsewhere"]).await;
    let path = "/apis/identity.concierge.pinniped.dev/v1alpha1/whoamirequests";
    let headers = [("authorization", foreign.as_str())];
    let (status, answer) = running.ask(&client, path, &json!({}), &headers).await;
    assert_eq!(status, 401, "{answer}");
}

async fn impersonation_is_the_api_server_s_own(running: &Running) {
    let admin = running.admin_client();
    let bob = [
        ("impersonate-user", "bob"),
        ("impersonate-uid", "bob-1"),
        ("impersonate-group", "testers"),
        ("impersonate-group", "ops, night"),
        ("impersonate-extra-example.com%2freason", "a ticket"),
        ("impersonate-extra-example.com%2freason", ""),
    ];
    let user = running.agreed_user(&admin, &bob).await;
    assert_eq!(
        user,
        json!({
            "username": "bob",
            "uid": "bob-1",
            "groups": ["testers", "ops, night", "system:authenticated"],
            "extra": {"example.com/reason": ["a ticket", ""]},
        })
    );
    // Who may impersonate nobody gets nowhere with such headers.
    let token = running.stack.token("alice", &[]).await.unwrap();
    let credential = running.log_in(&token, "alice").await;
    let alice = running.client_of(&credential);
    let path = "/apis/identity.concierge.pinniped.dev/v1alpha1/whoamirequests";
    let (status, answer) = running.ask(&alice, path, &json!({}), &bob).await;
    assert_eq!(status, 403, "{answer}");

    let nobody = [("impersonate-user", "system:anonymous")];
    let user = running.who_am_i(&admin, &nobody).await;
    assert_eq!(user, anonymous());
}

async fn strangers_are_anonymous(running: &Running) {
    let stranger = running.client(None);
    assert_eq!(running.who_am_i(&stranger, &[]).await, anonymous());
    // The aggregator takes away what a client says of himself.
    let forged = [("x-remote-user", "admin"), ("x-remote-group", "devs")];
    assert_eq!(running.who_am_i(&stranger, &forged).await, anonymous());
}

fn anonymous() -> Value {
    json!({"username": "system:anonymous", "groups": ["system:unauthenticated"]})
}

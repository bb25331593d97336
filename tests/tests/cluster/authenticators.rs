//! Authenticators beside one another: where their CA bundles come from, many of them, and one whose issuer hangs.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use haulout_operate::clock::Clock;
use haulout_tests::cluster::{
    AUDIENCE, ClusterOptions, Kubectl, Profile, StackOptions, workspace_root,
};
use haulout_tests::issuer::{Fault, Faults, IssuerOptions, TestIssuer};
use haulout_tests::logins;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use crate::running::{Running, now, until};

const GROUP: &str = "authentication.concierge.pinniped.dev";
const JWT: &str = "JWTAuthenticator";
const WEBHOOK: &str = "WebhookAuthenticator";

fn object(kind: &str, name: &str, spec: &Value) -> Value {
    json!({"apiVersion": format!("{GROUP}/v1alpha1"), "kind": kind,
        "metadata": {"name": name}, "spec": spec})
}

fn list(items: &[Value]) -> String {
    json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
}

/// The specification for an issuer or server of which the kind demands nothing more.
fn spec(kind: &str, url: &str, tls: &Value) -> Value {
    match kind {
        JWT => json!({"issuer": url, "audience": AUDIENCE, "tls": tls}),
        _ => json!({"endpoint": url, "tls": tls}),
    }
}

async fn status(kubectl: &Kubectl, kind: &str, name: &str) -> Value {
    let object = kubectl.json(&["get", kind, name]).await.unwrap();
    object["status"].clone()
}

/// Status and message of a condition, empty while there is none.
fn condition(status: &Value, type_: &str) -> (String, String) {
    let conditions = status["conditions"].as_array();
    let found = conditions
        .into_iter()
        .flatten()
        .find(|condition| condition["type"] == type_);
    let text = |field: &str| {
        found
            .and_then(|condition| condition[field].as_str())
            .unwrap_or_default()
            .to_owned()
    };
    (text("status"), text("message"))
}

async fn until_phase(kubectl: &Kubectl, kind: &str, name: &str, phase: &str) {
    until(&format!("{kind} {name} is {phase}"), async || {
        status(kubectl, kind, name).await["phase"] == phase
    })
    .await;
}

/// The login of a token through an authenticator of any kind and name.
fn body(kind: &str, name: &str, token: &str) -> Value {
    let mut body = logins::body(token);
    body["spec"]["authenticator"]["kind"] = kind.into();
    body["spec"]["authenticator"]["name"] = name.into();
    body
}

async fn logs_in(running: &Running, kind: &str, name: &str, token: &str) -> bool {
    let (_, _, answer) = running.post(&body(kind, name, token)).await;
    answer["status"]["credential"].is_object()
}

/// Whether an object's trust is judged as `message` says.
async fn until_trust(kubectl: &Kubectl, kind: &str, name: &str, status_: &str, message: &str) {
    until(&format!("{kind} {name}: {message}"), async || {
        let found = condition(&status(kubectl, kind, name).await, "TLSConfigurationValid");
        found == (status_.to_owned(), message.to_owned())
    })
    .await;
}

/// Objects that hold a CA bundle, or should: kind, name, and all else.
fn sources(ca: &str) -> Vec<Value> {
    let object = |kind: &str, name: &str, fields: Value| {
        let mut object = json!({"apiVersion": "v1", "kind": kind,
            "metadata": {"name": name, "namespace": "haulout-system"}});
        let fields = fields.as_object().unwrap().clone();
        object.as_object_mut().unwrap().extend(fields);
        object
    };
    let key = json!({"tls.crt": ca, "tls.key": "not looked at", "ca.crt": ca});
    let basic = json!({"username": "u", "password": "p", "ca.crt": ca});
    vec![
        object(
            "Secret",
            "opaque",
            json!({"stringData": {"ca.crt": ca, "empty": "", "junk": "Zm9v"}}),
        ),
        object(
            "Secret",
            "tls",
            json!({"type": "kubernetes.io/tls", "stringData": key}),
        ),
        object(
            "Secret",
            "basic",
            json!({"type": "kubernetes.io/basic-auth", "stringData": basic}),
        ),
        object(
            "ConfigMap",
            "config",
            json!({"data": {"ca.crt": ca, "empty": "", "junk": "Zm9v"}}),
        ),
    ]
}

/// Every row of the table of `TLSConfigurationValid`: its name, `spec.tls`, status and message.
fn trust_rows(ca: &str) -> Vec<(&'static str, Value, &'static str, String)> {
    let inline = |data: &str| json!({"certificateAuthorityData": data});
    let source = |kind: &str, name: &str, key: &str| json!({"certificateAuthorityDataSource": {"kind": kind, "name": name, "key": key}});
    let mut both = source("Secret", "opaque", "ca.crt");
    both["certificateAuthorityData"] = json!(BASE64_STANDARD.encode(ca));
    let good = "spec.tls is valid: using configured CA bundle".to_owned();
    let data = "spec.tls.certificateAuthorityData is invalid:";
    let from = "spec.tls.certificateAuthorityDataSource is invalid:";
    let pem = "(PEM certificates must begin with \"-----BEGIN CERTIFICATE-----\")";
    let junk = |object: &str| {
        format!(
            "{from} key \"junk\" with 4 bytes of data in {object} is not a PEM-encoded certificate {pem}"
        )
    };
    vec![
        ("nothing", json!({}), "True", "spec.tls is valid: no TLS configuration provided: using default root CA bundle from container image".to_owned()),
        ("inline", inline(&BASE64_STANDARD.encode(ca)), "True", good.clone()),
        ("opaque", source("Secret", "opaque", "ca.crt"), "True", good.clone()),
        ("tls-secret", source("Secret", "tls", "tls.crt"), "True", good.clone()),
        ("config-map", source("ConfigMap", "config", "ca.crt"), "True", good),
        ("both", both, "False", "spec.tls is invalid: both tls.certificateAuthorityDataSource and tls.certificateAuthorityData provided".to_owned()),
        ("no-base64", inline("invalid base64-encoded data"), "False", format!("{data} illegal base64 data at input byte 7")),
        ("no-pem", inline(&BASE64_STANDARD.encode("foo")), "False", format!("{data} no base64-encoded PEM certificates found in 3 bytes of data {pem}")),
        ("no-secret", source("Secret", "gone", "k"), "False", format!("{from} failed to get secret \"haulout-system/gone\": secret \"gone\" not found")),
        ("no-config-map", source("ConfigMap", "gone", "k"), "False", format!("{from} failed to get configmap \"haulout-system/gone\": configmap \"gone\" not found")),
        ("no-key", source("Secret", "opaque", "k"), "False", format!("{from} key \"k\" not found in secret \"haulout-system/opaque\"")),
        ("no-key-in-map", source("ConfigMap", "config", "k"), "False", format!("{from} key \"k\" not found in configmap \"haulout-system/config\"")),
        ("empty-key", source("Secret", "opaque", "empty"), "False", format!("{from} key \"empty\" has empty value in secret \"haulout-system/opaque\"")),
        ("empty-key-in-map", source("ConfigMap", "config", "empty"), "False", format!("{from} key \"empty\" has empty value in configmap \"haulout-system/config\"")),
        ("wrong-type", source("Secret", "basic", "ca.crt"), "False", format!("{from} secret \"haulout-system/basic\" of type \"kubernetes.io/basic-auth\" cannot be used as a certificate authority data source")),
        ("not-pem", source("Secret", "opaque", "junk"), "False", junk("secret \"haulout-system/opaque\"")),
        ("not-pem-in-map", source("ConfigMap", "config", "junk"), "False", junk("configmap \"haulout-system/config\"")),
    ]
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_ca_bundles_come_from_where_the_object_says() {
    let running = Running::start(Profile::Kubeadm, &StackOptions::default()).await;
    let kubectl = running.cluster.kubectl();
    let url = running.stack.issuer_url().to_owned();
    let ca = std::fs::read_to_string(running.stack.issuer_ca()).unwrap();
    kubectl.apply(&list(&sources(&ca))).await.unwrap();
    for kind in [JWT, WEBHOOK] {
        let rows = trust_rows(&ca);
        let objects = rows
            .iter()
            .map(|(name, tls, ..)| object(kind, name, &spec(kind, &url, tls)));
        kubectl
            .apply(&list(&objects.collect::<Vec<_>>()))
            .await
            .unwrap();
        for (name, _, status, message) in &rows {
            until_trust(kubectl, kind, name, status, message).await;
        }
        for name in ["inline", "opaque", "tls-secret", "config-map"] {
            until_phase(kubectl, kind, name, "Ready").await;
        }
    }

    peers_that_cannot_be_trusted_or_reached_are_told(kubectl, &url).await;

    // What is broken elsewhere shows here, and heals here, although nobody touches the object.
    let token = running.stack.token("alice", &[]).await.unwrap();
    assert!(logs_in(&running, JWT, "config-map", &token).await);
    let patch = async |value: &str| {
        let patch = json!({"data": {"ca.crt": value}}).to_string();
        let arguments = [
            "patch",
            "configmap",
            "config",
            "--namespace=haulout-system",
            "--patch",
            &patch,
        ];
        kubectl.run(arguments).await.unwrap();
    };
    patch("junk").await;
    for kind in [JWT, WEBHOOK] {
        until_phase(kubectl, kind, "config-map", "Error").await;
    }
    assert!(!logs_in(&running, JWT, "config-map", &token).await);
    patch(&ca).await;
    for kind in [JWT, WEBHOOK] {
        until_phase(kubectl, kind, "config-map", "Ready").await;
    }
    assert!(logs_in(&running, JWT, "config-map", &token).await);
    let secret = ["delete", "secret", "opaque", "--namespace=haulout-system"];
    kubectl.run(secret).await.unwrap();
    let gone = "spec.tls.certificateAuthorityDataSource is invalid: failed to get secret \"haulout-system/opaque\": secret \"opaque\" not found";
    for kind in [JWT, WEBHOOK] {
        until_trust(kubectl, kind, "opaque", "False", gone).await;
    }
}

async fn peers_that_cannot_be_trusted_or_reached_are_told(kubectl: &Kubectl, url: &str) {
    let dead = "https://127.0.0.1:1";
    let system = json!({});
    for (kind, name, url, type_, text) in [
        (
            JWT,
            "mistrusted",
            url,
            "DiscoveryURLValid",
            "x509: certificate signed by unknown authority",
        ),
        (
            WEBHOOK,
            "mistrusted",
            url,
            "WebhookConnectionValid",
            "cannot dial server: tls: failed to verify certificate: x509: certificate signed by unknown authority",
        ),
        (
            JWT,
            "dead",
            dead,
            "DiscoveryURLValid",
            "could not perform oidc discovery on provider issuer: Get \"https://127.0.0.1:1/.well-known/openid-configuration\":",
        ),
        (
            WEBHOOK,
            "dead",
            dead,
            "WebhookConnectionValid",
            "cannot dial server: dial tcp 127.0.0.1:1: connect:",
        ),
    ] {
        let object = object(kind, name, &spec(kind, url, &system));
        kubectl.apply(&object.to_string()).await.unwrap();
        until_phase(kubectl, kind, name, "Error").await;
        let status = status(kubectl, kind, name).await;
        let (holds, message) = condition(&status, type_);
        assert!(
            holds == "False" && message.contains(text),
            "{kind} {name}: {message}"
        );
        assert_eq!(
            condition(&status, "AuthenticatorValid").0,
            "Unknown",
            "{kind} {name}"
        );
    }
}

/// What the documentation shows, as the API server judges it.
#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_the_examples_of_the_documentation_are_taken() {
    let running = Running::start(Profile::Kubeadm, &StackOptions::default()).await;
    let page = std::fs::read_to_string(workspace_root().join("docs/authenticators.md")).unwrap();
    let examples: Vec<&str> = page
        .split("```yaml\n")
        .skip(1)
        .filter_map(|rest| Some(rest.split_once("```")?.0))
        .collect();
    let arguments = ["apply", "--dry-run=server", "--validate=strict", "-f", "-"];
    let kubectl = running.cluster.kubectl();
    let output = kubectl
        .output_of(&arguments, &examples.join("---\n"))
        .await
        .unwrap();
    let [taken, refused] =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(output.status.success(), "{refused}");
    for name in [
        "supervisor",
        "keycloak",
        "entra",
        "google",
        "okta",
        "github-actions",
        "tokens",
    ] {
        let line = format!("/{name} created (server dry run)");
        assert!(taken.contains(&line), "{name}: {taken}");
    }
    assert_eq!(taken.lines().count(), examples.len(), "{taken}");
}

/// One issuer accepts connections and never answers; it must cost nobody anything.
#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_an_issuer_that_hangs_delays_nobody() {
    let running = Running::start(Profile::Talos, &StackOptions::default()).await;
    let kubectl = running.cluster.kubectl();
    let hanging = TestIssuer::start(IssuerOptions {
        clock: Clock::system(),
        ..IssuerOptions::default()
    })
    .await
    .unwrap();
    hanging.set_faults(Faults {
        discovery: Fault::Slow(3_600_000),
        ..Faults::default()
    });
    let ca = |pem: &str| json!({"certificateAuthorityData": BASE64_STANDARD.encode(pem)});
    // Its name makes it the first of every list.
    let mut objects = vec![object(
        JWT,
        "a-hanging",
        &spec(JWT, hanging.url(), &ca(hanging.ca_certificate_pem())),
    )];
    let healthy_ca = std::fs::read_to_string(running.stack.issuer_ca()).unwrap();
    let names: Vec<String> = (1..=20).map(|number| format!("healthy-{number}")).collect();
    for name in &names {
        let spec = spec(JWT, running.stack.issuer_url(), &ca(&healthy_ca));
        objects.push(object(JWT, name, &spec));
    }
    kubectl.apply(&list(&objects)).await.unwrap();
    let mut hanging_status = Value::Null;
    until("all healthy ones are Ready", async || {
        let all = kubectl.json(&["get", JWT]).await.unwrap();
        let items = all["items"].as_array().unwrap();
        let status = |name: &str| {
            let mut found = items.iter().filter(|item| item["metadata"]["name"] == name);
            found.next().unwrap()["status"].clone()
        };
        hanging_status = status("a-hanging");
        names.iter().all(|name| status(name)["phase"] == "Ready")
    })
    .await;
    assert!(
        hanging_status["conditions"].is_null(),
        "its time had passed already: {hanging_status}"
    );
    let token = running.stack.token("alice", &[]).await.unwrap();
    for name in &names {
        assert!(logs_in(&running, JWT, name, &token).await, "{name}");
    }
    until_phase(kubectl, JWT, "a-hanging", "Error").await;
    let (_, message) = condition(
        &status(kubectl, JWT, "a-hanging").await,
        "DiscoveryURLValid",
    );
    assert!(message.contains("no answer within 10 s"), "{message}");
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_five_hundred_authenticators_are_judged_and_forgotten() {
    let running = Running::start(Profile::Kubeadm, &StackOptions::default()).await;
    let kubectl = running.cluster.kubectl();
    let ca = std::fs::read(running.stack.issuer_ca()).unwrap();
    let spec = spec(
        JWT,
        running.stack.issuer_url(),
        &json!({"certificateAuthorityData": BASE64_STANDARD.encode(ca)}),
    );
    let objects = (0..500).map(|number| object(JWT, &format!("tenant-{number}"), &spec));
    let created = kubectl
        .output_of(&["create", "-f", "-"], &list(&objects.collect::<Vec<_>>()))
        .await;
    assert!(created.unwrap().status.success());
    let metrics = running.stack.addresses().webhook_metrics;
    let ready =
        |count| format!("haulout_authenticators{{kind=\"{JWT}\",phase=\"Ready\"}} {count}\n");
    let until_ready = async |count: u32| {
        let line = ready(count);
        until(&line, async || {
            running.plain(metrics, "/metrics").await.1.contains(&line)
        })
        .await;
    };
    until_ready(501).await;
    until_phase(kubectl, JWT, "tenant-499", "Ready").await;
    let token = running.stack.token("alice", &[]).await.unwrap();
    for number in [0, 250, 499] {
        assert!(logs_in(&running, JWT, &format!("tenant-{number}"), &token).await);
    }
    let arguments = ["delete", "jwtauthenticators", "--all", "--wait=false"];
    kubectl.run(arguments).await.unwrap();
    until_ready(0).await;
    assert!(!logs_in(&running, JWT, "tenant-250", &token).await);
}

/// kube-apiserver is itself a TokenReview server, for tokens of a file as for its own.
#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_a_webhook_authenticator_logs_in_whom_a_real_server_knows() {
    let cluster = ClusterOptions {
        api_server_arguments: vec!["--token-auth-file=tokens.csv".to_owned()],
        files: vec![(
            "tokens.csv".to_owned(),
            "carols-token,carol,,\"devs,ops\"\nsteves-token,steve,7\n".to_owned(),
        )],
        ..ClusterOptions::new(Profile::Kubeadm)
    };
    let running = Running::start_in(cluster, &StackOptions::default()).await;
    let kubectl = running.cluster.kubectl();
    for arguments in [
        [
            "create",
            "clusterrole",
            "token-reviewer",
            "--verb=create",
            "--resource=tokenreviews.authentication.k8s.io",
        ],
        [
            "create",
            "clusterrolebinding",
            "token-reviewer",
            "--clusterrole=token-reviewer",
            "--group=system:unauthenticated",
        ],
    ] {
        kubectl.run(arguments).await.unwrap();
    }
    let ca = std::fs::read(running.cluster.ca_certificate()).unwrap();
    let url = running.url("/apis/authentication.k8s.io/v1/tokenreviews");
    let mut spec = spec(
        WEBHOOK,
        &url,
        &json!({"certificateAuthorityData": BASE64_STANDARD.encode(ca)}),
    );
    spec["tokenReviewVersion"] = json!("v1");
    spec["usernamePrefix"] = json!("file:");
    spec["groupsPrefix"] = json!("file:");
    spec["certificateLifetimeSeconds"] = json!(900);
    kubectl
        .apply(&object(WEBHOOK, "file", &spec).to_string())
        .await
        .unwrap();
    until_phase(kubectl, WEBHOOK, "file", "Ready").await;

    let (_, _, answer) = running.post(&body(WEBHOOK, "file", "carols-token")).await;
    let credential = &answer["status"]["credential"];
    let expiration: Timestamp = credential["expirationTimestamp"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let lifetime = expiration.as_second() - now();
    assert!((800..=900).contains(&lifetime), "{lifetime} s");
    let review = running
        .client_of(credential)
        .post(running.url("/apis/authentication.k8s.io/v1/selfsubjectreviews"))
        .json(&json!({"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"}))
        .send()
        .await
        .unwrap();
    let user = review.json::<Value>().await.unwrap()["status"]["userInfo"].clone();
    assert_eq!(user["username"], "file:carol");
    let mut groups: Vec<&str> = user["groups"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    groups.sort_unstable();
    // The server has put the third among the user's; the last is the API server's own.
    let expected = [
        "file:devs",
        "file:ops",
        "file:system:authenticated",
        "system:authenticated",
    ];
    assert_eq!(groups, expected);
    for token in ["nobodys-token", "steves-token"] {
        assert!(!logs_in(&running, WEBHOOK, "file", token).await, "{token}");
    }
}

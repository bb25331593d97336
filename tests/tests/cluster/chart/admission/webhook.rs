//! What the webhook's account may write, whoever has taken it over.

use serde_json::{Value, json};

use super::{Good, create, fail};
use crate::chart::{AGENT_NAMESPACE, Installed, NAMESPACE};
use crate::running::until;

const ACCOUNT: &str = "system:serviceaccount:haulout-system:haulout-webhook";
const POLICY: &str = "haulout-webhook-writes";
const LOGIN: &str = "v1alpha1.login.concierge.pinniped.dev";

const SECRETS: &str = "haulout-webhook writes no Secret";
const LASTING: &str = "haulout-webhook makes nothing immutable";
const LEASES: &str = "haulout-webhook writes no Lease";
const API_SERVICES: &str = "haulout-webhook changes nothing of an APIService";
const ISSUERS: &str = "haulout-webhook writes no CredentialIssuer";

/// Something that the account asks for, of which nothing stays.
#[derive(Debug)]
enum Write {
    Create(Value),
    Replace(Value),
    /// Of the CredentialIssuer of this name.
    ReplaceStatus(&'static str),
    /// Of the login APIService.
    Patch(Value),
}
use Write::{Create, Patch, Replace, ReplaceStatus};

impl Write {
    /// What is said to it; empty if it is admitted. `user` is another than the administrator.
    async fn attempt(&self, installed: &Installed, user: Option<&str>) -> String {
        let patch;
        let (arguments, input) = match self {
            Create(object) => (&["create", "-f", "-"][..], object.to_string()),
            Replace(object) => (&["replace", "-f", "-"][..], object.to_string()),
            ReplaceStatus(name) => {
                let object = installed.get(&["credentialissuer", name]).await;
                let replace = &["replace", "--subresource=status", "-f", "-"][..];
                (replace, object.to_string())
            }
            Patch(change) => {
                patch = format!("--patch={change}");
                (
                    &["patch", "apiservice", LOGIN, "--type=merge", &patch][..],
                    String::new(),
                )
            }
        };
        let user = user.map(|user| format!("--as={user}"));
        let mut arguments = [arguments, &["--dry-run=server"]].concat();
        arguments.extend(user.as_deref());
        let kubectl = installed.cluster.kubectl();
        let output = kubectl.output_of(&arguments, &input).await.unwrap();
        if output.status.success() {
            return String::new();
        }
        String::from_utf8(output.stderr).unwrap()
    }
}

fn secret(name: &str, kind: &str, data: &Value) -> Value {
    let metadata = json!({
        "name": name, "namespace": NAMESPACE,
        "annotations": {"kubernetes.io/service-account.name": "haulout-webhook"},
    });
    json!({"apiVersion": "v1", "kind": "Secret", "type": kind, "metadata": metadata, "data": data})
}

fn lease(name: &str) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": name, "namespace": NAMESPACE},
    })
}

fn issuer(name: &str) -> Value {
    let service = json!({"type": "LoadBalancer"});
    json!({
        "apiVersion": "config.concierge.pinniped.dev/v1alpha1", "kind": "CredentialIssuer",
        "metadata": {"name": name},
        "spec": {"impersonationProxy": {"mode": "disabled", "service": service}},
    })
}

/// `object` with this at that field of its metadata.
fn with(mut object: Value, field: &str, value: Value) -> Value {
    object["metadata"][field] = value;
    object
}

fn owners(name: &str) -> Value {
    json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": name, "uid": "none"}])
}

/// The agents' Secret, filled.
fn agents_secret() -> Value {
    let secret = secret("haulout-agent-tls", "Opaque", &json!({"ca.crt": "YQ=="}));
    with(secret, "namespace", json!(AGENT_NAMESPACE))
}

/// What the webhook does. `haulout-serving`, the Lease and the CredentialIssuer `haulout` are there.
fn allowed() -> [Write; 7] {
    let made = secret("haulout-signing-ca", "", &json!({"ca.crt": "YQ=="}));
    [
        Create(with(made, "ownerReferences", owners("haulout-webhook"))),
        Replace(agents_secret()),
        Replace(lease("haulout-webhook")),
        Replace(secret(
            "haulout-serving",
            "Opaque",
            &json!({"ca.crt": "YQ=="}),
        )),
        Patch(json!({"spec": {"caBundle": "YQ==", "insecureSkipTLSVerify": null}})),
        Replace(issuer("haulout")),
        ReplaceStatus("haulout"),
    ]
}

/// At least one for each part of each rule. CredentialIssuer `other` is there, and Secret `haulout-serving` of another type.
fn refused() -> Vec<(&'static str, Write)> {
    let token = "kubernetes.io/service-account-token";
    let nothing = &json!({});
    let mut generated = secret("", "Opaque", nothing);
    generated["metadata"] = json!({"generateName": "haulout-serving", "namespace": NAMESPACE});
    let service = |changed: Value| Patch(json!({"spec": {"service": changed}}));
    let annotation = json!({"haulout/concierge": "other/other/other"});
    let mut immutable = secret("haulout-signing-ca", "Opaque", nothing);
    immutable["immutable"] = json!(true);
    let finalizers = || json!(["example.com/kept"]);
    vec![
        (SECRETS, Create(secret("other", token, nothing))),
        (SECRETS, Create(secret("other", "Opaque", nothing))),
        (SECRETS, Create(secret("haulout-agent-tls", "", nothing))),
        (
            SECRETS,
            Create(secret("haulout-signing-ca", token, nothing)),
        ),
        (SECRETS, Create(generated)),
        (SECRETS, Replace(tls_secret())),
        (LASTING, Create(immutable)),
        (
            LASTING,
            Create(with(
                secret("haulout-signing-ca", "Opaque", nothing),
                "finalizers",
                finalizers(),
            )),
        ),
        (
            LASTING,
            Replace(with(agents_secret(), "finalizers", finalizers())),
        ),
        (
            LASTING,
            Replace(with(
                agents_secret(),
                "ownerReferences",
                owners("haulout-webhook"),
            )),
        ),
        (
            LASTING,
            Replace(with(lease("haulout-webhook"), "finalizers", finalizers())),
        ),
        (
            LASTING,
            Replace(with(issuer("haulout"), "ownerReferences", owners("other"))),
        ),
        (LEASES, Create(lease("other"))),
        (API_SERVICES, service(json!({"namespace": "default"}))),
        (API_SERVICES, service(json!({"name": "other"}))),
        (API_SERVICES, service(json!({"port": 8443}))),
        (
            API_SERVICES,
            Patch(json!({"spec": {"insecureSkipTLSVerify": true, "caBundle": null}})),
        ),
        (
            API_SERVICES,
            Patch(json!({"spec": {"groupPriorityMinimum": 1}})),
        ),
        (
            API_SERVICES,
            Patch(json!({"metadata": {"annotations": annotation}})),
        ),
        (API_SERVICES, Patch(json!({"metadata": {"labels": null}}))),
        (
            API_SERVICES,
            Patch(json!({"metadata": {"labels": {"app.kubernetes.io/name": null}}})),
        ),
        (ISSUERS, Create(issuer("another"))),
        (ISSUERS, Replace(issuer("other"))),
        (ISSUERS, ReplaceStatus("other")),
    ]
}

fn tls_secret() -> Value {
    let data = json!({"tls.crt": "YQ==", "tls.key": "YQ=="});
    secret("haulout-serving", "kubernetes.io/tls", &data)
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn the_webhooks_account_leaves_nothing_that_outlasts_whoever_took_it_over() {
    let installed = Installed::start().await;
    installed
        .put("install", &["--create-namespace"])
        .await
        .unwrap();
    for object in [
        secret("haulout-serving", "Opaque", &json!({})),
        issuer("haulout"),
        issuer("other"),
        lease("haulout-webhook"),
    ] {
        installed.create(&object).await;
    }
    // The policy may be a moment younger than these.
    until("the policy counts", async || {
        let write = Create(lease("other"));
        !write.attempt(&installed, Some(ACCOUNT)).await.is_empty()
    })
    .await;
    for write in allowed() {
        let said = write.attempt(&installed, Some(ACCOUNT)).await;
        assert_eq!(said, "", "{write:?}");
    }
    let delete = ["delete", "secret", "haulout-serving", "-n", NAMESPACE];
    installed.kubectl(&delete).await;
    installed.create(&tls_secret()).await;

    for (message, write) in refused() {
        let rule = format!(
            "ValidatingAdmissionPolicy '{POLICY}' with binding '{POLICY}' denied request: {message}"
        );
        let said = write.attempt(&installed, Some(ACCOUNT)).await;
        assert!(said.contains(&rule), "{write:?}: {said}");
        // Nobody else is kept from it.
        assert_eq!(write.attempt(&installed, None).await, "", "{write:?}");
    }
    let mut policy = Value::Null;
    until("the policy's types are checked", async || {
        policy = installed.get(&["validatingadmissionpolicy", POLICY]).await;
        policy["status"]["typeChecking"].is_object()
    })
    .await;
    assert_eq!(policy["status"]["typeChecking"], json!({}));
    each_rule_is_needed(&installed, &policy).await;
}

/// Without a rule, what it names is admitted: none is there for nothing, and none covers for another.
async fn each_rule_is_needed(installed: &Installed, policy: &Value) {
    let validations = policy["spec"]["validations"].as_array().unwrap();
    for (index, validation) in validations.iter().enumerate() {
        let message = validation["message"].as_str().unwrap();
        let mut rest = validations.clone();
        rest.remove(index);
        super::set_validations(installed, POLICY, &rest).await;
        let of_rule = refused();
        let of_rule = of_rule.iter().filter(|(rule, _)| message.starts_with(rule));
        let writes: Vec<&Write> = of_rule.map(|(_, write)| write).collect();
        assert!(!writes.is_empty(), "no row for: {message}");
        for write in writes {
            until(
                &format!("admitted without its rule: {write:?}"),
                async || write.attempt(installed, Some(ACCOUNT)).await.is_empty(),
            )
            .await;
        }
    }
}

pub(super) async fn makes_nothing_beside_the_key(installed: &Installed, good: &Good) {
    let metadata = || json!({"name": "other", "namespace": AGENT_NAMESPACE});
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": good.spec});
    let workload = json!({"selector": {"matchLabels": {"a": "b"}}, "template": template});
    for (kind, object) in [
        ("pods", good.pod("other")),
        (
            "secrets",
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata()}),
        ),
        (
            "configmaps",
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata()}),
        ),
        (
            "roles",
            json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata()}),
        ),
        (
            "jobs",
            json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata(), "spec": {"template": template}}),
        ),
        (
            "daemonsets",
            json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": metadata(), "spec": workload}),
        ),
    ] {
        let (said, _) = create(installed, ACCOUNT, &object, "--dry-run=server").await;
        let told = format!("cannot create resource \"{kind}\"");
        assert!(said.contains(&told), "{kind}: {said}");
    }
}

pub(super) async fn reads_and_enters_nothing_beside_the_key(installed: &Installed) {
    installed
        .kubectl(&[
            "create",
            "secret",
            "generic",
            "other",
            "-n",
            AGENT_NAMESPACE,
        ])
        .await;
    for (arguments, told) in [
        (
            &["get", "secret", "other"][..],
            "cannot get resource \"secrets\"",
        ),
        (&["get", "secrets"], "cannot list resource \"secrets\""),
        (
            &["delete", "secret", "haulout-agent-tls"],
            "cannot delete resource \"secrets\"",
        ),
        (
            &["patch", "configmap", "haulout-agent", "-p", "{}"],
            "cannot get resource \"configmaps\"",
        ),
        (
            &["debug", "haulout-agent", "--image=busybox"],
            "cannot get resource \"pods\"",
        ),
    ] {
        let said = fail(installed, ACCOUNT, arguments).await;
        assert!(said.contains(told), "{arguments:?}: {said}");
    }
    for how in ["exec", "attach", "portforward", "ephemeralcontainers"] {
        let user = format!("--as={ACCOUNT}");
        let pods = format!("pods/{how}");
        let question = [
            "auth",
            "can-i",
            "create",
            &pods,
            "-n",
            AGENT_NAMESPACE,
            &user,
        ];
        let answer = installed.cluster.kubectl().output(question).await.unwrap();
        assert_eq!(
            String::from_utf8(answer.stdout).unwrap().trim(),
            "no",
            "{how}"
        );
    }
    let question = [
        "auth", "can-i", "create", "pods", "-n", NAMESPACE, "--as", ACCOUNT,
    ];
    let answer = installed.cluster.kubectl().output(question).await.unwrap();
    assert_eq!(String::from_utf8(answer.stdout).unwrap().trim(), "no");
}

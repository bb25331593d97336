//! What a pod in `haulout-agent` may be, whoever makes it, and what the webhook's account may do there and elsewhere.

mod rows;
mod webhook;

use serde_json::{Value, json};

use self::rows::{Row, rows, rows_with_a_token};
use super::{AGENT_NAMESPACE, Installed};
use crate::running::until;

/// May do everything in the agent's namespace, and nothing outside.
const ADMINISTRATOR: &str = "administrator-of-the-namespace";
const PODS: &str = "haulout-agent-pods";
const CONNECTIONS: &str = "haulout-agent-connections";
/// The agents' Secret, and the policy for it.
const SECRET: &str = "haulout-agent-tls";
const REFUSED: &str = "ValidatingAdmissionPolicy 'haulout-agent-";

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn pods_beside_the_key_are_the_agents_own_whoever_makes_them() {
    let installed = Installed::start().await;
    installed.add_node().await;
    installed
        .put("install", &["--create-namespace"])
        .await
        .unwrap();
    let bind = [
        "create",
        "rolebinding",
        "administrator",
        "-n",
        AGENT_NAMESPACE,
    ];
    let whom = format!("--user={ADMINISTRATOR}");
    installed
        .kubectl(&[&bind[..], &["--clusterrole=cluster-admin", &whom]].concat())
        .await;

    let pod = pod_of_the_daemon_set(&installed).await;
    let good = Good::new(&installed).await;
    installed
        .create(&json!({
            "apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "handler": "other",
            "metadata": {"name": rows::RUNTIME_CLASS},
        }))
        .await;
    each_rule_refuses_what_it_names(&installed, &good).await;
    what_no_rule_names_is_refused_too(&installed, &good).await;
    controllers_get_no_further(&installed, &good).await;
    nobody_enters(&installed, &pod).await;
    nobody_makes_the_secret_immutable(&installed).await;
    what_does_not_change_the_pod_passes(&installed, &good).await;
    webhook::makes_nothing_beside_the_key(&installed, &good).await;
    webhook::reads_and_enters_nothing_beside_the_key(&installed).await;
    each_rule_is_needed(&installed, &good).await;
}

/// The pod that the controller makes, with all that it adds to the template.
async fn pod_of_the_daemon_set(installed: &Installed) -> String {
    let mut name = None;
    until("the pod of the DaemonSet", async || {
        let pods = installed.get(&["pods", "-n", AGENT_NAMESPACE]).await;
        name = pods["items"][0]["metadata"]["name"]
            .as_str()
            .map(str::to_owned);
        name.is_some()
    })
    .await;
    name.unwrap()
}

/// A pod of the DaemonSet's template, without the labels by which its controller would take it.
struct Good {
    spec: Value,
}

impl Good {
    async fn new(installed: &Installed) -> Self {
        let daemon_set = ["daemonset", "haulout-agent", "-n", AGENT_NAMESPACE];
        let mut daemon_set = installed.get(&daemon_set).await;
        Self {
            spec: daemon_set["spec"]["template"]["spec"].take(),
        }
    }

    fn pod(&self, name: &str) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": AGENT_NAMESPACE},
            "spec": self.spec,
        })
    }
}

/// What is said of each of these pods when the administrator makes it; empty if it is admitted.
async fn judge(installed: &Installed, good: &Good, rows: &[Row]) -> Vec<String> {
    let name = |number: usize| format!("row-{number}-end");
    let pods: Vec<Value> = rows
        .iter()
        .enumerate()
        .map(|(number, row)| {
            let mut pod = good.pod(&name(number));
            row.change.apply(&mut pod["spec"]);
            pod
        })
        .collect();
    let (said, made) = create(installed, ADMINISTRATOR, &list(&pods), "--dry-run=server").await;
    let refusals = (0..rows.len()).map(|number| {
        let is_of = |line: &&str| line.contains(&name(number));
        said.lines().find(is_of).unwrap_or_default().to_owned()
    });
    let refusals: Vec<String> = refusals.collect();
    let admitted = refusals.iter().filter(|text| text.is_empty()).count();
    assert_eq!(admitted, made.lines().count(), "{said}");
    refusals
}

fn list(objects: &[Value]) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "items": objects})
}

/// Errors and names of what was made.
async fn create(installed: &Installed, user: &str, object: &Value, flag: &str) -> (String, String) {
    let user = format!("--as={user}");
    let create = ["create", &user, flag, "-o", "name", "-f", "-"];
    let kubectl = installed.cluster.kubectl();
    let output = kubectl
        .output_of(&create, &object.to_string())
        .await
        .unwrap();
    [output.stderr, output.stdout]
        .map(|bytes| String::from_utf8(bytes).unwrap())
        .into()
}

/// Standard error of `kubectl ARGUMENTS` as a user, which must fail.
async fn fail(installed: &Installed, user: &str, arguments: &[&str]) -> String {
    let user = format!("--as={user}");
    let kubectl = installed.cluster.kubectl();
    let arguments = [arguments, &[&*user, "-n", AGENT_NAMESPACE]].concat();
    let output = kubectl.output(&arguments).await.unwrap();
    assert!(!output.status.success(), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

async fn each_rule_refuses_what_it_names(installed: &Installed, good: &Good) {
    let unchanged = create(
        installed,
        ADMINISTRATOR,
        &good.pod("standalone"),
        "--save-config=false",
    )
    .await;
    assert_eq!(unchanged, (String::new(), "pod/standalone\n".to_owned()));
    // The policy may be a moment younger than the pods.
    until("the policy counts", async || {
        !judge(installed, good, &rows()[..1]).await[0].is_empty()
    })
    .await;
    let rows = [rows(), rows_with_a_token()].concat();
    for (row, said) in rows.iter().zip(judge(installed, good, &rows).await) {
        let rule = format!(
            "{REFUSED}pods' with binding '{PODS}' denied request: {}",
            row.message
        );
        assert!(said.contains(&rule), "{:?}: {said}", row.change);
    }
}

/// An annotation that the API server makes a field of, and a field that it takes with another one only.
async fn what_no_rule_names_is_refused_too(installed: &Installed, good: &Good) {
    let mut unconfined = good.pod("unconfined");
    unconfined["metadata"]["annotations"] =
        json!({"container.apparmor.security.beta.kubernetes.io/agent": "unconfined"});
    let mut unmasked = good.pod("unmasked");
    unmasked["spec"]["containers"][0]["securityContext"]["procMount"] = json!("Unmasked");
    for (pod, told) in [(unconfined, rows::RUNTIME), (unmasked, "hostUsers")] {
        let (said, _) = create(installed, ADMINISTRATOR, &pod, "--dry-run=server").await;
        assert!(said.contains(told), "{told}: {said}");
    }
}

/// Without a rule, what it names is admitted: none is there for nothing, and none covers for another.
async fn each_rule_is_needed(installed: &Installed, good: &Good) {
    let pod = &pod_of_the_daemon_set(installed).await;
    let policy = installed.get(&["validatingadmissionpolicy", PODS]).await;
    let validations = policy["spec"]["validations"].as_array().unwrap();
    for (index, validation) in validations.iter().enumerate() {
        let message = validation["message"].as_str().unwrap();
        let mut rest = validations.clone();
        rest.remove(index);
        set_validations(installed, PODS, &rest).await;
        if message.contains("ephemeral") {
            until(message, async || debug(installed, pod).await.is_none()).await;
            continue;
        }
        let mut of_rule = rows();
        of_rule.retain(|row| message.starts_with(row.message));
        assert!(!of_rule.is_empty(), "no row for: {message}");
        let mut refused = Vec::new();
        until(
            &format!("admitted without the rule: {message}"),
            async || {
                refused = judge(installed, good, &of_rule).await;
                refused.retain(|said| !said.is_empty());
                refused.is_empty() || {
                    println!("{refused:?}");
                    false
                }
            },
        )
        .await;
    }
    installed
        .kubectl(&["delete", "validatingadmissionpolicybinding", CONNECTIONS])
        .await;
    until("let in without the rule", async || {
        let said = enter(installed, pod, "exec?container=agent&command=x").await;
        said.iter().all(|said| !said.contains(REFUSED))
    })
    .await;
}

async fn set_validations(installed: &Installed, policy: &str, validations: &[Value]) {
    let patch = json!({"spec": {"validations": validations}}).to_string();
    let patch = [
        "patch",
        "validatingadmissionpolicy",
        policy,
        "--type=merge",
        "-p",
        &patch,
    ];
    installed.kubectl(&patch).await;
}

/// A Job and a DaemonSet may be made; their pods are the controllers' to make, who are told why not.
async fn controllers_get_no_further(installed: &Installed, good: &Good) {
    let mut spec = good.spec.clone();
    spec["containers"][0]["image"] = json!("busybox");
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": spec});
    let mut once = template.clone();
    once["spec"]["restartPolicy"] = json!("Never");
    for (kind, api, spec) in [
        ("Job", "batch/v1", json!({"template": once})),
        (
            "DaemonSet",
            "apps/v1",
            json!({"selector": {"matchLabels": {"a": "b"}}, "template": template}),
        ),
    ] {
        let name = format!("other-{}", kind.to_lowercase());
        let object = json!({
            "apiVersion": api, "kind": kind, "spec": spec,
            "metadata": {"name": name, "namespace": AGENT_NAMESPACE},
        });
        let (errors, _) = create(installed, ADMINISTRATOR, &object, "--save-config=false").await;
        assert_eq!(errors, "");
        until(&format!("{kind} without pods"), async || {
            let selector =
                format!("--field-selector=reason=FailedCreate,involvedObject.name={name}");
            let events = installed
                .get(&["events", "-n", AGENT_NAMESPACE, &selector])
                .await;
            let events = events["items"].as_array().unwrap();
            events
                .iter()
                .any(|event| event["message"].as_str().unwrap().contains(rows::IMAGE))
        })
        .await;
        installed
            .kubectl(&["delete", kind, &name, "-n", AGENT_NAMESPACE])
            .await;
    }
}

/// The error of `kubectl debug`, if it fails.
async fn debug(installed: &Installed, pod: &str) -> Option<String> {
    let user = format!("--as={ADMINISTRATOR}");
    let debug = [
        "debug",
        pod,
        "--image=busybox",
        "--attach=false",
        "--profile=general",
        &user,
        "-n",
        AGENT_NAMESPACE,
    ];
    let output = installed.cluster.kubectl().output(debug).await.unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    (!output.status.success()).then_some(errors)
}

/// What is said to a request to enter a pod, by both methods that Kubernetes knows.
async fn enter(installed: &Installed, pod: &str, how: &str) -> [String; 2] {
    let path = format!("/api/v1/namespaces/{AGENT_NAMESPACE}/pods/{pod}/{how}");
    let get = fail(installed, ADMINISTRATOR, &["get", "--raw", &path]).await;
    let post = fail(
        installed,
        ADMINISTRATOR,
        &["create", "--raw", &path, "-f", "/dev/null"],
    )
    .await;
    [get, post]
}

async fn nobody_enters(installed: &Installed, pod: &str) {
    let said = debug(installed, pod).await.unwrap();
    assert!(
        said.contains("a pod in haulout-agent has no ephemeral container"),
        "{said}"
    );
    for how in [
        "exec?container=agent&command=x&stdout=true",
        "attach?container=agent&stdout=true",
        "portforward?ports=9443",
    ] {
        for said in enter(installed, pod, how).await {
            let rule = format!("{REFUSED}connections' with binding '{CONNECTIONS}' denied request");
            assert!(said.contains(&rule), "{how}: {said}");
        }
    }
}

/// Which would keep the webhook from putting right what is in it.
async fn nobody_makes_the_secret_immutable(installed: &Installed) {
    let user = format!("--as={ADMINISTRATOR}");
    let patch = async |name: &str| {
        let secret = ["patch", "secret", name, "-n", AGENT_NAMESPACE];
        let how = [&*user, "--dry-run=server", "-p", r#"{"immutable":true}"#];
        let kubectl = installed.cluster.kubectl();
        let output = kubectl.output([&secret[..], &how].concat()).await.unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    let said = patch(SECRET).await;
    let rule = format!("{REFUSED}tls' with binding '{SECRET}' denied request");
    assert!(said.contains(&rule), "{said}");
    installed
        .create(&json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "another", "namespace": AGENT_NAMESPACE},
        }))
        .await;
    assert_eq!(patch("another").await, "");
    installed
        .kubectl(&["delete", "validatingadmissionpolicybinding", SECRET])
        .await;
    until("immutable without the rule", async || {
        patch(SECRET).await.is_empty()
    })
    .await;
}

/// Labels, resources and removal are no concern of the policy, even of a pod that it would not admit any more.
async fn what_does_not_change_the_pod_passes(installed: &Installed, good: &Good) {
    let image = ["set", "image", "pod/standalone", "agent=busybox"];
    let said = fail(installed, ADMINISTRATOR, &image).await;
    assert!(said.contains(rows::IMAGE), "{said}");
    installed
        .put("upgrade", &["--set=image.tag=0.2.0"])
        .await
        .unwrap();
    until("the new image counts", async || {
        let (said, _) = create(
            installed,
            ADMINISTRATOR,
            &good.pod("late"),
            "--dry-run=server",
        )
        .await;
        said.contains(rows::IMAGE)
    })
    .await;
    let user = format!("--as={ADMINISTRATOR}");
    let in_namespace = ["-n", AGENT_NAMESPACE, &*user];
    let more = json!({"spec": {"containers": [{"name": "agent", "resources": {"requests": {"cpu": "21m"}}}]}});
    for arguments in [
        &["label", "pod", "standalone", "a=b"][..],
        &[
            "patch",
            "pod",
            "standalone",
            "--subresource=resize",
            "-p",
            &more.to_string(),
        ],
        &["delete", "pod", "standalone"],
    ] {
        installed
            .kubectl(&[arguments, &in_namespace].concat())
            .await;
    }
    installed.put("upgrade", &["--reset-values"]).await.unwrap();
    until("the old image counts", async || {
        let (said, _) = create(
            installed,
            ADMINISTRATOR,
            &good.pod("late"),
            "--dry-run=server",
        )
        .await;
        said.is_empty()
    })
    .await;
}

//! Install, upgrade, rollback and uninstall by Helm on a control plane without kubelets: every object is there, no container runs.

use std::collections::BTreeSet;

use haulout_tests::cluster::{Cluster, ClusterOptions, Profile};
use serde_json::{Value, json};

use super::{AGENT_NAMESPACE, Installed, NAMESPACE, helm};
use crate::running::until;

const LOGIN: &str = "v1alpha1.login.concierge.pinniped.dev";
const AUTHENTICATOR: &str = "jwtauthenticators.authentication.concierge.pinniped.dev";
/// Base64 of anything.
const DATA: &str = "Zm9v";

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn a_release_lives_and_leaves_nothing_but_what_administrators_made() {
    let mut options = ClusterOptions::new(Profile::Talos);
    crate::audit::record_all(&mut options);
    let cluster = Cluster::start(options).await.unwrap();
    let installed = Installed::new(helm().await, cluster);
    let label = "pod-security.kubernetes.io/enforce=restricted";
    installed.kubectl(&["create", "namespace", NAMESPACE]).await;
    installed
        .kubectl(&["label", "namespace", NAMESPACE, label])
        .await;
    installed.add_node().await;
    let before = names(&installed).await.unwrap();

    nodes_that_contradict_the_preset_are_told(&installed).await;
    nodes_whose_label_has_another_value_are_told(&installed).await;
    installed
        .put("install", &["--set=agent.preset=talos"])
        .await
        .unwrap();
    pods_are_admitted(&installed, "0.1.0").await;
    fill(&installed).await;
    changes_reach_pods_that_read_them_at_start(&installed).await;
    let upgrade = ["--set=agent.preset=talos,image.tag=0.1.1"];
    installed.put("upgrade", &upgrade).await.unwrap();
    contents_are_kept(&installed, "upgrade").await;
    pods_are_admitted(&installed, "0.1.1").await;
    let rollback = ["rollback", "haulout", "1", "--namespace", NAMESPACE];
    installed.helm.run(&rollback).await.unwrap();
    contents_are_kept(&installed, "rollback").await;
    pods_are_admitted(&installed, "0.1.0").await;

    uninstall(&installed, &before).await;
    // The kept CRDs are taken up again.
    installed
        .put("install", &["--set=agent.preset=talos"])
        .await
        .unwrap();
    installed.get(&[AUTHENTICATOR, "kept"]).await;
    uninstall(&installed, &before).await;
    installed.kubectl(&["delete", "crd", AUTHENTICATOR]).await;
}

/// Names of all objects but events, as `KIND/NAME`.
///
/// # Errors
/// Among others: a kind that is being deleted was still told, and could not be listed any more.
pub(super) async fn names(installed: &Installed) -> anyhow::Result<BTreeSet<String>> {
    let kubectl = installed.cluster.kubectl();
    let kinds = ["api-resources", "--verbs=list", "-o", "name"];
    let kinds = kubectl.run(kinds).await?;
    let kinds: Vec<&str> = kinds
        .lines()
        .filter(|kind| !kind.starts_with("events"))
        .collect();
    let list = ["get", &kinds.join(","), "-A", "-o", "name"];
    let list = kubectl.run(list).await?;
    Ok(list.lines().map(str::to_owned).collect())
}

/// Waits until these are all the objects that were not there before.
pub(super) async fn only_these_are_left(
    expected: &BTreeSet<String>,
    installed: &Installed,
    before: &BTreeSet<String>,
) {
    until("only what is expected is left", async || {
        let left = names(installed).await.map(|names| &names - before);
        left.as_ref().is_ok_and(|left| left == expected) || {
            println!("{left:?}");
            false
        }
    })
    .await;
}

/// A preset that is plainly not this cluster's is refused, unless told to be right.
async fn nodes_that_contradict_the_preset_are_told(installed: &Installed) {
    for (os, right, wrong) in [
        ("Debian GNU/Linux 12", "kubeadm", "talos"),
        ("Talos (v1.12.0)", "talos", "kubeadm"),
    ] {
        let patch = json!({"status": {"nodeInfo": {"osImage": os}}}).to_string();
        let patch = [
            "patch",
            "node",
            "control-plane",
            "--subresource=status",
            "--type=merge",
            "-p",
            &patch,
        ];
        installed.kubectl(&patch).await;
        let dry_run = |preset: &str, check: bool| {
            [
                "--dry-run=server".to_owned(),
                format!("--set=agent.preset={preset},agent.checkNodes={check}"),
            ]
        };
        for (arguments, refused) in [
            (dry_run(right, true), false),
            (dry_run(wrong, true), true),
            (dry_run(wrong, false), false),
            (
                dry_run(
                    "custom,agent.certFile=/a,agent.keyFile=/b,agent.runAsUser=0,agent.runAsGroup=0",
                    true,
                ),
                false,
            ),
        ] {
            let outcome = installed
                .put("install", &arguments.each_ref().map(String::as_str))
                .await;
            let text = outcome.err().map(|error| format!("{error:#}"));
            let told = format!(
                "agent.preset: is {wrong}, but the control plane node control-plane runs {os}"
            );
            let is_right = text
                .as_ref()
                .map_or(!refused, |text| refused && text.contains(&told));
            assert!(is_right, "{arguments:?}: {text:?}");
        }
    }
}

/// Some distributions give the label of control plane nodes the value `true`.
async fn nodes_whose_label_has_another_value_are_told(installed: &Installed) {
    const LABEL: &str = "node-role.kubernetes.io/control-plane";
    let label = async |value: &str| {
        let label = format!("{LABEL}={value}");
        let label = ["label", "--overwrite", "node", "control-plane", &label];
        installed.kubectl(&label).await;
    };
    label("true").await;
    let custom = "--set=agent.preset=custom,agent.certFile=/a,agent.keyFile=/b,agent.runAsUser=0,agent.runAsGroup=0";
    let install = ["--dry-run=server", custom];
    let error = installed.put("install", &install).await.unwrap_err();
    let told = format!("has {LABEL}: \"\", but the node control-plane has \"true\"");
    assert!(format!("{error:#}").contains(&told), "{error:#}");
    let key = LABEL.replace('.', r"\.");
    let selector = format!("--set-string=agent.nodeSelector.{key}=true");
    let install = [&install[..], &[&selector]].concat();
    let rendered = installed.put("install", &install).await.unwrap();
    assert!(rendered.contains(r#"== optional.of("true")"#), "{rendered}");
    label("").await;
}

/// The API server takes the pods that the controllers make: the webhook's in a `restricted` namespace, the agent's past the
/// admission policy of its own, which an upgrade renews a moment later than the DaemonSet.
async fn pods_are_admitted(installed: &Installed, version: &str) {
    for (namespace, name) in [(NAMESPACE, "webhook"), (AGENT_NAMESPACE, "agent")] {
        let image = format!("haulout/haulout-{name}:{version}");
        until(&format!("a pod of {image}"), async || {
            let pods = installed.get(&["pods", "-n", namespace]).await;
            let pods = pods["items"].as_array().unwrap();
            let of_image = |pod: &&Value| {
                pod["spec"]["containers"][0]["image"] == image
                    && pod["metadata"]["deletionTimestamp"].is_null()
            };
            pods.iter().any(|pod| of_image(&pod))
        })
        .await;
    }
}

/// What the webhook would write.
async fn fill(installed: &Installed) {
    let data = json!({"data": {"tls.crt": DATA}}).to_string();
    let secret = [
        "patch",
        "secret",
        "haulout-agent-tls",
        "-n",
        AGENT_NAMESPACE,
        "--type=merge",
        "-p",
        &data,
    ];
    installed.kubectl(&secret).await;
    let bundle = json!({"spec": {"caBundle": DATA}}).to_string();
    installed
        .kubectl(&["patch", "apiservice", LOGIN, "--type=merge", "-p", &bundle])
        .await;
    installed
        .create(&json!({
            "apiVersion": "authentication.concierge.pinniped.dev/v1alpha1",
            "kind": "JWTAuthenticator",
            "metadata": {"name": "kept"},
            "spec": {"issuer": "https://issuer.example.com", "audience": "test"},
        }))
        .await;
}

async fn contents_are_kept(installed: &Installed, after: &str) {
    let secret = installed
        .get(&["secret", "haulout-agent-tls", "-n", AGENT_NAMESPACE])
        .await;
    assert_eq!(secret["data"], json!({"tls.crt": DATA}), "{after}");
    let service = installed.get(&["apiservice", LOGIN]).await;
    assert_eq!(service["spec"]["caBundle"], DATA, "{after}");
    installed.get(&[AUTHENTICATOR, "kept"]).await;
}

/// The webhook reads its file once, so that a change rolls its pods; the agent reads its policy again and again.
async fn changes_reach_pods_that_read_them_at_start(installed: &Installed) {
    let templates = async || {
        let webhook = installed
            .get(&["deployment", "haulout-webhook", "-n", NAMESPACE])
            .await;
        let agent = installed
            .get(&["daemonset", "haulout-agent", "-n", AGENT_NAMESPACE])
            .await;
        [webhook, agent].map(|workload| workload["spec"]["template"].clone())
    };
    let [webhook, agent] = templates().await;
    let policy = ["--set=agent.preset=talos,agent.policy.burst=1"];
    installed.put("upgrade", &policy).await.unwrap();
    assert_eq!(templates().await, [webhook.clone(), agent.clone()]);
    installed
        .put("upgrade", &["--set=agent.preset=talos,log.level=debug"])
        .await
        .unwrap();
    let [changed, same] = templates().await;
    assert_ne!(changed, webhook);
    assert_eq!(same, agent);
}

/// APIServices first: while one leads nowhere, Kubernetes finishes the deletion of no namespace.
async fn uninstall(installed: &Installed, before: &BTreeSet<String>) {
    let log = installed.cluster.folder().join("audit.log");
    let seen = std::fs::read_to_string(&log).unwrap().lines().count();
    let uninstall = ["uninstall", "haulout", "--namespace", NAMESPACE];
    installed.helm.run(&uninstall).await.unwrap();
    let expected: BTreeSet<String> = [
        "customresourcedefinition.apiextensions.k8s.io/credentialissuers.config",
        "customresourcedefinition.apiextensions.k8s.io/jwtauthenticators.authentication",
        "customresourcedefinition.apiextensions.k8s.io/webhookauthenticators.authentication",
        // The API server makes these itself for the CRDs.
        "apiservice.apiregistration.k8s.io/v1alpha1.authentication",
        "apiservice.apiregistration.k8s.io/v1alpha1.config",
    ]
    .map(|name| format!("{name}.concierge.pinniped.dev"))
    .into_iter()
    .chain(["jwtauthenticator.authentication.concierge.pinniped.dev/kept".to_owned()])
    .collect();
    only_these_are_left(&expected, installed, before).await;
    let deleted: Vec<String> = std::fs::read_to_string(&log)
        .unwrap()
        .lines()
        .skip(seen)
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|event| {
            event["verb"] == "delete"
                && event["stage"] == "ResponseComplete"
                && event["user"]["username"] == "kubernetes-admin"
        })
        .map(|event| event["objectRef"]["resource"].as_str().unwrap().to_owned())
        .collect();
    let first = deleted
        .iter()
        .take_while(|kind| *kind == "apiservices")
        .count();
    let all = deleted.iter().filter(|kind| *kind == "apiservices").count();
    assert_eq!([first, all], [2, 2], "{deleted:?}");
}

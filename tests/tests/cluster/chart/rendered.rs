//! What the chart makes is what the plain manifests say, and the API server takes it.

use std::path::PathBuf;

use haulout_tests::cluster::{Cluster, ClusterOptions, Profile, workspace_root};
use serde_json::{Value, json};

use super::values::GOOD;
use super::{AGENT_NAMESPACE, NAMESPACE, documents, helm, object, rendered};

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn objects_are_those_of_the_plain_manifests() {
    let helm = helm().await;
    let chart = rendered(&helm, &[]).await;
    let manifests = workspace_root().join("manifests");
    let rights = std::fs::read_dir(manifests.join("rbac")).unwrap();
    let mut files: Vec<PathBuf> = rights.map(|entry| entry.unwrap().path()).collect();
    files.extend(
        ["service", "api-services"].map(|name| manifests.join(format!("webhook/{name}.yaml"))),
    );
    let mut plain = Vec::new();
    for file in files {
        plain.extend(documents(&std::fs::read_to_string(file).unwrap()));
    }
    for expected in &plain {
        let name = expected["metadata"]["name"].as_str().unwrap();
        let kind = expected["kind"].as_str().unwrap();
        let place = &expected["metadata"]["namespace"];
        let found = chart.iter().find(|object| {
            object["kind"] == kind
                && object["metadata"]["name"] == name
                && object["metadata"]["namespace"] == *place
        });
        let found = found.unwrap_or_else(|| panic!("no {kind} {name} in {place}"));
        for field in ["rules", "roleRef", "subjects", "spec"] {
            assert_eq!(found.get(field), expected.get(field), "{kind} {name}");
        }
    }
    let is_right = |object: &&Value| {
        let kind = object["kind"].as_str().unwrap();
        kind.contains("Role")
    };
    let rights = chart.iter().filter(is_right).count();
    assert_eq!(rights, plain.iter().filter(is_right).count());
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn switches_leave_out_what_they_name() {
    let helm = helm().await;
    let all = rendered(&helm, &[]).await;
    for (switch, kinds, name) in [
        (
            "crds.install",
            &["CustomResourceDefinition"][..],
            "concierge",
        ),
        ("apiServices.create", &["APIService"], "concierge"),
        (
            "rbac.anonymous",
            &["ClusterRole", "ClusterRoleBinding"],
            "haulout-login-anonymous",
        ),
        ("networkPolicy.enabled", &["NetworkPolicy"], "haulout"),
        (
            "priority.enabled",
            &["FlowSchema", "PriorityLevelConfiguration"],
            "haulout",
        ),
        (
            "webhook.podDisruptionBudget.enabled",
            &["PodDisruptionBudget"],
            "haulout",
        ),
    ] {
        let some = rendered(&helm, &["--set", &format!("{switch}=false")]).await;
        let key = |object: &Value| {
            json!([
                object["kind"],
                object["metadata"]["name"],
                object["metadata"]["namespace"]
            ])
        };
        let left_out: Vec<Value> = all
            .iter()
            .map(key)
            .filter(|object| !some.iter().any(|other| key(other) == *object))
            .collect();
        assert!(!left_out.is_empty(), "{switch}");
        assert_eq!(all.len(), some.len() + left_out.len(), "{switch}");
        for object in left_out {
            let kind = object[0].as_str().unwrap();
            let its_name = object[1].as_str().unwrap();
            assert!(
                kinds.contains(&kind) && its_name.contains(name),
                "{switch}: {object}"
            );
        }
    }
}

/// A chart that has this one as a dependency is passed `global` by Helm.
#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn global_values_of_an_umbrella_chart_are_no_fault() {
    let helm = helm().await;
    rendered(&helm, &["--set=global.registry=x"]).await;
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn presets_place_the_agent_where_the_key_is() {
    let helm = helm().await;
    for (values, files, user, kind) in [
        (
            &["--set=agent.preset=kubeadm"][..],
            ["/etc/kubernetes/pki/ca.crt", "/etc/kubernetes/pki/ca.key"],
            [0, 0],
            json!("File"),
        ),
        (
            &["--set=agent.preset=talos"],
            [
                "/system/secrets/kubernetes/kube-controller-manager/ca.crt",
                "/system/secrets/kubernetes/kube-controller-manager/ca.key",
            ],
            [65535, 65535],
            Value::Null,
        ),
        (
            GOOD[2],
            ["/srv/ca.crt", "/srv/ca.key"],
            [0, 998],
            json!("File"),
        ),
        (
            &["--set=agent.certFile=/srv/ca.crt,agent.runAsUser=7"],
            ["/srv/ca.crt", "/etc/kubernetes/pki/ca.key"],
            [7, 0],
            json!("File"),
        ),
    ] {
        let objects = rendered(&helm, values).await;
        let pod = &object(&objects, "DaemonSet", "haulout-agent")["spec"]["template"]["spec"];
        let volumes = pod["volumes"].as_array().unwrap();
        let host_paths: Vec<&Value> = volumes
            .iter()
            .map(|volume| &volume["hostPath"])
            .filter(|path| !path.is_null())
            .collect();
        assert_eq!(host_paths.len(), 2, "{values:?}");
        for (path, file) in host_paths.iter().zip(files) {
            assert_eq!(
                (&path["path"], &path["type"]),
                (&json!(file), &kind),
                "{values:?}"
            );
        }
        let context = &pod["securityContext"];
        assert_eq!(
            json!([context["runAsUser"], context["runAsGroup"]]),
            json!(user)
        );
        assert_eq!(
            context["runAsNonRoot"],
            if user[0] == 0 {
                Value::Null
            } else {
                json!(true)
            }
        );
    }
}

/// `kubectl apply --dry-run=server`, which refuses unknown fields.
#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn the_api_server_takes_what_is_rendered() {
    let helm = helm().await;
    let cluster = Cluster::start(ClusterOptions::new(Profile::Talos))
        .await
        .unwrap();
    let kubectl = cluster.kubectl();
    for namespace in [NAMESPACE, AGENT_NAMESPACE] {
        kubectl
            .run(["create", "namespace", namespace])
            .await
            .unwrap();
    }
    for values in GOOD {
        let mut objects = rendered(&helm, values).await;
        // Its kind comes with the Prometheus operator.
        objects.retain(|object| object["kind"] != "ServiceMonitor");
        let text = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
        let apply = ["apply", "--dry-run=server", "--validate=strict", "-f", "-"];
        let output = kubectl.output_of(&apply, &text).await.unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{values:?}: {errors}");
        assert_eq!(
            output.stdout.iter().filter(|byte| **byte == b'\n').count(),
            objects.len()
        );
    }
}

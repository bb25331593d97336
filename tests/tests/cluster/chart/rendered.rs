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

/// Off, it leaves no trace; on, each part leads to the next.
#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn the_direct_endpoint_is_led_to() {
    const ON: &str = "--set=directEndpoint.externalUrl=https://login.example.com:8443";
    let helm = helm().await;
    let off = rendered(&helm, &[]).await;
    assert!(!json!(off).to_string().contains("directEndpoint:"));
    assert!(
        !off.iter()
            .any(|object| object["metadata"]["name"] == "haulout-direct")
    );
    let objects = rendered(&helm, &[ON]).await;
    assert_eq!(objects.len(), off.len() + 1);

    let config = object(&objects, "ConfigMap", "haulout-webhook");
    let config: Value = documents(config["data"]["webhook.yaml"].as_str().unwrap()).remove(0);
    let expected = json!({"listen": "[::]:8443", "externalUrl": "https://login.example.com:8443"});
    assert_eq!(config["directEndpoint"], expected);
    let pod = &object(&objects, "Deployment", "haulout-webhook")["spec"]["template"];
    let ports = &pod["spec"]["containers"][0]["ports"];
    assert_eq!(ports[2], json!({"name": "direct", "containerPort": 8443}));
    let service = &object(&objects, "Service", "haulout-direct")["spec"];
    assert_eq!(service["type"], "ClusterIP");
    assert_eq!(service["ports"][0]["targetPort"], "direct");
    let selector = service["selector"].as_object().unwrap();
    for (label, value) in selector {
        assert_eq!(pod["metadata"]["labels"][label], *value);
    }
    let policy = &object(&objects, "NetworkPolicy", "haulout-webhook")["spec"];
    assert_eq!(policy["ingress"][1], json!({"ports": [{"port": "direct"}]}));

    let path = "/apis/login.concierge.pinniped.dev/v1alpha1/tokencredentialrequests";
    let public = "--set=directEndpoint.certificateAuthorityData=public";
    let gateway = "--set=directEndpoint.gateway.parentRefs[0].name=public";
    let objects = rendered(
        &helm,
        &[
            ON,
            public,
            gateway,
            "--set=directEndpoint.ingress.enabled=true,directEndpoint.gateway.kind=HTTPRoute",
            "--set=directEndpoint.gateway.backendCAConfigMap=serving-ca",
        ],
    )
    .await;
    let ingress = &object(&objects, "Ingress", "haulout-direct")["spec"];
    assert_eq!(ingress["rules"][0]["host"], "login.example.com");
    let rule = &ingress["rules"][0]["http"]["paths"][0];
    assert_eq!(
        (&rule["path"], &rule["pathType"]),
        (&json!(path), &json!("Exact"))
    );
    let backend = json!({"service": {"name": "haulout-direct", "port": {"name": "https"}}});
    assert_eq!(rule["backend"], backend);
    let route = &object(&objects, "HTTPRoute", "haulout-direct")["spec"];
    assert_eq!(route["rules"][0]["matches"][0]["path"]["value"], path);
    assert_eq!(
        route["rules"][0]["backendRefs"],
        json!([{"name": "haulout-direct", "port": 443}])
    );
    let policy = &object(&objects, "BackendTLSPolicy", "haulout-direct")["spec"];
    let name = "haulout-direct.haulout-system.svc";
    assert_eq!(policy["validation"]["hostname"], name);

    let through = [ON, gateway, "--set=directEndpoint.gateway.kind=TLSRoute"];
    let objects = rendered(&helm, &through).await;
    let route = &object(&objects, "TLSRoute", "haulout-direct")["spec"];
    assert_eq!(route["rules"][0].get("matches"), None);
    assert_eq!(route["hostnames"], json!(["login.example.com"]));
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
        // Kinds of the Prometheus operator and of the Gateway API.
        let foreign = [
            "ServiceMonitor",
            "HTTPRoute",
            "TLSRoute",
            "BackendTLSPolicy",
        ];
        objects.retain(|object| !foreign.iter().any(|kind| object["kind"] == *kind));
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

//! The objects of Pinniped's Concierge, shaped as its manifests and its program make them. No program is behind them: the
//! Service has no endpoints, as while all pods are down.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use haulout_tests::cluster::{Cluster, workspace_root};
use serde_json::{Value, json};

pub(crate) const NAMESPACE: &str = "pinniped-concierge";
pub(crate) const DEPLOYMENT: &str = "pinniped-concierge";
/// The Secret with its serving certificate, whose CA the APIServices name.
pub(super) const SERVING: &str = "pinniped-concierge-api-tls-serving-certificate";

/// Fields of our CRDs that Pinniped's do not have.
const ADDED_FIELDS: [&str; 5] = [
    "usernamePrefix",
    "groupsPrefix",
    "certificateLifetimeSeconds",
    "signingAlgorithms",
    "tokenReviewVersion",
];

/// Installs it with kubectl, client-side, as its guide says; then adds what the program makes while it runs.
pub(crate) async fn install(cluster: &Cluster) {
    let kubectl = cluster.kubectl();
    let ca = STANDARD.encode(std::fs::read(cluster.ca_certificate()).unwrap());
    let crds = json!({"apiVersion": "v1", "kind": "List", "items": crds()});
    apply(cluster, &crds).await;
    let wait = [
        "wait",
        "--for=condition=Established",
        "--timeout=30s",
        "crd",
        "--all",
    ];
    kubectl.run(wait).await.unwrap();
    let mut items = workload();
    items.extend(rbac());
    items.extend(["login", "identity"].map(|group| api_service(group, &ca)));
    apply(
        cluster,
        &json!({"apiVersion": "v1", "kind": "List", "items": items}),
    )
    .await;

    make_run_time_objects(cluster, &ca).await;
}

/// What the program makes once it runs, with the CA of its serving certificate in base64.
pub(crate) async fn make_run_time_objects(cluster: &Cluster, ca: &str) {
    let owner = ["-n", NAMESPACE, "get", "deployment", DEPLOYMENT];
    let owner = cluster.kubectl().json(&owner).await.unwrap();
    let items = made_at_run_time(&owner["metadata"]["uid"], ca);
    let objects = json!({"apiVersion": "v1", "kind": "List", "items": items});
    apply(cluster, &objects).await;
}

/// What somebody with rights in one namespace alone can make, with all marks of the Concierge.
pub(super) async fn install_impostor(cluster: &Cluster) {
    let labels = json!({"app": "impostor", "deployment.pinniped.dev": "concierge"});
    let items = json!([
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "impostor"}},
        {
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": DEPLOYMENT, "namespace": "impostor", "labels": labels},
            "spec": {
                "replicas": 0,
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"containers": [{"name": "impostor", "image": "impostor"}]},
                },
            },
        },
    ]);
    let objects = json!({"apiVersion": "v1", "kind": "List", "items": items});
    apply(cluster, &objects).await;
}

pub(crate) async fn apply(cluster: &Cluster, objects: &Value) {
    let manifests = objects.to_string();
    let output = cluster
        .kubectl()
        .output_of(&["apply", "-f", "-"], &manifests);
    let output = output.await.unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Ours without what is ours alone, and with the marks of the old installation.
fn crds() -> Vec<Value> {
    let folder = workspace_root().join("manifests/crds");
    let files = std::fs::read_dir(folder).unwrap();
    let read = |entry: std::io::Result<std::fs::DirEntry>| {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let mut crd: Value = serde_saphyr::from_str(&text).unwrap();
        crd["metadata"]["labels"] = json!({"app": DEPLOYMENT});
        crd["metadata"]["annotations"] =
            json!({"controller-gen.kubebuilder.io/version": "v0.21.0"});
        let spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
        let fields = crd.pointer_mut(spec).unwrap().as_object_mut().unwrap();
        fields.retain(|field, _| !ADDED_FIELDS.contains(&field.as_str()));
        crd
    };
    files.map(read).collect()
}

fn metadata(name: &str, namespace: Option<&str>) -> Value {
    let name = if name.is_empty() {
        DEPLOYMENT.to_owned()
    } else {
        format!("{DEPLOYMENT}-{name}")
    };
    let labels = json!({"app": DEPLOYMENT});
    match namespace {
        Some(namespace) => json!({"name": name, "namespace": namespace, "labels": labels}),
        None => json!({"name": name, "labels": labels}),
    }
}

fn workload() -> Vec<Value> {
    let own = Some(NAMESPACE);
    let account = |name: &str| json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata(name, own)});
    let service = |name: &str, target: u16| {
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata(name, own),
            "spec": {
                "type": "ClusterIP",
                "selector": {"deployment.pinniped.dev": "concierge"},
                "ports": [{"protocol": "TCP", "port": 443, "targetPort": target}],
            },
        })
    };
    let configuration = format!(
        "discovery:\n  url: https://kubernetes.example.com\napi:\n  servingCertificate:\n    durationSeconds: 2592000\n    \
         renewBeforeSeconds: 2160000\napiGroupSuffix: pinniped.dev\nnames:\n  servingCertificateSecret: {SERVING}\n  \
         credentialIssuer: {DEPLOYMENT}-config\n  apiService: {DEPLOYMENT}-api\nlabels: {{app: {DEPLOYMENT}}}\n\
         audit:\n  logUsernamesAndGroups: enabled\n"
    );
    vec![
        json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": NAMESPACE, "labels": {
                "app": DEPLOYMENT, "pod-security.kubernetes.io/enforce": "privileged",
            }},
        }),
        account(""),
        account("kube-cert-agent"),
        account("impersonation-proxy"),
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata("config", own),
            "data": {"pinniped.yaml": configuration},
        }),
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "image-pull-secret", "namespace": NAMESPACE, "labels": {"app": DEPLOYMENT}},
            "type": "kubernetes.io/dockerconfigjson",
            "data": {".dockerconfigjson": STANDARD.encode(r#"{"auths":{}}"#)},
        }),
        service("api", 10250),
        service("proxy", 8444),
        deployment(),
        json!({
            "apiVersion": "config.concierge.pinniped.dev/v1alpha1",
            "kind": "CredentialIssuer",
            "metadata": metadata("config", None),
            "spec": {"impersonationProxy": {"mode": "auto", "service": {"type": "LoadBalancer"}}},
        }),
    ]
}

fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata("", Some(NAMESPACE)),
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": DEPLOYMENT}},
            "template": {
                "metadata": {"labels": {"app": DEPLOYMENT, "deployment.pinniped.dev": "concierge"}},
                "spec": {
                    "serviceAccountName": DEPLOYMENT,
                    "containers": [{
                        "name": DEPLOYMENT,
                        "image": "pinniped-server",
                        "command": ["pinniped-concierge", "--config=/etc/config/pinniped.yaml"],
                        "env": [
                            {"name": "HTTPS_PROXY", "value": "http://proxy.example.com:3128"},
                            {"name": "NO_PROXY", "value": "$(KUBERNETES_SERVICE_HOST),.svc,.cluster.local"},
                        ],
                        "volumeMounts": [{"name": "config-volume", "mountPath": "/etc/config", "readOnly": true}],
                    }],
                    "volumes": [
                        {"name": "tmp", "emptyDir": {"medium": "Memory"}},
                        {"name": "config-volume", "configMap": {"name": format!("{DEPLOYMENT}-config")}},
                    ],
                },
            },
        },
    })
}

fn api_service(group: &str, ca: &str) -> Value {
    let group = format!("{group}.concierge.pinniped.dev");
    json!({
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": format!("v1alpha1.{group}"), "labels": {"app": DEPLOYMENT}},
        "spec": {
            "group": group,
            "version": "v1alpha1",
            "groupPriorityMinimum": 9900,
            "versionPriority": 15,
            "service": {"name": format!("{DEPLOYMENT}-api"), "namespace": NAMESPACE, "port": 443},
            "caBundle": ca,
        },
    })
}

/// Roles and bindings; what a role allows is of no matter here, but for what everybody may.
fn rbac() -> Vec<Value> {
    let api = "rbac.authorization.k8s.io";
    let account = json!([{"kind": "ServiceAccount", "name": DEPLOYMENT, "namespace": NAMESPACE}]);
    let everybody = ["system:authenticated", "system:unauthenticated"]
        .map(|group| json!({"kind": "Group", "name": group, "apiGroup": api}));
    let login = ("login.concierge.pinniped.dev", "tokencredentialrequests");
    let cases = [
        ("aggregated-api-server", None, ("", "namespaces"), &account),
        ("impersonation-proxy", None, ("", "users"), &account),
        ("pre-authn-apis", None, login, &json!(everybody)),
        (
            "kube-cert-agent",
            Some(NAMESPACE),
            ("policy", "podsecuritypolicies"),
            &account,
        ),
        (
            "aggregated-api-server",
            Some(NAMESPACE),
            ("", "secrets"),
            &account,
        ),
        (
            "kube-system-pod-read",
            Some("kube-system"),
            ("", "pods"),
            &account,
        ),
        (
            "cluster-info-lister-watcher",
            Some("kube-public"),
            ("", "configmaps"),
            &account,
        ),
    ];
    let binding = |metadata: &Value, kind: &str, role: &Value, subjects: &Value| {
        json!({
            "apiVersion": format!("{api}/v1"),
            "kind": format!("{kind}Binding"),
            "metadata": metadata,
            "roleRef": {"apiGroup": api, "kind": kind, "name": role},
            "subjects": subjects,
        })
    };
    let delegator = metadata("", None);
    let mut objects = vec![binding(
        &delegator,
        "ClusterRole",
        &json!("system:auth-delegator"),
        &account,
    )];
    for (name, namespace, (group, resource), subjects) in cases {
        let kind = namespace.map_or("ClusterRole", |_| "Role");
        let metadata = metadata(name, namespace);
        objects.push(binding(&metadata, kind, &metadata["name"], subjects));
        objects.push(json!({
            "apiVersion": format!("{api}/v1"),
            "kind": kind,
            "metadata": metadata,
            "rules": [{"apiGroups": [group], "resources": [resource], "verbs": ["create", "list"]}],
        }));
    }
    objects
}

fn made_at_run_time(owner: &Value, ca: &str) -> Vec<Value> {
    let owned = |mut object: Value| {
        let reference = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": DEPLOYMENT, "uid": owner});
        object["metadata"]["ownerReferences"] = json!([reference]);
        object
    };
    let pods = json!({"kube-cert-agent.pinniped.dev": "v3"});
    vec![
        owned(serving_secret(ca)),
        owned(json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata("kube-cert-agent", Some(NAMESPACE)),
            "spec": {
                "selector": {"matchLabels": pods},
                "template": {"metadata": {"labels": pods}, "spec": {"containers": [{
                    "name": "sleeper",
                    "image": "pinniped-server",
                    "command": ["pinniped-concierge-kube-cert-agent", "sleep"],
                }]}},
            },
        })),
    ]
}

fn serving_secret(ca: &str) -> Value {
    let placeholder = STANDARD.encode("made by the program");
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata("api-tls-serving-certificate", Some(NAMESPACE)),
        "data": {
            "caCertificate": ca,
            "caCertificatePrivateKey": placeholder,
            "tlsPrivateKey": placeholder,
            "tlsCertificateChain": placeholder,
        },
    })
}

//! What stands for the Concierge's program: our own webhook, under the Concierge's names and without an agent.
//!
//! The API server reaches it through the Concierge's Service, and its Deployment stops and starts it. It knows the API, but
//! refuses every login.

use haulout_tests::cluster::Cluster;
use serde_json::{Value, json};

use crate::migrate::concierge::{self, DEPLOYMENT, NAMESPACE};

const NAME: &str = "stand-in";
const RBAC: &str = "rbac.authorization.k8s.io";

pub(super) struct StandIn {
    /// Of its serving certificate, in base64.
    ca: String,
}

impl StandIn {
    /// Puts the program into the Deployment, with a configuration and rights of its own, and waits until the API server
    /// reaches it.
    pub(super) async fn start(cluster: &Cluster) -> Self {
        let kubectl = cluster.kubectl();
        kubectl.apply(&rights().to_string()).await.unwrap();
        let configuration = json!({"data": {"webhook.yaml": configuration().to_string()}});
        let config_map = format!("configmap/{DEPLOYMENT}-config");
        let deployment = format!("deployment/{DEPLOYMENT}");
        for (object, how, patch) in [
            (&config_map, "--type=merge", configuration),
            (&deployment, "--type=json", program()),
        ] {
            let patch = patch.to_string();
            let patch = ["-n", NAMESPACE, "patch", object, how, "-p", &patch];
            kubectl.run(patch).await.unwrap();
        }
        let services = ["login", "identity"]
            .map(|group| format!("apiservice/v1alpha1.{group}.concierge.pinniped.dev"));
        let [login, identity] = &services;
        let available = "--for=condition=Available";
        let wait = ["wait", available, "--timeout=55s", login, identity];
        kubectl.run(wait).await.unwrap();
        let login = kubectl.json(&["get", login]).await.unwrap();
        let stand_in = Self {
            ca: login["spec"]["caBundle"].as_str().unwrap().to_owned(),
        };
        stand_in.make_run_time_objects(cluster).await;
        stand_in
    }

    /// What the Concierge's program makes once it runs, its CA among it.
    pub(super) async fn make_run_time_objects(&self, cluster: &Cluster) {
        concierge::make_run_time_objects(cluster, &self.ca).await;
    }
}

fn configuration() -> Value {
    json!({
        "namespace": NAMESPACE,
        "servingCertificate": {"secretName": NAME, "service": format!("{DEPLOYMENT}-api")},
        "agent": {"service": {"namespace": NAMESPACE, "name": "none"}},
        "leaderElection": {"leaseName": NAME},
    })
}

/// A patch of the Deployment.
fn program() -> Value {
    let image = concat!("haulout/haulout-webhook:", env!("CARGO_PKG_VERSION"));
    let container = "/spec/template/spec/containers/0";
    json!([
        {"op": "replace", "path": format!("{container}/image"), "value": image},
        {"op": "replace", "path": format!("{container}/imagePullPolicy"), "value": "Never"},
        {"op": "remove", "path": format!("{container}/command")},
        {"op": "remove", "path": format!("{container}/env")},
        {"op": "add", "path": format!("{container}/args"), "value": ["--config=/etc/config/webhook.yaml"]},
        {"op": "add", "path": "/spec/template/spec/tolerations", "value": [{"operator": "Exists"}]},
    ])
}

/// As much as it needs to know and to serve the API. It may not write CredentialIssuers, which show where Haulout's own
/// agents are.
fn rights() -> Value {
    let account = json!([{"kind": "ServiceAccount", "name": DEPLOYMENT, "namespace": NAMESPACE}]);
    let binding = |kind: &str, namespace: Option<&str>, role: (&str, &str)| {
        let (of, role) = role;
        json!({
            "apiVersion": format!("{RBAC}/v1"),
            "kind": kind,
            "metadata": {"name": NAME, "namespace": namespace},
            "roleRef": {"apiGroup": RBAC, "kind": of, "name": role},
            "subjects": account,
        })
    };
    let groups = [
        "authentication.concierge.pinniped.dev",
        "apiregistration.k8s.io",
        "authorization.k8s.io",
    ];
    let reader = "extension-apiserver-authentication-reader";
    json!({"apiVersion": "v1", "kind": "List", "items": [
        {
            "apiVersion": format!("{RBAC}/v1"),
            "kind": "ClusterRole",
            "metadata": {"name": NAME},
            "rules": [{"apiGroups": groups, "resources": ["*"], "verbs": ["*"]}],
        },
        binding("ClusterRoleBinding", None, ("ClusterRole", NAME)),
        binding("RoleBinding", Some(NAMESPACE), ("ClusterRole", "cluster-admin")),
        binding("RoleBinding", Some("kube-system"), ("Role", reader)),
    ]})
}

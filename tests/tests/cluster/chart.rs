//! The Helm chart, rendered and installed by the real Helm. Run by the stages `chart` and `chart-helm3`.

mod admission;
mod flow_control;
mod installation;
mod lifecycle;
mod rendered;
mod values;

use haulout_tests::cluster::{CHART, Cluster, ClusterOptions, Helm, HelmVersion, Profile};
use serde_json::Value;

const NAMESPACE: &str = "haulout-system";
const AGENT_NAMESPACE: &str = "haulout-agent";
/// Names the registry, unless values that follow name another.
const IMAGES: &str = "--values=tests/tests/cluster/chart/images.yaml";

async fn helm() -> Helm {
    let version = HelmVersion::chosen().unwrap();
    Helm::find_or_build(version).await.unwrap()
}

/// Objects that the chart makes of these values.
async fn rendered(helm: &Helm, values: &[&str]) -> Vec<Value> {
    documents(&helm.template(&[&[IMAGES], values].concat()).await.unwrap())
}

fn documents(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).unwrap()
}

fn object<'a>(documents: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let mut found = documents
        .iter()
        .filter(|object| object["kind"] == kind && object["metadata"]["name"] == name);
    let object = found.next();
    assert!(found.next().is_none(), "two of {kind} {name}");
    object.unwrap_or_else(|| panic!("no {kind} {name}"))
}

/// A cluster, and Helm as its administrator.
struct Installed {
    helm: Helm,
    cluster: Cluster,
}

impl Installed {
    /// A cluster laid out like kubeadm's, with nothing of ours in it.
    async fn start() -> Self {
        let cluster = Cluster::start(ClusterOptions::new(Profile::Kubeadm)).await;
        Self::new(helm().await, cluster.unwrap())
    }

    fn new(helm: Helm, cluster: Cluster) -> Self {
        let helm = helm.with_kubeconfig(cluster.kubectl().kubeconfig());
        Self { helm, cluster }
    }

    /// `helm COMMAND haulout CHART` with these values.
    async fn put(&self, command: &str, values: &[&str]) -> anyhow::Result<String> {
        let arguments = [command, "haulout", CHART, "--namespace", NAMESPACE, IMAGES];
        self.helm.run(&[&arguments, values].concat()).await
    }

    async fn kubectl(&self, arguments: &[&str]) -> String {
        self.cluster.kubectl().run(arguments).await.unwrap()
    }

    async fn get(&self, arguments: &[&str]) -> Value {
        let arguments = [&["get"], arguments].concat();
        self.cluster.kubectl().json(&arguments).await.unwrap()
    }

    async fn create(&self, object: &Value) {
        let kubectl = self.cluster.kubectl();
        let output = kubectl
            .output_of(&["create", "-f", "-"], &object.to_string())
            .await
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
    }

    /// A control plane node without kubelet, so that the DaemonSet has a pod.
    async fn add_node(&self) {
        self.create(&serde_json::json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": "control-plane", "labels": {
                "node-role.kubernetes.io/control-plane": "", "kubernetes.io/os": "linux",
            }},
            "spec": {"taints": [
                {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"},
            ]},
        }))
        .await;
    }
}

//! The webhook's objects that are not a workload: namespaces, account, Service, APIServices.

use haulout_api::group::{ApiGroupSuffix, VERSION};
use serde_json::{Value, json};

/// Where the webhook runs.
pub(super) const NAMESPACE: &str = "haulout-system";
/// Where the agents run.
pub(super) const AGENT_NAMESPACE: &str = "haulout-agent";
/// As whom the webhook runs.
pub(super) const SERVICE_ACCOUNT: &str = "haulout-webhook";
const SERVICE: &str = "haulout-api";

/// Path below `manifests/` and the objects of each file.
pub(super) fn files() -> Vec<(&'static str, Vec<Value>)> {
    let suffix = ApiGroupSuffix::default();
    let api_services = [suffix.identity_group(), suffix.login_group()];
    vec![
        (
            "webhook/namespace.yaml",
            vec![
                namespace(NAMESPACE, "restricted"),
                namespace(AGENT_NAMESPACE, "privileged"),
            ],
        ),
        ("webhook/service-account.yaml", vec![service_account()]),
        ("webhook/service.yaml", vec![service()]),
        (
            "webhook/api-services.yaml",
            api_services
                .iter()
                .map(|group| api_service(group))
                .collect(),
        ),
    ]
}

/// Labels of every object of the webhook, and the selector of its pods.
pub(super) fn labels() -> Value {
    json!({"app.kubernetes.io/name": "haulout", "app.kubernetes.io/component": "webhook"})
}

/// `level` is that of PodSecurity. The agents take two files of the node by hostPath, which only `privileged` allows.
pub(super) fn namespace(name: &str, level: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": name,
            "labels": {
                "app.kubernetes.io/name": "haulout",
                "pod-security.kubernetes.io/enforce": level,
            },
        },
    })
}

fn service_account() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": SERVICE_ACCOUNT, "namespace": NAMESPACE, "labels": labels()},
    })
}

fn service() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": SERVICE, "namespace": NAMESPACE, "labels": labels()},
        "spec": {
            "type": "ClusterIP",
            "selector": labels(),
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 10250}],
        },
    })
}

/// Without `caBundle`: the webhook writes it, and applying this again leaves it alone.
fn api_service(group: &str) -> Value {
    json!({
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": format!("{VERSION}.{group}"), "labels": labels()},
        "spec": {
            "group": group,
            "version": VERSION,
            "groupPriorityMinimum": 9900,
            "versionPriority": 15,
            "service": {"name": SERVICE, "namespace": NAMESPACE, "port": 443},
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn api_services_trust_nobody_until_the_webhook_says_whom() {
        for (_, objects) in files() {
            for object in objects
                .iter()
                .filter(|object| object["kind"] == "APIService")
            {
                assert_eq!(object["spec"].get("caBundle"), None);
                assert_eq!(object["spec"].get("insecureSkipTLSVerify"), None);
            }
        }
    }
}

//! What to do about one APIService. No I/O.

use haulout_pki::bundle::CertificateBundle;
use k8s_openapi::ByteString;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::{APIService, APIServiceSpec};
use serde_json::{Value, json};

use super::OurService;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Plan {
    /// It is right.
    Leave,
    /// It leads to this other Service, written `namespace/name`; or nowhere.
    Foreign(String),
    /// Ours to put right by this merge patch, which holds the resourceVersion as its precondition.
    Patch(Value),
}

pub(super) fn plan(found: &APIService, ours: &OurService, bundle: &CertificateBundle) -> Plan {
    let no_spec = APIServiceSpec::default();
    let spec = found.spec.as_ref().unwrap_or(&no_spec);
    let leads_to = spec.service.as_ref().map(|service| OurService {
        namespace: service.namespace.clone().unwrap_or_default(),
        name: service.name.clone().unwrap_or_default(),
    });
    match leads_to {
        Some(service) if service == *ours => {}
        Some(other) => return Plan::Foreign(format!("{}/{}", other.namespace, other.name)),
        None => return Plan::Foreign("no Service".to_owned()),
    }
    let wanted = ByteString(bundle.to_pem().into_bytes());
    let is_insecure = spec.insecure_skip_tls_verify == Some(true);
    if spec.ca_bundle.as_ref() == Some(&wanted) && !is_insecure {
        return Plan::Leave;
    }
    let mut spec = json!({ "caBundle": wanted });
    if is_insecure && let Some(spec) = spec.as_object_mut() {
        // The API server takes only one of the two; null removes a field.
        spec.insert("insecureSkipTLSVerify".to_owned(), Value::Null);
    }
    let version = found.metadata.resource_version.as_deref();
    Plan::Patch(json!({ "metadata": { "resourceVersion": version }, "spec": spec }))
}

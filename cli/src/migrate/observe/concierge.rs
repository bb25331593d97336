//! Finds Pinniped's Concierge and what belongs to it.

use std::collections::BTreeMap;

use haulout_api::controller_manager;
use haulout_api::group::{ApiGroupSuffix, VERSION};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, PodSpec, Service as KubernetesService};
use kube::Api;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::Value;

use crate::cluster::{Cluster, ClusterError};
use crate::migrate::MigrateError;
use crate::migrate::name::{Name, NameError};
use crate::migrate::record::Record;
use crate::migrate::state::{Concierge, Manager, Object, Service, Settings};

/// Label of everything that its manifests make.
const APP: &str = "app";
/// Key of its configuration in a ConfigMap.
const CONFIGURATION: &str = "pinniped.yaml";

const RBAC: &str = "rbac.authorization.k8s.io";
/// Namespaces in which its manifests make a Role and a RoleBinding.
const SHARED_NAMESPACES: [&str; 2] = [controller_manager::NAMESPACE, "kube-public"];

/// Group, version and name of a kind.
type Kind<'a> = (&'a str, &'a str, &'a str);

/// Kinds that its manifests make in its own namespace.
const NAMESPACED_KINDS: [Kind<'_>; 7] = [
    ("apps", "v1", "Deployment"),
    ("", "v1", "Service"),
    ("", "v1", "ConfigMap"),
    ("", "v1", "Secret"),
    ("", "v1", "ServiceAccount"),
    (RBAC, "v1", "RoleBinding"),
    (RBAC, "v1", "Role"),
];

/// The installation behind a Service; `None` if there is none.
pub(super) async fn find(
    cluster: &Cluster,
    service: &Service,
    suffix: &ApiGroupSuffix,
) -> Result<Option<Concierge>, MigrateError> {
    let mut deployments = behind(cluster, service).await?;
    let Some(deployment) = deployments.pop() else {
        return Ok(None);
    };
    if !deployments.is_empty() {
        return Err(MigrateError::SeveralConcierges);
    }
    Ok(Some(describe(cluster, deployment, service, suffix).await?))
}

/// The installation that was behind the logins before Haulout; `None` if it is gone.
pub(super) async fn find_recorded(
    cluster: &Cluster,
    record: Record,
    suffix: &ApiGroupSuffix,
) -> Result<Option<Concierge>, MigrateError> {
    let Record {
        namespace,
        service,
        deployment,
    } = record;
    let deployments: Api<Deployment> = Api::namespaced(cluster.client(), namespace.as_str());
    let found = cluster.get("the Concierge", &deployments, deployment.as_str());
    let Some(deployment) = found.await? else {
        return Ok(None);
    };
    let service = Service {
        namespace,
        name: service,
    };
    Ok(Some(describe(cluster, deployment, &service, suffix).await?))
}

/// The Deployments whose pods a Service selects.
async fn behind(cluster: &Cluster, service: &Service) -> Result<Vec<Deployment>, ClusterError> {
    let services: Api<KubernetesService> =
        Api::namespaced(cluster.client(), service.namespace.as_str());
    let found = cluster.get(
        "the Service of the logins",
        &services,
        service.name.as_str(),
    );
    let selector = found.await?.and_then(|service| service.spec?.selector);
    let Some(selector) = selector.filter(|selector| !selector.is_empty()) else {
        return Ok(Vec::new());
    };
    let deployments: Api<Deployment> =
        Api::namespaced(cluster.client(), service.namespace.as_str());
    let deployments = cluster.list("the Deployments", &deployments, "").await?;
    Ok(selected(deployments, &selector))
}

/// Those whose pods have all labels of `selector`.
fn selected(deployments: Vec<Deployment>, selector: &BTreeMap<String, String>) -> Vec<Deployment> {
    let matches = |deployment: &Deployment| {
        let template = deployment.spec.as_ref().map(|spec| &spec.template);
        let labels = template.and_then(|template| template.metadata.as_ref()?.labels.as_ref());
        labels.is_some_and(|labels| {
            let mut wanted = selector.iter();
            wanted.all(|(label, value)| labels.get(label) == Some(value))
        })
    };
    deployments.into_iter().filter(matches).collect()
}

async fn describe(
    cluster: &Cluster,
    deployment: Deployment,
    service: &Service,
    suffix: &ApiGroupSuffix,
) -> Result<Concierge, MigrateError> {
    let metadata = &deployment.metadata;
    let namespace = service.namespace.clone();
    let name = metadata.name.clone().unwrap_or_default();
    let spec = deployment.spec.as_ref();
    let pods = spec.and_then(|spec| spec.template.spec.as_ref());
    let configuration = configuration(cluster, namespace.as_str(), pods).await?;
    let app = metadata.labels.as_ref().and_then(|labels| labels.get(APP));
    Ok(Concierge {
        service: service.name.clone(),
        replicas: spec.and_then(|spec| spec.replicas).unwrap_or(1),
        serving_secret: serving_secret(&configuration, &name)?,
        settings: settings(&configuration, pods),
        managers: managers(&deployment),
        objects: match app {
            Some(app) => objects(cluster, namespace.as_str(), app, suffix).await?,
            None => Vec::new(),
        },
        deployment: Name::parse("the Deployment of the Concierge", name)?,
        namespace,
    })
}

/// Its configuration, out of the ConfigMap that its pods mount; `null` where that is not to be found.
async fn configuration(
    cluster: &Cluster,
    namespace: &str,
    pods: Option<&PodSpec>,
) -> Result<Value, ClusterError> {
    let config_maps: Api<ConfigMap> = Api::namespaced(cluster.client(), namespace);
    let volumes = pods.and_then(|pods| pods.volumes.as_ref());
    let mounted = volumes
        .into_iter()
        .flatten()
        .filter_map(|volume| Some(volume.config_map.as_ref()?.name.as_str()));
    for name in mounted {
        let found = cluster
            .get("the configuration of the Concierge", &config_maps, name)
            .await?;
        let text = found.and_then(|found| found.data?.remove(CONFIGURATION));
        if let Some(text) = text {
            return Ok(serde_saphyr::from_str(&text).unwrap_or_default());
        }
    }
    Ok(Value::Null)
}

/// The Secret with the serving certificate of the Deployment `name`.
fn serving_secret(configuration: &Value, name: &str) -> Result<Name, NameError> {
    let configured = configuration.pointer("/names/servingCertificateSecret");
    let secret = match configured.and_then(Value::as_str) {
        Some(secret) => secret.to_owned(),
        None => format!("{name}-api-tls-serving-certificate"),
    };
    Name::parse(
        "the Secret with the Concierge's serving certificate",
        secret,
    )
}

fn settings(configuration: &Value, pods: Option<&PodSpec>) -> Settings {
    let text = |path: &str| {
        let text = configuration.pointer(path).and_then(Value::as_str);
        text.filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let variable = |name: &str| {
        let containers = pods.into_iter().flat_map(|pods| &pods.containers);
        let mut variables = containers.flat_map(|container| container.env.iter().flatten());
        let found = variables.find(|variable| variable.name == name)?;
        found.value.clone().filter(|value| !value.is_empty())
    };
    Settings {
        server: text("/discovery/url"),
        logs_names: text("/audit/logUsernamesAndGroups").as_deref() == Some("enabled"),
        https_proxy: variable("HTTPS_PROXY"),
        no_proxy: variable("NO_PROXY"),
    }
}

fn managers(deployment: &Deployment) -> Vec<Manager> {
    const MARKS: [(&str, Manager); 6] = [
        ("kapp.k14s.io/app", Manager::Kapp),
        ("meta.helm.sh/release-name", Manager::Helm),
        ("argocd.argoproj.io/instance", Manager::ArgoCd),
        ("argocd.argoproj.io/tracking-id", Manager::ArgoCd),
        ("kustomize.toolkit.fluxcd.io/name", Manager::Flux),
        ("helm.toolkit.fluxcd.io/name", Manager::Flux),
    ];
    let metadata = &deployment.metadata;
    let marks = metadata.labels.iter().chain(&metadata.annotations);
    let marks: Vec<_> = marks.flat_map(BTreeMap::keys).collect();
    let mut found: Vec<_> = MARKS
        .into_iter()
        .filter(|(mark, _)| marks.iter().any(|key| key == mark))
        .map(|(_, manager)| manager)
        .collect();
    found.dedup();
    found
}

/// What its manifests made, by their label. What it made itself while it ran has an owner, and goes with that.
async fn objects(
    cluster: &Cluster,
    namespace: &str,
    app: &str,
    suffix: &ApiGroupSuffix,
) -> Result<Vec<Object>, ClusterError> {
    let config = suffix.config_group();
    let mut places: Vec<(Option<&str>, Kind<'_>)> = vec![
        (None, (&config, VERSION, "CredentialIssuer")),
        (None, (RBAC, "v1", "ClusterRoleBinding")),
        (None, (RBAC, "v1", "ClusterRole")),
    ];
    places.extend(NAMESPACED_KINDS.map(|kind| (Some(namespace), kind)));
    for shared in SHARED_NAMESPACES {
        places.extend(["RoleBinding", "Role"].map(|kind| (Some(shared), (RBAC, "v1", kind))));
    }
    let labels = format!("{APP}={app}");
    let mut found = Vec::new();
    for (place, (group, version, kind)) in places {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        let api: Api<DynamicObject> = match place {
            Some(namespace) => Api::namespaced_with(cluster.client(), namespace, &resource),
            None => Api::all_with(cluster.client(), &resource),
        };
        let what = "what belongs to the Concierge";
        for metadata in cluster.list_metadata(what, &api, &labels).await? {
            let name = metadata.name.unwrap_or_default();
            // Outside of its own namespace others may use the same label.
            let is_own = place == Some(namespace)
                || name
                    .strip_prefix(app)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
            if is_own
                && metadata
                    .owner_references
                    .is_none_or(|owners| owners.is_empty())
            {
                found.push(Object {
                    resource: match group {
                        "" => resource.plural.clone(),
                        group => format!("{}.{group}", resource.plural),
                    },
                    namespace: place.map(str::to_owned),
                    name,
                });
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests;

//! Reads the state of a cluster. Nothing is written, and of Secrets only those are read that hold CA bundles.

mod concierge;

use haulout_api::authenticator::{
    CertificateAuthorityDataSource, CertificateAuthorityDataSourceKind, JwtAuthenticatorSpec,
    TlsSpec, WebhookAuthenticatorSpec,
};
use haulout_api::credential;
use haulout_api::group::{ApiGroupSuffix, VERSION};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::Api;
use kube::api::ListParams;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::MigrateError;
use super::name::{Name, NameError};
use super::record::{ANNOTATION, Record, RecordError};
use super::state::{Anonymous, Authenticator, Concierge, Issuer, Service, Source, State};
use super::steps::{RELEASE_NAME, RELEASE_NAMESPACE};
use crate::agent_placement::ControlPlane;
use crate::authenticator_kind::AuthenticatorKind;
use crate::chain;
use crate::cluster::{Cluster, ClusterError};
use crate::installation::{AGENT_NAMESPACE, NAMESPACE, RELEASE, RIGHTS};

/// Reads everything that a migration depends on; `suffix` is needed where several installations are registered.
pub(super) async fn observe(
    cluster: &Cluster,
    suffix: Option<&ApiGroupSuffix>,
) -> Result<State, MigrateError> {
    let version = cluster
        .call("the version", cluster.client().apiserver_version())
        .await?;
    let services: Api<APIService> = Api::all(cluster.client());
    let services = cluster.list("the APIServices", &services, "").await?;
    let suffix = match suffix {
        Some(suffix) => suffix.clone(),
        None => only_suffix(&services)?,
    };
    let login = leads_to(&services, &suffix.login_group())?
        .ok_or_else(|| MigrateError::NotServed(suffix.clone()))?;
    let identity = leads_to(&services, &suffix.identity_group())?;
    let record = recorded(&services, &suffix.login_group())?;
    let is_recorded = record.is_some();
    // Half way through the switch one of the two leads to Haulout.
    let others = [Some(&login), identity.as_ref()];
    let other = others
        .into_iter()
        .flatten()
        .find(|service| !service.is_ours());
    let concierge = match (other, record) {
        (Some(service), _) => concierge::find(cluster, service, &suffix).await?,
        (None, Some(record)) => concierge::find_recorded(cluster, record, &suffix).await?,
        (None, None) => None,
    };
    let group = suffix.authentication_group();
    let jwt = authenticators(cluster, &group, AuthenticatorKind::Jwt).await?;
    let webhook = authenticators(cluster, &group, AuthenticatorKind::Webhook).await?;
    let issuers = cluster.custom(&suffix.config_group(), "CredentialIssuer");
    let issuers = cluster.list("the CredentialIssuers", &issuers, "").await?;
    let sources = match &concierge {
        Some(concierge) => {
            let jwt_tls = |spec: &JwtAuthenticatorSpec| spec.tls.clone();
            let webhook_tls = |spec: &WebhookAuthenticatorSpec| spec.tls.clone();
            let named = named_sources(&jwt, jwt_tls)
                .into_iter()
                .chain(named_sources(&webhook, webhook_tls));
            look_up(cluster, concierge, named).await?
        }
        None => Vec::new(),
    };
    Ok(State {
        version: (number(&version.major), number(&version.minor)),
        identity,
        login,
        concierge,
        is_recorded,
        is_taken_over: is_taken_over(&services, &suffix.login_group()),
        namespaces: namespaces(cluster).await?,
        is_installed: is_installed(cluster).await?,
        jwt,
        webhook,
        issuers: issuers.iter().map(issuer).collect(),
        sources,
        anonymous: anonymous(cluster, &suffix).await,
        placement: placement(cluster).await,
        suffix,
    })
}

/// The chart's preset for where the agent belongs, or why nobody can tell.
async fn placement(cluster: &Cluster) -> Result<&'static str, String> {
    let control_plane = ControlPlane::read(cluster).await;
    let values = control_plane.map_err(|error| chain(&error))?.agent_values();
    let values = values.map_err(|error| chain(&error))?;
    Ok(values.preset().unwrap_or("custom"))
}

/// The suffix of the one installation that is registered.
fn only_suffix(services: &[APIService]) -> Result<ApiGroupSuffix, MigrateError> {
    let prefix = format!("{VERSION}.login.concierge.");
    let mut suffixes: Vec<ApiGroupSuffix> = services
        .iter()
        .filter_map(|service| service.metadata.name.as_deref()?.strip_prefix(&prefix))
        .filter_map(|suffix| ApiGroupSuffix::parse(suffix).ok())
        .collect();
    match suffixes.len() {
        0 | 1 => suffixes.pop().ok_or(MigrateError::NothingServed),
        _ => {
            let all: Vec<_> = suffixes.iter().map(ApiGroupSuffix::as_str).collect();
            Err(MigrateError::SeveralSuffixes(all.join(", ")))
        }
    }
}

/// The Service that the APIService of this group leads to.
fn leads_to(services: &[APIService], group: &str) -> Result<Option<Service>, NameError> {
    let found = api_service(services, group).and_then(|found| found.spec.as_ref());
    let Some(service) = found.and_then(|spec| spec.service.clone()) else {
        return Ok(None);
    };
    let (Some(namespace), Some(name)) = (service.namespace, service.name) else {
        return Ok(None);
    };
    Ok(Some(Service {
        namespace: Name::parse("the namespace that an APIService leads to", namespace)?,
        name: Name::parse("the Service that an APIService leads to", name)?,
    }))
}

/// What the steps wrote down at the APIService of this group.
fn recorded(services: &[APIService], group: &str) -> Result<Option<Record>, RecordError> {
    annotation(services, group, ANNOTATION)
        .map(Record::parse)
        .transpose()
}

/// Whether Helm counts the APIService of this group as part of Haulout's release.
fn is_taken_over(services: &[APIService], group: &str) -> bool {
    let marks = [(RELEASE_NAME, RELEASE), (RELEASE_NAMESPACE, NAMESPACE)];
    marks
        .iter()
        .all(|(key, value)| annotation(services, group, key) == Some(value))
}

/// An annotation of the APIService of this group.
fn annotation<'a>(services: &'a [APIService], group: &str, key: &str) -> Option<&'a str> {
    let annotations = api_service(services, group)?
        .metadata
        .annotations
        .as_ref()?;
    annotations.get(key).map(String::as_str)
}

fn api_service<'a>(services: &'a [APIService], group: &str) -> Option<&'a APIService> {
    let name = format!("{VERSION}.{group}");
    let mut services = services.iter();
    services.find(|service| service.metadata.name.as_deref() == Some(&name))
}

/// Those of Haulout's namespaces that are there.
async fn namespaces(cluster: &Cluster) -> Result<Vec<&'static str>, ClusterError> {
    let api: Api<Namespace> = Api::all(cluster.client());
    let mut there = Vec::new();
    for name in [NAMESPACE, AGENT_NAMESPACE] {
        if cluster.get("the namespaces", &api, name).await?.is_some() {
            there.push(name);
        }
    }
    Ok(there)
}

/// Unlike a namespace and what is in it, only who has its rights can make the binding.
async fn is_installed(cluster: &Cluster) -> Result<bool, ClusterError> {
    let api: Api<ClusterRoleBinding> = Api::all(cluster.client());
    let found = cluster.get("the rights of Haulout's webhook", &api, RIGHTS);
    Ok(found.await?.is_some())
}

async fn authenticators<S: DeserializeOwned>(
    cluster: &Cluster,
    group: &str,
    kind: AuthenticatorKind,
) -> Result<Vec<Authenticator<S>>, ClusterError> {
    let api = cluster.custom(group, kind.kind());
    let objects = cluster.list("the authenticators", &api, "").await?;
    let read = |object: DynamicObject| {
        let part = |path: &str| object.data.pointer(path).cloned().unwrap_or_default();
        Authenticator {
            kind,
            spec: serde_json::from_value(part("/spec")).map_err(|error| error.to_string()),
            phase: serde_json::from_value(part("/status/phase")).unwrap_or_default(),
            name: object.metadata.name.unwrap_or_default(),
        }
    };
    Ok(objects.into_iter().map(read).collect())
}

fn issuer(object: &DynamicObject) -> Issuer {
    let text = |value: &Value, path: &str| {
        let text = value.pointer(path).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    let strategies = object.data.pointer("/status/strategies");
    let mut strategies = strategies.and_then(Value::as_array).into_iter().flatten();
    Issuer {
        name: object.metadata.name.clone().unwrap_or_default(),
        mode: text(&object.data, "/spec/impersonationProxy/mode"),
        is_proxy_up: strategies.any(|strategy| {
            text(strategy, "/type") == "ImpersonationProxy"
                && text(strategy, "/status") == "Success"
        }),
    }
}

/// What authenticators read their CA bundles from, each with who reads it.
fn named_sources<S>(
    authenticators: &[Authenticator<S>],
    tls: impl Fn(&S) -> Option<TlsSpec>,
) -> Vec<(String, CertificateAuthorityDataSource)> {
    let named = |authenticator: &Authenticator<S>| {
        let Authenticator {
            kind, name, spec, ..
        } = authenticator;
        let source = tls(spec.as_ref().ok()?)?.certificate_authority_data_source?;
        Some((format!("{kind} {name}"), source))
    };
    authenticators.iter().filter_map(named).collect()
}

async fn look_up(
    cluster: &Cluster,
    concierge: &Concierge,
    named: impl Iterator<Item = (String, CertificateAuthorityDataSource)>,
) -> Result<Vec<Source>, ClusterError> {
    let namespace = &concierge.namespace;
    let mut sources = Vec::new();
    for (of, source) in named {
        let is_there = has_source(cluster, namespace.as_str(), &source).await?;
        sources.push(Source {
            of,
            namespace: namespace.clone(),
            source,
            is_there,
        });
    }
    Ok(sources)
}

/// Whether the object has the key, and may be read for a CA bundle.
async fn has_source(
    cluster: &Cluster,
    namespace: &str,
    source: &CertificateAuthorityDataSource,
) -> Result<bool, ClusterError> {
    let (name, key) = (&source.name, &source.key);
    let what = "the source of a CA bundle";
    Ok(match source.kind {
        CertificateAuthorityDataSourceKind::Secret => {
            let secrets: Api<Secret> = Api::namespaced(cluster.client(), namespace);
            cluster
                .get(what, &secrets, name)
                .await?
                .is_some_and(|secret| {
                    let type_ = secret.type_.unwrap_or_default();
                    CertificateAuthorityDataSource::SECRET_TYPES.contains(&type_.as_str())
                        && secret.data.is_some_and(|data| data.contains_key(key))
                })
        }
        CertificateAuthorityDataSourceKind::ConfigMap => {
            let config_maps: Api<ConfigMap> = Api::namespaced(cluster.client(), namespace);
            let found = cluster.get(what, &config_maps, name).await?;
            found.is_some_and(|object| object.data.is_some_and(|data| data.contains_key(key)))
        }
    })
}

/// Asks at the login path as kubectl's plugin does, but to list: that logs nobody in, and Pinniped's RBAC allows it.
async fn anonymous(cluster: &Cluster, suffix: &ApiGroupSuffix) -> Anonymous {
    let client = match cluster.anonymous() {
        Ok(client) => client,
        Err(error) => return Anonymous::Unknown(chain(&error)),
    };
    let kind = GroupVersionKind::gvk(&suffix.login_group(), VERSION, credential::KIND);
    let resource = ApiResource::from_gvk_with_plural(&kind, credential::PLURAL);
    let api: Api<DynamicObject> = Api::all_with(client, &resource);
    let list = ListParams::default();
    match cluster.call("the login path", api.list(&list)).await {
        Ok(_) => Anonymous::Admitted,
        Err(ClusterError::Refused { status, .. }) if status.code == 401 => Anonymous::Refused,
        Err(ClusterError::Refused { .. }) => Anonymous::Admitted,
        Err(error) => Anonymous::Unknown(chain(&error)),
    }
}

/// A version's part, such as `30+`.
fn number(text: &str) -> u32 {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    digits.parse().unwrap_or_default()
}

#[cfg(test)]
mod tests;

//! Reads objects with the rights that there are.

use std::fmt::Debug;

use haulout_api::authenticator::WebhookAuthenticatorSpec;
use haulout_api::controller_manager::{NAMESPACE, is_controller_manager};
use haulout_api::group::{ApiGroupSuffix, VERSION, is_dns1123_subdomain};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use k8s_openapi::{ClusterResourceScope, NamespaceResourceScope, Resource};
use kube::Api;
use kube::core::DynamicObject;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::authenticator_kind::AuthenticatorKind;
use crate::chain;
use crate::cluster::{Cluster, ClusterError};
use crate::doctor::observations::{
    Authenticator, ControllerManagers, Issuer, Objects, Seen, Unseen,
};
use crate::installation::{self, AGENT, AGENT_NAMESPACE, ISSUER, WEBHOOK};

/// What the chart gives the pods of each.
const WEBHOOK_PODS: &str = "app.kubernetes.io/name=haulout,app.kubernetes.io/component=webhook";
const AGENT_PODS: &str = "app.kubernetes.io/name=haulout,app.kubernetes.io/component=agent";
const CONTROLLER_MANAGER: &str = "kube-controller-manager";

impl Objects {
    pub(super) async fn read(cluster: &Cluster, suffix: &ApiGroupSuffix) -> Self {
        let reader = Reader { cluster };
        let login_service = reader.api_service(&suffix.login_group()).await;
        let leads_to = login_service.as_ref().ok().and_then(Option::as_ref);
        let leads_to = leads_to.and_then(|service| service.spec.as_ref()?.service.as_ref());
        let namespace = leads_to.and_then(|service| service.namespace.clone());
        // Nobody has checked it, and it is to stand in commands.
        let namespace = namespace.filter(|namespace| is_dns1123_subdomain(namespace));
        let namespace = namespace.unwrap_or_else(|| installation::NAMESPACE.to_owned());
        Self {
            deployment: reader.get_in(&namespace, WEBHOOK).await,
            webhook_pods: reader.list_in(&namespace, WEBHOOK_PODS).await,
            identity_service: reader.api_service(&suffix.identity_group()).await,
            login_service,
            system_namespace: reader.get(&namespace).await,
            agent_namespace: reader.get(AGENT_NAMESPACE).await,
            daemon_set: reader.get_in(AGENT_NAMESPACE, AGENT).await,
            agent_pods: reader.list_in(AGENT_NAMESPACE, AGENT_PODS).await,
            agent_events: reader.list_in(AGENT_NAMESPACE, "").await,
            controller_managers: reader.controller_managers().await,
            nodes: reader.list().await,
            issuer: reader.issuer(suffix).await,
            jwt: reader.authenticators(suffix, AuthenticatorKind::Jwt).await,
            webhook: reader.webhook_authenticators(suffix).await,
            namespace,
        }
    }
}

/// Reads, and says which right is missing.
struct Reader<'a> {
    cluster: &'a Cluster,
}

impl Reader<'_> {
    async fn get<K>(&self, name: &str) -> Seen<Option<K>>
    where
        K: Resource<Scope = ClusterResourceScope> + kube::Resource<DynamicType = ()>,
        K: Clone + DeserializeOwned + Debug,
    {
        let api: Api<K> = Api::all(self.cluster.client());
        let right = || format!("get {} {name}", resource::<K>());
        seen(right, self.cluster.get(K::KIND, &api, name).await)
    }

    async fn list<K>(&self) -> Seen<Vec<K>>
    where
        K: Resource<Scope = ClusterResourceScope> + kube::Resource<DynamicType = ()>,
        K: Clone + DeserializeOwned + Debug,
    {
        let api: Api<K> = Api::all(self.cluster.client());
        let right = || format!("list {}", resource::<K>());
        seen(right, self.cluster.list(K::KIND, &api, "").await)
    }

    async fn get_in<K>(&self, namespace: &str, name: &str) -> Seen<Option<K>>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>,
        K: Clone + DeserializeOwned + Debug,
    {
        let api: Api<K> = Api::namespaced(self.cluster.client(), namespace);
        let right = || format!("get {} {name} in namespace {namespace}", resource::<K>());
        seen(right, self.cluster.get(K::KIND, &api, name).await)
    }

    async fn list_in<K>(&self, namespace: &str, labels: &str) -> Seen<Vec<K>>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>,
        K: Clone + DeserializeOwned + Debug,
    {
        let api: Api<K> = Api::namespaced(self.cluster.client(), namespace);
        let right = || format!("list {} in namespace {namespace}", resource::<K>());
        seen(right, self.cluster.list(K::KIND, &api, labels).await)
    }

    async fn api_service(&self, group: &str) -> Seen<Option<APIService>> {
        self.get(&format!("{VERSION}.{group}")).await
    }

    async fn controller_managers(&self) -> Seen<ControllerManagers> {
        let pods: Vec<Pod> = self.list_in(NAMESPACE, "").await?;
        let (labelled, others): (Vec<_>, Vec<_>) =
            pods.into_iter().partition(is_controller_manager);
        // As the kubelet calls static pods.
        let is_called_so = |pod: &Pod| {
            let name = pod.metadata.name.as_deref();
            name.is_some_and(|name| name.starts_with(CONTROLLER_MANAGER))
        };
        Ok(ControllerManagers {
            labelled,
            unlabelled: others.into_iter().filter(is_called_so).collect(),
        })
    }

    /// All objects of a kind of ours.
    async fn custom(&self, group: &str, kind: &'static str) -> Seen<Vec<DynamicObject>> {
        let api = self.cluster.custom(group, kind);
        let right = || format!("list {}s.{group}", kind.to_lowercase());
        seen(right, self.cluster.list(kind, &api, "").await)
    }

    /// The one of the usual name, else the only one.
    async fn issuer(&self, suffix: &ApiGroupSuffix) -> Seen<Option<Issuer>> {
        let mut all = self
            .custom(&suffix.config_group(), "CredentialIssuer")
            .await?;
        let usual = all
            .iter()
            .position(|object| object.metadata.name.as_deref() == Some(ISSUER));
        let object = match usual {
            Some(index) => all.swap_remove(index),
            None if all.len() == 1 => all.remove(0),
            None => return Ok(None),
        };
        let strategies = object
            .data
            .pointer("/status/strategies")
            .and_then(Value::as_array);
        // Those of types that only others know are left out.
        let known = |entry: &Value| serde_json::from_value(entry.clone()).ok();
        Ok(Some(Issuer {
            strategies: strategies.into_iter().flatten().filter_map(known).collect(),
            name: object.metadata.name.unwrap_or_default(),
        }))
    }

    async fn authenticators<S: DeserializeOwned>(
        &self,
        suffix: &ApiGroupSuffix,
        kind: AuthenticatorKind,
    ) -> Seen<Vec<Authenticator<S>>> {
        let group = suffix.authentication_group();
        let objects = self.custom(&group, kind.kind()).await?;
        let read = |object: DynamicObject| {
            let part = |path: &str| object.data.pointer(path).cloned().unwrap_or_default();
            let name = object.metadata.name.unwrap_or_default();
            let spec = serde_json::from_value(part("/spec"))
                .map_err(|error| Unseen::Fault(format!("{kind} {name} cannot be read: {error}")))?;
            Ok(Authenticator {
                spec,
                status: serde_json::from_value(part("/status")).unwrap_or_default(),
                generation: object.metadata.generation,
                name,
            })
        };
        objects.into_iter().map(read).collect()
    }

    async fn webhook_authenticators(
        &self,
        suffix: &ApiGroupSuffix,
    ) -> Seen<Vec<Authenticator<String>>> {
        let all = self
            .authenticators(suffix, AuthenticatorKind::Webhook)
            .await?;
        let endpoint = |authenticator: Authenticator<WebhookAuthenticatorSpec>| Authenticator {
            name: authenticator.name,
            generation: authenticator.generation,
            spec: authenticator.spec.endpoint,
            status: authenticator.status,
        };
        Ok(all.into_iter().map(endpoint).collect())
    }
}

/// As RBAC names it.
fn resource<K: kube::Resource<DynamicType = ()>>() -> String {
    let (plural, group) = (K::plural(&()), K::group(&()));
    if group.is_empty() {
        plural.into_owned()
    } else {
        format!("{plural}.{group}")
    }
}

fn seen<T>(right: impl FnOnce() -> String, result: Result<T, ClusterError>) -> Seen<T> {
    result.map_err(|error| match error {
        ClusterError::Refused { status, .. } if status.code == 403 => Unseen::NoRight(right()),
        error => Unseen::Fault(chain(&error)),
    })
}

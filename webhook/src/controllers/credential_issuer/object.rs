//! The object itself: made if it is not there, its specification kept, its status written.

use haulout_api::group::VERSION;
use haulout_api::issuer::{
    CredentialIssuer, CredentialIssuerSpec, ImpersonationProxyMode, ImpersonationProxySpec,
};
use haulout_operate::cluster::{CallError, call, post_params};
use haulout_operate::leader::Leadership;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::Resource;
use kube::api::{Api, ApiResource, DynamicObject};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Error, Settings};
use crate::controllers::Environment;

/// Reaches the object.
pub(super) struct Object {
    /// Untyped, so that a status with strategies of another version can be read.
    api: Api<DynamicObject>,
    resource: ApiResource,
    name: String,
    /// The login APIService, which goes when this installation is removed.
    owner: String,
    owners: Api<APIService>,
    leadership: Leadership,
}

impl Object {
    pub(super) fn new(environment: &Environment, settings: &Settings) -> Self {
        let mut resource = ApiResource::erase::<CredentialIssuer>(&());
        resource.group = settings.suffix.config_group();
        resource.api_version = format!("{}/{}", resource.group, resource.version);
        let client = &environment.client;
        Self {
            api: Api::all_with(client.clone(), &resource),
            resource,
            name: settings.name.clone(),
            owner: format!("{VERSION}.{}", settings.suffix.login_group()),
            owners: Api::all(client.clone()),
            leadership: environment.leadership.clone(),
        }
    }

    pub(super) fn api(&self) -> &Api<DynamicObject> {
        &self.api
    }

    /// Makes the object, or puts its configured specification back. What was written, if anything was.
    pub(super) async fn keep(
        &self,
        current: Option<&DynamicObject>,
        settings: &Settings,
    ) -> Result<Option<DynamicObject>, Error> {
        let Some(current) = current else {
            return self.create(settings).await;
        };
        let Some(wanted) = &settings.spec else {
            return Ok(None);
        };
        let has_labels = settings.labels.iter().all(|(key, value)| {
            let labels = current.metadata.labels.as_ref();
            labels.and_then(|labels| labels.get(key)) == Some(value)
        });
        let spec = current.data.get("spec").unwrap_or(&Value::Null);
        let is_as_wanted =
            CredentialIssuerSpec::deserialize(spec).is_ok_and(|spec| spec == *wanted);
        if is_as_wanted && has_labels {
            return Ok(None);
        }
        let mut changed = with(current, "spec", spec_value(wanted)?);
        let labels = changed.metadata.labels.get_or_insert_default();
        labels.extend(settings.labels.clone());
        tracing::info!(
            credential_issuer = self.name,
            "writing the configured specification"
        );
        self.write(self.api.replace(&self.name, &post_params(), &changed))
            .await
    }

    async fn create(&self, settings: &Settings) -> Result<Option<DynamicObject>, Error> {
        let owner = call(self.owners.get_metadata(&self.owner))
            .await
            .map_err(|source| Error::Owner {
                name: self.owner.clone(),
                source,
            })?;
        let disabled = || CredentialIssuerSpec {
            impersonation_proxy: ImpersonationProxySpec {
                mode: ImpersonationProxyMode::Disabled,
                service: Default::default(),
                external_endpoint: String::new(),
                tls: None,
            },
        };
        let spec = settings.spec.clone().unwrap_or_else(disabled);
        let mut object = DynamicObject::new(&self.name, &self.resource)
            .data(json!({ "spec": spec_value(&spec)? }));
        object.metadata.labels = Some(settings.labels.clone());
        object.metadata.owner_references = owner.owner_ref(&()).map(|owner| vec![owner]);
        tracing::info!(credential_issuer = self.name, "making the CredentialIssuer");
        self.write(self.api.create(&post_params(), &object)).await
    }

    /// Writes `status` over the version of `object`.
    pub(super) async fn write_status(
        &self,
        object: &DynamicObject,
        status: Value,
    ) -> Result<Option<DynamicObject>, Error> {
        let changed = with(object, "status", status);
        self.write(
            self.api
                .replace_status(&self.name, &post_params(), &changed),
        )
        .await
    }

    /// Nothing where we do not lead any more, or where another writer was faster: the watch brings what it wrote.
    async fn write(
        &self,
        write: impl Future<Output = kube::Result<DynamicObject>>,
    ) -> Result<Option<DynamicObject>, Error> {
        if !self.leadership.is_leader() {
            return Ok(None);
        }
        match call(write).await {
            Ok(written) => Ok(Some(written)),
            Err(error) if is_outdated(&error) => Ok(None),
            Err(source) => Err(Error::Write {
                name: self.name.clone(),
                source,
            }),
        }
    }
}

fn is_outdated(error: &CallError) -> bool {
    error.is_conflict() || error.is_not_found()
}

fn spec_value(spec: &CredentialIssuerSpec) -> Result<Value, Error> {
    serde_json::to_value(spec).map_err(Error::Serialize)
}

fn with(object: &DynamicObject, field: &str, value: Value) -> DynamicObject {
    let mut changed = object.clone();
    if let Some(fields) = changed.data.as_object_mut() {
        fields.insert(field.to_owned(), value);
    }
    changed
}

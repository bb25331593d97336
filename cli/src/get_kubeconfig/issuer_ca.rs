//! The CA of the issuer's certificate, as a JWTAuthenticator leads to it.

use haulout_api::group::VERSION;
use haulout_https::foreign;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::Api;

use super::authenticator::{CaSource, Tls};
use super::discovery::Discovery;
use super::error::GetKubeconfigError;
use crate::ca::{CaBundle, CaFault};
use crate::cluster::ClusterError;

/// Why a JWTAuthenticator's CA was not found.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CaLookupFault {
    #[error("spec.tls.certificateAuthorityData is invalid")]
    Data(#[source] CaFault),
    #[error(
        "spec.tls.certificateAuthorityDataSource.kind \"{}\" is not supported; there are Secret and ConfigMap",
        foreign(.0)
    )]
    Kind(String),
    #[error("could not read {object}")]
    Read {
        object: String,
        source: Box<ClusterError>,
    },
    #[error("there is no {0}")]
    Missing(String),
    #[error("{object} has no key \"{key}\"")]
    NoKey { object: String, key: String },
    #[error("{object} has nothing under \"{key}\"")]
    Empty { object: String, key: String },
    #[error("what {object} has under \"{key}\" cannot be used")]
    NoCertificates {
        object: String,
        key: String,
        #[source]
        fault: CaFault,
    },
    #[error("there is no APIService {0}, which would tell the namespace")]
    NoApiService(String),
    #[error("APIService {0} leads to no Service, which would tell the namespace")]
    NoNamespace(String),
}

impl Discovery<'_> {
    /// The CA of the issuer's certificate, which a JWTAuthenticator names; `None` for a public one.
    pub(super) async fn issuer_ca(
        &self,
        name: &str,
        tls: Option<&Tls>,
    ) -> Result<Option<CaBundle>, GetKubeconfigError> {
        let Some(tls) = tls else {
            return Ok(None);
        };
        let failed = |fault| GetKubeconfigError::IssuerCa {
            authenticator: name.to_owned(),
            fault,
        };
        if let Some(source) = &tls.certificate_authority_data_source {
            return self.ca_from(source).await.map(Some).map_err(failed);
        }
        let data = &tls.certificate_authority_data;
        let ca = (!data.is_empty()).then(|| CaBundle::from_base64(data));
        ca.transpose()
            .map_err(|fault| failed(CaLookupFault::Data(fault)))
    }

    async fn ca_from(&self, source: &CaSource) -> Result<CaBundle, CaLookupFault> {
        let CaSource { kind, name, key } = source;
        // Known before anything is asked for.
        if kind != "Secret" && kind != "ConfigMap" {
            return Err(CaLookupFault::Kind(kind.clone()));
        }
        let namespace = self.namespace().await?;
        let object = || format!("{kind} {namespace}/{name}");
        let unreadable = |source| CaLookupFault::Read {
            object: object(),
            source: Box::new(source),
        };
        let client = self.cluster.client();
        let value = if kind == "Secret" {
            let api: Api<Secret> = Api::namespaced(client, &namespace);
            let secret = self
                .cluster
                .get("Secret", &api, name)
                .await
                .map_err(unreadable)?;
            let secret = secret.ok_or_else(|| CaLookupFault::Missing(object()))?;
            let value = secret.data.and_then(|mut data| data.remove(key));
            value.map(|value| value.0)
        } else {
            let api: Api<ConfigMap> = Api::namespaced(client, &namespace);
            let map = self
                .cluster
                .get("ConfigMap", &api, name)
                .await
                .map_err(unreadable)?;
            let map = map.ok_or_else(|| CaLookupFault::Missing(object()))?;
            let value = map.data.and_then(|mut data| data.remove(key));
            value.map(String::into_bytes)
        };
        let value = value.ok_or_else(|| CaLookupFault::NoKey {
            object: object(),
            key: key.clone(),
        })?;
        if value.is_empty() {
            return Err(CaLookupFault::Empty {
                object: object(),
                key: key.clone(),
            });
        }
        CaBundle::parse(&value).map_err(|fault| CaLookupFault::NoCertificates {
            object: object(),
            key: key.clone(),
            fault,
        })
    }

    /// The namespace of the installation: that of the Service behind its API.
    async fn namespace(&self) -> Result<String, CaLookupFault> {
        let name = format!("{VERSION}.{}", self.suffix.login_group());
        let api: Api<APIService> = Api::all(self.cluster.client());
        let service = self.cluster.get("APIService", &api, &name).await;
        let service = service.map_err(|source| CaLookupFault::Read {
            object: format!("APIService {name}"),
            source: Box::new(source),
        })?;
        let service = service.ok_or_else(|| CaLookupFault::NoApiService(name.clone()))?;
        let namespace = service.spec.and_then(|spec| spec.service?.namespace);
        namespace.ok_or(CaLookupFault::NoNamespace(name))
    }
}

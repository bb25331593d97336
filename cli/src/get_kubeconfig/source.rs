//! The administrator's kubeconfig: what of it goes into that of the users.

use std::io;
use std::path::{Path, PathBuf};

use kube::Config;
use kube::config::{Cluster, KubeConfigOptions, Kubeconfig};
use url::Url;

use super::error::GetKubeconfigError;
use crate::ca::{self, CaBundle, CaFault};
use crate::cluster::{ContextFault, FoundContext, find_context};
use crate::kubeconfig_source;

/// Why it cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    /// There is no source: the text has the cause.
    #[error("could not load --kubeconfig/--kubeconfig-context: {0}")]
    Context(ContextFault),
    #[error("could not load --kubeconfig: cluster \"{0}\" has no server")]
    NoServer(String),
    /// What it is may hold a password.
    #[error(
        "could not load --kubeconfig: {0} of cluster \"{1}\" is no URL; write it as https://HOST:PORT"
    )]
    NoUrl(&'static str, String),
    #[error(
        "could not load --kubeconfig: cluster \"{0}\" has insecure-skip-tls-verify, so that anybody could answer in its place, \
         now and to your users; put its CA into certificate-authority-data and take insecure-skip-tls-verify out"
    )]
    Insecure(String),
    #[error(
        "could not load --kubeconfig: the CA of cluster \"{cluster}\" cannot be read from {}",
        path.display()
    )]
    ReadClusterCa {
        cluster: String,
        path: PathBuf,
        source: io::Error,
    },
    #[error("could not load --kubeconfig: the CA of cluster \"{cluster}\" cannot be used")]
    ClusterCa {
        cluster: String,
        #[source]
        fault: CaFault,
    },
}

impl From<ContextFault> for SourceError {
    fn from(fault: ContextFault) -> Self {
        Self::Context(fault)
    }
}

/// One context of a kubeconfig, without its user's credentials.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) context_name: String,
    pub(super) cluster_name: String,
    pub(super) user_name: String,
    pub(super) namespace: Option<String>,
    /// With its CA as data, and without passwords in its URLs.
    pub(super) cluster: Cluster,
    /// `None` where the API server's certificate is of a public CA.
    pub(super) ca: Option<CaBundle>,
    /// Fields whose passwords were left out.
    pub(super) passwords_left_out: Vec<&'static str>,
}

impl Source {
    /// Takes the named context, or the current one.
    pub(super) fn of(kubeconfig: &Kubeconfig, context: Option<&str>) -> Result<Self, SourceError> {
        let found = find_context(kubeconfig, context)?;
        let cluster = found.cluster(kubeconfig)?;
        let FoundContext {
            name: context_name,
            context,
        } = found;
        let user_name = context.user.clone().unwrap_or_default();
        if user_name.is_empty() {
            return Err(ContextFault::User(user_name).into());
        }
        let cluster_name = context.cluster.clone();
        if cluster.insecure_skip_tls_verify == Some(true) {
            return Err(SourceError::Insecure(cluster_name));
        }
        let ca = ca_bundle(&cluster_name, cluster)?;
        let given = |field: &Option<String>, is_url: fn(&str) -> bool| {
            let text = field.as_deref().filter(|text| !text.is_empty());
            text.is_none_or(is_url)
        };
        if !given(&cluster.server, kubeconfig_source::is_server) {
            return Err(SourceError::NoUrl("server", cluster_name));
        }
        if !given(&cluster.proxy_url, kubeconfig_source::is_proxy) {
            return Err(SourceError::NoUrl("proxy-url", cluster_name));
        }
        let mut passwords_left_out = Vec::new();
        let mut without_password = |field, url: &Option<String>| {
            let (url, had_one) = without_user(url.as_deref().filter(|url| !url.is_empty())?);
            passwords_left_out.extend(had_one.then_some(field));
            Some(url)
        };
        let server = without_password("server", &cluster.server);
        Ok(Self {
            cluster: Cluster {
                server: Some(server.ok_or_else(|| SourceError::NoServer(cluster_name.clone()))?),
                certificate_authority_data: ca.as_ref().map(CaBundle::to_base64),
                proxy_url: without_password("proxy-url", &cluster.proxy_url),
                disable_compression: cluster.disable_compression,
                tls_server_name: cluster.tls_server_name.clone(),
                extensions: cluster.extensions.clone(),
                ..Cluster::default()
            },
            context_name: context_name.to_owned(),
            namespace: context.namespace.clone(),
            cluster_name,
            user_name,
            ca,
            passwords_left_out,
        })
    }

    /// How the administrator reaches the cluster.
    pub(super) async fn config(
        &self,
        kubeconfig: Kubeconfig,
    ) -> Result<Config, GetKubeconfigError> {
        let options = KubeConfigOptions {
            context: Some(self.context_name.clone()),
            ..KubeConfigOptions::default()
        };
        Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .map_err(|error| GetKubeconfigError::Config(Box::new(error)))
    }

    /// URL of the API server.
    pub(super) fn server(&self) -> &str {
        self.cluster.server.as_deref().unwrap_or_default()
    }
}

/// The cluster's CA, from where it stands.
fn ca_bundle(name: &str, cluster: &Cluster) -> Result<Option<CaBundle>, SourceError> {
    if let Some(data) = &cluster.certificate_authority_data {
        let ca = CaBundle::from_base64(data);
        return ca.map(Some).map_err(|fault| SourceError::ClusterCa {
            cluster: name.to_owned(),
            fault,
        });
    }
    let Some(path) = &cluster.certificate_authority else {
        return Ok(None);
    };
    let pem = ca::read(Path::new(path)).map_err(|source| SourceError::ReadClusterCa {
        cluster: name.to_owned(),
        path: path.into(),
        source,
    })?;
    let ca = CaBundle::parse(&pem);
    ca.map(Some).map_err(|fault| SourceError::ClusterCa {
        cluster: name.to_owned(),
        fault,
    })
}

/// A URL without user and password, and whether it had them.
fn without_user(text: &str) -> (String, bool) {
    let Ok(mut url) = Url::parse(text) else {
        return (text.to_owned(), false);
    };
    if url.username().is_empty() && url.password().is_none() {
        return (text.to_owned(), false);
    }
    // Only a URL that cannot have one refuses to be without.
    let is_gone = url.set_username("").is_ok() && url.set_password(None).is_ok();
    let text = is_gone.then(|| url.as_str().trim_end_matches('/').to_owned());
    (text.unwrap_or_default(), true)
}

#[cfg(test)]
mod tests;

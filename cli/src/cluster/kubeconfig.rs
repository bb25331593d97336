//! What the kubeconfig says of a cluster.

use http::Uri;
use kube::Config;
use kube::config::KubeConfigOptions;

use super::error::file_fault;
use super::{ClusterError, find_context};
use crate::arguments::ClusterFlags;
use crate::{Environment, kubeconfig_source};

/// A cluster as the kubeconfig has it.
#[derive(Debug)]
pub(crate) struct NamedCluster {
    pub(crate) name: String,
    pub(crate) server: String,
}

impl NamedCluster {
    /// That which `flags` name; `None` where no kubeconfig has it, as in a pod.
    pub(crate) fn of(flags: &ClusterFlags, environment: Environment<'_>) -> Option<Self> {
        let file = kubeconfig_source::read(flags.kubeconfig.as_deref(), environment).ok()?;
        let context = flags.context.as_ref().or(file.current_context.as_ref())?;
        let contexts = file.contexts.iter();
        let context = contexts
            .filter(|named| named.name == *context)
            .find_map(|named| named.context.as_ref())?;
        let mut clusters = file.clusters.iter();
        let named = clusters.find(|named| named.name == context.cluster)?;
        let server = named.cluster.as_ref()?.server.as_deref()?;
        Some(Self {
            name: named.name.clone(),
            server: server
                .parse()
                .map_or_else(|_| server.to_owned(), |url| shown_server(&url)),
        })
    }
}

/// How the cluster that `flags` name is reached.
pub(super) async fn config(
    flags: &ClusterFlags,
    environment: Environment<'_>,
) -> Result<Config, ClusterError> {
    let failed = |source| ClusterError::Kubeconfig {
        path: flags.kubeconfig.clone(),
        source,
    };
    let file = kubeconfig_source::read(flags.kubeconfig.as_deref(), environment);
    if file.is_err()
        && flags.kubeconfig.is_none()
        && flags.context.is_none()
        && let Ok(config) = Config::incluster()
    {
        // As kubectl in a pod: its ServiceAccount.
        return Ok(config);
    }
    let options = KubeConfigOptions {
        context: flags.context.clone(),
        ..KubeConfigOptions::default()
    };
    let file = file.map_err(failed)?;
    find_context(&file, flags.context.as_deref()).map_err(|source| ClusterError::Context {
        path: flags.kubeconfig.clone(),
        source,
    })?;
    let config = Config::from_custom_kubeconfig(file, &options)
        .await
        .map_err(|error| file_fault(&error).unwrap_or_else(|| failed(Box::new(error).into())))?;
    check_server(&config)?;
    Ok(config)
}

/// The client of the Kubernetes API panics at what is no URL.
fn check_server(config: &Config) -> Result<(), ClusterError> {
    let server = config.cluster_url.to_string();
    kubeconfig_source::is_server(&server)
        .then_some(())
        .ok_or(ClusterError::Server)
}

/// The URL of an API server as it may be shown: without a user and password, which some kubeconfigs have there, and without a
/// slash at its end.
pub(crate) fn shown_server(url: &Uri) -> String {
    let authority = url.authority().map_or("", |authority| authority.as_str());
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    let scheme = url.scheme_str().unwrap_or("https");
    format!("{scheme}://{host}{}", url.path().trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_shown() {
        for (url, shown) in [
            ("https://k.example.com:6443/", "https://k.example.com:6443"),
            (
                "https://user:secret@k.example.com/k8s/c-1/",
                "https://k.example.com/k8s/c-1",
            ),
            (
                "https://user@[2001:db8::1]:6443",
                "https://[2001:db8::1]:6443",
            ),
        ] {
            assert_eq!(shown_server(&url.parse().unwrap()), shown);
        }
    }
}

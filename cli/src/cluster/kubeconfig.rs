//! What the kubeconfig says of a cluster.

use http::{HeaderValue, Uri};
use kube::Config;
use kube::config::KubeConfigOptions;
use secrecy::ExposeSecret;

use super::error::{NO_HEADER, file_fault};
use super::{ClusterError, CredentialFault, find_context};
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
        let found = find_context(&file, flags.context.as_deref()).ok()?;
        let server = found.cluster(&file).ok()?.server.as_deref()?;
        Some(Self {
            name: found.context.cluster.clone(),
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
    let file = file.map_err(failed)?;
    let not_found = |source| ClusterError::Context {
        path: flags.kubeconfig.clone(),
        source,
    };
    let found = find_context(&file, flags.context.as_deref()).map_err(not_found)?;
    found.cluster(&file).map_err(not_found)?;
    let options = KubeConfigOptions {
        context: Some(found.name.to_owned()),
        ..KubeConfigOptions::default()
    };
    let config = Config::from_custom_kubeconfig(file, &options)
        .await
        .map_err(|error| file_fault(&error).unwrap_or_else(|| failed(Box::new(error).into())))?;
    // Who calls by another client than ours is told too.
    check(&config)?;
    Ok(config)
}

/// The client of the Kubernetes API panics at a server that is no URL and at a token that is no header, and repeats a proxy with its
/// password.
pub(super) fn check(config: &Config) -> Result<(), ClusterError> {
    let is_called =
        |url: &Uri| kubeconfig_source::is_server(&url.to_string()) && url.host().is_some();
    if !is_called(&config.cluster_url) {
        return Err(ClusterError::Server);
    }
    if !config.proxy_url.as_ref().is_none_or(is_called) {
        return Err(ClusterError::Proxy);
    }
    let user = &config.auth_info;
    let failed = |fault: &str| {
        let fault = CredentialFault::Other(fault.to_owned());
        Err(ClusterError::Credentials(fault))
    };
    let provider = user.auth_provider.as_ref();
    if provider.is_some_and(|provider| provider.name != "oidc") {
        return failed("its auth-provider is none that kubectl still knows; use a plugin (exec)");
    }
    let provided = provider.and_then(|provider| provider.config.get("id-token"));
    let token = user.token.as_ref().map(ExposeSecret::expose_secret);
    let mut tokens = token.into_iter().chain(provided.map(String::as_str));
    match tokens.all(|token| HeaderValue::from_str(token).is_ok()) {
        true => Ok(()),
        false => failed(NO_HEADER),
    }
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

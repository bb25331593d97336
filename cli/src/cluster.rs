//! Reading a cluster with the rights of whoever runs the command.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::time::Duration;

use haulout_https::causes;
use http::Uri;
use kube::api::ListParams;
use kube::client::AuthError;
use kube::config::{AuthInfo, KubeConfigOptions};
use kube::core::{ObjectList, ObjectMeta, PartialObjectMeta, Status};
use kube::{Api, Client, Config};
use serde::de::DeserializeOwned;

use crate::arguments::ClusterFlags;
use crate::kubeconfig_source::KubeconfigFault;
use crate::runtime::{RuntimeError, block_on};
use crate::{Environment, kubeconfig_source};

/// How long one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Objects in one answer; more are asked for in turn.
const PAGE: u32 = 500;

/// Why the cluster could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClusterError {
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    #[error("failed to use the kubeconfig{}; name another by --kubeconfig or --context", named(path.as_deref()))]
    Kubeconfig {
        path: Option<PathBuf>,
        source: KubeconfigFault,
    },
    #[error("the kubeconfig's server is no URL; write it as https://HOST:PORT")]
    Server,
    #[error("failed to set up the client of the Kubernetes API from the kubeconfig")]
    Client(#[source] Box<kube::Error>),
    #[error("the credentials of the kubeconfig cannot be had: {0}")]
    Credentials(String),
    #[error("failed to read {what}: {}", refusal(status))]
    Refused {
        what: &'static str,
        status: Box<Status>,
    },
    #[error("failed to read {what}")]
    Call {
        what: &'static str,
        source: Box<kube::Error>,
    },
    #[error("failed to read {what}: the API server did not answer within {} s", CALL_TIMEOUT.as_secs())]
    TimedOut { what: &'static str },
}

/// A cluster, by way of its API server.
pub(crate) struct Cluster {
    client: Client,
    config: Config,
}

impl Cluster {
    /// Runs `work` with a client for the cluster that `flags` name. Credential plugins of the kubeconfig are run for it.
    pub(crate) fn with<T, E: From<ClusterError>>(
        flags: &ClusterFlags,
        environment: Environment<'_>,
        work: impl AsyncFnOnce(&Self) -> Result<T, E>,
    ) -> Result<T, E> {
        Self::with_config(flags, environment, async |config| {
            work(&Self::connect(config)?).await
        })
    }

    /// The same before a client is made, and a credential plugin is run for it.
    pub(crate) fn with_config<T, E: From<ClusterError>>(
        flags: &ClusterFlags,
        environment: Environment<'_>,
        work: impl AsyncFnOnce(Config) -> Result<T, E>,
    ) -> Result<T, E> {
        block_on(async { work(read(flags, environment).await?).await })
            .map_err(ClusterError::Runtime)?
    }

    /// Runs the credential plugin of the kubeconfig, if it has one.
    pub(crate) fn connect(config: Config) -> Result<Self, ClusterError> {
        let client = connect(config.clone())?;
        Ok(Self { client, config })
    }

    /// A client of the same API server without any credentials, which tries once.
    pub(crate) fn anonymous(&self) -> Result<Client, ClusterError> {
        let mut config = self.config.clone();
        config.default_retry = false;
        config.auth_info = AuthInfo::default();
        connect(config)
    }

    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    /// URL of the API server, as the kubeconfig has it.
    pub(crate) fn server(&self) -> &Uri {
        &self.config.cluster_url
    }

    /// All objects that `api` has with this label selector; none where the kind does not exist.
    pub(crate) async fn list<K>(
        &self,
        what: &'static str,
        api: &Api<K>,
        labels: &str,
    ) -> Result<Vec<K>, ClusterError>
    where
        K: Clone + DeserializeOwned + Debug,
    {
        pages(what, labels, async |parameters| api.list(parameters).await).await
    }

    /// The metadata of the same.
    pub(crate) async fn list_metadata<K>(
        &self,
        what: &'static str,
        api: &Api<K>,
        labels: &str,
    ) -> Result<Vec<ObjectMeta>, ClusterError>
    where
        K: Clone + DeserializeOwned + Debug,
    {
        let list = async |parameters: &ListParams| api.list_metadata(parameters).await;
        let objects: Vec<PartialObjectMeta<K>> = pages(what, labels, list).await?;
        Ok(objects.into_iter().map(|object| object.metadata).collect())
    }

    /// One object; `None` where it, or its kind, does not exist.
    pub(crate) async fn get<K>(
        &self,
        what: &'static str,
        api: &Api<K>,
        name: &str,
    ) -> Result<Option<K>, ClusterError>
    where
        K: Clone + DeserializeOwned + Debug,
    {
        match call(what, api.get(name)).await {
            Err(ClusterError::Refused { status, .. }) if status.code == 404 => Ok(None),
            other => other.map(Some),
        }
    }
}

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

async fn read(flags: &ClusterFlags, environment: Environment<'_>) -> Result<Config, ClusterError> {
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
    let config = Config::from_custom_kubeconfig(file.map_err(failed)?, &options)
        .await
        .map_err(|error| failed(Box::new(error).into()))?;
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

/// All pages that `list` gives.
async fn pages<K: Clone>(
    what: &'static str,
    labels: &str,
    list: impl AsyncFn(&ListParams) -> kube::Result<ObjectList<K>>,
) -> Result<Vec<K>, ClusterError> {
    let mut all = Vec::new();
    let mut parameters = ListParams::default().labels(labels).limit(PAGE);
    loop {
        let page = match call(what, list(&parameters)).await {
            Err(ClusterError::Refused { status, .. }) if status.code == 404 => return Ok(all),
            page => page?,
        };
        all.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => parameters = parameters.continue_token(&token),
            None => return Ok(all),
        }
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

fn connect(config: Config) -> Result<Client, ClusterError> {
    Client::try_from(config).map_err(|error| {
        let credentials = credential_fault(&error).map(ClusterError::Credentials);
        credentials.unwrap_or_else(|| ClusterError::Client(Box::new(error)))
    })
}

/// Waits for one call for `what`, half a minute at most.
pub(crate) async fn call<T>(
    what: &'static str,
    call: impl Future<Output = kube::Result<T>>,
) -> Result<T, ClusterError> {
    match tokio::time::timeout(CALL_TIMEOUT, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(call_error(what, error)),
        Err(_elapsed) => Err(ClusterError::TimedOut { what }),
    }
}

/// Why a call for `what` failed.
pub(crate) fn call_error(what: &'static str, error: kube::Error) -> ClusterError {
    if let kube::Error::Api(status) = error {
        return ClusterError::Refused { what, status };
    }
    match credential_fault(&error) {
        Some(fault) => ClusterError::Credentials(fault),
        None => ClusterError::Call {
            what,
            source: Box::new(error),
        },
    }
}

/// What is wrong with the kubeconfig's credentials, if that is it. Credential plugins are run again when a credential ends, so
/// any call may find out. What one printed to its standard output may be a credential, and is not repeated.
fn credential_fault(error: &kube::Error) -> Option<String> {
    let fault = causes(error).find_map(|cause| cause.downcast_ref::<AuthError>())?;
    Some(match fault {
        AuthError::AuthExecRun { out, .. } => {
            let told = String::from_utf8_lossy(&out.stderr);
            let told = told.trim();
            let colon = if told.is_empty() { "" } else { ": " };
            format!("its plugin ended with {}{colon}{told}", out.status)
        }
        AuthError::AuthExecParse(_) => "its plugin printed no ExecCredential".to_owned(),
        AuthError::AuthExecStart(error) => format!("its plugin cannot be started: {error}"),
        AuthError::MissingCommand => "its plugin has no command".to_owned(),
        AuthError::ReadTokenFile(error, path) => {
            format!("its token cannot be read from {}: {error}", path.display())
        }
        _ => "they cannot be used".to_owned(),
    })
}

fn named(path: Option<&Path>) -> String {
    path.map_or_else(String::new, |path| format!(" {}", path.display()))
}

fn refusal(status: &Status) -> String {
    if status.message.is_empty() {
        format!("the API server answered {} {}", status.code, status.reason)
    } else {
        status.message.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_plugin_printed_is_not_repeated() {
        let out = std::process::Command::new("/bin/sh")
            .args(["-c", "echo very-secret; echo no session >&2; exit 3"])
            .output()
            .unwrap();
        let cmd = "plugin".to_owned();
        let out = Box::new(out);
        let fault = AuthError::AuthExecRun { cmd, out };
        // Now, and in a call whose credential has ended.
        for error in [
            kube::Error::Auth(fault),
            kube::Error::Service(Box::new(std::io::Error::other(AuthError::MissingCommand))),
        ] {
            let told = credential_fault(&error).unwrap();
            assert!(!told.contains("very-secret"), "{told}");
            assert!(
                told.contains("no session") || told.contains("no command"),
                "{told}"
            );
        }
    }

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

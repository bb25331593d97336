//! Reading a cluster with the rights of whoever runs the command.

use std::fmt::Debug;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::core::Status;
use kube::{Api, Client, Config};
use serde::de::DeserializeOwned;

use crate::arguments::ClusterFlags;

/// How long one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Objects in one answer; more are asked for in turn.
const PAGE: u32 = 500;

/// Why the cluster could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClusterError {
    #[error("failed to set up input and output")]
    Runtime(#[source] io::Error),
    #[error("failed to use the kubeconfig{}; name another by --kubeconfig or --context", named(path.as_deref()))]
    Kubeconfig {
        path: Option<PathBuf>,
        source: Box<KubeconfigError>,
    },
    #[error("failed to set up the client of the Kubernetes API from the kubeconfig")]
    Client(#[source] Box<kube::Error>),
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
}

impl Cluster {
    /// Runs `work` with a client for the cluster that `flags` name. Credential plugins of the kubeconfig are run for it.
    pub(crate) fn with<T, E: From<ClusterError>>(
        flags: &ClusterFlags,
        work: impl AsyncFnOnce(&Self) -> Result<T, E>,
    ) -> Result<T, E> {
        // A second call finds it installed, which is as good.
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(ClusterError::Runtime)?;
        runtime.block_on(async { work(&Self::connect(flags).await?).await })
    }

    async fn connect(flags: &ClusterFlags) -> Result<Self, ClusterError> {
        let failed = |source| ClusterError::Kubeconfig {
            path: flags.kubeconfig.clone(),
            source: Box::new(source),
        };
        let file = match &flags.kubeconfig {
            Some(path) => Kubeconfig::read_from(path),
            None => Kubeconfig::read(),
        };
        let options = KubeConfigOptions {
            context: flags.context.clone(),
            ..KubeConfigOptions::default()
        };
        let config = Config::from_custom_kubeconfig(file.map_err(failed)?, &options)
            .await
            .map_err(failed)?;
        let client =
            Client::try_from(config).map_err(|error| ClusterError::Client(Box::new(error)))?;
        Ok(Self { client })
    }

    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    /// All objects that `api` has with this label selector.
    pub(crate) async fn list<K>(
        &self,
        what: &'static str,
        api: &Api<K>,
        labels: &str,
    ) -> Result<Vec<K>, ClusterError>
    where
        K: Clone + DeserializeOwned + Debug,
    {
        let mut all = Vec::new();
        let mut parameters = ListParams::default().labels(labels).limit(PAGE);
        loop {
            let page = call(what, api.list(&parameters)).await?;
            all.extend(page.items);
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => parameters = parameters.continue_token(&token),
                None => return Ok(all),
            }
        }
    }
}

/// Waits for one call for `what`, half a minute at most.
pub(crate) async fn call<T>(
    what: &'static str,
    call: impl Future<Output = kube::Result<T>>,
) -> Result<T, ClusterError> {
    match tokio::time::timeout(CALL_TIMEOUT, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(kube::Error::Api(status))) => Err(ClusterError::Refused { what, status }),
        Ok(Err(source)) => Err(ClusterError::Call {
            what,
            source: Box::new(source),
        }),
        Err(_elapsed) => Err(ClusterError::TimedOut { what }),
    }
}

fn named(path: Option<&std::path::Path>) -> String {
    path.map_or_else(String::new, |path| format!(" {}", path.display()))
}

fn refusal(status: &Status) -> String {
    if status.message.is_empty() {
        format!("the API server answered {} {}", status.code, status.reason)
    } else {
        status.message.clone()
    }
}

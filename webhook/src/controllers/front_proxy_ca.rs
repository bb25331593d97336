//! Follows the ConfigMap by which the API server tells who its front proxy is.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use haulout_operate::controller::{self, Observed, Reconciler, Sight};
use haulout_operate::error::chain;
use haulout_serve::front_proxy::{FrontProxy, FrontProxyConfig, FrontProxyConfigError};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use tokio::sync::Notify;

use super::{Environment, Readiness, WatchFault};

const NAME: &str = "front-proxy-ca";
const NAMESPACE: &str = "kube-system";
const CONFIG_MAP: &str = "extension-apiserver-authentication";

/// Why the front proxy is not known.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(
        "failed to watch ConfigMap {NAMESPACE}/{CONFIG_MAP}; bind the Role \
         extension-apiserver-authentication-reader in {NAMESPACE} to our service account"
    )]
    Watch(#[source] WatchFault),
    #[error(
        "ConfigMap {NAMESPACE}/{CONFIG_MAP} does not exist; kube-apiserver makes it when it starts"
    )]
    Missing,
    #[error("failed to use ConfigMap {NAMESPACE}/{CONFIG_MAP}")]
    Unusable(#[source] FrontProxyConfigError),
    #[error(
        "ConfigMap {NAMESPACE}/{CONFIG_MAP} names no CA; start kube-apiserver with \
         --requestheader-client-ca-file, which aggregated APIs need"
    )]
    NoAuthority,
}

/// Puts what the ConfigMap says into force in `front_proxy`, until the end of `environment`. What
/// cannot be used changes nothing.
pub async fn run(environment: Environment, front_proxy: Arc<FrontProxy>, readiness: Readiness) {
    let Environment {
        client,
        metrics,
        end,
        ..
    } = environment;
    let wake = Arc::new(Notify::new());
    let observed = Observed::unwatched();
    let follow = observed.clone().follow(
        Api::<ConfigMap>::namespaced(client, NAMESPACE),
        CONFIG_MAP.to_owned(),
        Arc::clone(&wake),
        end.clone(),
    );
    let follower = Follower {
        observed,
        front_proxy,
        readiness,
        is_loaded: false,
    };
    let keep = controller::run(NAME, follower, wake, metrics, end);
    tokio::join!(Box::pin(follow), keep);
}

struct Follower {
    observed: Observed<ConfigMap>,
    front_proxy: Arc<FrontProxy>,
    readiness: Readiness,
    is_loaded: bool,
}

impl Reconciler for Follower {
    type Error = Error;

    async fn reconcile(&mut self) -> Result<Duration, Error> {
        let outcome = self.load();
        let readiness = match &outcome {
            _ if self.is_loaded => Ok(()),
            Ok(()) => Err("waiting for the API server".to_owned()),
            Err(error) => Err(chain(error)),
        };
        self.readiness.report(readiness);
        // We are woken by each change.
        outcome.map(|()| Duration::from_secs(3600))
    }
}

impl Follower {
    fn load(&mut self) -> Result<(), Error> {
        if let Sight::Present(found) = self.observed.sight() {
            let no_data = BTreeMap::new();
            let config = FrontProxyConfig::from_config_map(found.data.as_ref().unwrap_or(&no_data))
                .map_err(Error::Unusable)?;
            if config.client_ca().is_none() {
                return Err(Error::NoAuthority);
            }
            self.front_proxy.replace(config);
            self.is_loaded = true;
        }
        match (self.observed.fault(), self.observed.sight()) {
            (Some(fault), _) => Err(Error::Watch(WatchFault(fault))),
            (None, Sight::Absent) => Err(Error::Missing),
            (None, Sight::Unknown | Sight::Present(_)) => Ok(()),
        }
    }
}

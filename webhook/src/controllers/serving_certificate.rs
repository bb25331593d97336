//! Keeps the Secret with our serving CA and certificate good, and serves what it holds.
//!
//! A long-lived CA, kept in the Secret with its key, issues short-lived leaves. Every replica loads
//! them from the Secret; the leader repairs and renews it. Unlike Pinniped's Concierge, which
//! replaces CA and leaf together, no renewal makes the API server refuse us for a while.

mod contents;
mod plan;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use haulout_operate::audit::rfc3339;
use haulout_operate::cluster::{CallError, call, post_params};
use haulout_operate::controller::{self, Observed, Reconciler, Sight};
use haulout_operate::error::chain;
use haulout_pki::bundle::CertificateBundle;
use haulout_serve::tls::{IdentityError, ServingStore};
use k8s_openapi::ByteString;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::{Api, Resource};
use tokio::sync::{Notify, watch};

use self::contents::{Contents, Data, RenewError};
use self::plan::plan;
use super::api_service::Announced;
use super::{Environment, Readiness, WatchFault};

const NAME: &str = "serving-certificate";
/// Owner of the Secret where we run as one.
const DEPLOYMENT: &str = "haulout-webhook";

/// Where the certificate is kept and what it is to be.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Namespace of the Secret.
    pub namespace: String,
    /// Name of the Secret.
    pub secret: String,
    /// Labels put on the Secret.
    pub labels: BTreeMap<String, String>,
    /// Names by which the API server calls us, the one that it verifies first.
    pub dns_names: Vec<String>,
    /// Life of the CA.
    pub ca_lifetime: Duration,
    /// Life of the leaf.
    pub leaf_lifetime: Duration,
}

/// Where the outcome goes and what it waits for.
#[derive(Debug)]
pub struct Links {
    /// The certificate of the listener.
    pub store: Arc<ServingStore>,
    /// The CAs that clients are to trust, as the Secret has them.
    pub authorities: watch::Sender<Option<CertificateBundle>>,
    /// Which CAs the API server was told to trust, and since when.
    pub announced: watch::Receiver<Option<Announced>>,
    /// Whether there is a certificate to serve.
    pub readiness: Readiness,
}

/// Why the Secret is not as it should be.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("failed to watch the Secret of the serving certificate")]
    Watch(#[source] WatchFault),
    #[error("failed to write the Secret of the serving certificate")]
    Write(#[source] CallError),
    #[error(transparent)]
    Renew(RenewError),
    #[error("failed to serve the certificate of the Secret")]
    Serve(#[source] IdentityError),
}

/// Runs until the end of `environment`.
pub async fn run(environment: Environment, settings: Settings, links: Links) {
    let Environment {
        client,
        metrics,
        end,
        ..
    } = environment.clone();
    let secrets = Api::<Secret>::namespaced(client.clone(), &settings.namespace);
    let observed = Observed::unwatched();
    let wake = Arc::new(Notify::new());
    let mut announced = links.announced.clone();
    let announcements = async {
        while let Some(Ok(())) = end.run_until_cancelled(announced.changed()).await {
            wake.notify_one();
        }
    };
    let follow = observed.clone().follow(
        secrets.clone(),
        settings.secret.clone(),
        Arc::clone(&wake),
        end.clone(),
    );
    let keeper = Keeper {
        secrets,
        deployments: Api::namespaced(client, &settings.namespace),
        observed,
        served: None,
        environment: environment.clone(),
        settings,
        links,
    };
    let keep = controller::run(NAME, keeper, Arc::clone(&wake), metrics, end.clone());
    tokio::join!(
        Box::pin(follow),
        announcements,
        environment.wake_on_leadership(&wake),
        Box::pin(keep),
    );
}

struct Keeper {
    environment: Environment,
    settings: Settings,
    links: Links,
    secrets: Api<Secret>,
    deployments: Api<Deployment>,
    observed: Observed<Secret>,
    /// The leaf that was served last, as the Secret has it.
    served: Option<ByteString>,
}

impl Reconciler for Keeper {
    type Error = Error;

    async fn reconcile(&mut self) -> Result<Duration, Error> {
        let now = self.environment.clock.now();
        let outcome = self.renew(now).await;
        self.report(now, outcome.as_ref().err());
        let look_again = outcome?;
        match self.observed.fault() {
            Some(fault) => Err(Error::Watch(WatchFault(fault))),
            None => Ok(look_again),
        }
    }
}

impl Keeper {
    /// Serves what the Secret holds, and as leader makes it hold what it should.
    async fn renew(&mut self, now: SystemTime) -> Result<Duration, Error> {
        let current = match self.observed.sight() {
            // The watch wakes us.
            Sight::Unknown => return Ok(Duration::from_secs(60)),
            Sight::Absent => None,
            Sight::Present(secret) => Some(secret),
        };
        let contents = self.take_in(current.as_deref(), now)?;
        let announced_since = contents.authorities.as_ref().and_then(|authorities| {
            let announced = self.links.announced.borrow();
            let announced = announced
                .as_ref()
                .filter(|a| a.bundle == authorities.sha256())?;
            Some(announced.since)
        });
        let leaf_lifetime = self.settings.leaf_lifetime;
        let (plan, look_again) = plan(&contents.facts(), announced_since, leaf_lifetime, now);
        if plan.is_nothing() || !self.environment.leadership.is_leader() {
            return Ok(look_again);
        }
        let data = contents
            .renewed(plan, &self.settings, now)
            .map_err(Error::Renew)?;
        tracing::info!(
            secret = self.settings.secret,
            new_authority = plan.new_authority,
            new_leaf = plan.new_leaf,
            reason = current.as_ref().and_then(|_| contents.fault()),
            "renewing the serving certificate"
        );
        match self.write(current.as_deref(), data).await {
            Ok(written) => {
                self.take_in(Some(&written), now)?;
                self.observed.set(Some(written));
                Ok(look_again)
            }
            // Another writer was faster; the watch brings what it wrote.
            Err(error) if error.is_conflict() => Ok(Duration::from_secs(1)),
            Err(error) => Err(Error::Write(error)),
        }
    }

    /// Judges the Secret, and serves its leaf and publishes its CAs if they can be used and are new.
    /// What was served before stays otherwise.
    fn take_in(&mut self, secret: Option<&Secret>, now: SystemTime) -> Result<Contents, Error> {
        let no_data = Data::new();
        let data = secret
            .and_then(|secret| secret.data.as_ref())
            .unwrap_or(&no_data);
        let contents = Contents::read(data, &self.settings.dns_names, now);
        if let Some(authorities) = &contents.authorities {
            self.links.authorities.send_if_modified(|published| {
                let is_new = published.as_ref() != Some(authorities);
                if is_new {
                    *published = Some(authorities.clone());
                }
                is_new
            });
        }
        let pem = data.get(contents::LEAF);
        if let Ok(leaf) = &contents.leaf
            && self.served.as_ref() != pem
        {
            let identity = leaf.identity.clone();
            let not_after = rfc3339(identity.not_after());
            self.links.store.publish(identity).map_err(Error::Serve)?;
            tracing::info!(x509.not_after = not_after, "serving a new certificate");
            self.served = pem.cloned();
        }
        Ok(contents)
    }

    async fn write(&self, current: Option<&Secret>, data: Data) -> Result<Secret, CallError> {
        let params = post_params();
        let labels = self.settings.labels.clone();
        let Some(current) = current else {
            let metadata = ObjectMeta {
                name: Some(self.settings.secret.clone()),
                labels: Some(labels),
                owner_references: self.owner().await.map(|owner| vec![owner]),
                ..ObjectMeta::default()
            };
            let secret = Secret {
                metadata,
                data: Some(data),
                ..Secret::default()
            };
            return call(self.secrets.create(&params, &secret)).await;
        };
        let mut secret = current.clone();
        secret.data.get_or_insert_default().extend(data);
        secret
            .metadata
            .labels
            .get_or_insert_default()
            .extend(labels);
        call(
            self.secrets
                .replace(&self.settings.secret, &params, &secret),
        )
        .await
    }

    /// Our Deployment, if we run as one and may read it: the Secret is removed with it.
    async fn owner(&self) -> Option<OwnerReference> {
        call(self.deployments.get_metadata(DEPLOYMENT))
            .await
            .ok()?
            .owner_ref(&())
    }

    fn report(&self, now: SystemTime, error: Option<&Error>) {
        let is_served = self.links.store.not_after().is_some_and(|end| now <= end);
        let reason = || {
            error
                .map(|error| chain(error))
                .or_else(|| self.observed.fault())
                .unwrap_or_else(|| "waiting for the leader to write the Secret".to_owned())
        };
        let readiness = if is_served { Ok(()) } else { Err(reason()) };
        self.links.readiness.report(readiness);
    }
}

//! Keeps the Secret with our serving CA and certificate good, and serves what it holds.
//!
//! A long-lived CA, kept in the Secret with its key, issues short-lived leaves. Every replica loads
//! them from the Secret; the leader repairs and renews it. Unlike Pinniped's Concierge, which
//! replaces CA and leaf together, no renewal makes the API server refuse us for a while.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use haulout_operate::audit::rfc3339;
use haulout_operate::cluster::CallError;
use haulout_operate::controller::{self, Observed, Reconciler, Sight};
use haulout_operate::error::chain;
use haulout_pki::bundle::CertificateBundle;
use haulout_serve::tls::{IdentityError, ServingStore};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use tokio::sync::{Notify, watch};

use super::api_service::Announced;
use super::renewal::{
    Contents, ExpiryMetrics, LEAF, OwnSecret, Profile, RenewError, data_of, plan,
};
use super::{Environment, Readiness, WatchFault};

const NAME: &str = "serving-certificate";

/// How long both CAs stand in `caBundle` before the first leaf of the new one.
pub(super) const ANNOUNCED_FOR: Duration = Duration::from_secs(60);

/// Where the certificate is kept and what it is to be.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Namespace of the Secret.
    pub namespace: String,
    /// Name of the Secret.
    pub secret: String,
    /// Labels put on the Secret.
    pub labels: BTreeMap<String, String>,
    /// CA and leaf; the names are those by which the API server calls us.
    pub profile: Profile,
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
    /// When it ends.
    pub expiry: ExpiryMetrics,
}

/// Why the Secret is not as it should be.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("failed to watch the Secret of the serving certificate")]
    Watch(#[source] WatchFault),
    #[error("failed to write the Secret of the serving certificate")]
    Write(#[source] CallError),
    #[error("failed to renew the serving certificate")]
    Renew(#[source] RenewError),
    #[error("failed to serve the certificate of the Secret")]
    Serve(#[source] IdentityError),
}

/// Runs until the end of `environment`.
pub async fn run(environment: Environment, settings: Settings, links: Links) {
    let Environment { metrics, end, .. } = environment.clone();
    let Settings {
        namespace,
        secret,
        labels,
        profile,
    } = settings;
    let own = OwnSecret::new(&environment, &namespace, secret.clone(), labels);
    let observed = Observed::unwatched();
    let wake = Arc::new(Notify::new());
    let announced = links.announced.clone();
    let follow =
        observed
            .clone()
            .follow(own.secrets.clone(), secret, Arc::clone(&wake), end.clone());
    let keeper = Keeper {
        secret: own,
        observed,
        served: None,
        environment: environment.clone(),
        profile,
        links,
    };
    let keep = controller::run(NAME, keeper, Arc::clone(&wake), metrics, end.clone());
    tokio::join!(
        Box::pin(follow),
        environment.wake_on(announced, &wake),
        environment.wake_on_leadership(&wake),
        Box::pin(keep),
    );
}

struct Keeper {
    environment: Environment,
    profile: Profile,
    links: Links,
    secret: OwnSecret,
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
        let (plan, look_again) = plan(&contents.facts(), announced_since, &self.profile, now);
        if plan.is_nothing() || !self.environment.leadership.is_leader() {
            return Ok(look_again);
        }
        let renewed = contents
            .renewed(plan, &self.profile, now)
            .map_err(Error::Renew)?;
        let mut data = data_of(current.as_deref());
        data.extend(renewed);
        tracing::info!(
            new_authority = plan.new_authority,
            new_leaf = plan.new_leaf,
            reason = current.as_ref().and_then(|_| contents.fault()),
            "renewing the serving certificate"
        );
        match self.secret.write(current.as_deref(), data).await {
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
        let data = data_of(secret);
        let contents = Contents::read(&data, &self.profile.dns_names, now);
        let facts = contents.facts();
        let expiry = &self.links.expiry;
        expiry.show("serving_ca", facts.authority_ends);
        expiry.show("serving_leaf", facts.leaf.map(|leaf| leaf.ends));
        if let Some(authorities) = &contents.authorities {
            self.links.authorities.send_if_modified(|published| {
                let is_new = published.as_ref() != Some(authorities);
                if is_new {
                    *published = Some(authorities.clone());
                }
                is_new
            });
        }
        let pem = data.get(LEAF);
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

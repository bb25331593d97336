//! What keeps the cluster's objects and this process in line with each other.
//!
//! Every replica runs every controller, since all of them feed its own state. Only the leader
//! writes: each write asks for that just before it happens, and carries the resourceVersion of what
//! it was decided upon.

pub mod api_service;
pub mod authenticator;
pub mod credential_issuer;
pub mod direct_certificate;
pub mod front_proxy_ca;
pub mod jwt_authenticator;
pub mod renewal;
pub mod serving_certificate;
pub mod signing_link;
mod start;
#[cfg(test)]
mod test_server;
pub mod trust_sources;
pub mod webhook_authenticator;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use haulout_operate::clock::Clock;
use haulout_operate::controller::ControllerMetrics;
use haulout_operate::leader::Leadership;
use haulout_operate::owner::Owner;
use kube::Client;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

pub(crate) use self::start::{Cluster, Ends, start_controllers, start_credential_issuer};

/// What every controller of named objects works with.
#[derive(Clone)]
pub struct Environment {
    /// The Kubernetes API.
    pub client: Client,
    /// Owns what is made in our namespace.
    pub owner: Arc<Owner>,
    /// Asked before each write.
    pub leadership: Leadership,
    /// Judges dates.
    pub clock: Clock,
    /// Counts reconciliations.
    pub metrics: ControllerMetrics,
    /// Ends the controller.
    pub end: CancellationToken,
}

impl Environment {
    /// Notifies `wake` whenever leadership is gained or lost, until the end.
    async fn wake_on_leadership(&self, wake: &Notify) {
        let mut leadership = self.leadership.clone();
        while let Some(()) = self.end.run_until_cancelled(leadership.changed()).await {
            wake.notify_one();
        }
    }

    /// Notifies `wake` of all `news`, until the end.
    async fn wake_on<T>(&self, mut news: watch::Receiver<T>, wake: &Notify) {
        while let Some(Ok(())) = self.end.run_until_cancelled(news.changed()).await {
            wake.notify_one();
        }
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment")
            .field("leadership", &self.leadership)
            .finish_non_exhaustive()
    }
}

/// Why a watch is broken, as [`Observed`](haulout_operate::controller::Observed) tells it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct WatchFault(String);

/// Whether a part of the process is ready, as its controller knows it and a health check shows it.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<Mutex<Result<(), String>>>);

impl Readiness {
    /// Not ready, for the reason given.
    pub fn pending(reason: &str) -> Self {
        Self(Arc::new(Mutex::new(Err(reason.to_owned()))))
    }

    /// What was reported last: fine, or one line that says what is wrong.
    ///
    /// # Errors
    /// That line.
    pub fn check(&self) -> Result<(), String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn report(&self, readiness: Result<(), String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = readiness;
    }
}

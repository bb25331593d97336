//! Leader election over a `Lease`, by the rules of client-go's `leaderelection`.
//!
//! No replica trusts another's clock: a Lease counts as expired when its holder has not been *seen*
//! to change it for its whole duration, on the observer's monotonic clock. Each write carries the
//! resourceVersion that was read, so that of two claimants one gets 409. The holder gives up by
//! itself five seconds before anybody else may take over.

mod decide;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::{Api, Client};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::decide::{Sight, decide};
use crate::clock::Clock;
use crate::cluster::{CallError, call, post_params};
use crate::error::{Complaint, chain};
use crate::owner::Owner;

/// How long a holder that is not heard of keeps its place.
const LEASE_DURATION: Duration = Duration::from_secs(15);
/// How long after its last renewal a holder counts itself as leader.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// Time between two attempts to renew or to acquire.
const RETRY_PERIOD: Duration = Duration::from_secs(2);

/// Whether this process leads; cheap to clone and to ask.
#[derive(Clone, Debug)]
pub struct Leadership(watch::Receiver<Option<Instant>>);

impl Leadership {
    /// A leadership that never changes: for a process without rivals, and for tests.
    pub fn fixed(is_leader: bool) -> Self {
        // Farther away than any process lives, near enough for every platform's arithmetic.
        let forever = Instant::now() + Duration::from_secs(100 * 365 * 86_400);
        Self(watch::channel(is_leader.then_some(forever)).1)
    }

    /// Whether this process leads at this moment. To be asked just before every write. Turns false
    /// by itself when a renewal is overdue, even if nothing in this process runs any more.
    pub fn is_leader(&self) -> bool {
        self.0.borrow().is_some_and(|until| Instant::now() < until)
    }

    /// Waits until leadership was gained or lost; for ever when that cannot happen any more.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

/// `haulout_leader`, as true as the answer of [`Leadership::is_leader`].
impl Collector for Leadership {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let gauge = ConstGauge::new(i64::from(self.is_leader()));
        let help = "Whether this replica leads: 1 for the one that writes, else 0";
        gauge.encode(encoder.encode_descriptor("leader", help, None, gauge.metric_type())?)
    }
}

/// Which Lease, and who we are.
#[derive(Clone, Debug)]
pub struct LeaderSettings {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Name of the Lease.
    pub lease: String,
    /// Name of this replica, unlike that of any other: the pod's name.
    pub identity: String,
    /// Labels for the Lease, put on when it is made.
    pub labels: BTreeMap<String, String>,
    /// With whom the Lease is to be removed.
    pub owner: Option<Arc<Owner>>,
}

/// Keeps trying to be the leader, for as long as the process runs.
pub struct LeaderElector {
    settings: LeaderSettings,
    leases: Api<Lease>,
    clock: Clock,
    sight: Option<Sight>,
    publish: watch::Sender<Option<Instant>>,
    complaint: Complaint,
}

impl LeaderElector {
    /// An elector that has not begun, and the answer it will give. Registers the metric `leader`.
    pub fn new(
        client: Client,
        settings: LeaderSettings,
        clock: Clock,
        registry: &mut Registry,
    ) -> (Self, Leadership) {
        let (publish, receive) = watch::channel(None);
        let leadership = Leadership(receive);
        registry.register_collector(Box::new(leadership.clone()));
        let elector = Self {
            leases: Api::namespaced(client, &settings.namespace),
            settings,
            clock,
            sight: None,
            publish,
            complaint: Complaint::default(),
        };
        (elector, leadership)
    }

    /// Runs until `stop`, then gives the Lease back. Losing it ends nothing: it is tried for again.
    pub async fn run(mut self, stop: CancellationToken) {
        // As long as it is there.
        let _known_from_now_on = self.owner().await;
        loop {
            let begun = Instant::now();
            // Not cut short by `stop`: of a renewal in flight nobody knows whether it counts.
            let outcome = self.attempt(begun).await;
            self.note(begun, outcome);
            let pause = tokio::time::sleep_until(begun + RETRY_PERIOD);
            if stop.run_until_cancelled(pause).await.is_none() {
                break;
            }
        }
        self.release().await;
    }

    /// Reads if need be, then claims or renews if the rules allow; true if the Lease is ours.
    async fn attempt(&mut self, now: Instant) -> Result<bool, CallError> {
        let is_ours = |sight: &Sight| sight.is_held_by(&self.settings.identity);
        if self.sight.as_ref().is_some_and(is_ours) {
            match self.apply(now).await {
                Err(error) if error.is_conflict() || error.is_not_found() => {}
                outcome => return outcome,
            }
        }
        let found = call(self.leases.get_opt(&self.settings.lease)).await?;
        match found {
            Some(lease) => Sight::update(&mut self.sight, lease, now),
            None => self.sight = None,
        }
        match self.apply(now).await {
            // Somebody was faster.
            Err(error) if error.is_conflict() => Ok(false),
            outcome => outcome,
        }
    }

    /// Does what the rules say about what was seen last.
    async fn apply(&mut self, now: Instant) -> Result<bool, CallError> {
        let (sight, identity) = (self.sight.as_ref(), &self.settings.identity);
        let Some(record) = decide(sight, identity, self.clock.now(), now) else {
            return Ok(false);
        };
        let (name, params) = (&self.settings.lease, post_params());
        let written = if let Some(sight) = sight {
            call(self.leases.replace(name, &params, &sight.with(record))).await?
        } else {
            let metadata = ObjectMeta {
                name: Some(name.clone()),
                labels: Some(self.settings.labels.clone()),
                owner_references: self.owner().await.map(|owner| vec![owner]),
                ..ObjectMeta::default()
            };
            let spec = Some(record);
            call(self.leases.create(&params, &Lease { metadata, spec })).await?
        };
        Sight::update(&mut self.sight, written, now);
        Ok(true)
    }

    async fn owner(&self) -> Option<OwnerReference> {
        self.settings.owner.as_ref()?.reference().await
    }

    /// Publishes an attempt's outcome; a failed one leaves the leader in place until its deadline.
    fn note(&mut self, begun: Instant, outcome: Result<bool, CallError>) {
        let held = match outcome {
            Ok(is_ours) => {
                self.complaint.settle();
                is_ours.then_some(begun + RENEW_DEADLINE)
            }
            Err(error) => {
                let error = chain(&error);
                let lease = &self.settings.lease;
                if self.complaint.is_new(&error) {
                    tracing::warn!(error, lease, "leader election failed, trying on");
                }
                let until = *self.publish.borrow();
                until.filter(|&until| Instant::now() < until)
            }
        };
        self.set(held);
    }

    /// Watchers are told of gain and loss, not of each renewal.
    fn set(&self, held: Option<Instant>) {
        let has_changed = self.publish.send_if_modified(|current| {
            let has_changed = current.is_some() != held.is_some();
            *current = held;
            has_changed
        });
        if has_changed {
            let LeaderSettings {
                lease, identity, ..
            } = &self.settings;
            let is_leader = held.is_some();
            tracing::info!(identity, lease, is_leader, "leadership changed");
        }
    }

    /// Empties the holder, so that another replica need not wait for the Lease to expire.
    async fn release(mut self) {
        let was_leader = self.publish.borrow().is_some();
        self.set(None);
        let Some(released) = self
            .sight
            .take()
            .filter(|_| was_leader)
            .and_then(|sight| sight.released(&self.settings.identity, self.clock.now()))
        else {
            return;
        };
        let params = post_params();
        let replaced = self
            .leases
            .replace(&self.settings.lease, &params, &released);
        if let Err(error) = call(replaced).await {
            let error = chain(&error);
            tracing::warn!(
                error,
                "failed to release the lease; another replica has to wait"
            );
        }
    }
}

impl fmt::Debug for LeaderElector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeaderElector")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

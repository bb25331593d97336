//! Runs a controller: level-triggered, one reconciliation at a time, retried with a growing pause.
//!
//! Small on purpose. kube's own `Controller` is made for many objects of one kind; ours look after
//! one or two named objects each, and every replica runs them whether it may write or not.

mod observed;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub use self::observed::{Observed, Sight, watch_fault};
use crate::error::{Complaint, chain};

/// How long one reconciliation may take; its calls have shorter limits of their own.
const RECONCILE_TIMEOUT: Duration = Duration::from_secs(30);
/// The pause after a first failure; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Brings one part of the world in line with what is wanted.
pub trait Reconciler: Send {
    /// Why it could not be done this time.
    type Error: Error + 'static;

    /// Does what is to be done now, and says after which time to look again even if nothing wakes
    /// the controller.
    ///
    /// # Errors
    /// Nothing is lost: it is tried again.
    fn reconcile(&mut self) -> impl Future<Output = Result<Duration, Self::Error>> + Send;
}

/// Counts reconciliations: `controller_reconciliations_total{controller,result}`.
#[derive(Clone, Debug, Default)]
pub struct ControllerMetrics(Family<Labels, Counter>);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    controller: &'static str,
    result: &'static str,
}

impl ControllerMetrics {
    /// Registers the metric.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "controller_reconciliations",
            "Reconciliations by controller and result (success, failure)",
            metrics.0.clone(),
        );
        metrics
    }

    fn count(&self, controller: &'static str, result: &'static str) {
        self.0.get_or_create(&Labels { controller, result }).inc();
    }
}

/// Reconciles at once, whenever `wake` is notified, and when a reconciliation asked for it, until
/// `stop`. A failure is counted, logged when it is news, and tried again.
pub async fn run(
    name: &'static str,
    mut reconciler: impl Reconciler,
    wake: Arc<Notify>,
    metrics: ControllerMetrics,
    stop: CancellationToken,
) {
    let mut complaint = Complaint::default();
    let mut failures = 0;
    let work = async {
        loop {
            let reconciled = tokio::time::timeout(RECONCILE_TIMEOUT, reconciler.reconcile()).await;
            let outcome = match reconciled {
                Ok(outcome) => outcome.map_err(|error| chain(&error)),
                Err(_elapsed) => Err("took too long".to_owned()),
            };
            let pause = match outcome {
                Ok(pause) => {
                    metrics.count(name, "success");
                    if complaint.settle() {
                        tracing::info!(controller = name, "reconciled after failures");
                    }
                    failures = 0;
                    pause
                }
                Err(error) => {
                    metrics.count(name, "failure");
                    if complaint.is_new(&error) {
                        tracing::warn!(controller = name, error, "failed to reconcile, trying on");
                    }
                    failures += 1;
                    pause_after(failures)
                }
            };
            // Elapsed or woken: either way it is time.
            drop(tokio::time::timeout(pause, wake.notified()).await);
        }
    };
    stop.run_until_cancelled(work).await;
}

/// The pause before the next try after so many failures in a row: a second, doubled up to a minute.
pub fn pause_after(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    FIRST_PAUSE
        .saturating_mul(1 << doublings)
        .min(LONGEST_PAUSE)
}

//! The signing side in words: how many agents can be asked, and why not the others.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use haulout_serve::health::Finding;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::Shared;

use super::agent::Agent;

/// How long a fresh replica without an agent sends logins elsewhere.
const FIRST_CONNECTION: Duration = Duration::from_secs(15);

/// The signing side as a health check sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignerHealth {
    /// Agents that are known.
    pub known: usize,
    /// Agents with a connection that is trusted.
    pub connected: usize,
    /// What stands in the way of all agents, then one line for each agent without a connection.
    pub faults: Vec<String>,
}

impl SignerHealth {
    /// `general` is what is wrong apart from any one agent.
    pub(super) fn of(agents: &[Arc<Agent>], general: impl IntoIterator<Item = String>) -> Self {
        let (connected, cut_off): (Vec<_>, Vec<_>) =
            agents.iter().partition(|agent| agent.is_connected());
        let fault = |agent: &Arc<Agent>| match agent.fault() {
            Some(fault) => format!("{}: {fault}", agent.address()),
            None => format!("{}: not connected yet", agent.address()),
        };
        Self {
            known: agents.len(),
            connected: connected.len(),
            faults: general
                .into_iter()
                .chain(cut_off.into_iter().map(fault))
                .collect(),
        }
    }

    /// What it means for readiness. A fresh replica waits for its first connection, so that a rolling
    /// update loses nothing. Apart from that a replica without agents is ready: none would do better,
    /// and an API without endpoints breaks the cluster's discovery and the deletion of namespaces.
    pub(super) fn finding(&self, was_connected: bool, up_for: Duration) -> Finding {
        match self.ready() {
            Ok(()) => Finding::Good,
            Err(reason) if !was_connected && up_for < FIRST_CONNECTION => Finding::Failed(reason),
            Err(reason) => Finding::Degraded(reason),
        }
    }

    /// An error in one line if no agent can be asked.
    pub fn ready(&self) -> Result<(), String> {
        if self.connected > 0 {
            Ok(())
        } else {
            Err(self.to_string())
        }
    }
}

impl fmt::Display for SignerHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} agents connected", self.connected, self.known)?;
        for fault in &self.faults {
            write!(f, "; {fault}")?;
        }
        Ok(())
    }
}

/// Told of each connection to an agent.
#[derive(Debug, Default)]
pub(super) struct Connections {
    made: Notify,
    any: AtomicBool,
}

impl Connections {
    pub(super) fn note(&self) {
        self.any.store(true, Ordering::Relaxed);
        self.made.notify_waiters();
    }

    /// The next one.
    pub(super) fn next(&self) -> Notified<'_> {
        self.made.notified()
    }

    /// Whether there was one ever.
    pub(super) fn were_any(&self) -> bool {
        self.any.load(Ordering::Relaxed)
    }
}

/// `haulout_agents{state}`, as true as [`SignerHealth`].
#[derive(Debug)]
pub(super) struct AgentsMetric(pub(super) Arc<Shared>);

impl Collector for AgentsMetric {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let SignerHealth {
            known, connected, ..
        } = self.0.health();
        let help = "Agents that this replica knows of, by state: connected, disconnected";
        let mut agents = encoder.encode_descriptor("agents", help, None, MetricType::Gauge)?;
        for (state, count) in [
            ("connected", connected),
            ("disconnected", known.saturating_sub(connected)),
        ] {
            let gauge = ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX));
            gauge.encode(agents.encode_family(&[("state", state)])?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_agents_hold_back_a_fresh_replica_only() {
        // Agents that can be asked, whether one ever could, seconds since the start.
        let rows = [
            (1, true, 0, "good"),
            (1, true, 3600, "good"),
            (0, false, 0, "failed"),
            (0, false, 14, "failed"),
            (0, false, 15, "degraded"),
            (0, true, 1, "degraded"),
            (0, true, 3600, "degraded"),
        ];
        for (connected, was_connected, seconds, expected) in rows {
            let health = SignerHealth {
                known: 1,
                connected,
                faults: Vec::new(),
            };
            let finding = health.finding(was_connected, Duration::from_secs(seconds));
            let reason = || health.to_string();
            let expected = match expected {
                "good" => Finding::Good,
                "failed" => Finding::Failed(reason()),
                _ => Finding::Degraded(reason()),
            };
            assert_eq!(finding, expected, "{connected} {was_connected} {seconds}");
        }
    }
}

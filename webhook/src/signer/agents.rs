//! The agents that are known: a task for each, which keeps a connection, and in which order they are asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use haulout_operate::clock::Clock;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::agent::{Agent, ClockDifference};
use super::credentials::CredentialStore;
use super::endpoints::Addresses;
use super::health::Connections;

/// All agents that are known now.
#[derive(Debug, Default)]
pub(super) struct Agents {
    known: ArcSwap<Vec<Arc<Agent>>>,
    turn: AtomicUsize,
    pub(super) clock_differences: Family<AgentLabel, ClockDifference>,
}

/// What each agent's connection is made with, and who is told of it.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) credentials: Arc<CredentialStore>,
    pub(super) clock: Clock,
    pub(super) connections: Arc<Connections>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct AgentLabel {
    agent: String,
}

impl Agents {
    /// Each of them, connected or not.
    pub(super) fn all(&self) -> Arc<Vec<Arc<Agent>>> {
        self.known.load_full()
    }

    /// The connected agents, beginning with the one whose turn it is; then those that are not ready,
    /// sidelined ones last.
    pub(super) fn in_turn(&self) -> Vec<Arc<Agent>> {
        let agents = self.known.load();
        let turn = self
            .turn
            .fetch_add(1, Ordering::Relaxed)
            .checked_rem(agents.len());
        let (before, after) = agents.split_at(turn.unwrap_or_default());
        let connected = || {
            after
                .iter()
                .chain(before)
                .filter(|agent| agent.is_connected())
        };
        let mut ordered: Vec<_> = connected().cloned().collect();
        ordered.sort_by_key(|agent| (agent.is_sidelined(), !agent.is_ready()));
        ordered
    }

    /// Keeps one task for each known address, until `stop`.
    pub(super) async fn keep(
        &self,
        mut addresses: watch::Receiver<Addresses>,
        link: Link,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) {
        let mut kept: Vec<(Arc<Agent>, CancellationToken)> = Vec::new();
        loop {
            let known = addresses.borrow_and_update().clone();
            kept.retain(|(agent, stop)| {
                let stays = known.contains_key(agent.address());
                if !stays {
                    stop.cancel();
                    self.clock_differences.remove(&AgentLabel {
                        agent: agent.address().to_owned(),
                    });
                }
                stays
            });
            for (address, is_ready) in known {
                let same = kept.iter().find(|(agent, _)| *agent.address() == *address);
                if let Some((agent, _stop)) = same {
                    agent.set_ready(is_ready);
                    continue;
                }
                let label = AgentLabel {
                    agent: address.clone(),
                };
                let difference = self.clock_differences.get_or_create_owned(&label);
                let (credentials, clock) = (Arc::clone(&link.credentials), link.clock.clone());
                let agent = Arc::new(Agent::new(address, credentials, clock, difference));
                agent.set_ready(is_ready);
                let stop = stop.child_token();
                tasks.spawn(Arc::clone(&agent).keep_connected(
                    Arc::clone(&link.connections),
                    tasks.clone(),
                    stop.clone(),
                ));
                kept.push((agent, stop));
            }
            self.known.store(Arc::new(
                kept.iter().map(|(agent, _)| Arc::clone(agent)).collect(),
            ));
            match stop.run_until_cancelled(addresses.changed()).await {
                Some(Ok(())) => {}
                // A fixed list: nobody publishes any more.
                Some(Err(_)) => return stop.cancelled().await,
                None => return,
            }
        }
    }
}

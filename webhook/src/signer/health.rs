//! The signing side in words: how many agents can be asked, and why not the others.

use std::fmt;
use std::sync::Arc;

use super::agent::Agent;

/// The signing side as a health check sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignerHealth {
    /// Agents that are known.
    pub known: usize,
    /// Agents with a connection.
    pub connected: usize,
    /// What stands in the way of all agents, then one line for each agent without a connection.
    pub faults: Vec<String>,
}

impl SignerHealth {
    /// `general` is what is wrong apart from any one agent.
    pub(super) fn of(agents: &[Arc<Agent>], general: impl IntoIterator<Item = String>) -> Self {
        let (connected, cut_off): (Vec<_>, Vec<_>) = agents.iter().partition(|a| a.is_connected());
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

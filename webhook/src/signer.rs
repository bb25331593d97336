//! Certificates from the agents: the client side of `docs/signing-protocol.md`.
//!
//! One HTTP/2 connection is kept to each agent. A call goes to the next connected agent in turn, to
//! those that the cluster counts as ready before others;
//! signing is idempotent, so that an agent which fails is followed by another at once, and one
//! which is silent for 300 ms has another asked beside it. The first answer counts.

mod agent;
mod agents;
mod answer;
mod credentials;
mod endpoints;
mod error;
#[cfg(test)]
pub(crate) mod fake_agent;
mod fault;
mod health;
mod hedge;
#[cfg(test)]
mod tests;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use haulout_api::signing::{CertificateRequest, CertificateResponse};
use haulout_operate::clock::Clock;
use haulout_serve::health::{Finding, Metrics};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::agent::Agent;
pub(crate) use self::agent::CLOCK_DIFFERENCE_LIMIT;
pub use self::agent::SERVER_NAME;
use self::agents::{Agents, Link};
pub use self::credentials::{CredentialFiles, CredentialStore, CredentialsError};
use self::endpoints::Addresses;
pub use self::endpoints::AgentSource;
pub use self::error::SignerError;
use self::fault::LastingFault;
pub use self::health::SignerHealth;
use self::health::{AgentsMetric, Connections};
use self::hedge::first_answer;

/// How many calls may wait for a first connection: too few for a queue.
const WAITING_CALLS: usize = 256;

/// How long agents are waited for.
#[derive(Clone, Copy, Debug)]
struct Patience {
    /// For a first connection: enough for a restarted agent.
    connection: Duration,
    /// For one agent, before another is asked as well.
    hedge_after: Duration,
    /// For a certificate in all.
    deadline: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connection: Duration::from_secs(2),
            hedge_after: Duration::from_millis(300),
            deadline: Duration::from_secs(5),
        }
    }
}

/// Where agents are and how they are spoken to.
#[derive(Clone, Debug)]
pub struct SignerSettings {
    /// Where the agents are.
    pub agents: AgentSource,
    /// Material for mutual TLS.
    pub credentials: Credentials,
}

/// Where the material for mutual TLS with agents comes from.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// From files, which are followed.
    Files(CredentialFiles),
    /// From whoever publishes to this store.
    Published(Arc<CredentialStore>),
}

/// What one agent made of a request.
#[derive(Debug)]
pub struct AgentAnswer {
    /// Its address.
    pub agent: String,
    /// The certificate, or why there is none.
    pub answer: Result<CertificateResponse, SignerError>,
    /// Seconds by which its clock is ahead of ours, if it signed.
    pub clock_difference: Option<f64>,
}

/// Asks agents for certificates.
#[derive(Clone, Debug)]
pub struct Signer {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    agents: Agents,
    /// Of the watch for their addresses.
    endpoints_fault: LastingFault,
    credentials: Arc<CredentialStore>,
    connections: Arc<Connections>,
    begun: Instant,
    waiting: Semaphore,
    patience: Patience,
    clock: Clock,
}

impl Signer {
    /// Begins to keep connections to the agents, by tasks on `tasks` that end after `stop`. Cancel
    /// `stop` only when no login can be in flight any more.
    pub fn start(
        settings: SignerSettings,
        clock: Clock,
        metrics: &Metrics,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Self {
        Self::start_with(Patience::default(), settings, clock, metrics, tasks, stop)
    }

    fn start_with(
        patience: Patience,
        settings: SignerSettings,
        clock: Clock,
        metrics: &Metrics,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Self {
        let known = Agents::default();
        metrics.register(|registry| {
            registry.register(
                "agent_clock_difference_seconds",
                "Seconds by which the agent's clock was ahead of the webhook's at its last answer",
                known.clock_differences.clone(),
            );
        });
        let SignerSettings {
            agents,
            credentials,
        } = settings;
        let credentials = match credentials {
            Credentials::Published(store) => store,
            Credentials::Files(files) => {
                let store = Arc::new(CredentialStore::new());
                tasks.spawn(credentials::follow(files, Arc::clone(&store), stop.clone()));
                store
            }
        };
        let shared = Arc::new(Shared {
            agents: known,
            endpoints_fault: LastingFault::default(),
            credentials,
            connections: Arc::default(),
            begun: Instant::now(),
            waiting: Semaphore::new(WAITING_CALLS),
            patience,
            clock,
        });
        let agents_metric = AgentsMetric(Arc::clone(&shared));
        metrics.register(|registry| registry.register_collector(Box::new(agents_metric)));

        let (publish_addresses, read_addresses) = watch::channel(Addresses::new());
        match agents {
            AgentSource::Addresses(addresses) => {
                let addresses = addresses.into_iter().map(|address| (address, true));
                publish_addresses.send_replace(addresses.collect());
            }
            AgentSource::Service { slices, name } => {
                let (keeper, end) = (Arc::clone(&shared), stop.clone());
                tasks.spawn(async move {
                    let fault = &keeper.endpoints_fault;
                    endpoints::follow(*slices, &name, publish_addresses, fault, end).await;
                });
            }
        }
        let follow = Arc::clone(&shared).follow(read_addresses, tasks.clone(), stop.clone());
        tasks.spawn(follow);
        Self { shared }
    }

    /// Gets a certificate from an agent, within five seconds.
    ///
    /// # Errors
    /// [`SignerError`]: what the agents said, or why none could be asked.
    pub async fn sign(
        &self,
        request: &CertificateRequest,
    ) -> Result<CertificateResponse, SignerError> {
        let shared = &*self.shared;
        let body = Bytes::from(serde_json::to_vec(request).map_err(SignerError::Encode)?);
        let begun = Instant::now();
        let candidates = shared.candidates().await?;
        let ask = |agent| answer::ask(agent, body.clone());
        let (agent, answer) = first_answer(candidates, ask, begun, &shared.patience)
            .await
            .map_err(|failure| failure.unwrap_or_else(|| shared.no_agent()))?;
        agent.observe_clock(answer.agent_time_millis, shared.clock.now());
        Ok(answer)
    }

    /// What the agents mean for readiness.
    pub fn readiness(&self) -> Finding {
        let Shared {
            connections, begun, ..
        } = &*self.shared;
        self.health()
            .finding(connections.were_any(), begun.elapsed())
    }

    /// Gets a certificate from each connected agent, whoever's turn it is, within five seconds.
    /// Says of each agent what it gave, by its address.
    ///
    /// # Errors
    /// [`SignerError::Encode`].
    pub async fn sign_by_each(
        &self,
        request: &CertificateRequest,
    ) -> Result<Vec<AgentAnswer>, SignerError> {
        let shared = &*self.shared;
        let body = Bytes::from(serde_json::to_vec(request).map_err(SignerError::Encode)?);
        let deadline = shared.patience.deadline;
        let agents = shared.agents.all();
        let asked = agents
            .iter()
            .filter(|agent| agent.is_connected())
            .map(async |agent| {
                let ask = answer::ask(Arc::clone(agent), body.clone());
                let answer = match tokio::time::timeout(deadline, ask).await {
                    Ok((_, answer)) => answer,
                    Err(_elapsed) => Err(SignerError::DeadlineExceeded(deadline.as_secs())),
                };
                let clock_difference = answer.as_ref().ok().map(|answer| {
                    agent.observe_clock(answer.agent_time_millis, shared.clock.now())
                });
                AgentAnswer {
                    agent: agent.address().to_owned(),
                    answer,
                    clock_difference,
                }
            });
        Ok(join_all(asked).await)
    }

    /// Ends with the next connection to an agent.
    pub async fn connected(&self) {
        self.shared.connections.next().await;
    }

    /// How many agents can be asked, and why the others cannot.
    pub fn health(&self) -> SignerHealth {
        self.shared.health()
    }
}

impl Shared {
    /// The agents to ask, the first one first. Waits a little if there is none.
    async fn candidates(&self) -> Result<Vec<Arc<Agent>>, SignerError> {
        let ordered = self.agents.in_turn();
        if !ordered.is_empty() {
            return Ok(ordered);
        }
        let Ok(_permit) = self.waiting.try_acquire() else {
            return Err(self.no_agent());
        };
        let wait = async {
            loop {
                let mut connected = pin!(self.connections.next());
                connected.as_mut().enable();
                let ordered = self.agents.in_turn();
                if !ordered.is_empty() {
                    return ordered;
                }
                self.agents.all().iter().for_each(|agent| agent.want());
                connected.await;
            }
        };
        tokio::time::timeout(self.patience.connection, wait)
            .await
            .map_err(|_elapsed| self.no_agent())
    }

    fn health(&self) -> SignerHealth {
        let general = [self.endpoints_fault.text(), self.credentials.fault()];
        SignerHealth::of(&self.agents.all(), general.into_iter().flatten())
    }

    /// Keeps connections to the agents at these addresses, until `stop`.
    async fn follow(
        self: Arc<Self>,
        addresses: watch::Receiver<Addresses>,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) {
        let link = Link {
            credentials: Arc::clone(&self.credentials),
            clock: self.clock.clone(),
            connections: Arc::clone(&self.connections),
        };
        self.agents.keep(addresses, link, tasks, stop).await;
    }

    fn no_agent(&self) -> SignerError {
        SignerError::NoAgentReachable(self.health())
    }
}

//! The agent: signs client certificates beside kube-controller-manager, and is the only process of
//! Haulout that can read the cluster's key.
//!
//! It knows nothing of tokens and has no rights in the Kubernetes API. What it is asked to sign is
//! judged by a policy that the asker cannot write.

mod audit;
mod key_source;
mod metrics;
pub mod policy;
mod server;
mod settings;
mod sign;
#[cfg(test)]
mod tests;
mod tls_files;
mod watched;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use haulout_operate::audit::AuditLog;
use haulout_operate::clock::Clock;
use haulout_operate::shutdown::Shutdown;
use haulout_serve::client_trust::ClientTrust;
use haulout_serve::health::{HealthRegistry, Metrics, Reasons, Scope, router as health_router};
use haulout_serve::listener::{ListenerLimits, serve_plain, serve_tls};
use haulout_serve::tls::ServingStore;
use tokio::net::TcpListener;
use tokio::time::MissedTickBehavior;

use self::key_source::{Departure, KeySource};
use self::metrics::AgentMetrics;
use self::policy::Policy;
use self::server::{SigningService, Strangers};
pub use self::settings::Settings;
use self::sign::Signer;
pub use self::sign::client_subject;
use self::watched::{AtFault, Watched};

/// How long the agent serves on after it was told to stop: until the webhooks have seen it leave
/// the endpoints.
pub const SERVE_ON: Duration = Duration::from_secs(5);

/// How long requests in flight may take at the end.
const GRACE: Duration = Duration::from_secs(5);

/// Agents that all have to restart begin within this time, each at its own moment.
const STAGGER: Duration = Duration::from_secs(10);

/// Why the agent could not start. Files that are missing or wrong are no reason: they may come.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("failed to listen on {address}; see --listen and --health-listen")]
    Listen {
        /// The address of `--listen` or `--health-listen`.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// An agent that listens, but does not answer yet.
pub struct Agent {
    serving: TcpListener,
    health: TcpListener,
    service: Arc<SigningService>,
    store: Arc<ServingStore>,
    files: Arc<Files>,
    metrics: Metrics,
    least_life: Duration,
    poll: Duration,
}

/// What is read anew with each tick, beside the key and the policy of the signer.
struct Files {
    serving_certificate: Watched<(), 2>,
    client_authorities: Watched<(), 1>,
}

impl Agent {
    /// Binds both addresses and looks at all files once.
    pub async fn bind(
        settings: &Settings,
        clock: Clock,
        audit: AuditLog,
    ) -> Result<Self, StartError> {
        let Settings {
            ca_cert,
            ca_key,
            policy,
            listen,
            tls_cert,
            tls_key,
            client_ca,
            health_listen,
            least_life_seconds,
            poll,
        } = settings;
        let store = Arc::new(ServingStore::new());
        let trust = Arc::new(ClientTrust::new());
        let files = Arc::new(Files {
            serving_certificate: tls_files::serving_certificate(
                tls_cert,
                tls_key,
                Arc::clone(&store),
            ),
            client_authorities: tls_files::client_authorities(client_ca, Arc::clone(&trust)),
        });
        let policy = Watched::new("policy", [&**policy], AtFault::Drop, |[yaml], _now| {
            let policy = Policy::from_yaml(yaml)?;
            for entry in policy.idle_entries() {
                tracing::warn!(entry, "allowedReservedNames lists what is never signed");
            }
            Ok(policy)
        });
        let metrics = Metrics::new();
        let service = Arc::new(SigningService {
            signer: Signer::new(
                KeySource::new(ca_cert, ca_key),
                policy,
                clock,
                sign::LONGEST_QUEUE,
            ),
            trust,
            audit,
            strangers: Strangers::default(),
            metrics: AgentMetrics::register(&metrics),
        });
        let agent = Self {
            serving: bind(*listen).await?,
            health: bind(*health_listen).await?,
            service,
            store,
            files,
            metrics,
            least_life: Duration::from_secs(u64::from(*least_life_seconds)),
            poll: *poll,
        };
        agent.files.look(&agent.service);
        Ok(agent)
    }

    /// Where the signing call is answered.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.serving.local_addr()
    }

    /// Where `/livez`, `/readyz` and `/metrics` are answered.
    pub fn health_address(&self) -> io::Result<SocketAddr> {
        self.health.local_addr()
    }

    /// Serves until `shutdown` has drained. It begins the shutdown by itself when the key was
    /// replaced under its mount and only a restart will show the new one.
    pub async fn run(self, shutdown: &Shutdown) {
        let Self {
            serving,
            health,
            service,
            store,
            files,
            metrics,
            least_life,
            poll,
        } = self;
        let limits = ListenerLimits {
            max_header_bytes: 16 * 1024,
            max_headers: 64,
            ..ListenerLimits::default()
        };
        let checks = Arc::new(checks(&service, &files, shutdown));
        let probes = health_router(&checks, Reasons::ForAll).merge(metrics.router());
        let drain = || shutdown.drain.clone();
        let signing = serve_tls(
            serving,
            store,
            server::trust(&service),
            limits.clone(),
            server::router(Arc::clone(&service)),
            drain(),
            GRACE,
        );
        let probing = serve_plain(health, limits, probes, drain(), GRACE);
        let departure = Departure::new(service.signer.clock.now(), least_life, stagger());
        let watching = shutdown
            .drain
            .run_until_cancelled(files.watch(&service, departure, poll, shutdown));
        let ((), (), _cancelled) = tokio::join!(signing, probing, watching);
    }
}

impl std::fmt::Debug for Agent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Agent")
    }
}

impl Files {
    /// Looks at every file, and says what is at fault.
    fn look(&self, service: &SigningService) {
        let Signer {
            keys,
            policy,
            clock,
            ..
        } = &service.signer;
        let now = clock.now();
        keys.look(now);
        policy.look(now);
        self.serving_certificate.look(now);
        self.client_authorities.look(now);
        for (files, fault) in [
            ("signing-key", keys.fault()),
            ("policy", policy.fault()),
            ("serving-certificate", self.serving_certificate.fault()),
            ("client-ca", self.client_authorities.fault()),
        ] {
            service.metrics.set_fault(files, fault.is_some());
        }
    }

    /// Fine once both halves of mutual TLS were loaded: without one no webhook gets in.
    fn connection(&self) -> Result<(), String> {
        let halves = [
            self.serving_certificate.ready(),
            self.client_authorities.ready(),
        ];
        let faults: Vec<String> = halves.into_iter().filter_map(Result::err).collect();
        match faults.as_slice() {
            [] => Ok(()),
            faults => Err(faults.join("; ")),
        }
    }

    /// Looks again with every tick. Small files of this machine are read, which takes about as
    /// long as handing the work to another thread would.
    async fn watch(
        &self,
        service: &SigningService,
        mut departure: Departure,
        poll: Duration,
        shutdown: &Shutdown,
    ) {
        let Signer { keys, clock, .. } = &service.signer;
        let mut ticks = tokio::time::interval(poll);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.look(service);
            if departure.is_due(keys.is_cut_off(), clock.now()) && !shutdown.stopping.is_cancelled()
            {
                tracing::warn!("leaving so that the new signing key is mounted");
                shutdown.stopping.cancel();
            }
        }
    }
}

/// Ready means: loaded a key, a policy and the material for mutual TLS, and not about to stop.
fn checks(
    service: &Arc<SigningService>,
    files: &Arc<Files>,
    shutdown: &Shutdown,
) -> HealthRegistry {
    let (keys, policy, files) = (Arc::clone(service), Arc::clone(service), Arc::clone(files));
    let stopping = shutdown.stopping.clone();
    HealthRegistry::new()
        .with_check("signing-key", Scope::Readiness, move || {
            let Signer { keys, clock, .. } = &keys.signer;
            keys.authority(clock.now()).map(|_authority| ())
        })
        .with_check("policy", Scope::Readiness, move || {
            policy.signer.policy.ready()
        })
        .with_check("connection", Scope::Readiness, move || files.connection())
        .with_check("shutdown", Scope::Readiness, move || {
            if stopping.is_cancelled() {
                Err("the agent is stopping".to_owned())
            } else {
                Ok(())
            }
        })
}

async fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| StartError::Listen { address, source })
}

/// A wait that differs from agent to agent.
fn stagger() -> Duration {
    let mut byte = [0];
    // Without chance all agents leave at once, which is no worse than a rolling restart gone wrong.
    let _left_at_zero = aws_lc_rs::rand::fill(&mut byte);
    STAGGER * u32::from(byte[0]) / 256
}

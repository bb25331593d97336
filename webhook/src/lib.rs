//! The webhook: the aggregated API server and its controllers, built first, then served.

pub mod api;
pub mod audit;
pub mod authenticators;
pub mod config;
pub mod controllers;
pub mod limits;
pub mod metrics;
pub mod signer;
pub mod signing_ca;
#[cfg(test)]
mod tests;
pub mod trusted_proxies;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use haulout_operate::audit::AuditLog;
use haulout_operate::clock::Clock;
use haulout_operate::cluster::ApiServer;
use haulout_operate::shutdown::Shutdown;
use haulout_serve::encoding::EncodeError;
use haulout_serve::health::{self, HealthRegistry, Metrics, Reasons, Scope};
use haulout_serve::listener::{ListenerLimits, PeerTrust, serve_plain, serve_tls};
use haulout_serve::tls::ServingStore;
use kube::{Api, Client};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use self::api::SubjectAccessReviewer;
use self::api::state::{ApiState, Logins};
use self::audit::LoginAudit;
use self::config::{Agents, Config};
use self::controllers::{
    Cluster, Ends, credential_issuer, start_controllers, start_credential_issuer,
};
use self::limits::LoginLimits;
use self::metrics::LoginMetrics;
use self::signer::{
    AgentSource, CredentialFiles, CredentialStore, Credentials, Signer, SignerSettings,
};
use self::signing_ca::SigningCaGuard;

/// How long requests are served on after the signal to stop: until the API server has learned that
/// this replica is unready.
pub const SERVE_ON: Duration = Duration::from_secs(10);
/// How long requests in flight may take once connections are drained.
const GRACE: Duration = Duration::from_secs(8);

/// Why the webhook cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error(
        "failed to listen on {address}; see `listen`, `metricsListen` and `directEndpoint.listen`"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The documents that describe the API cannot be written down; no input leads here.
    #[error("failed to encode the API's own description")]
    Documents(#[source] EncodeError),
}

/// A webhook whose listeners are bound and whose tasks run.
#[derive(Debug)]
pub struct Webhook {
    listener: TcpListener,
    plain: Option<TcpListener>,
    direct: Option<DirectDoor>,
    store: Arc<ServingStore>,
    trust: PeerTrust,
    router: Router,
    plain_router: Router,
    /// Dropped when the last request is answered: ends whatever answers depend on.
    served: DropGuard,
}

/// Door B, bound.
#[derive(Debug)]
struct DirectDoor {
    listener: TcpListener,
    store: Arc<ServingStore>,
    router: Router,
}

impl Webhook {
    /// Binds the listeners, then starts everything that works behind them on `shutdown`'s tracker.
    /// `client` is ours; `api_server` judges the certificates of others.
    ///
    /// # Errors
    /// [`StartError`]. Whatever else is missing, such as the cluster, the agent or an issuer, is
    /// waited for, and readiness says so.
    pub async fn start(
        config: Config,
        api_server: ApiServer,
        client: Client,
        clock: Clock,
        audit: AuditLog,
        shutdown: &Shutdown,
    ) -> Result<Self, StartError> {
        let listener = bind(config.listen).await?;
        let plain = bind_if(config.metrics_listen).await?;
        let direct = config.direct_endpoint.as_ref();
        let direct_listener = bind_if(direct.map(|direct| direct.listen)).await?;
        let metrics = Metrics::new();
        let served = CancellationToken::new();
        let until_served = served.clone().drop_guard();
        let credentials = Arc::new(CredentialStore::new());
        let signer = Signer::start(
            signer_settings(&config, &client, &credentials),
            clock.clone(),
            &metrics,
            &shutdown.tracker,
            &served,
        );
        let (cluster, environment) = start_controllers(
            &config,
            client.clone(),
            &clock,
            &metrics,
            credentials,
            Ends {
                shutdown,
                served: &served,
            },
        );
        let health = Arc::new(health_checks(&cluster, signer.clone(), shutdown));
        let plain_router = health::router(&health, Reasons::ForAll).merge(metrics.router());
        let trust = {
            let (front_proxy, clock) = (Arc::clone(&cluster.front_proxy), clock.clone());
            PeerTrust::new(move |peer| front_proxy.trusts(peer, clock.now()))
        };
        let signing_ca = Arc::new(SigningCaGuard::new(Arc::clone(&cluster.front_proxy)));
        let links = credential_issuer::Links {
            signer: signer.clone(),
            guard: Arc::clone(&signing_ca),
            api_server,
            direct_standing: cluster.direct.standing,
        };
        let tracker = &shutdown.tracker;
        start_credential_issuer(&config, environment, links, &metrics, tracker);
        let logins = Logins {
            suffix: config.suffix,
            limits: Arc::new(LoginLimits::new(config.limits)),
            authenticators: cluster.authenticators,
            signer,
            signing_ca,
            audit: LoginAudit::new(audit, config.personal_info),
            metrics: LoginMetrics::new(&metrics),
            clock,
            lifetime_seconds: config.certificate_lifetime_seconds,
        };
        let direct = direct_listener
            .zip(config.direct_endpoint)
            .map(|(listener, direct)| DirectDoor {
                listener,
                store: cluster.direct.store,
                router: api::direct_router(logins.clone(), direct.trusted_proxies),
            });
        let router = api::router(ApiState {
            logins,
            front_proxy: cluster.front_proxy,
            reviewer: SubjectAccessReviewer::new(client),
            health,
            metrics,
        })
        .map_err(StartError::Documents)?;
        Ok(Self {
            listener,
            plain,
            direct,
            store: cluster.store,
            trust,
            router,
            plain_router,
            served: until_served,
        })
    }

    /// Where door A listens.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Where door B listens, if it is on.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn direct_address(&self) -> io::Result<Option<SocketAddr>> {
        let door = self.direct.as_ref();
        door.map(|door| door.listener.local_addr()).transpose()
    }

    /// All that door A serves, for requests without a socket.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// Serves all doors until `shutdown` drains, and until the last request is answered.
    pub async fn serve(self, shutdown: &Shutdown) {
        let limits = ListenerLimits::default();
        let plain = async {
            if let Some(plain) = self.plain {
                let drain = shutdown.drain.clone();
                serve_plain(plain, limits.clone(), self.plain_router, drain, GRACE).await;
            }
        };
        let direct = async {
            if let Some(DirectDoor {
                listener,
                store,
                router,
            }) = self.direct
            {
                let (nobody, limits) = (PeerTrust::nobody(), api::listener_limits());
                let drain = shutdown.drain.clone();
                serve_tls(listener, store, nobody, limits, router, drain, GRACE).await;
            }
        };
        let drain = shutdown.drain.clone();
        let door = serve_tls(
            self.listener,
            self.store,
            self.trust,
            limits.clone(),
            self.router,
            drain,
            GRACE,
        );
        tokio::join!(door, Box::pin(direct), plain);
        drop(self.served);
    }
}

fn health_checks(cluster: &Cluster, signer: Signer, shutdown: &Shutdown) -> HealthRegistry {
    let stopping = shutdown.stopping.clone();
    let front_proxy = cluster.front_proxy_readiness.clone();
    let certificate = cluster.certificate_readiness.clone();
    let jwt_authenticators = cluster.jwt_readiness.clone();
    let webhook_authenticators = cluster.webhook_readiness.clone();
    HealthRegistry::new()
        .with_check("shutdown", Scope::Readiness, move || {
            if stopping.is_cancelled() {
                Err("shutting down".to_owned())
            } else {
                Ok(())
            }
        })
        .with_check("front-proxy", Scope::Readiness, move || front_proxy.check())
        .with_check("serving-certificate", Scope::Readiness, move || {
            certificate.check()
        })
        .with_check("jwt-authenticators", Scope::Readiness, move || {
            jwt_authenticators.check()
        })
        .with_check("webhook-authenticators", Scope::Readiness, move || {
            webhook_authenticators.check()
        })
        .with_check("agents", Scope::Readiness, move || signer.readiness())
}

/// Behind a Service alone the material comes from `store`, else from files.
fn signer_settings(
    config: &Config,
    client: &Client,
    store: &Arc<CredentialStore>,
) -> SignerSettings {
    let agents = match &config.agents {
        Agents::Addresses(addresses) => AgentSource::Addresses(addresses.clone()),
        Agents::Service { namespace, name } => AgentSource::Service {
            slices: Box::new(Api::namespaced(client.clone(), namespace)),
            name: name.clone(),
        },
    };
    let credentials = match &config.agent_tls {
        Some(files) => Credentials::Files(CredentialFiles {
            certificate: files.certificate.clone(),
            key: files.key.clone(),
            ca: files.ca.clone(),
        }),
        None => Credentials::Published(Arc::clone(store)),
    };
    SignerSettings {
        agents,
        credentials,
    }
}

async fn bind_if(address: Option<SocketAddr>) -> Result<Option<TcpListener>, StartError> {
    match address {
        Some(address) => bind(address).await.map(Some),
        None => Ok(None),
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| StartError::Listen { address, source })
}

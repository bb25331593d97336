//! Starts leader election and the controllers, and links them.

use std::sync::Arc;
use std::time::Duration;

use haulout_operate::clock::Clock;
use haulout_operate::controller::ControllerMetrics;
use haulout_operate::leader::{LeaderElector, LeaderSettings};
use haulout_operate::owner::Owner;
use haulout_operate::shutdown::Shutdown;
use haulout_serve::front_proxy::FrontProxy;
use haulout_serve::health::Metrics;
use haulout_serve::tls::ServingStore;
use kube::Client;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::renewal::{ExpiryMetrics, Profile};
use super::trust_sources::TrustSources;
use super::{Environment, Readiness};
use super::{
    api_service, authenticator, credential_issuer, direct_certificate, front_proxy_ca,
    jwt_authenticator, serving_certificate, signing_link, webhook_authenticator,
};
use crate::authenticators::metrics::AuthenticatorMetrics;
use crate::authenticators::registry::AuthenticatorRegistry;
use crate::config::{Agents, Config};
use crate::signer::CredentialStore;

/// Owner of what is made in our namespace, where we run as one.
const DEPLOYMENT: &str = "haulout-webhook";

/// The Service of door B.
const DIRECT_SERVICE: &str = "haulout-direct";

/// What the controllers keep up to date.
pub(crate) struct Cluster {
    pub(crate) front_proxy: Arc<FrontProxy>,
    pub(crate) front_proxy_readiness: Readiness,
    pub(crate) store: Arc<ServingStore>,
    pub(crate) certificate_readiness: Readiness,
    pub(crate) authenticators: Arc<AuthenticatorRegistry>,
    pub(crate) jwt_readiness: Readiness,
    pub(crate) webhook_readiness: Readiness,
    pub(crate) direct: Direct,
}

/// Door B, as its controller knows it.
pub(crate) struct Direct {
    /// Its certificate; never one while it is off.
    pub(crate) store: Arc<ServingStore>,
    pub(crate) standing: watch::Receiver<direct_certificate::Standing>,
}

impl Cluster {
    fn unknown(direct: Direct) -> Self {
        let pending = || Readiness::pending("waiting for the API server");
        Self {
            front_proxy: Arc::default(),
            front_proxy_readiness: pending(),
            store: Arc::default(),
            certificate_readiness: pending(),
            authenticators: Arc::default(),
            jwt_readiness: pending(),
            webhook_readiness: pending(),
            direct,
        }
    }
}

/// When the parts of the webhook end.
#[derive(Clone, Copy)]
pub(crate) struct Ends<'a> {
    pub(crate) shutdown: &'a Shutdown,
    /// With the last answer.
    pub(crate) served: &'a CancellationToken,
}

/// Starts leader election and the controllers. What only writes for the cluster ends at the first
/// signal, which also gives up the lead; what requests are answered by is kept up to date until the
/// last answer, and writes nothing without the lead. `credentials` are kept good where no files are
/// given for them. Also gives what further controllers of the first sort work with.
pub(crate) fn start_controllers(
    config: &Config,
    client: Client,
    clock: &Clock,
    metrics: &Metrics,
    credentials: Arc<CredentialStore>,
    ends: Ends<'_>,
) -> (Cluster, Environment) {
    let Shutdown {
        stopping, tracker, ..
    } = ends.shutdown;
    let owner = Arc::new(Owner::new(client.clone(), &config.namespace, DEPLOYMENT));
    let (elector, leadership) = metrics.register(|registry| {
        LeaderElector::new(
            client.clone(),
            leader_settings(config, &owner),
            clock.clone(),
            registry,
        )
    });
    tracker.spawn(elector.run(stopping.clone()));
    let environment = Environment {
        client,
        owner,
        leadership,
        clock: clock.clone(),
        metrics: metrics.register(ControllerMetrics::new),
        end: stopping.clone(),
    };
    let while_serving = Environment {
        end: ends.served.clone(),
        ..environment.clone()
    };

    let expiry = metrics.register(ExpiryMetrics::new);
    let direct = start_direct_certificate(config, &while_serving, expiry.clone(), tracker);
    let cluster = Cluster::unknown(direct);
    start_authenticators(config, &while_serving, metrics, ends, &cluster);
    let (authorities, authorities_reader) = watch::channel(None);
    let (announced, announced_reader) = watch::channel(None);
    tracker.spawn(front_proxy_ca::run(
        while_serving.clone(),
        Arc::clone(&cluster.front_proxy),
        cluster.front_proxy_readiness.clone(),
    ));
    tracker.spawn(api_service::run(
        environment.clone(),
        config.suffix.clone(),
        api_service::OurService {
            namespace: config.namespace.clone(),
            name: config.serving_certificate.service.clone(),
        },
        api_service::Links {
            authorities: authorities_reader,
            announced,
        },
    ));
    if let Some(settings) = link_settings(config) {
        let expiry = expiry.clone();
        tracker.spawn(signing_link::run(
            while_serving.clone(),
            settings,
            signing_link::Links {
                credentials,
                expiry,
            },
        ));
    }
    tracker.spawn(serving_certificate::run(
        while_serving,
        certificate_settings(config),
        serving_certificate::Links {
            store: Arc::clone(&cluster.store),
            authorities,
            announced: announced_reader,
            readiness: cluster.certificate_readiness.clone(),
            expiry,
        },
    ));
    (cluster, environment)
}

/// Where door B is on.
fn start_direct_certificate(
    config: &Config,
    environment: &Environment,
    expiry: ExpiryMetrics,
    tracker: &TaskTracker,
) -> Direct {
    let store = Arc::new(ServingStore::for_anybody());
    let (sender, standing) = watch::channel(direct_certificate::unknown());
    if let Some(settings) = direct_settings(config) {
        let links = direct_certificate::Links {
            store: Arc::clone(&store),
            standing: sender,
            expiry,
        };
        tracker.spawn(direct_certificate::run(
            environment.clone(),
            settings,
            links,
        ));
    }
    Direct { store, standing }
}

fn start_authenticators(
    config: &Config,
    environment: &Environment,
    metrics: &Metrics,
    ends: Ends<'_>,
    cluster: &Cluster,
) {
    let Environment {
        client,
        leadership,
        clock,
        end,
        ..
    } = environment;
    let tracker = &ends.shutdown.tracker;
    let context = authenticator::Context {
        registry: Arc::clone(&cluster.authenticators),
        leadership: leadership.clone(),
        clock: clock.clone(),
        tracker: tracker.clone(),
        metrics: AuthenticatorMetrics::new(metrics),
        trust: Arc::new(TrustSources::new(
            client.clone(),
            config.namespace.clone(),
            tracker.clone(),
            end.clone(),
        )),
    };
    tracker.spawn(jwt_authenticator::run(
        client.clone(),
        config.suffix.clone(),
        context.clone(),
        cluster.jwt_readiness.clone(),
        end.clone(),
    ));
    tracker.spawn(webhook_authenticator::run(
        client.clone(),
        config.suffix.clone(),
        context,
        cluster.webhook_readiness.clone(),
        end.clone(),
    ));
}

/// Starts what makes the `CredentialIssuer` and keeps its status true. It only writes for the cluster.
pub(crate) fn start_credential_issuer(
    config: &Config,
    environment: Environment,
    links: credential_issuer::Links,
    metrics: &Metrics,
    tracker: &TaskTracker,
) {
    let metrics = metrics.register(credential_issuer::CanaryMetrics::new);
    let settings = credential_issuer::Settings {
        name: config.credential_issuer.name.clone(),
        spec: config.credential_issuer.spec.clone(),
        labels: config.labels.clone(),
        suffix: config.suffix.clone(),
        namespace: config.namespace.clone(),
        advertise: config.advertise.clone(),
        agents: config.agents.clone(),
        direct_endpoint: config
            .direct_endpoint
            .as_ref()
            .map(|direct| direct.external_url.clone()),
    };
    tracker.spawn(credential_issuer::run(
        environment,
        settings,
        links,
        metrics,
    ));
}

fn leader_settings(config: &Config, owner: &Arc<Owner>) -> LeaderSettings {
    let identity = if config.pod_name.is_empty() {
        format!("haulout-webhook-{}", uuid::Uuid::new_v4())
    } else {
        config.pod_name.clone()
    };
    LeaderSettings {
        namespace: config.namespace.clone(),
        lease: config.lease_name.clone(),
        identity,
        labels: config.labels.clone(),
        owner: Some(Arc::clone(owner)),
    }
}

/// Where files are given, nothing is kept.
fn link_settings(config: &Config) -> Option<signing_link::Settings> {
    match (&config.agents, &config.agent_tls) {
        (Agents::Service { namespace, .. }, None) => Some(signing_link::Settings {
            namespace: config.namespace.clone(),
            labels: config.labels.clone(),
            agents_namespace: namespace.clone(),
        }),
        _ => None,
    }
}

fn direct_settings(config: &Config) -> Option<direct_certificate::Settings> {
    let direct = config.direct_endpoint.as_ref()?;
    let own = &config.serving_certificate;
    let origin = match &direct.tls_secret_name {
        Some(secret) => direct_certificate::Origin::Given {
            secret: secret.clone(),
        },
        None => direct_certificate::Origin::Own {
            secret: own.secret_name.clone(),
            service_names: service_names(DIRECT_SERVICE, &config.namespace),
            lifetime: Duration::from_secs(own.leaf_lifetime_seconds),
        },
    };
    Some(direct_certificate::Settings {
        namespace: config.namespace.clone(),
        origin,
        host: direct.host.clone(),
        authority: direct.authority.clone(),
    })
}

fn service_names(service: &str, namespace: &str) -> Vec<String> {
    let name = format!("{service}.{namespace}.svc");
    vec![name.clone(), format!("{name}.cluster.local")]
}

fn certificate_settings(config: &Config) -> serving_certificate::Settings {
    let certificate = &config.serving_certificate;
    serving_certificate::Settings {
        namespace: config.namespace.clone(),
        secret: certificate.secret_name.clone(),
        labels: config.labels.clone(),
        profile: Profile {
            authority_name: "Haulout serving CA",
            dns_names: service_names(&certificate.service, &config.namespace),
            ca_lifetime: Duration::from_secs(certificate.ca_lifetime_seconds),
            leaf_lifetime: Duration::from_secs(certificate.leaf_lifetime_seconds),
            announced_for: serving_certificate::ANNOUNCED_FOR,
        },
    }
}

//! Makes the `CredentialIssuer` and keeps its status true: whether people can log in, and if not, why and what to do.
//!
//! Only the leader does anything. Once a minute, and when an agent is new or signs with another key, it has each agent sign a
//! certificate and asks the API server whether it accepts that. What is wrong with pods is looked at only when no agent
//! signs; nothing of that is watched or kept.

mod canary;
mod decide;
mod endpoint;
mod explain;
mod ledger;
mod object;
mod sights;
mod status;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use haulout_api::group::ApiGroupSuffix;
use haulout_api::issuer::{CredentialIssuerSpec, StrategyType};
use haulout_operate::cluster::{ApiServer, CallError};
use haulout_operate::controller::{self, Observed, Reconciler, Sight};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, DynamicObject};
use serde_json::json;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use self::canary::Canary;
pub use self::canary::CanaryMetrics;
use self::decide::{Facts, Finding};
use self::endpoint::{Endpoint, Sighting, Source};
use self::explain::{Said, explain};
use self::ledger::Ledger;
use self::object::Object;
use super::direct_certificate::Standing;
use super::{Environment, WatchFault};
use crate::config::{Advertise, Agents};
use crate::signer::{Signer, SignerError};
use crate::signing_ca::SigningCaGuard;

const NAME: &str = "credential-issuer";
const CLUSTER_INFO: (&str, &str) = ("kube-public", "cluster-info");
const ROOT_CA: &str = "kube-root-ca.crt";

/// How often connections to agents are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How often canaries are sent while all is well, and while it is not.
const CANARY_EVERY: Duration = Duration::from_secs(60);
const UNEASY_CANARY_EVERY: Duration = Duration::from_secs(10);
/// How long no agent may be connected before it counts: one that restarts is back by then.
const ABSENCE_COUNTS_AFTER: Duration = Duration::from_secs(10);
/// How old the explanation of a fault may become.
const EXPLAINED_FOR: Duration = Duration::from_secs(30);

/// What the object is to be and where its facts are found.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Name of the object.
    pub name: String,
    /// What its `spec` is kept at, if it is.
    pub spec: Option<CredentialIssuerSpec>,
    /// Labels put on the object.
    pub labels: BTreeMap<String, String>,
    /// Suffix of its group, and of the APIService that owns it.
    pub suffix: ApiGroupSuffix,
    /// Our own namespace.
    pub namespace: String,
    /// The API server that clients are told of, if it is configured.
    pub advertise: Option<Advertise>,
    /// Where the agents are.
    pub agents: Agents,
    /// URL of the direct endpoint, if that is on.
    pub direct_endpoint: Option<String>,
}

/// What the status is found out by.
#[derive(Clone, Debug)]
pub struct Links {
    /// Asks the agents.
    pub signer: Signer,
    /// Knows whether a key is the front proxy's.
    pub guard: Arc<SigningCaGuard>,
    /// Judges certificates.
    pub api_server: ApiServer,
    /// How the direct endpoint stands; it counts while that is on.
    pub direct_standing: watch::Receiver<Standing>,
}

/// Why the object is not as it should be.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(
        "failed to watch CredentialIssuer {name}; check that the CRDs and the RBAC of Haulout's manifests are applied"
    )]
    Watch { name: String, source: WatchFault },
    #[error(
        "failed to get APIService {name}, which is to own the CredentialIssuer; install it from Haulout's manifests"
    )]
    Owner { name: String, source: CallError },
    #[error("failed to write CredentialIssuer {name}")]
    Write { name: String, source: CallError },
    #[error("failed to put the CredentialIssuer into words")]
    Serialize(#[source] serde_json::Error),
}

/// Runs until the end of `environment`.
pub async fn run(
    environment: Environment,
    settings: Settings,
    links: Links,
    metrics: CanaryMetrics,
) {
    let Environment {
        client,
        metrics: reconciliations,
        end,
        ..
    } = environment.clone();
    let wake = Arc::new(Notify::new());
    let object = Object::new(&environment, &settings);
    let observed = Observed::unwatched();
    let follow_object = observed.clone().follow(
        object.api().clone(),
        settings.name.clone(),
        Arc::clone(&wake),
        end.clone(),
    );
    let source = Source::beside(settings.advertise.as_ref());
    let config_map = Observed::unwatched();
    let follow_source = async {
        let (namespace, name) = match source {
            Some(Source::ClusterInfo) => CLUSTER_INFO,
            Some(Source::RootCa) => (settings.namespace.as_str(), ROOT_CA),
            None => return,
        };
        let api = Api::<ConfigMap>::namespaced(client.clone(), namespace);
        let config_map = config_map.clone();
        config_map
            .follow(api, name.to_owned(), Arc::clone(&wake), end.clone())
            .await;
    };
    let is_key_in_question = Arc::new(AtomicBool::new(false));
    let question_keys = async {
        let news = async {
            loop {
                tokio::select! {
                    () = links.signer.connected() => {}
                    () = links.guard.changed() => {}
                }
                is_key_in_question.store(true, Ordering::Relaxed);
                wake.notify_one();
            }
        };
        end.run_until_cancelled(news).await;
    };
    let keeper = Keeper {
        canary: Canary {
            signer: links.signer.clone(),
            guard: Arc::clone(&links.guard),
            api_server: links.api_server.clone(),
            metrics,
        },
        environment: environment.clone(),
        settings: settings.clone(),
        object,
        observed,
        config_map: config_map.clone(),
        is_key_in_question: Arc::clone(&is_key_in_question),
        direct_standing: links.direct_standing.clone(),
        lead: None,
    };
    let keep = controller::run(
        NAME,
        keeper,
        Arc::clone(&wake),
        reconciliations,
        end.clone(),
    );
    tokio::join!(
        Box::pin(follow_object),
        Box::pin(follow_source),
        question_keys,
        environment.wake_on(links.direct_standing.clone(), &wake),
        environment.wake_on_leadership(&wake),
        Box::pin(keep),
    );
}

struct Keeper {
    environment: Environment,
    settings: Settings,
    canary: Canary,
    object: Object,
    observed: Observed<DynamicObject>,
    /// The source of what clients are told, where one is needed.
    config_map: Observed<ConfigMap>,
    is_key_in_question: Arc<AtomicBool>,
    direct_standing: watch::Receiver<Standing>,
    /// What is known since we lead.
    lead: Option<Lead>,
}

/// What a leader has found out; the next one begins anew.
struct Lead {
    ledger: Ledger,
    /// When the last canaries were sent.
    canaries_at: Option<Instant>,
    /// When an agent was connected last, or the lead began.
    agents_at: Instant,
    explanation: Option<(Instant, String)>,
}

impl Reconciler for Keeper {
    type Error = Error;

    async fn reconcile(&mut self) -> Result<Duration, Error> {
        if !self.environment.leadership.is_leader() {
            self.lead = None;
            // Woken when that changes.
            return Ok(Duration::from_secs(3600));
        }
        self.keep().await?;
        match self.observed.fault() {
            Some(fault) => Err(Error::Watch {
                name: self.settings.name.clone(),
                source: WatchFault(fault),
            }),
            None => Ok(LOOK_EVERY),
        }
    }
}

impl Keeper {
    /// Makes the object what it is to be, and its status say what is found out.
    async fn keep(&mut self) -> Result<(), Error> {
        let object = match self.observed.sight() {
            // The watch wakes us.
            Sight::Unknown => return Ok(()),
            Sight::Absent => None,
            Sight::Present(object) => Some(object),
        };
        let kept = self.object.keep(object.as_deref(), &self.settings).await?;
        if let Some(written) = kept {
            self.observed.set(Some(written));
        }
        self.look().await;
        self.report().await
    }

    /// Finds out what the status is to tell, as far as it is time to.
    async fn look(&mut self) {
        let now = Instant::now();
        let health = self.canary.signer.health();
        let lead = self.lead.get_or_insert_with(|| Lead::new(now));
        if health.connected > 0 {
            lead.agents_at = now;
        } else if now.duration_since(lead.agents_at) < ABSENCE_COUNTS_AFTER {
            return;
        }
        let is_key_in_question = self.is_key_in_question.swap(false, Ordering::Relaxed);
        if is_key_in_question || lead.is_canary_due(health.connected, now) {
            lead.ledger.enter(self.canary.send().await);
            lead.canaries_at = Some(now);
        }
        let Some(refusals) = lead.ledger.refusals() else {
            lead.explanation = None;
            return;
        };
        let explained_at = lead.explanation.as_ref().map(|(at, _)| *at);
        if explained_at.is_none_or(|at| now.duration_since(at) >= EXPLAINED_FOR) {
            let refusals = refusals.join("; ");
            let have_addresses = health.known > 0;
            let unreachable = SignerError::NoAgentReachable(health).to_string();
            let said = if refusals.is_empty() {
                Said::Nothing {
                    text: &unreachable,
                    have_addresses,
                }
            } else {
                Said::Refusals(&refusals)
            };
            let why = why_unsigned(said, &self.settings.agents, &self.environment).await;
            lead.explanation = Some((now, why));
        }
    }

    /// Writes the status, if it is to say something else.
    async fn report(&self) -> Result<(), Error> {
        let Sight::Present(object) = self.observed.sight() else {
            return Ok(());
        };
        let stored = status::strategies(&object.data);
        let now = Timestamp::try_from(self.environment.clock.now()).unwrap_or_default();
        let strategies = status::merge(stored, self.findings(stored), &Time(now));
        if strategies == stored {
            return Ok(());
        }
        let status = json!({ "strategies": strategies });
        if let Some(written) = self.object.write_status(&object, status).await? {
            self.observed.set(Some(written));
        }
        Ok(())
    }

    fn findings(&self, stored: &[serde_json::Value]) -> Vec<Finding> {
        let endpoint = self.endpoint();
        let health = self.canary.signer.health();
        let signing = self.lead.as_ref().and_then(|lead| {
            let agents: Vec<_> = lead.ledger.agents().collect();
            decide::signing(&Facts {
                agents: &agents,
                faults: &health.faults,
                explanation: lead.explanation.as_ref().map(|(_, text)| text.as_str()),
                endpoint: &endpoint,
            })
        });
        let signing = signing
            // What an earlier leader found out is still the best that is known.
            .or_else(|| status::stored(stored, StrategyType::KubeClusterSigningCertificate))
            .unwrap_or_else(decide::awaited);
        let direct = self.settings.direct_endpoint.as_deref().map(|url| {
            let standing = self.direct_standing.borrow().clone();
            decide::direct(url, standing, &signing)
        });
        [signing, decide::proxy()]
            .into_iter()
            .chain(direct)
            .collect()
    }

    fn endpoint(&self) -> Endpoint {
        let sighting = match (self.config_map.sight(), self.config_map.fault()) {
            (Sight::Present(object), _) => {
                Sighting::Present(object.data.clone().unwrap_or_default())
            }
            (_, Some(fault)) => Sighting::Unreadable(fault),
            (Sight::Absent, None) => Sighting::Absent,
            (Sight::Unknown, None) => Sighting::Awaited,
        };
        endpoint::endpoint(self.settings.advertise.as_ref(), &sighting)
    }
}

/// Puts into words what the agents said, or what keeps them from saying anything.
async fn why_unsigned(said: Said<'_>, agents: &Agents, environment: &Environment) -> String {
    match agents {
        // They are no pods; the cluster knows nothing of them.
        Agents::Addresses(_) => said.text().to_owned(),
        Agents::Service { namespace, name } => {
            // Rarely needed, and large.
            let sights = Box::pin(sights::look(&environment.client, namespace, name)).await;
            let now = environment.clock.now();
            explain(&format!("{namespace}/{name}"), said, &sights, now)
        }
    }
}

impl Lead {
    fn new(now: Instant) -> Self {
        Self {
            ledger: Ledger::default(),
            canaries_at: None,
            agents_at: now,
            explanation: None,
        }
    }

    fn is_canary_due(&self, connected: usize, now: Instant) -> bool {
        let is_well = !self.ledger.is_uneasy() && self.ledger.agents().count() == connected;
        let every = if is_well {
            CANARY_EVERY
        } else {
            UNEASY_CANARY_EVERY
        };
        self.canaries_at
            .is_none_or(|at| now.duration_since(at) >= every)
    }
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").finish_non_exhaustive()
    }
}

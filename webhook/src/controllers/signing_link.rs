//! Keeps the certificates between the webhook and its agents good, where no files are given.
//!
//! The leader keeps a CA with its key in a Secret of ours, and fills another in the agents' namespace
//! with the leaf that all agents share and the CAs that they trust; the CA's key never goes there.
//! Each replica issues its own client certificate by the CA's Secret and holds it in memory only.
//!
//! Agents learn of a new CA late, since the kubelet updates a mounted Secret within some 90 s. So the
//! old CA's key stays as `previous-ca.key`, by which client certificates are issued, until the new CA
//! has stood in the agents' Secret for [`ANNOUNCED_FOR`].

mod client_leaf;
mod secrets;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use haulout_operate::audit::rfc3339;
use haulout_operate::cluster::{CallError, call, post_params};
use haulout_operate::controller::{self, Observed, Reconciler, Sight};
use haulout_operate::error::chain;
use haulout_pki::bundle::CertificateBundle;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use tokio::sync::Notify;

use self::client_leaf::{ClientLeaf, Known, due};
use self::secrets::{Changes, changes, signer, told};
use super::renewal::{ExpiryMetrics, OwnSecret, Profile, RenewError, data_of, usable};
use super::{Environment, WatchFault};
use crate::signer::{CredentialStore, CredentialsError, SERVER_NAME};

const NAME: &str = "signing-link";
/// Of the CA, in our namespace.
const AUTHORITY_SECRET: &str = "haulout-signing-ca";
/// In the agents' namespace; who installs makes it, empty, since we may not.
const AGENTS_SECRET: &str = "haulout-agent-tls";

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a new CA stands in the agents' Secret before anything that it has issued is shown.
const ANNOUNCED_FOR: Duration = Duration::from_secs(120);
/// The agents' Secret cannot be watched by name alone, so it is read this often.
const READ_EVERY: Duration = Duration::from_secs(30);
/// The same while it is missing: somebody is about to make it.
const READ_MISSING_EVERY: Duration = Duration::from_secs(5);

/// What is kept where.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Our namespace.
    pub namespace: String,
    /// Labels put on our own Secret.
    pub labels: BTreeMap<String, String>,
    /// Namespace of the agents.
    pub agents_namespace: String,
}

/// Where the outcome goes.
#[derive(Debug)]
pub struct Links {
    /// What this replica shows to agents and whom it trusts.
    pub credentials: Arc<CredentialStore>,
    /// When certificates end.
    pub expiry: ExpiryMetrics,
}

/// Why the Secrets, or our own certificate, are not as they should be.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("failed to watch Secret {AUTHORITY_SECRET}")]
    Watch(#[source] WatchFault),
    #[error("failed to write Secret {AUTHORITY_SECRET}")]
    WriteAuthority(#[source] CallError),
    #[error("failed to read the agents' Secret {AGENTS_SECRET}")]
    ReadAgents(#[source] CallError),
    #[error("failed to write the agents' Secret {AGENTS_SECRET}")]
    WriteAgents(#[source] CallError),
    #[error("failed to renew the certificates of the agents")]
    Renew(#[source] RenewError),
    #[error("failed to issue the client certificate for agents")]
    Issue(#[source] RenewError),
    #[error("failed to use the client certificate for agents")]
    Publish(#[source] CredentialsError),
}

/// Runs until the end of `environment`.
pub async fn run(environment: Environment, settings: Settings, links: Links) {
    let Environment {
        client,
        metrics,
        end,
        ..
    } = environment.clone();
    let Settings {
        namespace,
        labels,
        agents_namespace,
    } = settings;
    let name = AUTHORITY_SECRET.to_owned();
    let own = OwnSecret::new(&environment, &namespace, name.clone(), labels);
    let (observed, wake) = (Observed::unwatched(), Arc::new(Notify::new()));
    let follow = observed
        .clone()
        .follow(own.secrets.clone(), name, Arc::clone(&wake), end.clone());
    let agents = Api::namespaced(client, &agents_namespace);
    let keeper = Keeper {
        own,
        agents,
        agents_namespace,
        observed,
        environment: environment.clone(),
        profile: profile(),
        links,
        told: None,
        known: Known::default(),
        shown: None,
    };
    let keep = controller::run(NAME, keeper, Arc::clone(&wake), metrics, end.clone());
    tokio::join!(
        Box::pin(follow),
        environment.wake_on_leadership(&wake),
        Box::pin(keep),
    );
}

/// What CA and leaf are to be.
pub(super) fn profile() -> Profile {
    Profile {
        authority_name: "Haulout signing CA",
        dns_names: vec![SERVER_NAME.to_owned()],
        ca_lifetime: 90 * DAY,
        leaf_lifetime: 7 * DAY,
        announced_for: ANNOUNCED_FOR,
    }
}

struct Keeper {
    environment: Environment,
    profile: Profile,
    links: Links,
    own: OwnSecret,
    agents: Api<Secret>,
    agents_namespace: String,
    observed: Observed<Secret>,
    /// The CAs that the agents' Secret holds, and since when as this replica saw it.
    told: Option<(CertificateBundle, SystemTime)>,
    known: Known,
    /// What was published last.
    shown: Option<Shown>,
}

struct Shown {
    leaf: ClientLeaf,
    authorities: CertificateBundle,
}

impl Reconciler for Keeper {
    type Error = Error;

    async fn reconcile(&mut self) -> Result<Duration, Error> {
        let outcome = self.keep(self.environment.clock.now()).await;
        let fault = match &outcome {
            Err(error) => Some(chain(error)),
            Ok(kept) => kept.fault.clone().or_else(|| self.observed.fault()),
        };
        match &fault {
            Some(fault) => {
                let is_new = self.links.credentials.note_fault(fault);
                if is_new && outcome.is_ok() {
                    tracing::warn!(
                        error = fault,
                        "the link to the signing agents lacks something"
                    );
                }
            }
            None => self.links.credentials.clear_fault(),
        }
        let kept = outcome?;
        match self.observed.fault() {
            Some(fault) => Err(Error::Watch(WatchFault(fault))),
            None => Ok(kept.look_again),
        }
    }
}

/// When to look again, and what is missing that others have to bring.
struct Kept {
    look_again: Duration,
    fault: Option<String>,
}

impl Kept {
    fn after(look_again: Duration) -> Self {
        Self {
            look_again,
            fault: None,
        }
    }
}

impl Keeper {
    async fn keep(&mut self, now: SystemTime) -> Result<Kept, Error> {
        let current = match self.observed.sight() {
            // The watch wakes us.
            Sight::Unknown => return Ok(Kept::after(READ_EVERY)),
            Sight::Absent => None,
            Sight::Present(secret) => Some(secret),
        };
        let kept = self.take_in(current.as_deref(), now)?;
        if !self.environment.leadership.is_leader() {
            self.told = None;
            self.links.expiry.show("agent_leaf", None);
            return Ok(kept);
        }
        let agents = match call(self.agents.get(AGENTS_SECRET)).await {
            Ok(agents) => agents,
            Err(error) if error.is_not_found() => {
                let fault = format!(
                    "Secret {}/{AGENTS_SECRET} does not exist; the Helm chart makes it, empty, and the webhook fills it",
                    self.agents_namespace
                );
                return Ok(Kept {
                    look_again: READ_MISSING_EVERY,
                    fault: Some(fault),
                });
            }
            Err(error) => return Err(Error::ReadAgents(error)),
        };
        self.renew(current.as_deref(), agents, kept, now).await
    }

    /// As leader: makes both Secrets hold what they should.
    async fn renew(
        &mut self,
        current: Option<&Secret>,
        agents: Secret,
        kept: Kept,
        now: SystemTime,
    ) -> Result<Kept, Error> {
        let conflict = Ok(Kept::after(Duration::from_secs(1)));
        self.note_told(&agents, now);
        let Changes {
            authority,
            agents: filled,
            agent_leaf_ends,
            look_again,
        } = changes(
            &data_of(current),
            &data_of(Some(&agents)),
            self.told.as_ref(),
            &self.profile,
            now,
        )
        .map_err(Error::Renew)?;
        let mut kept = kept;
        if let Some(data) = authority {
            if !self.environment.leadership.is_leader() {
                return Ok(kept);
            }
            match self.own.write(current, data).await {
                Ok(written) => {
                    tracing::info!("wrote the Secret of the signing link's CA");
                    kept = self.take_in(Some(&written), now)?;
                    self.observed.set(Some(written));
                }
                // Another writer was faster; the watch brings what it wrote.
                Err(error) if error.is_conflict() => return conflict,
                Err(error) => return Err(Error::WriteAuthority(error)),
            }
        }
        if let Some(data) = filled {
            if !self.environment.leadership.is_leader() {
                return Ok(kept);
            }
            let secret = Secret {
                data: Some(data),
                ..agents
            };
            match call(self.agents.replace(AGENTS_SECRET, &post_params(), &secret)).await {
                Ok(written) => {
                    tracing::info!("filled the agents' Secret");
                    self.note_told(&written, now);
                }
                Err(error) if error.is_conflict() => return conflict,
                Err(error) => return Err(Error::WriteAgents(error)),
            }
        }
        self.links.expiry.show("agent_leaf", agent_leaf_ends);
        Ok(Kept {
            look_again: kept.look_again.min(look_again).min(READ_EVERY),
            ..kept
        })
    }

    /// Remembers since when the agents' Secret has held the CAs that it holds.
    fn note_told(&mut self, agents: &Secret, now: SystemTime) {
        self.told = told(&data_of(Some(agents)), self.told.take(), now);
    }

    /// Uses the CA's Secret: trusts agents by it, and shows them a certificate of a CA that they know.
    /// What was shown before stays if that cannot be.
    fn take_in(&mut self, secret: Option<&Secret>, now: SystemTime) -> Result<Kept, Error> {
        let data = data_of(secret);
        let signer = signer(&data, now);
        let expiry = &self.links.expiry;
        expiry.show(
            "signing_ca",
            signer.as_ref().map(|signer| signer.not_after()),
        );
        let (Some(authorities), Some(signer)) = (usable(&data, now).0, signer) else {
            let fault = format!("waiting for the leader to write Secret {AUTHORITY_SECRET}");
            return Ok(Kept {
                look_again: READ_EVERY,
                fault: Some(fault),
            });
        };
        self.known.note(&authorities, now);
        let facts = self
            .shown
            .as_ref()
            .map(|shown| shown.leaf.facts(&signer, &authorities, &self.known, now));
        let (is_due, look_again) = due(facts.as_ref(), now);
        let leaf = match &self.shown {
            Some(shown) if !is_due && shown.authorities == authorities => {
                return Ok(Kept::after(look_again));
            }
            Some(shown) if !is_due => shown.leaf.clone(),
            _ => {
                let leaf = ClientLeaf::issue(&signer, now).map_err(Error::Issue)?;
                let not_after = rfc3339(leaf.ends);
                tracing::info!(
                    x509.not_after = not_after,
                    "new client certificate for agents"
                );
                leaf
            }
        };
        self.links
            .credentials
            .publish(
                &authorities,
                leaf.certificate_pem.as_bytes(),
                leaf.key_pem.as_bytes(),
            )
            .map_err(Error::Publish)?;
        self.links.expiry.show("client_leaf", Some(leaf.ends));
        self.shown = Some(Shown { leaf, authorities });
        Ok(Kept::after(look_again))
    }
}

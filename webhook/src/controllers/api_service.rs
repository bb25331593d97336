//! Keeps `caBundle` of our two APIServices equal to the CAs of our serving certificate.
//!
//! Both objects are watched, so that a bundle that somebody wiped is repaired at once. An APIService
//! that leads to another Service is another installation's and is left alone. None is made here:
//! they come with the manifests.

mod plan;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use haulout_api::group::{ApiGroupSuffix, VERSION};
use haulout_operate::cluster::{CallError, FIELD_MANAGER, call};
use haulout_operate::controller::{self, Observed, Reconciler, Sight};
use haulout_operate::error::Complaint;
use haulout_pki::bundle::CertificateBundle;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::Api;
use kube::api::{Patch, PatchParams};
use tokio::sync::{Notify, watch};

use self::plan::{Plan, plan};
use super::{Environment, WatchFault};

const NAME: &str = "api-service";

/// What the APIServices tell the API server to trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announced {
    /// [`CertificateBundle::sha256`] of the CAs.
    pub bundle: [u8; 32],
    /// Since when all of our APIServices have held them, as this replica saw it.
    pub since: SystemTime,
}

/// The Service that our APIServices lead to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OurService {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// What the controller works with.
#[derive(Debug)]
pub struct Links {
    /// The CAs to be told of.
    pub authorities: watch::Receiver<Option<CertificateBundle>>,
    /// Which CAs the API server was told of.
    pub announced: watch::Sender<Option<Announced>>,
}

/// Why an APIService is not as it should be.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("APIService {0} does not exist; install it from manifests/webhook/api-services.yaml")]
    Missing(String),
    #[error("failed to watch APIService {name}")]
    Watch { name: String, source: WatchFault },
    #[error("failed to write caBundle of APIService {name}")]
    Write { name: String, source: CallError },
}

/// Runs until the end of `environment`.
pub async fn run(
    environment: Environment,
    suffix: ApiGroupSuffix,
    service: OurService,
    links: Links,
) {
    let Environment {
        client,
        metrics,
        end,
        ..
    } = environment.clone();
    let api = Api::<APIService>::all(client);
    let wake = Arc::new(Notify::new());
    let objects = [suffix.login_group(), suffix.identity_group()].map(|group| Watched {
        name: format!("{VERSION}.{group}"),
        observed: Observed::unwatched(),
        complaint: Complaint::default(),
    });
    let [login, identity] = objects.each_ref().map(|object| {
        let (observed, name) = (object.observed.clone(), object.name.clone());
        Box::pin(observed.follow(api.clone(), name, Arc::clone(&wake), end.clone()))
    });
    let mut authorities = links.authorities.clone();
    let authorities = async {
        while let Some(Ok(())) = end.run_until_cancelled(authorities.changed()).await {
            wake.notify_one();
        }
    };
    let keeper = Keeper {
        environment: environment.clone(),
        service,
        links,
        api,
        objects,
    };
    let keep = controller::run(NAME, keeper, Arc::clone(&wake), metrics, end.clone());
    tokio::join!(
        login,
        identity,
        authorities,
        environment.wake_on_leadership(&wake),
        Box::pin(keep),
    );
}

struct Keeper {
    environment: Environment,
    service: OurService,
    links: Links,
    api: Api<APIService>,
    objects: [Watched; 2],
}

struct Watched {
    name: String,
    observed: Observed<APIService>,
    complaint: Complaint,
}

impl Reconciler for Keeper {
    type Error = Error;

    async fn reconcile(&mut self) -> Result<Duration, Error> {
        let bundle = self.links.authorities.borrow().clone();
        let Some(bundle) = bundle else {
            // No CA yet; we are woken when there is one.
            return Ok(Duration::from_secs(60));
        };
        let mut outcome = Ok(Duration::from_secs(60));
        let mut all_right = true;
        for object in &mut self.objects {
            let right = object
                .keep(&self.api, &self.environment, &self.service, &bundle)
                .await;
            match right {
                Ok(right) => all_right &= right,
                // No APIService, nobody to be told.
                Err(error @ Error::Missing(_)) => outcome = Err(error),
                Err(error) => {
                    all_right = false;
                    outcome = Err(error);
                }
            }
        }
        self.announce(all_right.then(|| bundle.sha256()));
        for Watched { name, observed, .. } in &self.objects {
            if let Some(fault) = observed.fault() {
                outcome = Err(Error::Watch {
                    name: name.clone(),
                    source: WatchFault(fault),
                });
            }
        }
        outcome
    }
}

impl Keeper {
    /// Publishes that all APIServices hold `bundle` now; the time is that of the first such look.
    fn announce(&self, bundle: Option<[u8; 32]>) {
        self.links.announced.send_if_modified(|announced| {
            if announced.as_ref().map(|announced| announced.bundle) == bundle {
                return false;
            }
            let since = self.environment.clock.now();
            *announced = bundle.map(|bundle| Announced { bundle, since });
            true
        });
    }
}

impl Watched {
    /// Writes `caBundle` if that is for us to do; true if it is right.
    async fn keep(
        &mut self,
        api: &Api<APIService>,
        environment: &Environment,
        ours: &OurService,
        bundle: &CertificateBundle,
    ) -> Result<bool, Error> {
        let name = &self.name;
        let found = match self.observed.sight() {
            Sight::Present(found) => found,
            Sight::Absent => return Err(Error::Missing(name.clone())),
            Sight::Unknown => return Ok(false),
        };
        let patch = match plan(&found, ours, bundle) {
            Plan::Leave => return Ok(true),
            Plan::Foreign(owner) => {
                if self.complaint.is_new(&owner) {
                    let hint = "leaving alone an APIService that leads to another Service; \
                                give this installation an apiGroupSuffix of its own";
                    tracing::warn!(api_service = name, leads_to = owner, "{hint}");
                }
                return Ok(true);
            }
            Plan::Patch(patch) => patch,
        };
        if !environment.leadership.is_leader() {
            return Ok(false);
        }
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        match call(api.patch(name, &params, &Patch::Merge(patch))).await {
            Ok(patched) => {
                tracing::info!(api_service = name, "wrote caBundle");
                self.observed.set(Some(patched));
                Ok(true)
            }
            // The watch brings what another writer wrote.
            Err(error) if error.is_conflict() => Ok(false),
            Err(source) => Err(Error::Write {
                name: name.clone(),
                source,
            }),
        }
    }
}

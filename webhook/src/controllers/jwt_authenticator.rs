//! Watches `JWTAuthenticator` objects, puts good ones into the registry, and writes what is wrong with the others into
//! their status.
//!
//! Each object has a task of its own: an issuer that hangs delays nobody else, a deleted or edited object need not wait for
//! it, and whatever breaks one object breaks only that. Every replica fills its registry; only the leader writes.

mod findings;
mod first_list;
mod judge;
mod status;
mod tend;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::Arc;

use futures_util::StreamExt;
use haulout_api::authenticator::JWTAuthenticator;
use haulout_api::group::ApiGroupSuffix;
use haulout_operate::clock::Clock;
use haulout_operate::controller::watch_fault;
use haulout_operate::error::Complaint;
use haulout_operate::leader::Leadership;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::first_list::{FirstList, Unjudged};
use super::Readiness;
use crate::authenticators::AuthenticatorKey;
use crate::authenticators::metrics::AuthenticatorMetrics;
use crate::authenticators::registry::AuthenticatorRegistry;

/// What the controller works with.
#[derive(Debug)]
pub struct Context {
    /// The objects, of the configured group.
    pub objects: Api<DynamicObject>,
    /// Where authenticators in force are put.
    pub registry: Arc<AuthenticatorRegistry>,
    /// Asked before each write.
    pub leadership: Leadership,
    /// For the age of keys and the times in conditions.
    pub clock: Clock,
    /// Runs one task for each object and one for each issuer.
    pub tracker: TaskTracker,
    /// Counts objects by phase.
    pub metrics: AuthenticatorMetrics,
    /// Becomes ready once what was there at the start has been judged.
    pub readiness: Readiness,
}

/// The `JWTAuthenticator` resource under the group of `suffix`.
pub fn resource(suffix: &ApiGroupSuffix) -> ApiResource {
    let mut resource = ApiResource::erase::<JWTAuthenticator>(&());
    resource.group = suffix.authentication_group();
    resource.api_version = format!("{}/{}", resource.group, resource.version);
    resource
}

/// The objects of the group of `suffix`, for [`Context::objects`].
///
/// They are read untyped, so that one that does not fit the type, which an older CRD lets pass, hides no other.
pub fn objects(client: Client, suffix: &ApiGroupSuffix) -> Api<DynamicObject> {
    Api::all_with(client, &resource(suffix))
}

/// Runs until `end`, which should be the end of serving: what is in force then stays in the registry, but nothing is kept
/// up to date any more, neither objects nor keys.
pub async fn run(context: Context, end: CancellationToken) {
    let mut all = Tenders::new(context, end.clone());
    let events = watcher(all.context.objects.clone(), watcher::Config::default()).default_backoff();
    let mut events = pin!(events);
    let mut complaint = Complaint::default();
    while let Some(Some(event)) = end.run_until_cancelled(events.next()).await {
        match event {
            Ok(event) => {
                // Each attempt begins with one, whatever comes of it.
                let is_attempt = matches!(event, Event::Init);
                if !is_attempt && complaint.settle() {
                    tracing::info!("watching JWTAuthenticators again");
                }
                all.on(event).await;
            }
            Err(error) => {
                let Some(error) = watch_fault(error) else {
                    continue;
                };
                all.first_list.fail(&error);
                if complaint.is_new(&error) {
                    tracing::warn!(
                        error,
                        "failed to watch JWTAuthenticators, trying on; check that the CRDs and the RBAC of Haulout's manifests are applied"
                    );
                }
            }
        }
    }
}

/// The tasks that tend the objects, by name.
struct Tenders {
    context: Arc<Context>,
    /// Of the whole controller, unlike the end of one object.
    end: CancellationToken,
    by_name: HashMap<String, Tender>,
    /// Names that were seen since the list began, while one is being read.
    listed: HashSet<String>,
    first_list: FirstList,
}

struct Tender {
    objects: watch::Sender<DynamicObject>,
    stop: CancellationToken,
    task: JoinHandle<Option<()>>,
}

impl Tenders {
    fn new(context: Context, end: CancellationToken) -> Self {
        Self {
            first_list: FirstList::new(context.readiness.clone()),
            context: Arc::new(context),
            end,
            by_name: HashMap::new(),
            listed: HashSet::new(),
        }
    }

    async fn on(&mut self, event: Event<DynamicObject>) {
        match event {
            Event::Apply(object) => self.tend(object, None),
            Event::Delete(object) => self.end(&object.metadata.name.unwrap_or_default()).await,
            Event::Init => self.listed.clear(),
            Event::InitApply(object) => {
                self.listed.extend(object.metadata.name.clone());
                self.tend(object, self.first_list.unjudged());
            }
            Event::InitDone => {
                let gone = self
                    .by_name
                    .keys()
                    .filter(|name| !self.listed.contains(*name));
                for name in gone.cloned().collect::<Vec<_>>() {
                    self.end(&name).await;
                }
                if let Some(ready) = self.first_list.complete() {
                    let end = self.end.clone();
                    self.context
                        .tracker
                        .spawn(async move { end.run_until_cancelled(ready).await });
                }
            }
        }
    }

    fn tend(&mut self, object: DynamicObject, unjudged: Option<Unjudged>) {
        let name = object.metadata.name.clone().unwrap_or_default();
        let object = match self.by_name.get(&name) {
            Some(tender) => match tender.objects.send(object) {
                Ok(()) => return,
                // Its task has ended, which only a panic can do: it begins anew.
                Err(watch::error::SendError(object)) => object,
            },
            None => object,
        };
        let (objects, versions) = watch::channel(object);
        let stop = CancellationToken::new();
        let tending = tend::tend(
            Arc::clone(&self.context),
            AuthenticatorKey::jwt(&name),
            versions,
            self.end.clone(),
            unjudged,
        );
        let stopped = stop.clone();
        let task = self
            .context
            .tracker
            .spawn(async move { stopped.run_until_cancelled(tending).await });
        self.by_name.insert(
            name,
            Tender {
                objects,
                stop,
                task,
            },
        );
    }

    /// Waits for the task's end, so that it cannot undo what a later object of the same name does.
    async fn end(&mut self, name: &str) {
        if let Some(tender) = self.by_name.remove(name) {
            tender.stop.cancel();
            let _outcome = tender.task.await;
        }
    }
}

impl Drop for Tenders {
    fn drop(&mut self) {
        for tender in self.by_name.values() {
            tender.stop.cancel();
        }
    }
}

//! Watches the authenticator objects of a kind, puts good ones into the registry, and writes what is wrong with the others
//! into their status.
//!
//! Each object has a task of its own: a peer that hangs delays nobody else, a deleted or edited object need not wait for
//! it, and whatever breaks one object breaks only that. Every replica fills its registry; only the leader writes.

pub(super) mod findings;
mod first_list;
mod status;
mod tend;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::SystemTime;

use futures_util::StreamExt;
use haulout_api::authenticator::TlsSpec;
use haulout_api::group::ApiGroupSuffix;
use haulout_https::TrustRoots;
use haulout_operate::clock::Clock;
use haulout_operate::controller::watch_fault;
use haulout_operate::error::Complaint;
use haulout_operate::leader::Leadership;
use k8s_openapi::serde::de::DeserializeOwned;
use kube::api::{Api, ApiResource, DynamicObject};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, Resource};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::findings::Findings;
use self::first_list::{FirstList, Unjudged};
use super::Readiness;
use super::trust_sources::TrustSources;
use crate::authenticators::metrics::AuthenticatorMetrics;
use crate::authenticators::registry::AuthenticatorRegistry;
use crate::authenticators::trust::TrustError;
use crate::authenticators::{AuthenticatorKey, TokenAuthenticator};

/// What the controllers of all kinds work with.
#[derive(Clone, Debug)]
pub struct Context {
    /// Where authenticators in force are put.
    pub registry: Arc<AuthenticatorRegistry>,
    /// Asked before each write.
    pub leadership: Leadership,
    /// For the age of keys and the times in conditions.
    pub clock: Clock,
    /// Runs one task for each object and what an object in force needs.
    pub tracker: TaskTracker,
    /// Counts objects by phase.
    pub metrics: AuthenticatorMetrics,
    /// Reads CA bundles.
    pub trust: Arc<TrustSources>,
}

/// A kind of authenticator: how its objects are judged.
pub(super) trait AuthenticatorKind: Send + Sync + 'static {
    /// The kind's name.
    const KIND: &'static str;
    /// The object as the CRD types it.
    type Object: Resource<DynamicType = ()>;
    /// Its specification.
    type Spec: DeserializeOwned + Send + Sync;
    /// What is kept of an object from one judgement to the next, such as a peer that was reached.
    type Kept: Send + Sync + 'static;

    /// How the peer's certificate is verified.
    fn tls(spec: &Self::Spec) -> Option<&TlsSpec>;

    /// What is known of `spec` before its peer is asked, with what was `kept` of an earlier one.
    fn prepare(
        &self,
        spec: &Self::Spec,
        kept: Option<&Self::Kept>,
    ) -> impl Future<Output = Arc<Self::Kept>> + Send;

    /// What is in force before the peer is asked, if that can be told.
    fn provisional(kept: &Self::Kept) -> Option<Arc<dyn TokenAuthenticator>>;

    /// Judges `spec`, which was prepared, at `now`. Peers that hang are given up after a bounded time.
    fn judge(
        &self,
        spec: &Self::Spec,
        roots: Result<TrustRoots, TrustError>,
        kept: &Self::Kept,
        now: SystemTime,
    ) -> impl Future<Output = Judgement<Self::Kept>> + Send;

    /// What is found in a specification that cannot even be read, for example because the stored CRD is an older one.
    fn unreadable(error: &serde_json::Error) -> Findings;
}

/// What a judgement comes to.
pub(super) struct Judgement<Kept> {
    pub(super) findings: Findings,
    /// To be in force from now on; `None` takes the object out of force.
    pub(super) authenticator: Option<Arc<dyn TokenAuthenticator>>,
    /// For the next judgement; `None` of what cannot be read.
    pub(super) kept: Option<Arc<Kept>>,
    /// Whether the fault may pass without anyone editing the object.
    pub(super) may_heal: bool,
}

/// The resource of a kind under the group of `suffix`.
fn resource<K: AuthenticatorKind>(suffix: &ApiGroupSuffix) -> ApiResource {
    let mut resource = ApiResource::erase::<K::Object>(&());
    resource.group = suffix.authentication_group();
    resource.api_version = format!("{}/{}", resource.group, resource.version);
    resource
}

/// The objects of a kind in the group of `suffix`.
///
/// They are read untyped, so that one that does not fit the type, which an older CRD lets pass, hides no other.
fn objects<K: AuthenticatorKind>(client: Client, suffix: &ApiGroupSuffix) -> Api<DynamicObject> {
    Api::all_with(client, &resource::<K>(suffix))
}

/// Runs until `end`, which should be the end of serving: what is in force then stays in the registry, but nothing is kept
/// up to date any more, neither objects nor keys. `readiness` is reported once what was there at the start is judged.
pub(super) async fn run<K: AuthenticatorKind>(
    kind: K,
    client: Client,
    suffix: ApiGroupSuffix,
    context: Context,
    readiness: Readiness,
    end: CancellationToken,
) {
    let objects = objects::<K>(client, &suffix);
    let mut all = Tenders {
        controller: Arc::new(Controller {
            kind,
            objects: objects.clone(),
            context,
            end: end.clone(),
        }),
        by_name: HashMap::new(),
        listed: HashSet::new(),
        first_list: FirstList::new(K::KIND, readiness),
    };
    let events = watcher(objects, watcher::Config::default()).default_backoff();
    let mut events = pin!(events);
    let mut complaint = Complaint::default();
    while let Some(Some(event)) = end.run_until_cancelled(events.next()).await {
        match event {
            Ok(event) => {
                // Each attempt begins with one, whatever comes of it.
                let is_attempt = matches!(event, Event::Init);
                if !is_attempt && complaint.settle() {
                    tracing::info!("watching {}s again", K::KIND);
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
                        "failed to watch {}s, trying on; check that the CRDs and the RBAC of Haulout's manifests are applied",
                        K::KIND
                    );
                }
            }
        }
    }
}

/// What all objects of a kind share.
struct Controller<K> {
    kind: K,
    objects: Api<DynamicObject>,
    context: Context,
    /// Of the whole controller, unlike the end of one object.
    end: CancellationToken,
}

/// The tasks that tend the objects, by name.
struct Tenders<K> {
    controller: Arc<Controller<K>>,
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

impl<K: AuthenticatorKind> Tenders<K> {
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
                    let end = self.controller.end.clone();
                    self.controller
                        .context
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
            Arc::clone(&self.controller),
            AuthenticatorKey::new(K::KIND, &name),
            versions,
            unjudged,
        );
        let stopped = stop.clone();
        let task = self
            .controller
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

impl<K> Drop for Tenders<K> {
    fn drop(&mut self) {
        for tender in self.by_name.values() {
            tender.stop.cancel();
        }
    }
}

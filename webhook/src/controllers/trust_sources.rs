//! Reads the CA bundles that authenticators take from Secrets and ConfigMaps, and tells when these change.
//!
//! Only metadata is watched, and only of a kind that an authenticator names: what Secrets hold is read one at a time, when
//! it is needed, and not kept.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt;
use haulout_api::authenticator::{
    CertificateAuthorityDataSource, CertificateAuthorityDataSourceKind, TlsSpec,
};
use haulout_api::group::is_dns1123_subdomain;
use haulout_https::TrustRoots;
use haulout_operate::cluster::{CallError, call};
use haulout_operate::controller::watch_fault;
use haulout_operate::error::{Complaint, chain};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::serde::de::DeserializeOwned;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::authenticators::trust::{
    self, SourceData, SourceFault, SourceObject, Trust, TrustError,
};

/// The Secrets and ConfigMaps of one namespace, as sources of CA bundles.
pub struct TrustSources {
    client: Client,
    namespace: String,
    tracker: TaskTracker,
    end: CancellationToken,
    secrets: Arc<Sights>,
    config_maps: Arc<Sights>,
}

impl TrustSources {
    /// The sources in `namespace`. They are watched on `tracker` until `end`, from their first use on.
    pub fn new(
        client: Client,
        namespace: String,
        tracker: TaskTracker,
        end: CancellationToken,
    ) -> Self {
        Self {
            client,
            namespace,
            tracker,
            end,
            secrets: Arc::default(),
            config_maps: Arc::default(),
        }
    }

    /// The roots that `tls` comes to now, and the source that they were read from, if there is one.
    pub(super) async fn read(
        &self,
        tls: Option<&TlsSpec>,
    ) -> (Result<TrustRoots, TrustError>, Option<Followed>) {
        match trust::locate(tls) {
            Ok(Trust::Known(roots)) => (Ok(roots), None),
            Ok(Trust::Source(source)) => {
                let (roots, followed) = self.read_source(source).await;
                (roots, Some(followed))
            }
            Err(error) => (Err(error), None),
        }
    }

    async fn read_source(
        &self,
        source: &CertificateAuthorityDataSource,
    ) -> (Result<TrustRoots, TrustError>, Followed) {
        let name = source.name.as_str();
        // Followed before it is read, so that no change comes in between.
        let (sights, read) = match source.kind {
            CertificateAuthorityDataSourceKind::Secret => (
                self.follow::<Secret>(&self.secrets, name),
                self.get(name, |secret: Secret| SourceData {
                    secret_type: Some(secret.type_.unwrap_or_default()),
                    value: secret
                        .data
                        .and_then(|mut data| data.remove(&source.key))
                        .map(|value| value.0),
                })
                .await,
            ),
            CertificateAuthorityDataSourceKind::ConfigMap => (
                self.follow::<ConfigMap>(&self.config_maps, name),
                self.get(name, |config_map: ConfigMap| SourceData {
                    secret_type: None,
                    value: config_map
                        .data
                        .and_then(|mut data| data.remove(&source.key))
                        .map(String::into_bytes),
                })
                .await,
            ),
        };
        let (seen, roots) = match read {
            Ok(Some((version, data))) => (Sight::Present(version), trust::source_roots(Some(data))),
            Ok(None) => (Sight::Absent, trust::source_roots(None)),
            Err(error) => (Sight::Unknown, Err(SourceFault::Unreadable(chain(&error)))),
        };
        let roots = roots.map_err(|fault| TrustError::Source {
            object: SourceObject {
                namespace: self.namespace.clone(),
                source: source.clone(),
            },
            fault,
        });
        (roots, Followed { sights, seen })
    }

    /// The object's version and what `data` takes of it.
    async fn get<K: Source>(
        &self,
        name: &str,
        data: impl FnOnce(K) -> SourceData,
    ) -> Result<Option<(String, SourceData)>, CallError> {
        // Anything else would become another path than that of an object.
        if !is_dns1123_subdomain(name) {
            return Ok(None);
        }
        let api = Api::<K>::namespaced(self.client.clone(), &self.namespace);
        match call(api.get(name)).await {
            Ok(object) => {
                let version = object.resource_version().unwrap_or_default();
                Ok(Some((version, data(object))))
            }
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn follow<K: Source>(&self, sights: &Arc<Sights>, name: &str) -> watch::Receiver<Sight> {
        let receiver = sights.follow(name);
        if !sights.are_watched.swap(true, Ordering::Relaxed) {
            let api = Api::namespaced(self.client.clone(), &self.namespace);
            let (watching, end) = (watch_all::<K>(api, Arc::clone(sights)), self.end.clone());
            self.tracker
                .spawn(async move { end.run_until_cancelled(watching).await });
        }
        receiver
    }
}

impl fmt::Debug for TrustSources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustSources")
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

trait Source:
    Resource<Scope = NamespaceResourceScope, DynamicType = ()>
    + Clone
    + fmt::Debug
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
}

impl Source for Secret {}
impl Source for ConfigMap {}

/// A source whose roots are in use.
pub(super) struct Followed {
    sights: watch::Receiver<Sight>,
    /// What the roots were read from.
    seen: Sight,
}

impl Followed {
    /// Ends when the source has become another than that which was read.
    pub(super) async fn changed(&mut self) {
        while let Ok(()) = self.sights.changed().await {
            if self.sights.borrow_and_update().differs_from(&self.seen) {
                return;
            }
        }
        std::future::pending().await
    }
}

/// What the watch knows of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Sight {
    #[default]
    Unknown,
    Absent,
    /// It exists in this version.
    Present(String),
}

impl Sight {
    fn differs_from(&self, seen: &Self) -> bool {
        *self != Self::Unknown && self != seen
    }
}

/// The objects of one kind that are followed, by name.
#[derive(Default)]
struct Sights {
    are_watched: AtomicBool,
    by_name: Mutex<HashMap<String, watch::Sender<Sight>>>,
}

impl Sights {
    fn follow(&self, name: &str) -> watch::Receiver<Sight> {
        let mut by_name = self.by_name();
        // Here and not when a follower ends, since this is where the map grows.
        by_name.retain(|_, sender| sender.receiver_count() > 0);
        by_name.entry(name.to_owned()).or_default().subscribe()
    }

    fn note(&self, name: &str, sight: Sight) {
        if let Some(sender) = self.by_name().get(name) {
            sender.send_if_modified(|known| {
                let is_news = *known != sight;
                *known = sight;
                is_news
            });
        }
    }

    /// Notes what a list that is complete now did not name.
    fn note_absent(&self, listed: &HashSet<String>) {
        let missing: Vec<String> = {
            let by_name = self.by_name();
            let names = by_name.keys().filter(|name| !listed.contains(*name));
            names.cloned().collect()
        };
        for name in missing {
            self.note(&name, Sight::Absent);
        }
    }

    fn by_name(&self) -> MutexGuard<'_, HashMap<String, watch::Sender<Sight>>> {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps `sights` up to date; never ends.
async fn watch_all<K: Source>(api: Api<PartialObjectMeta<K>>, sights: Arc<Sights>) {
    let kind = K::kind(&());
    let mut events = pin!(watcher(api, watcher::Config::default()).default_backoff());
    let mut complaint = Complaint::default();
    let mut listed = HashSet::new();
    let present = |object: &PartialObjectMeta<K>| {
        sights.note(
            &object.name_any(),
            Sight::Present(object.resource_version().unwrap_or_default()),
        );
    };
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                if !matches!(event, Event::Init) && complaint.settle() {
                    tracing::info!("watching {kind}s again");
                }
                match event {
                    Event::Init => listed.clear(),
                    Event::InitApply(object) => {
                        listed.insert(object.name_any());
                        present(&object);
                    }
                    Event::InitDone => sights.note_absent(&std::mem::take(&mut listed)),
                    Event::Apply(object) => present(&object),
                    Event::Delete(object) => sights.note(&object.name_any(), Sight::Absent),
                }
            }
            Err(error) => {
                if let Some(error) = watch_fault(error)
                    && complaint.is_new(&error)
                {
                    tracing::warn!(
                        error,
                        "failed to watch {kind}s, trying on; changes of CA bundles count within five minutes only"
                    );
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;

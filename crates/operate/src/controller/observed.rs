//! One named object, followed by a watch.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt;
use k8s_openapi::serde::de::DeserializeOwned;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Resource};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::cluster::CallError;
use crate::error::chain;

/// What is known of an object.
pub enum Sight<K> {
    /// Nothing yet.
    Unknown,
    /// It does not exist.
    Absent,
    /// It exists and looked like this when it last changed.
    Present(Arc<K>),
}

/// The last sight of one object, kept fresh by a watch; cheap to clone.
pub struct Observed<K> {
    state: Arc<Mutex<State<K>>>,
}

struct State<K> {
    sight: Sight<K>,
    fault: Option<String>,
}

impl<K> Observed<K> {
    /// An object that somebody else reports, by [`set`](Self::set).
    pub fn unwatched() -> Self {
        let state = State {
            sight: Sight::Unknown,
            fault: None,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// The last sight. It stays while the watch is broken.
    pub fn sight(&self) -> Sight<K> {
        self.state(|state| state.sight.clone())
    }

    /// Why the watch is broken, in one line, while it is; for the reconciler to report.
    pub fn fault(&self) -> Option<String> {
        self.state(|state| state.fault.clone())
    }

    /// Takes in a newer state, such as the answer to a write.
    pub fn set(&self, object: Option<K>) {
        self.state(|state| {
            state.fault = None;
            state.sight = object.map_or(Sight::Absent, |object| Sight::Present(Arc::new(object)));
        });
    }

    fn state<T>(&self, act: impl FnOnce(&mut State<K>) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<K> Observed<K>
where
    K: Resource + Clone + DeserializeOwned + fmt::Debug + Send + Sync + 'static,
{
    /// Follows the object called `name` until `stop`, and notifies `wake` of every change and fault.
    /// A watch that breaks, or is not allowed, is begun again after a pause of up to 30 s.
    pub async fn follow(
        self,
        api: Api<K>,
        name: String,
        wake: Arc<Notify>,
        stop: CancellationToken,
    ) {
        let mut events = watcher::watch_object(api, &name).default_backoff().boxed();
        while let Some(Some(event)) = stop.run_until_cancelled(events.next()).await {
            match event {
                Ok(object) => self.set(object),
                Err(error) => match watch_fault(error) {
                    Some(fault) => self.state(|state| state.fault = Some(fault)),
                    None => continue,
                },
            }
            wake.notify_one();
        }
    }
}

/// Why a watch is broken, in one line and in the API server's own words where there are some. `None`
/// for 410: nothing is wrong, the API server only does not know any more what was missed.
pub fn watch_fault(error: watcher::Error) -> Option<String> {
    Some(match error {
        watcher::Error::WatchError(status) if status.code == 410 => return None,
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => chain(&CallError::from(error)),
        watcher::Error::WatchError(status) => chain(&CallError::Refused(status)),
        other @ watcher::Error::NoResourceVersion => chain(&other),
    })
}

impl<K> Clone for Observed<K> {
    fn clone(&self) -> Self {
        Self {
            state: Arc::clone(&self.state),
        }
    }
}

impl<K> Clone for Sight<K> {
    fn clone(&self) -> Self {
        match self {
            Self::Unknown => Self::Unknown,
            Self::Absent => Self::Absent,
            Self::Present(object) => Self::Present(Arc::clone(object)),
        }
    }
}

impl<K> fmt::Debug for Observed<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Objects may be Secrets.
        f.debug_struct("Observed")
            .field("sight", &self.sight())
            .finish_non_exhaustive()
    }
}

impl<K> fmt::Debug for Sight<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "Unknown",
            Self::Absent => "Absent",
            Self::Present(_) => "Present",
        })
    }
}

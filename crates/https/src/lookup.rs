//! Look-ups of names: few at a time, and one for all who ask for the same name.
//!
//! The operating system's look-up takes a thread until it ends by itself, which is many seconds where the resolver is
//! silent. Without a bound, calls to one name that hangs would take every such thread, and no other name could be called.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;

/// Most look-ups at a time in this process, each of another name and on a thread of its own.
pub const MAX_LOOKUPS: usize = 32;

/// How long a look-up may wait until another ends.
///
/// When many authenticators begin at once, their look-ups pass each other within milliseconds. If none ends for so long,
/// all hang.
const MAX_WAIT: Duration = Duration::from_secs(1);

type SystemLookup = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;

type Outcome = Result<Arc<[IpAddr]>, LookupError>;

/// Why a name has no address.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LookupError {
    /// The look-up failed. There is no source: the text has the cause.
    #[error("{0}")]
    Failed(Arc<io::Error>),
    /// The look-up was not begun.
    #[error(
        "{MAX_LOOKUPS} look-ups of other names hang, so that this one was not begun; see whether the cluster's DNS answers"
    )]
    Busy,
    /// The look-up ended without an outcome, because its thread did.
    #[error("the look-up was given up because the process ends")]
    Abandoned,
}

/// Looks names up. Clones share their look-ups.
#[derive(Clone)]
pub(crate) struct Resolver(Arc<Shared>);

struct Shared {
    system: Box<SystemLookup>,
    free: Arc<Semaphore>,
    /// By name. Those who wait keep a look-up alive, and so does its thread.
    lookups: Mutex<HashMap<String, Weak<Lookup>>>,
}

/// One look-up for all who want its outcome.
struct Lookup {
    /// Where its outcome will be told; taken by who begins it.
    publish: Mutex<Option<watch::Sender<Option<Outcome>>>>,
    outcome: watch::Receiver<Option<Outcome>>,
}

impl Resolver {
    /// The one of this process: the threads that look-ups take are the process's too.
    pub(crate) fn of_process() -> Self {
        static RESOLVER: LazyLock<Resolver> = LazyLock::new(|| Resolver::new(system_lookup));
        RESOLVER.clone()
    }

    /// A resolver that looks names up by `system`, which may block.
    pub(crate) fn new(
        system: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Shared {
            system: Box::new(system),
            free: Arc::new(Semaphore::new(MAX_LOOKUPS)),
            lookups: Mutex::default(),
        }))
    }

    /// The addresses of `host`, however long that takes: callers have limits of their own.
    pub(crate) async fn lookup(&self, host: &str) -> Outcome {
        let lookup = self.join(host);
        let mut outcome = lookup.outcome.clone();
        if !lookup.has_begun() {
            let turn = Arc::clone(&self.0.free).acquire_owned();
            tokio::select! {
                biased;
                // Another who waits for it had the first turn.
                _ended = outcome.wait_for(Option::is_some) => {}
                turn = timeout(MAX_WAIT, turn) => match turn {
                    Ok(Ok(turn)) => self.begin(host, &lookup, turn),
                    _ if lookup.has_begun() => {}
                    _ => return Err(LookupError::Busy),
                },
            }
        }
        match outcome.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(outcome)) => outcome.clone(),
            _ => Err(LookupError::Abandoned),
        }
    }

    /// The look-up of `host` that others wait for, or else a new one.
    fn join(&self, host: &str) -> Arc<Lookup> {
        let mut lookups = self
            .0
            .lookups
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(lookup) = lookups.get(host).and_then(Weak::upgrade)
            && !lookup.has_ended()
        {
            return lookup;
        }
        lookups.retain(|_, lookup| lookup.strong_count() > 0);
        let (publish, outcome) = watch::channel(None);
        let lookup = Arc::new(Lookup {
            publish: Mutex::new(Some(publish)),
            outcome,
        });
        lookups.insert(host.to_owned(), Arc::downgrade(&lookup));
        lookup
    }

    /// Begins `lookup` unless it has begun. `turn` and `lookup` last until it ends, whether or not anybody waits.
    fn begin(&self, host: &str, lookup: &Arc<Lookup>, turn: OwnedSemaphorePermit) {
        let Some(publish) = lookup.publish().take() else {
            return;
        };
        let (shared, host, lookup) = (Arc::clone(&self.0), host.to_owned(), Arc::clone(lookup));
        tokio::task::spawn_blocking(move || {
            let found = (shared.system)(&host);
            let outcome = found
                .map(Arc::from)
                .map_err(|error| LookupError::Failed(Arc::new(error)));
            // Before its end is known, for those who then ask anew.
            drop((turn, lookup));
            publish.send_replace(Some(outcome));
        });
    }
}

impl Lookup {
    fn publish(&self) -> MutexGuard<'_, Option<watch::Sender<Option<Outcome>>>> {
        self.publish.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_begun(&self) -> bool {
        self.publish().is_none()
    }

    /// With an outcome, or with its thread.
    fn has_ended(&self) -> bool {
        self.outcome.has_changed().unwrap_or(true)
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            let found = resolver.lookup(name.as_str()).await?;
            // The client puts the URL's port in place of 0.
            let addresses: Vec<_> = found.iter().map(|&ip| SocketAddr::new(ip, 0)).collect();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

fn system_lookup(host: &str) -> io::Result<Vec<IpAddr>> {
    let addresses = (host, 0).to_socket_addrs()?;
    Ok(addresses.map(|address| address.ip()).collect())
}

//! The keys of one issuer, kept fresh: fetched again when a token needs it, seldom enough that nobody can make us flood
//! the issuer, and forgotten when they can no longer be confirmed.

mod set;

use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use tokio::sync::{Notify, Semaphore, watch};
use url::Url;

use crate::client::{CALL_TIMEOUT, CallError, IssuerClient};

pub use set::{KeySet, KeySetError};

/// Least time between two calls that tokens cause, those of an unknown `kid` and those without one that no key verifies.
///
/// A forged token can use up such a call: it needs nothing that is secret. What it delays is the acceptance of a key that
/// was published since, by this time at most, because the next call brings that key whoever caused it. Tokens of a known
/// `kid` cause none.
const ON_DEMAND_INTERVAL: Duration = Duration::from_secs(10);

/// Time after which the keys are fetched again unasked, so that withdrawn ones die.
const REFRESH_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// Longest use of keys that could not be fetched again.
pub const MAX_AGE: Duration = Duration::from_secs(60 * 60);

/// Pause after a failed fetch.
const RETRY_INTERVAL: Duration = Duration::from_secs(30);

/// Most logins that wait for a fetch; while an issuer hangs, further ones fail at once instead of filling the memory.
const MAX_WAITING: usize = 256;

/// Why an issuer's keys could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The call failed.
    #[error("oidc: get keys failed")]
    Call(#[from] CallError),
    /// The answer is no JWK set.
    #[error(transparent)]
    Set(#[from] KeySetError),
}

/// The keys of one issuer. Reading them takes no lock.
pub struct KeyCache {
    client: IssuerClient,
    jwks_uri: Url,
    current: ArcSwap<Dated>,
    last_error: Mutex<Option<Arc<FetchError>>>,
    demand: Mutex<Demand>,
    demanded: Notify,
    served: watch::Sender<u64>,
    waiting: Semaphore,
    /// Held during a fetch, so that an older answer never replaces a newer one.
    fetching: tokio::sync::Mutex<()>,
}

struct Dated {
    keys: Arc<KeySet>,
    fetched_at: SystemTime,
}

impl KeyCache {
    /// Fetches the keys a first time.
    ///
    /// # Errors
    /// [`FetchError`]: without keys there is nothing to keep.
    pub async fn fetch(
        client: IssuerClient,
        jwks_uri: Url,
        now: SystemTime,
    ) -> Result<Self, FetchError> {
        let keys = fetch_keys(&client, &jwks_uri).await?;
        Ok(Self::holding(keys, client, jwks_uri, now))
    }

    fn holding(keys: Arc<KeySet>, client: IssuerClient, jwks_uri: Url, now: SystemTime) -> Self {
        Self {
            client,
            jwks_uri,
            current: ArcSwap::from_pointee(Dated {
                keys,
                fetched_at: now,
            }),
            last_error: Mutex::new(None),
            demand: Mutex::default(),
            demanded: Notify::new(),
            served: watch::Sender::new(0),
            waiting: Semaphore::new(MAX_WAITING),
            fetching: tokio::sync::Mutex::default(),
        }
    }

    /// Where the keys come from.
    pub fn jwks_uri(&self) -> &Url {
        &self.jwks_uri
    }

    /// Why the latest fetch failed, or `None` if it did not.
    pub fn last_error(&self) -> Option<Arc<FetchError>> {
        lock(&self.last_error).clone()
    }

    /// The keys in force at `now`; `None` once they could not be confirmed for an hour.
    pub fn current(&self, now: SystemTime) -> Option<Arc<KeySet>> {
        let dated = self.current.load();
        within(dated.fetched_at, now, MAX_AGE).then(|| Arc::clone(&dated.keys))
    }

    /// Fetches the keys every five minutes, sooner after a failure, and when a token needs it; never ends.
    ///
    /// Once the answer is dropped, the keys at hand are used on but tokens of other keys are refused.
    ///
    /// All calls are made here and none in a login's own task, so that a client that hangs up cannot waste one.
    pub fn keep_fresh(&self, now: impl Fn() -> SystemTime) -> impl Future<Output = ()> {
        let end = NobodyFetches(&self.served);
        async move {
            let _end = end;
            let mut pause = REFRESH_INTERVAL;
            loop {
                let demanded = tokio::time::timeout(pause, self.demanded.notified()).await;
                if demanded.is_ok() && !self.is_demanded() {
                    // The fetch that just ended began after the demand and has met it.
                    continue;
                }
                pause = match self.refresh(now()).await {
                    Ok(()) => REFRESH_INTERVAL,
                    Err(error) => {
                        let error: &(dyn Error + 'static) = &*error;
                        let url = &self.jwks_uri;
                        // Neither a password nor what it asks for.
                        let place = format!("{}{}", url.host_str().unwrap_or_default(), url.path());
                        tracing::warn!(
                            jwks_uri = place,
                            error,
                            "failed to fetch keys of an issuer"
                        );
                        RETRY_INTERVAL
                    }
                };
            }
        }
    }

    /// Fetches the keys now, whatever was fetched when. Those at hand stay if it fails.
    ///
    /// # Errors
    /// [`FetchError`], which [`KeyCache::last_error`] gives from now on.
    pub async fn refresh(&self, now: SystemTime) -> Result<(), Arc<FetchError>> {
        let _alone = self.fetching.lock().await;
        let number = lock(&self.demand).asked;
        let outcome = fetch_keys(&self.client, &self.jwks_uri)
            .await
            .map_err(Arc::new);
        if let Ok(keys) = &outcome {
            self.current.store(Arc::new(Dated {
                keys: Arc::clone(keys),
                fetched_at: now,
            }));
        }
        let error = outcome.err();
        lock(&self.last_error).clone_from(&error);
        self.served.send_replace(number);
        error.map_or(Ok(()), Err)
    }

    /// Keys other than `seen`, fetched if that is allowed now; `None` when there are none.
    ///
    /// Logins that come while a fetch is under way share it.
    pub(crate) async fn newer(
        &self,
        seen: Option<&Arc<KeySet>>,
        now: SystemTime,
    ) -> Option<Arc<KeySet>> {
        let other = |keys: &Arc<KeySet>| seen.is_none_or(|seen| !Arc::ptr_eq(seen, keys));
        if let Some(keys) = self.current(now).filter(other) {
            return Some(keys);
        }
        let mut served = self.served.subscribe();
        // Copied, since two locks held at once need an order.
        let done = *served.borrow();
        let number = match lock(&self.demand).ask(now, done) {
            Decision::Fetch(number) => {
                self.demanded.notify_one();
                number
            }
            Decision::Wait(number) => number,
            Decision::Refuse => return None,
        };
        let _place = self.waiting.try_acquire().ok()?;
        // A fetch that nobody asked for may be under way before ours begins.
        let answered = served.wait_for(|served| *served >= number);
        tokio::time::timeout(2 * CALL_TIMEOUT, answered)
            .await
            .ok()?
            .ok()?;
        self.current(now).filter(other)
    }

    fn is_demanded(&self) -> bool {
        let done = *self.served.borrow();
        done < lock(&self.demand).asked
    }
}

impl fmt::Debug for KeyCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyCache")
            .field("jwks_uri", &self.jwks_uri.as_str())
            .finish_non_exhaustive()
    }
}

/// Lets every login go at once that waits for a fetch, now or later, when none will come.
struct NobodyFetches<'a>(&'a watch::Sender<u64>);

impl Drop for NobodyFetches<'_> {
    fn drop(&mut self) {
        self.0.send_replace(u64::MAX);
    }
}

/// What tokens asked for. The issuer is called at most once per [`ON_DEMAND_INTERVAL`] on their behalf.
#[derive(Debug, Default)]
struct Demand {
    /// Number of the latest fetch that was granted.
    asked: u64,
    asked_at: Option<SystemTime>,
}

#[derive(Debug, PartialEq, Eq)]
enum Decision {
    /// Start the fetch of this number.
    Fetch(u64),
    /// The fetch of this number is under way.
    Wait(u64),
    /// The answer of a moment ago still counts.
    Refuse,
}

impl Demand {
    /// Decides at `now`, when the fetches up to `served` are done.
    fn ask(&mut self, now: SystemTime, served: u64) -> Decision {
        if served < self.asked {
            return Decision::Wait(self.asked);
        }
        if self
            .asked_at
            .is_some_and(|at| within(at, now, ON_DEMAND_INTERVAL))
        {
            return Decision::Refuse;
        }
        self.asked += 1;
        self.asked_at = Some(now);
        Decision::Fetch(self.asked)
    }
}

/// Whether `start` and `now` lie less than `span` apart. A login reads the clock before it waits for a fetch that is
/// dated later, so that `now` may be the earlier one; a clock that was set back further than `span` is past it.
fn within(start: SystemTime, now: SystemTime, span: Duration) -> bool {
    let apart = now
        .duration_since(start)
        .unwrap_or_else(|earlier| earlier.duration());
    apart < span
}

async fn fetch_keys(client: &IssuerClient, jwks_uri: &Url) -> Result<Arc<KeySet>, FetchError> {
    Ok(Arc::new(KeySet::parse(
        &client.get(jwks_uri.clone()).await?,
    )?))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::TrustRoots;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000 + seconds)
    }

    #[test]
    fn tokens_cause_at_most_one_fetch_per_interval() {
        let mut demand = Demand::default();
        assert_eq!(demand.ask(at(0), 0), Decision::Fetch(1));
        for second in 0..30 {
            assert_eq!(
                demand.ask(at(second), 0),
                Decision::Wait(1),
                "one at a time, however long it takes"
            );
        }
        for second in 0..10 {
            assert_eq!(demand.ask(at(second), 1), Decision::Refuse, "{second}");
        }
        assert_eq!(demand.ask(at(10), 1), Decision::Fetch(2));
        assert_eq!(demand.ask(at(10), 2), Decision::Refuse);
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_stop_fetching() {
        let mut demand = Demand::default();
        assert_eq!(demand.ask(at(1000), 0), Decision::Fetch(1));
        assert_eq!(demand.ask(at(0), 1), Decision::Fetch(2));
    }

    /// A cache whose issuer refuses every connection.
    fn unreachable() -> KeyCache {
        let _already_installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = IssuerClient::new(&TrustRoots::Only(Vec::new())).unwrap();
        let jwks_uri = Url::parse("https://127.0.0.1:1/keys").unwrap();
        KeyCache::holding(Arc::default(), client, jwks_uri, at(0))
    }

    #[test]
    fn keys_that_cannot_be_confirmed_expire() {
        let cache = unreachable();
        assert!(cache.current(at(0)).is_some());
        assert!(cache.current(at(3599)).is_some());
        assert!(cache.current(at(3600)).is_none());
        assert!(
            cache.current(SystemTime::UNIX_EPOCH).is_none(),
            "a clock that was set back that far proves nothing"
        );
    }

    #[test]
    fn keys_fetched_while_a_login_waited_count_for_it() {
        let cache = unreachable();
        assert!(cache.current(at(0) - Duration::from_millis(40)).is_some());
        let mut demand = Demand::default();
        assert_eq!(demand.ask(at(5), 0), Decision::Fetch(1));
        assert_eq!(
            demand.ask(at(4), 1),
            Decision::Refuse,
            "a login that began before the fetch causes no second one"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn keys_are_refreshed_unasked_and_sooner_after_a_failure() {
        let cache = unreachable();
        let begun = tokio::time::Instant::now();
        let refreshes = Mutex::new(Vec::new());
        let keeping = cache.keep_fresh(|| {
            lock(&refreshes).push(begun.elapsed());
            at(0)
        });
        let _elapsed = tokio::time::timeout(REFRESH_INTERVAL + 2 * RETRY_INTERVAL, keeping).await;
        let refreshes = refreshes.into_inner().unwrap();
        let (first, second) = (refreshes[0].as_secs(), refreshes[1].as_secs());
        assert_eq!(first, REFRESH_INTERVAL.as_secs());
        let pause = second - first;
        assert!(
            (30..=40).contains(&pause),
            "{pause} s, of which up to 10 may be the call itself"
        );
        assert!(cache.last_error().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn only_so_many_logins_wait_for_a_fetch() {
        let cache = unreachable();
        let seen = cache.current(at(0)).unwrap();
        let login = || tokio::time::timeout(CALL_TIMEOUT, cache.newer(Some(&seen), at(0)));
        assert!(login().await.is_err(), "it waits, and nobody fetches");
        let _others = cache
            .waiting
            .acquire_many(MAX_WAITING as u32)
            .await
            .unwrap();
        assert!(login().await.expect("it must not wait").is_none());
    }
}

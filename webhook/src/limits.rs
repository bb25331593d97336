//! How many logins are let in: from each address, and in all.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use haulout_operate::rate::{Rate, TokenBucket};
use haulout_serve::source::Source;
use haulout_serve::throttle::Throttle;

/// How many sources are remembered. Under the default limits some 6,500 buckets can lack tokens at
/// a time: as many as the burst of all, and a few hundred of what grows while they fill. Half of
/// this is more than that, so then no bucket that lacks any is forgotten.
const MAX_SOURCES: usize = 16_384;

/// How often the log tells of each limit.
const WARNING_INTERVAL: Duration = Duration::from_secs(10);

/// How long a refused client is to wait. Rates are whole numbers per second, so that a token grows
/// in no more.
pub(crate) const RETRY_AFTER_SECONDS: u32 = 1;

/// The limits that are on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For each source of logins.
    pub per_address: Option<Rate>,
    /// For all together.
    pub total: Option<Rate>,
}

/// A limit that a login would exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LimitExceeded {
    PerAddress,
    Total,
}

/// Counts logins, and lets in as many as the limits allow.
#[derive(Debug)]
pub struct LoginLimits {
    limits: Limits,
    buckets: Mutex<Buckets>,
    per_address_refusals: Throttle,
    total_refusals: Throttle,
}

#[derive(Debug, Default)]
struct Buckets {
    total: TokenBucket,
    /// Absent ones are full.
    by_source: HashMap<Source, TokenBucket>,
}

impl LoginLimits {
    /// Nothing counted yet.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            buckets: Mutex::default(),
            per_address_refusals: Throttle::new(WARNING_INTERVAL),
            total_refusals: Throttle::new(WARNING_INTERVAL),
        }
    }

    /// Lets a login from `source` in, unless that exceeds a limit; the log tells of it now and then.
    pub(crate) fn admit(&self, source: Source, now: SystemTime) -> Result<(), LimitExceeded> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let admitted = buckets.take(self.limits, source, now);
        drop(buckets);
        admitted.inspect_err(|&exceeded| self.warn(exceeded, source))
    }

    fn warn(&self, exceeded: LimitExceeded, source: Source) {
        let (refusals, limit) = match exceeded {
            LimitExceeded::PerAddress => (&self.per_address_refusals, "perAddress"),
            LimitExceeded::Total => (&self.total_refusals, "total"),
        };
        if refusals.lets_pass() {
            tracing::warn!(
                limit,
                address = %source,
                "refused logins with 429; where they are wanted, raise PerSecond and Burst of this \
                 limit under `limits` in webhook.yaml"
            );
        }
    }
}

impl Buckets {
    /// Takes a token from the bucket of `source` and from that of all, or none from either: who is
    /// over his own limit uses up nothing of the others'.
    fn take(
        &mut self,
        limits: Limits,
        source: Source,
        now: SystemTime,
    ) -> Result<(), LimitExceeded> {
        let own = match limits.per_address {
            Some(rate) => {
                let own = self.by_source.get(&source).copied().unwrap_or_default();
                let after = own.take(rate, now).ok_or(LimitExceeded::PerAddress)?;
                Some((rate, after))
            }
            None => None,
        };
        if let Some(rate) = limits.total {
            self.total = self.total.take(rate, now).ok_or(LimitExceeded::Total)?;
        }
        if let Some((rate, after)) = own {
            if self.by_source.len() >= MAX_SOURCES && !self.by_source.contains_key(&source) {
                self.make_room(rate, now);
            }
            self.by_source.insert(source, after);
        }
        Ok(())
    }

    /// Forgets buckets that are full, which changes nothing. Should most of them lack tokens, those
    /// that lack the fewest go until half is left: nobody is refused for that, and whoever has used
    /// up his own bucket gets no new one.
    fn make_room(&mut self, rate: Rate, now: SystemTime) {
        self.by_source
            .retain(|_, bucket| !bucket.is_full(rate, now));
        let excess = self.by_source.len().saturating_sub(MAX_SOURCES / 2);
        let Some(last) = excess.checked_sub(1) else {
            return;
        };
        let swapped = |(&source, &bucket): (&Source, &TokenBucket)| (bucket, source);
        let mut buckets: Vec<_> = self.by_source.iter().map(swapped).collect();
        buckets.select_nth_unstable_by_key(last, |&(bucket, _)| bucket);
        for (_, source) in buckets.iter().take(excess) {
            self.by_source.remove(source);
        }
    }
}

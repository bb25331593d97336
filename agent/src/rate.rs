//! How many certificates are signed: a token bucket whose clock is an argument.

use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

/// Tokens that grow with time up to a burst.
#[derive(Debug, Default)]
pub(crate) struct TokenBucket {
    level: Mutex<Option<Level>>,
}

#[derive(Clone, Copy, Debug)]
struct Level {
    tokens: f64,
    at: SystemTime,
}

impl TokenBucket {
    /// Takes one token at `now`, if there is one. The limits may differ from call to call; a rate
    /// of 0 is no limit. When the clock was set back, tokens grow on from there.
    pub(crate) fn try_take(&self, per_second: u32, burst: u32, now: SystemTime) -> bool {
        if per_second == 0 {
            return true;
        }
        let mut level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        let full = f64::from(burst);
        let tokens = level.map_or(full, |level| {
            let elapsed = now.duration_since(level.at).unwrap_or_default();
            (level.tokens + elapsed.as_secs_f64() * f64::from(per_second)).min(full)
        });
        let taken = tokens >= 1.0;
        let tokens = if taken { tokens - 1.0 } else { tokens };
        *level = Some(Level { tokens, at: now });
        taken
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(millis: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(1_000_000 + millis)
    }

    fn taken(bucket: &TokenBucket, tries: usize, now: SystemTime) -> usize {
        (0..tries).filter(|_| bucket.try_take(10, 3, now)).count()
    }

    #[test]
    fn a_burst_and_then_the_rate() {
        let bucket = TokenBucket::default();
        assert_eq!(taken(&bucket, 10, at(0)), 3);
        assert_eq!(taken(&bucket, 10, at(99)), 0);
        assert_eq!(taken(&bucket, 10, at(101)), 1);
        assert_eq!(taken(&bucket, 10, at(60_000)), 3);
    }

    #[test]
    fn refused_tries_cost_nothing() {
        let bucket = TokenBucket::default();
        assert_eq!(taken(&bucket, 3, at(0)), 3);
        for millis in (0..100).step_by(10) {
            assert_eq!(taken(&bucket, 5, at(millis)), 0);
        }
        assert_eq!(taken(&bucket, 5, at(101)), 1);
    }

    #[test]
    fn zero_is_no_limit() {
        let bucket = TokenBucket::default();
        assert!((0..1000).all(|_| bucket.try_take(0, 0, at(0))));
    }

    #[test]
    fn a_clock_set_back_neither_fills_nor_stops_the_bucket() {
        let bucket = TokenBucket::default();
        assert_eq!(taken(&bucket, 10, at(900_000)), 3);
        assert_eq!(taken(&bucket, 10, at(0)), 0);
        assert_eq!(taken(&bucket, 10, at(110)), 1);
    }
}

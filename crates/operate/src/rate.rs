//! How often something may happen: token buckets, whose clock is an argument.

use std::time::{Duration, SystemTime};

/// How fast the tokens of a bucket grow, and how many it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Time in which one token grows.
    token: Duration,
    /// Time in which an empty bucket fills.
    bucket: Duration,
}

impl Rate {
    /// `per_second` tokens, at most `burst` of them at once; `None`, for no limit, when
    /// `per_second` is 0. Rounded so that never more than this passes.
    pub fn new(per_second: u32, burst: u32) -> Option<Self> {
        const SECOND: u64 = 1_000_000_000;
        if per_second == 0 {
            return None;
        }
        let token = Duration::from_nanos(SECOND.div_ceil(per_second.into()));
        Some(Self {
            token,
            bucket: token * burst,
        })
    }
}

/// Tokens that grow with time. A new bucket is full.
///
/// All that is kept is when it will be full again (the generic cell rate algorithm): buckets that
/// have filled are equal to new ones, and a greater bucket is one that fills later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TokenBucket {
    full_at: Option<SystemTime>,
}

impl TokenBucket {
    /// The bucket without one of the tokens that it holds at `now`; `None` if it holds none. The
    /// rate may differ from call to call.
    pub fn take(self, rate: Rate, now: SystemTime) -> Option<Self> {
        let lacking = self.lacking(rate, now) + rate.token;
        (lacking <= rate.bucket).then(|| Self {
            full_at: Some(now + lacking),
        })
    }

    /// Whether it is as good as a new one.
    pub fn is_full(self, rate: Rate, now: SystemTime) -> bool {
        self.lacking(rate, now).is_zero()
    }

    /// Time until the bucket is full. One that would need longer than an empty one dates from
    /// before the clock was set back, or from another rate, and begins anew.
    fn lacking(self, rate: Rate, now: SystemTime) -> Duration {
        self.full_at
            .and_then(|at| at.duration_since(now).ok())
            .filter(|&lacking| lacking <= rate.bucket)
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(1_000_000 + millis)
    }

    /// How many of `tries` get a token.
    fn taken(bucket: &mut TokenBucket, rate: Rate, tries: usize, now: SystemTime) -> usize {
        let mut take = || bucket.take(rate, now).map(|after| *bucket = after);
        (0..tries).filter_map(|_| take()).count()
    }

    fn ten_and_three() -> Rate {
        Rate::new(10, 3).unwrap()
    }

    #[test]
    fn a_burst_and_then_the_rate() {
        let (mut bucket, rate) = (TokenBucket::default(), ten_and_three());
        for (millis, expected) in [(0, 3), (99, 0), (100, 1), (100, 0), (60_000, 3)] {
            assert_eq!(
                taken(&mut bucket, rate, 10, at(millis)),
                expected,
                "{millis}"
            );
        }
    }

    #[test]
    fn refused_tries_cost_nothing() {
        let (mut bucket, rate) = (TokenBucket::default(), ten_and_three());
        assert_eq!(taken(&mut bucket, rate, 3, at(0)), 3);
        for millis in (0..100).step_by(10) {
            assert_eq!(taken(&mut bucket, rate, 5, at(millis)), 0);
        }
        assert_eq!(taken(&mut bucket, rate, 5, at(100)), 1);
    }

    #[test]
    fn zero_is_no_limit_and_without_a_burst_nothing_passes() {
        assert_eq!(Rate::new(0, 5), None);
        let nothing = Rate::new(5, 0).unwrap();
        assert_eq!(TokenBucket::default().take(nothing, at(0)), None);
        let most = Rate::new(u32::MAX, u32::MAX).unwrap();
        assert!(TokenBucket::default().take(most, at(0)).is_some());
    }

    #[test]
    fn a_clock_set_back_does_not_stop_the_bucket() {
        let (mut bucket, rate) = (TokenBucket::default(), ten_and_three());
        for (millis, expected) in [(900_000, 3), (0, 3), (0, 0), (100, 1)] {
            assert_eq!(
                taken(&mut bucket, rate, 10, at(millis)),
                expected,
                "{millis}"
            );
        }
        assert!(bucket.is_full(rate, at(400)));
        assert_eq!(taken(&mut bucket, rate, 1, at(900_000)), 1);
        assert!(bucket.is_full(rate, at(0)));
    }

    #[test]
    fn a_bucket_is_full_once_its_tokens_are_back() {
        let (mut bucket, rate) = (TokenBucket::default(), ten_and_three());
        assert!(bucket.is_full(rate, at(0)));
        assert_eq!(taken(&mut bucket, rate, 2, at(0)), 2);
        assert!(!bucket.is_full(rate, at(199)));
        assert!(bucket.is_full(rate, at(200)));
    }

    proptest! {
        /// In no span of time more than the burst and what grew in it.
        #[test]
        fn never_more_than_the_burst_and_the_rate_pass(
            per_second in 1_u32..5_000,
            burst in 1_u32..50,
            steps in proptest::collection::vec((0_u64..50_000_000, 1_usize..60), 1..60),
        ) {
            let rate = Rate::new(per_second, burst).unwrap();
            let mut bucket = TokenBucket::default();
            let mut passed = Vec::new();
            let mut now = 0;
            for (nanos, tries) in steps {
                now += nanos;
                let time = SystemTime::UNIX_EPOCH + Duration::from_nanos(now);
                passed.push((now, taken(&mut bucket, rate, tries, time)));
            }
            for (index, &(from, _)) in passed.iter().enumerate() {
                let mut count = 0_u128;
                for &(to, more) in &passed[index..] {
                    count += more as u128;
                    let grown = u128::from(to - from) * u128::from(per_second) / 1_000_000_000;
                    prop_assert!(count <= u128::from(burst) + grown, "{count} in {} ns", to - from);
                }
            }
        }
    }
}

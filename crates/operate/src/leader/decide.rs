//! The rules: what to do about a Lease as it was seen. No I/O; both clocks are arguments.

use std::time::{Duration, SystemTime};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use tokio::time::Instant;

use super::LEASE_DURATION;

/// A Lease, and since when it has looked like this to us.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sight {
    lease: Lease,
    since: Instant,
}

impl Sight {
    /// Takes in what was read at `now`. A Lease that looks as before keeps its age, even if parts
    /// that are no part of the election, such as labels, were changed.
    pub(super) fn update(sight: &mut Option<Self>, lease: Lease, now: Instant) {
        let since = match sight {
            Some(known) if known.lease.spec == lease.spec => known.since,
            _ => now,
        };
        *sight = Some(Self { lease, since });
    }

    /// The Lease with another record, under the resourceVersion that was read.
    pub(super) fn with(&self, spec: LeaseSpec) -> Lease {
        Lease {
            metadata: self.lease.metadata.clone(),
            spec: Some(spec),
        }
    }

    pub(super) fn is_held_by(&self, identity: &str) -> bool {
        self.holder() == Some(identity)
    }

    /// This Lease given back, for the next claimant to take at once; nothing if it is not ours.
    pub(super) fn released(&self, identity: &str, wall: SystemTime) -> Option<Lease> {
        if !self.is_held_by(identity) {
            return None;
        }
        Some(self.with(LeaseSpec {
            holder_identity: Some(String::new()),
            lease_duration_seconds: Some(1),
            renew_time: Some(micro_time(wall)),
            ..self.lease.spec.clone().unwrap_or_default()
        }))
    }

    fn holder(&self) -> Option<&str> {
        let holder = self.lease.spec.as_ref()?.holder_identity.as_deref()?;
        (!holder.is_empty()).then_some(holder)
    }

    /// Whether the holder had its time to renew, in full, since it was last seen to do so.
    fn has_expired(&self, now: Instant) -> bool {
        let seconds = self
            .lease
            .spec
            .as_ref()
            .and_then(|spec| spec.lease_duration_seconds);
        let duration = seconds
            .and_then(|seconds| u64::try_from(seconds).ok())
            .map_or(LEASE_DURATION, Duration::from_secs);
        now.saturating_duration_since(self.since) >= duration
    }
}

/// The record that `identity` may write over what it saw, or where it saw none; nothing while the
/// Lease is another's. `wall` is only written down, `now` is judged by.
pub(super) fn decide(
    sight: Option<&Sight>,
    identity: &str,
    wall: SystemTime,
    now: Instant,
) -> Option<LeaseSpec> {
    let Some(sight) = sight else {
        return Some(claim(None, identity, wall));
    };
    let may_write =
        sight.is_held_by(identity) || sight.holder().is_none() || sight.has_expired(now);
    may_write.then(|| claim(sight.lease.spec.as_ref(), identity, wall))
}

/// The record by which `identity` holds the Lease.
fn claim(before: Option<&LeaseSpec>, identity: &str, wall: SystemTime) -> LeaseSpec {
    let now = Some(micro_time(wall));
    let before = before.cloned().unwrap_or_default();
    let is_renewal = before.holder_identity.as_deref() == Some(identity);
    LeaseSpec {
        acquire_time: before
            .acquire_time
            .clone()
            .filter(|_| is_renewal)
            .or_else(|| now.clone()),
        lease_transitions: match before.lease_transitions {
            Some(count) if !is_renewal => Some(count.saturating_add(1)),
            Some(count) => Some(count),
            None => Some(0),
        },
        holder_identity: Some(identity.to_owned()),
        lease_duration_seconds: i32::try_from(LEASE_DURATION.as_secs()).ok(),
        renew_time: now,
        ..before
    }
}

fn micro_time(wall: SystemTime) -> MicroTime {
    MicroTime(crate::audit::timestamp(wall))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALL: SystemTime = SystemTime::UNIX_EPOCH;

    fn seen(holder: &str, duration: Option<i32>, since: Instant) -> Sight {
        let spec = LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: duration,
            lease_transitions: Some(3),
            acquire_time: Some(micro_time(WALL - Duration::from_secs(500))),
            renew_time: Some(micro_time(WALL + Duration::from_secs(1_000_000))),
            ..LeaseSpec::default()
        };
        let mut lease = Lease {
            spec: Some(spec),
            ..Lease::default()
        };
        lease.metadata.resource_version = Some("7".to_owned());
        Sight { lease, since }
    }

    #[test]
    fn another_s_lease_is_taken_only_when_free_or_expired() {
        let since = Instant::now();
        let rows = [
            ("other", Some(15), 0, false),
            ("other", Some(15), 14_999, false),
            ("other", Some(15), 15_000, true),
            ("other", Some(60), 15_000, false),
            ("other", Some(60), 60_000, true),
            ("other", None, 14_999, false),
            ("other", None, 15_000, true),
            ("other", Some(-1), 14_999, false),
            ("", Some(15), 0, true),
            ("me", Some(15), 0, true),
            ("me", Some(15), 100_000, true),
        ];
        for (holder, duration, millis, may_write) in rows {
            let sight = seen(holder, duration, since);
            let now = since + Duration::from_millis(millis);
            let record = decide(Some(&sight), "me", WALL, now);
            let row = format!("{holder:?} {duration:?} {millis}");
            assert_eq!(record.is_some(), may_write, "{row}");
        }
    }

    #[test]
    fn age_counts_from_the_last_change_that_was_seen() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let first = seen("other", Some(15), start).lease;
        let mut sight = None;
        Sight::update(&mut sight, first.clone(), at(0));
        let mut relabelled = first.clone();
        relabelled.metadata.labels = Some([("a".to_owned(), "b".to_owned())].into());
        Sight::update(&mut sight, relabelled, at(10));
        assert_eq!(sight.as_ref().unwrap().since, at(0));

        let mut renewed = first;
        renewed.spec.as_mut().unwrap().renew_time = Some(micro_time(WALL));
        Sight::update(&mut sight, renewed, at(14));
        let record = decide(sight.as_ref(), "me", WALL, at(28));
        assert_eq!(record, None, "renewed in time");
    }

    #[test]
    fn a_missing_lease_is_made() {
        let spec = decide(None, "me", WALL, Instant::now()).unwrap();
        assert_eq!(spec.holder_identity.as_deref(), Some("me"));
        assert_eq!(spec.lease_duration_seconds, Some(15));
        assert_eq!(spec.lease_transitions, Some(0));
        assert_eq!(spec.acquire_time, Some(micro_time(WALL)));
    }

    #[test]
    fn a_change_of_hands_is_counted_and_dated_and_a_renewal_is_not() {
        let now = Instant::now();
        let wall = WALL + Duration::from_secs(9);
        let taken = decide(Some(&seen("", Some(1), now)), "me", wall, now).unwrap();
        assert_eq!(taken.lease_transitions, Some(4));
        assert_eq!(taken.acquire_time, Some(micro_time(wall)));
        assert_eq!(taken.lease_duration_seconds, Some(15));

        let held = seen("me", Some(15), now);
        let acquired = held.lease.spec.clone().unwrap().acquire_time;
        let renewed = decide(Some(&held), "me", wall, now).unwrap();
        assert_eq!(renewed.lease_transitions, Some(3));
        assert_eq!(renewed.acquire_time, acquired);
        assert_eq!(renewed.renew_time, Some(micro_time(wall)));
    }

    #[test]
    fn only_its_holder_gives_a_lease_back() {
        let now = Instant::now();
        let released = seen("me", Some(15), now).released("me", WALL).unwrap();
        assert_eq!(released.metadata.resource_version.as_deref(), Some("7"));
        let spec = released.spec.unwrap();
        assert_eq!(spec.holder_identity.as_deref(), Some(""));
        assert_eq!(spec.lease_transitions, Some(3));
        assert_eq!(seen("other", Some(15), now).released("me", WALL), None);
    }
}

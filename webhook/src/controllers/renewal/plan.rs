//! When the CA and the leaf are renewed. No I/O; the time is an argument.
//!
//! A CA is replaced in steps, so that no request is lost. The new one is added to `ca.crt` while
//! the old one's leaf is still served. Once those who must trust it have been told of both for
//! [`Profile::announced_for`], the first leaf of the new CA is issued. The old certificate stays
//! until it expires, which is later than any leaf of it: a CA is replaced three lives of a leaf
//! before its end.

use std::time::{Duration, SystemTime};

use super::Profile;

/// How many lives of a leaf before its end a CA is replaced.
const LEAVES_BEFORE_END: u32 = 3;
/// A leaf is renewed when this part of its life is left.
const LEAF_PART_LEFT: u32 = 3;
/// The wall clock is looked at this often, since it may jump (hibernation, migration).
const CHECK_EVERY: Duration = Duration::from_secs(60);

/// What matters of the Secret's contents.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Facts {
    /// The end of the CA whose key is there.
    pub(crate) authority_ends: Option<SystemTime>,
    /// The leaf, if clients accept it.
    pub(crate) leaf: Option<LeafFacts>,
    /// Whether `ca.crt` holds CAs beyond their end.
    pub(crate) has_expired_authorities: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LeafFacts {
    pub(crate) ends: SystemTime,
    /// Whether the CA whose key is there has issued it, not an older one.
    pub(crate) is_of_authority: bool,
}

/// What to change; nothing is the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) new_authority: bool,
    pub(crate) new_leaf: bool,
    /// Leave out CAs beyond their end.
    pub(crate) prune: bool,
}

/// What to do at `now`, and when to look again. `announced_since` is when those who must trust the CAs
/// were told of them as they are now.
pub(crate) fn plan(
    facts: &Facts,
    announced_since: Option<SystemTime>,
    profile: &Profile,
    now: SystemTime,
) -> (Plan, Duration) {
    let lives_for = |end: SystemTime, at_least: Duration| {
        end.duration_since(now).is_ok_and(|left| left > at_least)
    };
    let authority_margin = profile.leaf_lifetime.saturating_mul(LEAVES_BEFORE_END);
    let new_authority = !facts
        .authority_ends
        .is_some_and(|end| lives_for(end, authority_margin));
    let mut look_again = CHECK_EVERY;
    let new_leaf = match &facts.leaf {
        None => true,
        // Its successor's CA is not known yet to those who must trust it.
        Some(_) if new_authority => false,
        Some(leaf) if leaf.is_of_authority => {
            let part_left = part_left(profile.leaf_lifetime);
            let left = leaf.ends.duration_since(now).unwrap_or_default();
            look_again = look_again.min(left.saturating_sub(part_left));
            left <= part_left
        }
        Some(_) => announced_since.is_some_and(|since| {
            let age = now.duration_since(since).unwrap_or_default();
            look_again = look_again.min(profile.announced_for.saturating_sub(age));
            is_announced(since, profile, now)
        }),
    };
    let plan = Plan {
        new_authority,
        new_leaf,
        prune: facts.has_expired_authorities,
    };
    (plan, look_again.max(Duration::from_secs(1)))
}

/// Whether those who must trust the CAs have known them for long enough.
pub(crate) fn is_announced(since: SystemTime, profile: &Profile, now: SystemTime) -> bool {
    let age = now.duration_since(since).unwrap_or_default();
    age >= profile.announced_for
}

/// A leaf is renewed when so much of its life is left.
pub(crate) fn part_left(lifetime: Duration) -> Duration {
    lifetime / LEAF_PART_LEFT
}

impl Plan {
    pub(crate) fn is_nothing(self) -> bool {
        self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::{serving_certificate, signing_link};

    const LEAF: Duration = Duration::from_secs(900);
    const ANNOUNCED_FOR: Duration = Duration::from_secs(60);
    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn profile() -> Profile {
        Profile {
            authority_name: "CA",
            dns_names: Vec::new(),
            ca_lifetime: LEAF * 10,
            leaf_lifetime: LEAF,
            announced_for: ANNOUNCED_FOR,
        }
    }

    fn after(seconds: u64) -> SystemTime {
        NOW + Duration::from_secs(seconds)
    }

    fn this_ca_s(ends: u64) -> Option<LeafFacts> {
        Some(LeafFacts {
            ends: after(ends),
            is_of_authority: true,
        })
    }

    fn older_ca_s(ends: u64) -> Option<LeafFacts> {
        this_ca_s(ends).map(|leaf| LeafFacts {
            is_of_authority: false,
            ..leaf
        })
    }

    const FAR: Option<u64> = Some(1_000_000);
    const NOTHING: (bool, bool) = (false, false);
    const CA: (bool, bool) = (true, false);
    const CERTIFICATE: (bool, bool) = (false, true);
    const BOTH: (bool, bool) = (true, true);

    #[test]
    fn what_is_renewed_when() {
        // End of the CA, leaf, seconds since the announcement; what is new, seconds to the next look.
        let rows = [
            (None, None, None, BOTH, 60),
            (None, older_ca_s(900), Some(3600), CA, 60),
            (FAR, None, None, CERTIFICATE, 60),
            (FAR, this_ca_s(900), None, NOTHING, 60),
            (FAR, this_ca_s(330), None, NOTHING, 30),
            (FAR, this_ca_s(301), None, NOTHING, 1),
            (FAR, this_ca_s(300), None, CERTIFICATE, 1),
            // The CA's own turn comes, whatever the leaf's age.
            (Some(2701), this_ca_s(900), None, NOTHING, 60),
            (Some(2700), this_ca_s(900), Some(3600), CA, 60),
            (Some(2700), this_ca_s(10), Some(3600), CA, 60),
            // The new CA's first leaf waits for the announcement, whatever the old one's age.
            (FAR, older_ca_s(900), None, NOTHING, 60),
            (FAR, older_ca_s(10), None, NOTHING, 60),
            (FAR, older_ca_s(900), Some(0), NOTHING, 60),
            (FAR, older_ca_s(900), Some(59), NOTHING, 1),
            (FAR, older_ca_s(900), Some(60), CERTIFICATE, 1),
        ];
        for (authority_ends, leaf, announced_ago, new, next) in rows {
            let facts = Facts {
                authority_ends: authority_ends.map(after),
                leaf,
                has_expired_authorities: false,
            };
            let announced = announced_ago.map(|ago| NOW - Duration::from_secs(ago));
            let (plan, look_again) = plan(&facts, announced, &profile(), NOW);
            let outcome = (plan.new_authority, plan.new_leaf);
            assert_eq!((outcome, look_again.as_secs()), (new, next), "{facts:?}");
            assert!(!plan.prune);
        }
    }

    #[test]
    fn an_announcement_from_the_future_is_no_announcement_yet() {
        let facts = Facts {
            authority_ends: FAR.map(after),
            leaf: older_ca_s(900),
            has_expired_authorities: false,
        };
        let (plan, _) = plan(&facts, Some(after(9)), &profile(), NOW);
        assert!(plan.is_nothing());
    }

    #[test]
    fn no_renewal_outruns_what_its_peers_know() {
        let shortest = Duration::from_secs(crate::config::MIN_LEAF_SECONDS);
        let link = signing_link::profile();
        for (leaf, announced_for) in [
            (shortest, serving_certificate::ANNOUNCED_FOR),
            (link.leaf_lifetime, link.announced_for),
        ] {
            // The old CA's leaf is served meanwhile, and it may have been about to be renewed.
            assert!(announced_for < part_left(leaf), "{leaf:?}");
            // The old CA is trusted for a whole life of a leaf after the last leaf that it issued.
            let left = leaf.saturating_mul(LEAVES_BEFORE_END);
            assert!(left >= announced_for + 2 * leaf, "{leaf:?}");
        }
    }

    #[test]
    fn expired_authorities_are_left_out() {
        let facts = Facts {
            authority_ends: Some(after(1_000_000)),
            leaf: this_ca_s(900),
            has_expired_authorities: true,
        };
        let (plan, _) = plan(&facts, None, &profile(), NOW);
        assert!(plan.prune && !plan.new_leaf && !plan.new_authority && !plan.is_nothing());
    }
}

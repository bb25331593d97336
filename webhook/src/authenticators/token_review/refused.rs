//! Tokens that a TokenReview server has just refused.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

/// How long a refusal counts.
///
/// A client that repeats a bad token causes one call in this time. A token that becomes good in between is refused until
/// its end, so it is shorter than a user takes to try again.
const LIFETIME: Duration = Duration::from_secs(5);

/// Most refusals that are remembered; the oldest gives way. One takes about 150 bytes.
const CAPACITY: usize = 4096;

/// SHA-256 of a token: the token itself is not kept.
pub(super) type TokenHash = [u8; 32];

/// The hash of `token`.
pub(super) fn token_hash(token: &SecretString) -> TokenHash {
    let digest = digest(&SHA256, token.expose_secret().as_bytes());
    let mut hash = TokenHash::default();
    // Both have 32 bytes; unequal ones would leave zeros, under which no token is found.
    hash.iter_mut()
        .zip(digest.as_ref())
        .for_each(|(to, from)| *to = *from);
    hash
}

/// Remembers refusals for [`LIFETIME`].
#[derive(Default)]
pub(super) struct RefusedTokens {
    hashes: HashSet<TokenHash>,
    by_age: VecDeque<(Instant, TokenHash)>,
}

impl RefusedTokens {
    /// Notes a refusal at `now`, no earlier than any before.
    pub(super) fn insert(&mut self, hash: TokenHash, now: Instant) {
        self.forget_old(now);
        if !self.hashes.insert(hash) {
            return;
        }
        self.by_age.push_back((now, hash));
        if self.by_age.len() > CAPACITY {
            self.forget_oldest();
        }
    }

    /// Whether that token was refused shortly before `now`.
    pub(super) fn contains(&mut self, hash: &TokenHash, now: Instant) -> bool {
        self.forget_old(now);
        self.hashes.contains(hash)
    }

    fn forget_old(&mut self, now: Instant) {
        while self
            .by_age
            .front()
            .is_some_and(|(since, _)| now.duration_since(*since) >= LIFETIME)
        {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, hash)) = self.by_age.pop_front() {
            self.hashes.remove(&hash);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(number: usize) -> TokenHash {
        token_hash(&number.to_string().into())
    }

    #[test]
    fn a_refusal_counts_for_its_lifetime_from_the_first_on() {
        let (mut refused, start) = (RefusedTokens::default(), Instant::now());
        assert!(!refused.contains(&hash(1), start));
        refused.insert(hash(1), start);
        refused.insert(hash(1), start + LIFETIME / 2);
        assert!(refused.contains(&hash(1), start + LIFETIME - Duration::from_nanos(1)));
        assert!(!refused.contains(&hash(2), start));
        assert!(!refused.contains(&hash(1), start + LIFETIME));
        refused.insert(hash(1), start + LIFETIME);
        assert!(
            refused.contains(&hash(1), start + LIFETIME),
            "refused once more"
        );
    }

    #[test]
    fn only_so_many_are_remembered_and_the_oldest_give_way() {
        let (mut refused, start) = (RefusedTokens::default(), Instant::now());
        for number in 0..CAPACITY + 10 {
            refused.insert(hash(number), start);
        }
        assert_eq!(
            (refused.hashes.len(), refused.by_age.len()),
            (CAPACITY, CAPACITY)
        );
        assert!(!refused.contains(&hash(9), start));
        assert!(refused.contains(&hash(10), start));
        assert!(!refused.contains(&hash(10), start + LIFETIME));
        assert_eq!((refused.hashes.len(), refused.by_age.len()), (0, 0));
    }

    #[test]
    fn tokens_are_known_by_their_sha_256() {
        let hash = token_hash(&"abc".to_owned().into());
        assert_eq!(hash[..4], [0xba, 0x78, 0x16, 0xbf]);
        assert_eq!(hash[28..], [0xf2, 0x00, 0x15, 0xad]);
    }
}

//! What each source holds of something that all share.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::source::Source;

/// Counts what sources hold, and lets none hold more than so much.
#[derive(Debug)]
pub(super) struct Shares {
    most: usize,
    /// Of those that hold something.
    held: Mutex<HashMap<Source, usize>>,
}

/// What one request of a source holds, given back when dropped.
#[derive(Debug)]
pub(super) struct Share<'a> {
    shares: &'a Shares,
    source: Source,
    amount: usize,
}

impl Shares {
    /// Nobody holds anything; later each source up to `most`.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            held: Mutex::default(),
        }
    }

    /// The share of one more request of `source`, which holds nothing yet.
    pub(super) const fn of(&self, source: Source) -> Share<'_> {
        Share {
            shares: self,
            source,
            amount: 0,
        }
    }

    #[cfg(test)]
    fn sources(&self) -> usize {
        self.held.lock().unwrap().len()
    }
}

impl Share<'_> {
    /// Holds `more` as well, unless its source would hold too much then.
    #[must_use]
    pub(super) fn grow(&mut self, more: usize) -> bool {
        let mut held = self
            .shares
            .held
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let before = held.get(&self.source).copied().unwrap_or_default();
        let Some(after) = before
            .checked_add(more)
            .filter(|&after| after <= self.shares.most)
        else {
            return false;
        };
        held.insert(self.source, after);
        self.amount += more;
        true
    }

    /// Whether it holds anything.
    pub(super) const fn is_empty(&self) -> bool {
        self.amount == 0
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        let mut held = self
            .shares
            .held
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(amount) = held.get_mut(&self.source) {
            *amount -= self.amount;
            if *amount == 0 {
                held.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_source_has_its_share_and_nothing_stays_of_who_has_left() {
        let shares = Shares::new(8);
        let [one, other] = [1, 2].map(|last| Source::V4([192, 0, 2, last].into()));
        let mut first = shares.of(one);
        let mut second = shares.of(one);
        assert!(first.is_empty());
        assert!(first.grow(5) && second.grow(2) && second.grow(1));
        assert!(!first.grow(1) && !second.grow(1) && !shares.of(one).grow(1));
        let mut others = shares.of(other);
        assert!(others.grow(8));
        drop(second);
        assert!(!first.grow(4) && !first.grow(usize::MAX));
        assert!(first.grow(3));
        assert_eq!(shares.sources(), 2);
        drop((first, others));
        assert_eq!(shares.sources(), 0);
    }
}

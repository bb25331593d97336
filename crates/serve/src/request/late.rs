//! Bodies that are long in coming, counted by who sends them.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::source::Source;

/// How many of one source may be late at a time. Each takes a stream of the connection on which
/// everybody's requests come, and what is held with it.
pub(super) const LATE_PER_SOURCE: usize = 8;

/// Late bodies in progress.
#[derive(Debug, Default)]
pub(super) struct LateBodies(Mutex<HashMap<Source, usize>>);

/// The place of one late body, free again when dropped.
#[derive(Debug)]
pub(super) struct LatePlace<'a> {
    bodies: &'a LateBodies,
    source: Source,
}

impl LateBodies {
    /// A place for one more body of `source`, unless it has all that it may have.
    pub(super) fn take(&self, source: Source) -> Option<LatePlace<'_>> {
        let mut by_source = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = by_source.entry(source).or_default();
        if *count >= LATE_PER_SOURCE {
            return None;
        }
        *count += 1;
        Some(LatePlace {
            bodies: self,
            source,
        })
    }

    #[cfg(test)]
    fn sources(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

impl Drop for LatePlace<'_> {
    fn drop(&mut self) {
        let mut by_source = self.bodies.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = by_source.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                by_source.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_source_has_its_places_and_nothing_stays_of_who_has_left() {
        let bodies = LateBodies::default();
        let [one, other] = [1, 2].map(|last| Source::V4([192, 0, 2, last].into()));
        let mut places: Vec<_> = (0..LATE_PER_SOURCE)
            .map(|_| bodies.take(one).unwrap())
            .collect();
        assert!(bodies.take(one).is_none());
        let others = bodies.take(other).unwrap();
        places.pop();
        places.push(bodies.take(one).unwrap());
        assert!(bodies.take(one).is_none());
        assert_eq!(bodies.sources(), 2);
        drop((places, others));
        assert_eq!(bodies.sources(), 0);
    }
}

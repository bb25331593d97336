//! What is wrong at the moment with one part of the signing side.

use std::sync::{Mutex, MutexGuard, PoisonError};

use haulout_operate::error::Complaint;

/// A fault that lasts until it is cleared: for the log once, for readiness as long as it is there.
#[derive(Debug, Default)]
pub(super) struct LastingFault(Mutex<Complaint>);

impl LastingFault {
    /// Keeps `text`; true if it differs from what was kept, so that the log is to have it.
    pub(super) fn note(&self, text: &str) -> bool {
        self.lock().is_new(text)
    }

    pub(super) fn clear(&self) {
        self.lock().settle();
    }

    pub(super) fn text(&self) -> Option<String> {
        self.lock().text().map(str::to_owned)
    }

    fn lock(&self) -> MutexGuard<'_, Complaint> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lasting_fault_is_new_once_and_kept_until_cleared() {
        let fault = LastingFault::default();
        assert!(fault.note("a"));
        assert!(!fault.note("a"));
        assert!(fault.note("b"));
        assert_eq!(fault.text().as_deref(), Some("b"));
        fault.clear();
        assert_eq!(fault.text(), None);
        assert!(fault.note("b"));
    }
}

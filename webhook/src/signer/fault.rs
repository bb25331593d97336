//! What is wrong at the moment with one part of the signing side.

use std::sync::{Mutex, PoisonError};

/// A fault that lasts until it is cleared: for the log once, for readiness as long as it is there.
#[derive(Debug, Default)]
pub(super) struct Fault(Mutex<Option<String>>);

impl Fault {
    /// Keeps `text`; true if it differs from what was kept, so that the log is to have it.
    pub(super) fn note(&self, text: &str) -> bool {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = noted.as_deref() != Some(text);
        if is_new {
            *noted = Some(text.to_owned());
        }
        is_new
    }

    pub(super) fn clear(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(super) fn text(&self) -> Option<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lasting_fault_is_new_once_and_kept_until_cleared() {
        let fault = Fault::default();
        assert!(fault.note("a"));
        assert!(!fault.note("a"));
        assert!(fault.note("b"));
        assert_eq!(fault.text().as_deref(), Some("b"));
        fault.clear();
        assert_eq!(fault.text(), None);
        assert!(fault.note("b"));
    }
}

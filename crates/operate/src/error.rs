//! How errors are put into words, and how often.

use std::error::Error;

/// An error with the causes below it, in one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// Remembers what was complained of last, so that a fault that lasts is reported once and not at
/// each attempt.
#[derive(Debug, Default)]
pub struct Complaint(Option<String>);

impl Complaint {
    /// Whether `text` differs from the complaint before it.
    pub fn is_new(&mut self, text: &str) -> bool {
        let is_new = self.0.as_deref() != Some(text);
        if is_new {
            self.0 = Some(text.to_owned());
        }
        is_new
    }

    /// What was complained of last, as long as it lasts.
    pub fn text(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// Forgets it, when things went well; true if there was one.
    pub fn settle(&mut self) -> bool {
        self.0.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("failed to read x")]
    struct Outer(#[source] io::Error);

    #[test]
    fn causes_follow_the_error() {
        let error = Outer(io::Error::other("disk on fire"));
        assert_eq!(chain(&error), "failed to read x: disk on fire");
    }

    #[test]
    fn a_lasting_fault_is_new_once() {
        let mut complaint = Complaint::default();
        assert!(!complaint.settle());
        assert!(complaint.is_new("a"));
        assert!(!complaint.is_new("a"));
        assert!(complaint.is_new("b"));
        assert!(complaint.settle());
        assert!(complaint.is_new("b"));
    }
}

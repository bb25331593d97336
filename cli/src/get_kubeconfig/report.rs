//! What the administrator is told while it goes on.

use std::fmt;
use std::io::Write;

use crate::printable;

/// Lines on standard error.
pub(super) struct Report<'a>(pub(super) &'a mut dyn Write);

impl Report<'_> {
    /// A line about what was found.
    pub(super) fn say(&mut self, line: fmt::Arguments<'_>) {
        // Nobody is left to tell when stderr is closed.
        drop(writeln!(self.0, "{}", printable(&line.to_string())));
    }

    /// A line about what is to be known, or done otherwise.
    pub(super) fn warn(&mut self, line: fmt::Arguments<'_>) {
        self.say(format_args!("Warning: {line}"));
    }
}

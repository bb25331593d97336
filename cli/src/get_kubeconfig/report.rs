//! What the administrator is told while it goes on.

use std::fmt;

use crate::console::Console;
use crate::printable;

/// Lines on standard error.
pub(super) struct Report<'a>(pub(super) &'a Console<'a>);

impl Report<'_> {
    /// A line about what was found.
    pub(super) fn say(&self, line: fmt::Arguments<'_>) {
        self.0.tell(&printable(&line.to_string()));
    }

    /// A line about what is to be known, or done otherwise.
    pub(super) fn warn(&self, line: fmt::Arguments<'_>) {
        self.say(format_args!("Warning: {line}"));
    }
}

//! What a user is told while a command works. It goes to standard error: standard output is the result's alone.

mod warning;

use std::cell::{RefCell, RefMut};
use std::fmt;
use std::io::Write;

use http::HeaderMap;

use crate::Environment;

/// Standard error, for one run of the program.
pub(crate) struct Console<'a> {
    stderr: RefCell<&'a mut dyn Write>,
    is_verbose: bool,
    /// What was warned of already.
    warnings: RefCell<Vec<String>>,
}

impl<'a> Console<'a> {
    /// Shows what is going on if the user asked for it, by a flag or, as for Pinniped's CLI, by a variable.
    pub(crate) fn new(
        stderr: &'a mut dyn Write,
        verbose: bool,
        environment: Environment<'_>,
    ) -> Self {
        let debug = || environment("PINNIPED_DEBUG").is_some_and(|value| value == "true");
        Self {
            stderr: RefCell::new(stderr),
            is_verbose: verbose || debug(),
            warnings: RefCell::default(),
        }
    }

    /// The stream itself, for questions.
    pub(crate) fn stderr(&self) -> RefMut<'_, &'a mut dyn Write> {
        self.stderr.borrow_mut()
    }

    /// Tells the user something. A line that cannot be printed is no reason to fail: whoever does not listen has to be told
    /// nothing.
    pub(crate) fn tell(&self, text: &str) {
        drop(writeln!(self.stderr(), "{text}"));
    }

    /// Tells what is going on, to those who want to know; for others the line is not even made. It must hold no secret.
    pub(crate) fn debug(&self, line: impl FnOnce() -> String) {
        if self.is_verbose {
            self.tell(&format!("Debug: {}", crate::printable(&line())));
        }
    }

    /// Tells a fault that is no reason to fail, to those who want to know.
    pub(crate) fn debug_error(&self, error: &dyn std::error::Error) {
        self.debug(|| crate::chain(error));
    }

    /// Shows the `Warning` headers of an answer (RFC 7234, 5.5), each text once. A text that repeats one of `secrets`, which
    /// were sent, is not shown.
    pub(crate) fn warn(&self, headers: &HeaderMap, secrets: &[&str]) {
        for value in headers.get_all(http::header::WARNING) {
            for text in warning::texts(&String::from_utf8_lossy(value.as_bytes())) {
                let mut shown = self.warnings.borrow_mut();
                let repeats = |secret: &&str| !secret.is_empty() && text.contains(secret);
                if shown.contains(&text) || secrets.iter().any(repeats) {
                    continue;
                }
                self.tell(&format!("Warning: {}", haulout_https::foreign(&text)));
                shown.push(text);
            }
        }
    }
}

impl fmt::Debug for Console<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Console")
            .field("is_verbose", &self.is_verbose)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(warnings: &[&str]) -> HeaderMap {
        let pairs = warnings
            .iter()
            .map(|value| (http::header::WARNING, value.parse().unwrap()));
        pairs.collect()
    }

    fn shown(work: impl FnOnce(&Console<'_>)) -> String {
        let mut stderr = Vec::new();
        work(&Console::new(&mut stderr, false, &|_| None));
        String::from_utf8(stderr).unwrap()
    }

    #[test]
    fn c102_each_warning_is_shown_once() {
        let text = shown(|console| {
            let both = headers(&[r#"299 - "one""#, r#"299 - "two", 299 - "one""#]);
            console.warn(&both, &[]);
            console.warn(&both, &[]);
        });
        assert_eq!(text, "Warning: one\nWarning: two\n");
    }

    #[test]
    fn warnings_steer_no_terminal_and_flood_none() {
        let text = shown(|console| {
            let mut headers = headers(&[&format!("299 - \"{}\"", "x".repeat(1000))]);
            let tab = http::HeaderValue::from_bytes(b"299 - \"a\tb\xc2\x9bc\"").unwrap();
            headers.append(http::header::WARNING, tab);
            console.warn(&headers, &[]);
        });
        assert!(text.lines().all(|line| line.len() < 350), "{text}");
        assert!(text.contains(r"a\tb\u{9b}c"), "{text}");
    }

    #[test]
    fn warnings_that_repeat_a_secret_are_not_shown() {
        let text = shown(|console| {
            console.warn(
                &headers(&[r#"299 - "your token abc is old""#]),
                &["", "abc"],
            );
        });
        assert_eq!(text, "");
    }

    #[test]
    fn only_those_who_ask_are_told_what_is_going_on() {
        let on = |value: &'static str| move |_: &str| Some(value.into());
        for (verbose, value, expected) in [
            (false, "", ""),
            (false, "1", ""),
            (false, "true", "Debug: a b\n"),
            (true, "", "Debug: a b\n"),
        ] {
            let mut stderr = Vec::new();
            let console = Console::new(&mut stderr, verbose, &on(value));
            console.debug(|| "a\nb".to_owned());
            assert_eq!(String::from_utf8(stderr).unwrap(), expected);
        }
    }
}

//! What a user is told while a command works. It goes to standard error: standard output is the result's alone.

mod warning;

use std::cell::RefCell;
use std::fmt;
use std::io::{self, Write};

use http::{HeaderMap, Method, StatusCode};

use crate::Environment;

/// Prints a text on standard error, whole and at once.
pub(crate) type Print<'a> = &'a dyn Fn(&str) -> io::Result<()>;

/// Prints on `stderr`.
pub(crate) fn print_to(stderr: &RefCell<&mut dyn Write>, text: &str) -> io::Result<()> {
    let mut stderr = stderr.borrow_mut();
    stderr.write_all(text.as_bytes())?;
    stderr.flush()
}

/// Standard error, for one run of the program.
pub(crate) struct Console<'a> {
    print: Print<'a>,
    is_verbose: bool,
    /// What was warned of already.
    warnings: RefCell<Vec<String>>,
}

impl<'a> Console<'a> {
    /// Shows what is going on if the user asked for it, by a flag or, as for Pinniped's CLI, by a variable.
    pub(crate) fn new(print: Print<'a>, verbose: bool, environment: Environment<'_>) -> Self {
        let debug = || environment("PINNIPED_DEBUG").is_some_and(|value| value == "true");
        Self {
            print,
            is_verbose: verbose || debug(),
            warnings: RefCell::default(),
        }
    }

    /// Tells the user something. A line that cannot be printed is no reason to fail: whoever does not listen has to be told
    /// nothing.
    pub(crate) fn tell(&self, text: &str) {
        drop((self.print)(&format!("{text}\n")));
    }

    /// Tells what may be of others, as one line that cannot steer a terminal.
    pub(crate) fn say(&self, line: fmt::Arguments<'_>) {
        self.tell(&crate::printable(&line.to_string()));
    }

    /// Begins a line that the user goes on with.
    pub(crate) fn prompt(&self, text: &str) -> io::Result<()> {
        (self.print)(text)
    }

    /// Tells what is going on, to those who want to know; for others the line is not even made. It must hold no secret.
    pub(crate) fn debug(&self, line: impl FnOnce() -> String) {
        if self.is_verbose {
            self.say(format_args!("Debug: {}", line()));
        }
    }

    /// Tells what a server answered to a call for `what`; the place is its URL without what may be secret in it.
    pub(crate) fn debug_answer(
        &self,
        what: &dyn fmt::Display,
        call: (&Method, &dyn fmt::Display),
        status: StatusCode,
        audit_id: Option<&str>,
    ) {
        let (method, place) = call;
        let id = audit_id.map_or_else(String::new, |id| format!(", Audit-ID {id}"));
        self.debug(|| format!("{what}: {method} {place}: {status}{id}"));
    }

    /// Tells a fault that is no reason to fail, to those who want to know.
    pub(crate) fn debug_error(&self, error: &dyn std::error::Error) {
        self.debug(|| crate::chain(error));
    }

    /// Tells a fault that is no reason to fail, to those who want to know, or have `asked` for this kind alone.
    pub(crate) fn report(&self, error: &dyn std::error::Error, asked: bool) {
        match asked {
            true => self.say(format_args!("Debug: {}", crate::chain(error))),
            false => self.debug_error(error),
        }
    }

    /// Tells a fault that is no reason to fail, to everybody, once.
    pub(crate) fn warn_of(&self, error: &dyn std::error::Error) {
        let text = crate::chain(error);
        if !self.warnings.borrow().contains(&text) {
            self.say(format_args!("Warning: {text}"));
            self.warnings.borrow_mut().push(text);
        }
    }

    /// Shows the `Warning` headers of an answer (RFC 7234, 5.5), each text once. A text that repeats one of `secrets`, which
    /// were sent, is not shown.
    pub(crate) fn warn(&self, headers: &HeaderMap, secrets: &[&str]) {
        for value in headers.get_all(http::header::WARNING) {
            for text in warning::texts(&String::from_utf8_lossy(value.as_bytes())) {
                let mut shown = self.warnings.borrow_mut();
                if shown.contains(&text) || repeats(&text, secrets) {
                    continue;
                }
                self.tell(&format!("Warning: {}", haulout_https::foreign(&text)));
                shown.push(text);
            }
        }
    }
}

/// Whether a text of a server repeats one of `secrets`, which were sent to it.
pub(crate) fn repeats(text: &str, secrets: &[&str]) -> bool {
    let repeats = |secret: &&str| !secret.is_empty() && text.contains(secret);
    secrets.iter().any(repeats)
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
        shown_by(false, &|_| None, work)
    }

    fn shown_by(
        verbose: bool,
        environment: Environment<'_>,
        work: impl FnOnce(&Console<'_>),
    ) -> String {
        let stderr = RefCell::new(String::new());
        let print = |text: &str| {
            stderr.borrow_mut().push_str(text);
            Ok(())
        };
        work(&Console::new(&print, verbose, environment));
        stderr.into_inner()
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
            let text = shown_by(verbose, &on(value), |console| {
                console.debug(|| "a\nb".to_owned());
            });
            assert_eq!(text, expected);
        }
    }
}

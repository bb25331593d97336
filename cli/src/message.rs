//! Messages: one line each, whoever has written what stands in it.

use std::error::Error;

/// What a message ends with where there is more to say.
pub(crate) fn after_colon(text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!(": {text}")
    }
}

/// The error and its causes in one line, as Go's wrapped errors read. Some errors of libraries tell their cause themselves; it is not
/// told again.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let told = error.to_string();
        if !text.ends_with(&told) {
            text.push_str(": ");
            text.push_str(&told);
        }
        cause = error.source();
    }
    text
}

/// Text that may be of others, as one line that cannot steer a terminal.
pub(crate) fn printable(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\'' | '\\' => line.push(c),
            c if c.is_whitespace() => line.push(' '),
            c => line.extend(c.escape_debug()),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Fault {
        #[error("failed")]
        Silent(#[source] io::Error),
        #[error("failed: {0}")]
        Telling(#[source] io::Error),
    }

    #[test]
    fn each_cause_is_told_once() {
        let cause = || io::Error::other("away");
        for error in [Fault::Silent(cause()), Fault::Telling(cause())] {
            assert_eq!(chain(&error), "failed: away");
        }
    }

    #[test]
    fn what_is_printed_stays_in_its_line_and_steers_no_terminal() {
        let cases = [
            (r#"it's "a\b" für 東京"#, r#"it's "a\b" für 東京"#),
            ("a\nb\tc\r\u{2028}\u{85}d", "a b c   d"),
            ("\u{1b}[2J\u{9b}\u{7f}", r"\u{1b}[2J\u{9b}\u{7f}"),
            ("a\u{202e}b\u{200b}", r"a\u{202e}b\u{200b}"),
        ];
        for (text, expected) in cases {
            assert_eq!(printable(text), expected);
        }
    }
}

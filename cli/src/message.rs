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

/// The error and its causes in one line, as Go's wrapped errors read.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
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
    use super::*;

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

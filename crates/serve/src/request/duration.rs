//! Durations as Go writes them.

use std::time::Duration;

use crate::go_quote::{GoQuoted, clip};

/// Reads a duration such as `1m30s` or `1.5h` (`time.ParseDuration`); `None` for nothing and
/// less. One that is too long to count is the longest.
///
/// # Errors
/// Go's own words for what is wrong.
pub(super) fn parse(text: &str) -> Result<Option<Duration>, String> {
    let invalid = || format!("time: invalid duration {}", GoQuoted(clip(text, 253)));
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if unsigned == "0" {
        return Ok(None);
    }
    let mut rest = unsigned;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let (number, tail) = split_at_first(rest, |c| !c.is_ascii_digit() && c != '.');
        let (unit, tail) = split_at_first(tail, |c| c.is_ascii_digit() || c == '.');
        rest = tail;
        let number: f64 = match number {
            "" | "." => return Err(invalid()),
            number => number.parse().map_err(|_| invalid())?,
        };
        seconds += number
            * match unit {
                "ns" => 1e-9,
                // The micro sign and the Greek letter.
                "us" | "\u{b5}s" | "\u{3bc}s" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                "" => {
                    let text = GoQuoted(clip(text, 253));
                    return Err(format!("time: missing unit in duration {text}"));
                }
                unit => {
                    let (unit, text) = (GoQuoted(clip(unit, 253)), GoQuoted(clip(text, 253)));
                    return Err(format!("time: unknown unit {unit} in duration {text}"));
                }
            };
    }
    if unsigned.is_empty() {
        return Err(invalid());
    }
    if negative || seconds <= 0.0 {
        return Ok(None);
    }
    Ok(Some(
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX),
    ))
}

fn split_at_first(text: &str, stop: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(stop).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_duration_is_refused_in_the_words_of_go() {
        let cases = [
            ("abc", "time: invalid duration \"abc\""),
            ("-", "time: invalid duration \"-\""),
            (".s", "time: invalid duration \".s\""),
            ("1.2.3s", "time: invalid duration \"1.2.3s\""),
            ("5", "time: missing unit in duration \"5\""),
            ("1h5", "time: missing unit in duration \"1h5\""),
            ("5d", "time: unknown unit \"d\" in duration \"5d\""),
            (" 5s", "time: invalid duration \" 5s\""),
            ("1e3s", "time: unknown unit \"e\" in duration \"1e3s\""),
        ];
        for (text, fault) in cases {
            assert_eq!(parse(text), Err(fault.to_owned()), "{text}");
        }
    }

    #[test]
    fn durations_are_read_as_go_does() {
        let cases = [
            ("5s", Some(Duration::from_secs(5))),
            ("1m30s", Some(Duration::from_secs(90))),
            ("+1.5h", Some(Duration::from_secs(5400))),
            ("250ms", Some(Duration::from_millis(250))),
            ("3us", Some(Duration::from_micros(3))),
            ("3µs", Some(Duration::from_micros(3))),
            (".5s", Some(Duration::from_millis(500))),
            ("99999999999999999999999h", Some(Duration::MAX)),
            ("0", None),
            ("0s", None),
            ("-5s", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }
}

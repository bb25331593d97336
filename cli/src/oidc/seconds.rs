//! Spans of time as issuers write them.

use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// Seconds: a number by the RFCs; some issuers write text or a fraction, or what is no span at all, which counts as not said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seconds(pub(crate) Option<Duration>);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = match Value::deserialize(deserializer)? {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        let span = seconds.map(Duration::try_from_secs_f64);
        Ok(Self(span.and_then(Result::ok)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_an_issuer_writes_can_be_read() {
        for (json, expected) in [
            ("3600", Some(3600)),
            ("3600.0", Some(3600)),
            ("\"3600\"", Some(3600)),
            ("0", Some(0)),
            ("-1", None),
            ("18446744073709551615", None),
            ("\"soon\"", None),
            ("null", None),
            ("{}", None),
        ] {
            let seconds: Seconds = serde_json::from_str(json).unwrap();
            assert_eq!(seconds.0, expected.map(Duration::from_secs), "{json}");
        }
    }
}

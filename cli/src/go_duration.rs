//! Durations as Go writes them, which is what flags of Pinniped's CLI hold: `30s`, `1m30s`, `1.5h`, `0`.

use std::time::Duration;

use k8s_openapi::jiff::SignedDuration;

/// Reads one; without a sign, since no flag of ours goes backwards.
pub(crate) fn parse(text: &str) -> Result<Duration, &'static str> {
    const HOW: &str = "write it as 10s, 1m30s or 1.5h";
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let duration: SignedDuration = text.parse().map_err(|_| HOW)?;
    Duration::try_from(duration).map_err(|_| HOW)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_in_go() {
        for (text, millis) in [
            ("0", 0),
            ("0s", 0),
            ("30s", 30_000),
            ("1m30s", 90_000),
            ("1.5h", 5_400_000),
            ("250ms", 250),
            ("1m1ms", 60_001),
            ("1h0m0s", 3_600_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(parse("3µs"), Ok(Duration::from_micros(3)));
        for text in [
            "", "5", "s", "-1s", "1d", "1.2.3s", ".s", "1s2", "ms", "9e9h",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse(&format!("{}h", u64::MAX)).is_err());
    }
}

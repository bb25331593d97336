//! Durations as Go writes them, which is what flags of Pinniped's CLI hold: `30s`, `1m30s`, `1.5h`, `0`.

use std::time::Duration;

/// Longest unit first, so that `ms` is not taken for `m`.
const UNITS: [(&str, f64); 7] = [
    ("ns", 1e-9),
    ("us", 1e-6),
    ("µs", 1e-6),
    ("ms", 1e-3),
    ("s", 1.0),
    ("m", 60.0),
    ("h", 3600.0),
];

/// Reads one; without a sign, since no flag of ours goes backwards.
pub(crate) fn parse(text: &str) -> Result<Duration, &'static str> {
    const WRONG: &str = "write it as 10s, 1m30s or 1.5h";
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.len()
            - rest
                .trim_start_matches(|c: char| c.is_ascii_digit() || c == '.')
                .len();
        let (number, after) = rest.split_at_checked(digits).ok_or(WRONG)?;
        let (seconds, after) = UNITS
            .iter()
            .find_map(|(unit, seconds)| Some((seconds, after.strip_prefix(unit)?)))
            .ok_or(WRONG)?;
        let number: f64 = number.parse().map_err(|_| WRONG)?;
        let part = Duration::try_from_secs_f64(number * seconds).map_err(|_| WRONG)?;
        total = total.checked_add(part).ok_or(WRONG)?;
        rest = after;
    }
    match text {
        "" => Err(WRONG),
        _ => Ok(total),
    }
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
            (".5s", 500),
            ("250ms", 250),
            ("1m1ms", 60_001),
            ("1h0m0s", 3_600_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(parse("3µs"), Ok(Duration::from_micros(3)));
        for text in [
            "", "5", "s", "-1s", "1 s", "1d", "1.2.3s", ".s", "1s2", "ms", "9e9h",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse(&format!("{}h", u64::MAX)).is_err());
    }
}

//! The clock of the user's computer, compared with the cluster's. One that is behind would have the cache, and kubectl, use a
//! certificate beyond its end, which the API server then refuses without a reason.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, header};
use k8s_openapi::jiff::{SignedDuration, Timestamp, fmt::rfc2822};

/// Of a difference, since an answer takes its time and has whole seconds.
const ROOM: Duration = Duration::from_secs(60);

/// How far `now` is behind the time at which a server has answered (`Date`; RFC 9110, 6.6.1), if that is more than chance.
pub(super) fn behind(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let date = headers.get(header::DATE)?.to_str().ok()?;
    let date = rfc2822::parse(date).ok()?.timestamp();
    let behind = SystemTime::from(date).duration_since(now).ok()?;
    (behind > ROOM).then_some(behind)
}

/// When the computer's own clock shows the end.
pub(super) fn earlier(end: Timestamp, behind: Duration) -> Timestamp {
    SignedDuration::try_from(behind)
        .ok()
        .and_then(|behind| end.checked_sub(behind).ok())
        .unwrap_or(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clock_that_is_clearly_behind_counts() {
        let noon = SystemTime::from("2026-11-18T12:00:00Z".parse::<Timestamp>().unwrap());
        for (date, expected) in [
            ("Wed, 18 Nov 2026 12:15:00 GMT", Some(900)),
            ("Wed, 18 Nov 2026 12:01:01 GMT", Some(61)),
            ("Wed, 18 Nov 2026 12:01:00 GMT", None),
            ("Wed, 18 Nov 2026 11:00:00 GMT", None),
            ("noon", None),
        ] {
            let headers = HeaderMap::from_iter([(header::DATE, date.parse().unwrap())]);
            assert_eq!(
                behind(&headers, noon),
                expected.map(Duration::from_secs),
                "{date}"
            );
        }
        assert_eq!(behind(&HeaderMap::new(), noon), None);
        let end: Timestamp = "2026-11-18T12:20:00Z".parse().unwrap();
        assert_eq!(
            earlier(end, Duration::from_secs(900)).to_string(),
            "2026-11-18T12:05:00Z"
        );
        assert_eq!(earlier(end, Duration::MAX), end);
    }
}

//! When a TokenReview server is asked once more.

use std::time::Duration;

use http::{HeaderMap, StatusCode, header};

/// Most calls that one login may cause.
const MAX_CALLS: u32 = 5;

/// Pause after the first call; each later one is longer by half (Kubernetes' `webhook.DefaultRetryBackoff`).
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// Part of itself by which a pause is drawn out at most, so that logins that failed together do not come back together.
const JITTER: f64 = 0.2;

/// What a call without a review came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The connection broke before the answer was whole.
    ConnectionLost,
    /// An answer without a review.
    Status {
        code: StatusCode,
        /// How long the server asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// Any other: the same would come again.
    Lasting,
}

/// How long to wait after call number `calls` before the next, or `None` to give up, when `left` is the time that the
/// login still has. `chance` is 0 to 1.
pub(super) fn pause(failure: Failure, calls: u32, left: Duration, chance: f64) -> Option<Duration> {
    let asked_for = match failure {
        Failure::ConnectionLost => Duration::ZERO,
        Failure::Status { code, retry_after } if is_passing(code) => {
            retry_after.unwrap_or_default()
        }
        Failure::Status { .. } | Failure::Lasting => return None,
    };
    if calls >= MAX_CALLS {
        return None;
    }
    let growth = 1.5_f64.powf(f64::from(calls.saturating_sub(1)));
    let pause = FIRST_PAUSE.mul_f64(growth * (1.0 + JITTER * chance.clamp(0.0, 1.0)));
    Some(pause.max(asked_for)).filter(|&pause| pause < left)
}

fn is_passing(code: StatusCode) -> bool {
    matches!(
        code,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::INTERNAL_SERVER_ERROR
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

/// `Retry-After` in seconds; its other form, a date, does not count.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    value.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLENTY: Duration = Duration::from_secs(60);

    fn status(code: u16, retry_after: Option<u64>) -> Failure {
        Failure::Status {
            code: StatusCode::from_u16(code).unwrap(),
            retry_after: retry_after.map(Duration::from_secs),
        }
    }

    #[test]
    fn only_passing_failures_are_tried_again() {
        for failure in [
            Failure::ConnectionLost,
            status(429, None),
            status(500, None),
            status(502, None),
            status(503, None),
            status(504, None),
        ] {
            assert_eq!(
                pause(failure, 1, PLENTY, 0.0),
                Some(FIRST_PAUSE),
                "{failure:?}"
            );
        }
        for failure in [
            Failure::Lasting,
            status(302, None),
            status(400, None),
            status(401, Some(1)),
            status(403, None),
            status(404, None),
            status(501, None),
        ] {
            assert_eq!(pause(failure, 1, PLENTY, 0.0), None, "{failure:?}");
        }
    }

    #[test]
    fn pauses_grow_and_end_with_the_fifth_call() {
        let pauses: Vec<_> = (1..=6)
            .map(|calls| pause(Failure::ConnectionLost, calls, PLENTY, 0.0))
            .map(|pause| pause.map(|pause| pause.as_micros()))
            .collect();
        let expected = [
            Some(500_000),
            Some(750_000),
            Some(1_125_000),
            Some(1_687_500),
            None,
            None,
        ];
        assert_eq!(pauses, expected);
    }

    #[test]
    fn chance_draws_a_pause_out_by_a_fifth_at_most() {
        for (chance, milliseconds) in [(0.0, 500), (0.5, 550), (1.0, 600), (7.0, 600), (-1.0, 500)]
        {
            assert_eq!(
                pause(status(500, None), 1, PLENTY, chance),
                Some(Duration::from_millis(milliseconds)),
                "{chance}"
            );
        }
    }

    #[test]
    fn the_servers_wish_counts_where_it_is_the_longer() {
        for (retry_after, seconds) in [(0, 0.5), (2, 2.0)] {
            assert_eq!(
                pause(status(429, Some(retry_after)), 1, PLENTY, 0.0),
                Some(Duration::from_secs_f64(seconds))
            );
        }
    }

    #[test]
    fn a_pause_that_outlasts_the_login_is_not_begun() {
        let just_too_short = FIRST_PAUSE;
        assert_eq!(pause(status(500, None), 1, just_too_short, 0.0), None);
        let long_enough = FIRST_PAUSE + Duration::from_nanos(1);
        assert_eq!(
            pause(status(500, None), 1, long_enough, 0.0),
            Some(FIRST_PAUSE)
        );
        assert_eq!(pause(status(503, Some(60)), 1, PLENTY, 0.0), None);
        assert_eq!(pause(status(503, Some(u64::MAX)), 1, PLENTY, 0.0), None);
    }

    #[test]
    fn retry_after_is_read_in_seconds() {
        let of = |value: &str| {
            retry_after(&HeaderMap::from_iter([(
                header::RETRY_AFTER,
                value.parse().unwrap(),
            )]))
        };
        assert_eq!(of("3"), Some(Duration::from_secs(3)));
        assert_eq!(of(" 3 "), Some(Duration::from_secs(3)));
        for other in ["", "-1", "1.5", "Wed, 25 Nov 2026 20:00:00 GMT"] {
            assert_eq!(of(other), None, "{other}");
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}

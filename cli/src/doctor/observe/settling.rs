//! A port that refuses at first: kube-proxy leads to a webhook seconds after kubectl has said that it is ready.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::doctor::observations::Unreachable;

/// Whoever asks right after an installation is not told of a fault that is gone when he reads of it.
const LIMIT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(500);

/// Repeats `attempt` while connections are refused, until the limit: the last answer.
pub(super) async fn settled<T>(
    attempt: impl AsyncFn() -> Result<T, Unreachable>,
) -> Result<T, Unreachable> {
    let deadline = Instant::now() + LIMIT;
    loop {
        match attempt().await {
            Err(Unreachable::ConnectionRefused) if Instant::now() < deadline => sleep(PAUSE).await,
            answer => return answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// The last answer of a port that refuses so often, and how often it was asked for.
    async fn after(refusals: u32) -> (Unreachable, u32) {
        let asked = Cell::new(0);
        let answer = settled(async || {
            asked.set(asked.get() + 1);
            Err::<(), _>(match asked.get() > refusals {
                true => Unreachable::TimedOut,
                false => Unreachable::ConnectionRefused,
            })
        });
        (answer.await.unwrap_err(), asked.get())
    }

    #[tokio::test(start_paused = true)]
    async fn only_refused_connections_are_repeated_and_not_for_ever() {
        let (answer, asked) = after(3).await;
        assert!(matches!(answer, Unreachable::TimedOut), "{answer:?}");
        assert_eq!(asked, 4);
        let (answer, asked) = after(u32::MAX).await;
        let refused = matches!(answer, Unreachable::ConnectionRefused);
        assert!(refused, "{answer:?}");
        assert_eq!(asked, 11);
    }
}

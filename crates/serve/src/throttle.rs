//! Log lines that outsiders can provoke, held down to one now and then.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Lets one event pass in each interval.
#[derive(Debug)]
pub struct Throttle {
    interval: Duration,
    epoch: Instant,
    /// Milliseconds since the epoch.
    next: AtomicU64,
}

impl Throttle {
    /// One whose first event passes.
    pub fn new(interval: Duration) -> Self {
        Self {
            interval,
            epoch: Instant::now(),
            next: AtomicU64::new(0),
        }
    }

    /// Whether this event is the first of its interval.
    pub fn lets_pass(&self) -> bool {
        let (now, due) = (
            millis(self.epoch.elapsed()),
            self.next.load(Ordering::Relaxed),
        );
        let next = now.saturating_add(millis(self.interval));
        now >= due
            && self
                .next
                .compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}

/// Whole milliseconds, as many as fit.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_event_passes_in_each_interval() {
        let throttle = Throttle::new(Duration::from_secs(10));
        assert!(throttle.lets_pass());
        assert!(!throttle.lets_pass());
        tokio::time::advance(Duration::from_secs(9)).await;
        assert!(!throttle.lets_pass());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(throttle.lets_pass());
        assert!(!throttle.lets_pass());
    }
}

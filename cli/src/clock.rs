//! The time of one run of the program.

use std::time::{Duration, SystemTime};

/// The time that a run began at, and goes on from there. A login with a browser takes minutes, and a computer that sleeps
/// meanwhile wakes up later.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: SystemTime,
    begun: Duration,
}

impl Clock {
    pub(crate) fn starting_at(start: SystemTime) -> Self {
        Self {
            start,
            begun: uptime(),
        }
    }

    pub(crate) fn now(&self) -> SystemTime {
        self.start + uptime().saturating_sub(self.begun)
    }
}

/// How long the system is up, with the time that it slept: Rust's own `Instant` stands still then.
#[cfg(target_os = "linux")]
fn uptime() -> Duration {
    elapsed(rustix::time::ClockId::Boottime)
}

/// The same; here this clock goes on while the system sleeps, and Rust's own `Instant` does not.
#[cfg(target_os = "macos")]
fn uptime() -> Duration {
    elapsed(rustix::time::ClockId::Monotonic)
}

#[cfg(any(target_os = "linux", target_os = "macos"))]
fn elapsed(clock: rustix::time::ClockId) -> Duration {
    let time = rustix::time::clock_gettime(clock);
    time.try_into().unwrap_or_default()
}

/// How long the program runs. Whether this counts sleep is the system's choice.
#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn uptime() -> Duration {
    use std::sync::LazyLock;
    use std::time::Instant;

    static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);
    BEGUN.elapsed()
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    /// Of which the system tells hundredths.
    const TOLD: Duration = Duration::from_millis(10);

    /// What the system tells, which counts sleep.
    fn told() -> Duration {
        let text = std::fs::read_to_string("/proc/uptime").unwrap();
        let (seconds, rest) = text.split_once('.').unwrap();
        let (hundredths, _) = rest.split_once(' ').unwrap();
        Duration::from_secs(seconds.parse().unwrap()) + TOLD * hundredths.parse().unwrap()
    }

    #[test]
    fn uptime_is_that_of_the_system() {
        let before = told();
        let uptime = uptime();
        let after = told() + TOLD;
        assert!(
            (before..=after).contains(&uptime),
            "{before:?}, {uptime:?}, {after:?}"
        );
    }
}

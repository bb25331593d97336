//! The time of one run of the program.

use std::time::{Instant, SystemTime};

/// The time that a run began at, and goes on from there. A login with a browser takes minutes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: SystemTime,
    begun: Instant,
}

impl Clock {
    pub(crate) fn starting_at(start: SystemTime) -> Self {
        Self {
            start,
            begun: Instant::now(),
        }
    }

    pub(crate) fn now(&self) -> SystemTime {
        self.start + self.begun.elapsed()
    }
}

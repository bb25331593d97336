//! TLS handshakes in progress: work that anybody can cause, before anything is known of him.

use std::collections::VecDeque;

use tokio_util::sync::{CancellationToken, DropGuard};

/// Bounds the handshakes in progress. A newcomer never waits for those who dawdle: it takes the
/// turn of the handshake that began longest ago. An honest one takes milliseconds, in which nobody
/// brings on as many others.
pub(super) struct Handshakes {
    /// The latest, oldest first; many of them have ended by themselves.
    turns: VecDeque<DropGuard>,
    limit: usize,
}

impl Handshakes {
    /// At most `limit` at a time, which is more than none.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            turns: VecDeque::with_capacity(limit),
            limit,
        }
    }

    /// Begins one, which must give up when the answer is cancelled. All are when this is dropped.
    pub(super) fn begin(&mut self) -> CancellationToken {
        if self.turns.len() >= self.limit {
            self.turns.pop_front();
        }
        let turn = CancellationToken::new();
        self.turns.push_back(turn.clone().drop_guard());
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newcomer_takes_the_turn_of_the_oldest() {
        let mut handshakes = Handshakes::new(2);
        let (first, second) = (handshakes.begin(), handshakes.begin());
        assert!(!first.is_cancelled());
        let third = handshakes.begin();
        assert!(first.is_cancelled() && !second.is_cancelled() && !third.is_cancelled());
        drop(handshakes);
        assert!(second.is_cancelled() && third.is_cancelled());
    }
}

//! TLS handshakes in progress: work that anybody can cause, before anything is known of him.

use std::collections::VecDeque;

use tokio_util::sync::{CancellationToken, DropGuard};

/// Bounds the handshakes in progress. A newcomer never waits for those who dawdle: it takes the
/// turn of the handshake that began longest ago. An honest one takes a few round trips, and loses
/// its turn only to a flood that brings on as many others meanwhile.
pub(super) struct Handshakes {
    /// Oldest first; those that have ended are cancelled.
    turns: VecDeque<CancellationToken>,
    limit: usize,
}

/// The turn of one handshake, which must give up when it is cancelled. It ends when this is
/// dropped.
pub(super) struct Turn {
    token: CancellationToken,
    _end: DropGuard,
}

impl Handshakes {
    /// At most `limit` at a time, which is more than none.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            turns: VecDeque::with_capacity(limit),
            limit,
        }
    }

    /// Begins one.
    pub(super) fn begin(&mut self) -> Turn {
        self.turns.retain(|turn| !turn.is_cancelled());
        if self.turns.len() >= self.limit
            && let Some(oldest) = self.turns.pop_front()
        {
            oldest.cancel();
        }
        let token = CancellationToken::new();
        self.turns.push_back(token.clone());
        Turn {
            _end: token.clone().drop_guard(),
            token,
        }
    }
}

impl Drop for Handshakes {
    fn drop(&mut self) {
        self.turns.iter().for_each(CancellationToken::cancel);
    }
}

impl Turn {
    /// What `handshake` gives, unless the turn is over before; in any case it is over then.
    pub(super) async fn run<F: Future>(self, handshake: F) -> Option<F::Output> {
        self.token.run_until_cancelled(handshake).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newcomer_takes_the_turn_of_the_oldest_in_progress() {
        let mut handshakes = Handshakes::new(2);
        let (first, second) = (handshakes.begin(), handshakes.begin());
        assert!(!first.token.is_cancelled());
        let third = handshakes.begin();
        assert!(first.token.is_cancelled() && !second.token.is_cancelled());
        drop(third);
        let fourth = handshakes.begin();
        assert!(!second.token.is_cancelled() && !fourth.token.is_cancelled());
        drop(handshakes);
        assert!(second.token.is_cancelled() && fourth.token.is_cancelled());
    }
}

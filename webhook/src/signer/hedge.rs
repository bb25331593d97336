//! One call put to several agents: another is asked after one that failed, and beside one that is
//! silent. Which agents there are and how they are spoken to is the caller's.

use std::pin::pin;
use std::sync::Arc;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant, sleep_until};

use super::Patience;
use super::agent::Agent;
use super::error::{SignerError, Verdict};

/// Who can be asked.
pub(super) trait Candidate {
    /// Is asked only after all others, for a while.
    fn sideline(&self);
}

impl Candidate for Agent {
    fn sideline(&self) {
        Self::sideline(self);
    }
}

/// The first good answer of `candidates`, who are asked in their order, and who gave it. `begun` is
/// when the call began, from which its deadline counts.
///
/// # Errors
/// The most telling failure; `None` where there is nobody to ask.
pub(super) async fn first_answer<C, A, F>(
    candidates: Vec<Arc<C>>,
    ask: impl Fn(Arc<C>) -> F,
    begun: Instant,
    patience: &Patience,
) -> Result<(Arc<C>, A), Option<SignerError>>
where
    C: Candidate,
    F: Future<Output = (Arc<C>, Result<A, SignerError>)>,
{
    let mut candidates = candidates.into_iter();
    let mut calls = FuturesUnordered::new();
    let mut asked = candidates.next();
    calls.extend(asked.clone().map(&ask));
    let mut failure = None;
    let deadline = begun + patience.deadline;
    // Not from `begun`: no agent is slow because the call has waited for another.
    let hedge_at = || (Instant::now() + patience.hedge_after).min(deadline);
    let mut is_hedged = false;
    let mut timer = pin!(sleep_until(hedge_at()));
    loop {
        tokio::select! {
            biased;
            answered = calls.next() => match answered {
                Some((candidate, Ok(answer))) => return Ok((candidate, answer)),
                Some((candidate, Err(error))) => {
                    match error.verdict() {
                        Verdict::Final => return Err(Some(error)),
                        Verdict::Sideline => candidate.sideline(),
                        Verdict::TryAnother => {}
                    }
                    failure = Some(error.more_telling(failure));
                }
                // All were asked and none is left to wait for.
                None => return Err(failure),
            },
            () = &mut timer => {
                if Instant::now() >= deadline {
                    let seconds = patience.deadline.as_secs();
                    return Err(Some(SignerError::DeadlineExceeded(seconds)));
                }
                is_hedged = true;
                timer.as_mut().reset(deadline);
                if let Some(silent) = &asked {
                    silent.sideline();
                }
            }
        }
        if let Some(next) = candidates.next() {
            calls.push(ask(Arc::clone(&next)));
            asked = Some(next);
            if !is_hedged {
                timer.as_mut().reset(hedge_at());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use haulout_api::signing::{SigningFailure, SigningFailureReason};
    use tokio::time::sleep;

    use super::*;

    /// Answers after so many milliseconds, with a refusal if it has one.
    struct Fake {
        answers_after: u64,
        refusal: Option<SigningFailureReason>,
        is_asked: AtomicBool,
        is_sidelined: AtomicBool,
    }

    impl Candidate for Fake {
        fn sideline(&self) {
            self.is_sidelined.store(true, Ordering::Relaxed);
        }
    }

    async fn ask(fake: Arc<Fake>) -> (Arc<Fake>, Result<u64, SignerError>) {
        fake.is_asked.store(true, Ordering::Relaxed);
        sleep(Duration::from_millis(fake.answers_after)).await;
        let outcome = match fake.refusal {
            None => Ok(fake.answers_after),
            Some(reason) => Err(SignerError::Refused {
                agent: "a:1".to_owned(),
                failure: SigningFailure {
                    reason,
                    message: "as told".to_owned(),
                },
            }),
        };
        (fake, outcome)
    }

    /// What came of asking `whom` after a wait of so many milliseconds: the outcome, when it came, how many were asked, and
    /// who goes last from now on.
    async fn outcome(
        waited: u64,
        whom: &[(u64, Option<SigningFailureReason>)],
    ) -> (&'static str, u128, usize, Vec<usize>) {
        let begun = Instant::now();
        sleep(Duration::from_millis(waited)).await;
        let fake = |&(answers_after, refusal): &_| {
            Arc::new(Fake {
                answers_after,
                refusal,
                is_asked: AtomicBool::new(false),
                is_sidelined: AtomicBool::new(false),
            })
        };
        let fakes: Vec<_> = whom.iter().map(fake).collect();
        let outcome = match first_answer(fakes.clone(), ask, begun, &Patience::default()).await {
            Ok(_) => "ok",
            Err(Some(error)) => error.reason(),
            Err(None) => "nobody",
        };
        let is = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
        let asked = fakes.iter().filter(|fake| is(&fake.is_asked)).count();
        let sidelined = (0..fakes.len()).filter(|&one| is(&fakes[one].is_sidelined));
        (
            outcome,
            begun.elapsed().as_millis(),
            asked,
            sidelined.collect(),
        )
    }

    const QUICK: (u64, Option<SigningFailureReason>) = (10, None);
    const SILENT: (u64, Option<SigningFailureReason>) = (3_600_000, None);

    #[tokio::test(start_paused = true)]
    async fn silence_has_another_asked_and_goes_last() {
        assert_eq!(outcome(0, &[QUICK, QUICK]).await, ("ok", 10, 1, vec![]));
        assert_eq!(outcome(0, &[SILENT, QUICK]).await, ("ok", 310, 2, vec![0]));
        let slow = (400, None);
        assert_eq!(outcome(0, &[slow, SILENT]).await, ("ok", 400, 2, vec![0]));
    }

    #[tokio::test(start_paused = true)]
    async fn the_wait_for_a_connection_is_nobodys_silence() {
        let back_again = (200, None);
        let outcome = outcome(1900, &[back_again, QUICK]).await;
        assert_eq!(outcome, ("ok", 2100, 1, vec![]));
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_counts_from_the_beginning() {
        let late = "AgentDeadlineExceeded";
        let all_silent = outcome(0, &[SILENT, SILENT, QUICK]).await;
        assert_eq!(all_silent, (late, 5000, 2, vec![0]));
        assert_eq!(outcome(1900, &[SILENT]).await, (late, 5000, 1, vec![0]));
        assert_eq!(outcome(5000, &[SILENT]).await, (late, 5000, 1, vec![]));
    }

    #[tokio::test(start_paused = true)]
    async fn failures_have_another_asked_at_once() {
        use SigningFailureReason::{KeyUnavailable, RateLimited, RefusedByPolicy};
        let refusing = |reason| (10, Some(reason));
        for (reason, expected) in [
            (KeyUnavailable, ("ok", 20, 2, vec![0])),
            (RateLimited, ("ok", 20, 2, vec![])),
            (RefusedByPolicy, ("RefusedByPolicy", 10, 1, vec![])),
        ] {
            assert_eq!(outcome(0, &[refusing(reason), QUICK]).await, expected);
        }
        assert_eq!(outcome(0, &[]).await, ("nobody", 0, 0, vec![]));
        // Who is asked late is not silent early.
        let late_refusal = (290, Some(KeyUnavailable));
        let outcome = outcome(0, &[late_refusal, (100, None), QUICK]).await;
        assert_eq!(outcome, ("ok", 390, 2, vec![0]));
    }
}

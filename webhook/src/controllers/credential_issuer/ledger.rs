//! What is known of each agent from one canary to the next: a single failure that may mean nothing changes nothing.

use std::collections::BTreeMap;

use super::canary::{Outcome, Sample};

/// How many failures in a row count that may mean nothing alone.
const FAILURES_THAT_COUNT: u32 = 3;

/// An agent as its last canaries show it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Agent {
    /// The last outcome that counts; none yet of a new agent whose first canaries failed.
    pub(super) outcome: Option<Outcome>,
    /// As its last certificate showed.
    pub(super) clock_difference: f64,
    failures: u32,
}

/// The agents that were connected at the last canary, by address.
#[derive(Debug, Default)]
pub(super) struct Ledger(BTreeMap<String, Agent>);

impl Ledger {
    /// Takes in a round of canaries. Agents without a sample are not connected any more.
    pub(super) fn enter(&mut self, round: Vec<Sample>) {
        let mut earlier = std::mem::take(&mut self.0);
        for sample in round {
            let mut agent = earlier.remove(&sample.agent).unwrap_or_default();
            agent.clock_difference = sample.clock_difference.unwrap_or(agent.clock_difference);
            match sample.outcome {
                Outcome::SigningFailed(_) | Outcome::ReviewFailed(_)
                    if agent.failures + 1 < FAILURES_THAT_COUNT =>
                {
                    agent.failures += 1;
                }
                counts @ (Outcome::SigningFailed(_) | Outcome::ReviewFailed(_)) => {
                    agent.outcome = Some(counts);
                }
                plain => {
                    agent.failures = 0;
                    agent.outcome = Some(plain);
                }
            }
            self.0.insert(sample.agent, agent);
        }
    }

    /// Address and state of each agent.
    pub(super) fn agents(&self) -> impl Iterator<Item = (&str, &Agent)> {
        self.0
            .iter()
            .map(|(address, agent)| (address.as_str(), agent))
    }

    /// Why no agent signs, one text for each that is connected; `None` where one does, or may.
    pub(super) fn refusals(&self) -> Option<Vec<&str>> {
        self.0
            .values()
            .map(|agent| agent.outcome.as_ref()?.unsigned())
            .collect()
    }

    /// Whether the next canary should not wait for its minute: something is wrong or not known.
    pub(super) fn is_uneasy(&self) -> bool {
        self.0.is_empty()
            || self
                .0
                .values()
                .any(|agent| agent.failures > 0 || agent.outcome != Some(Outcome::Accepted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(agent: &str, outcome: Outcome) -> Sample {
        Sample {
            agent: agent.to_owned(),
            outcome,
            clock_difference: None,
        }
    }

    fn failed(text: &str) -> Outcome {
        Outcome::ReviewFailed(text.to_owned())
    }

    /// The outcome that counts after these in a row.
    fn after(outcomes: &[Outcome]) -> Option<Outcome> {
        let mut ledger = Ledger::default();
        for outcome in outcomes {
            ledger.enter(vec![sample("a", outcome.clone())]);
        }
        ledger.agents().next()?.1.outcome.clone()
    }

    #[test]
    fn failures_count_after_three_in_a_row_and_refusals_at_once() {
        let (good, bad) = (Outcome::Accepted, Outcome::Refused("401".to_owned()));
        let rows = [
            (vec![good.clone()], Some(good.clone())),
            (vec![failed("1")], None),
            (vec![failed("1"), failed("2")], None),
            (
                vec![failed("1"), failed("2"), failed("3")],
                Some(failed("3")),
            ),
            (
                vec![good.clone(), failed("1"), failed("2")],
                Some(good.clone()),
            ),
            (
                vec![
                    good.clone(),
                    failed("1"),
                    failed("2"),
                    Outcome::SigningFailed("3".to_owned()),
                ],
                Some(Outcome::SigningFailed("3".to_owned())),
            ),
            (
                vec![failed("1"), failed("2"), failed("3"), failed("4")],
                Some(failed("4")),
            ),
            (
                vec![
                    failed("1"),
                    failed("2"),
                    good.clone(),
                    failed("1"),
                    failed("2"),
                ],
                Some(good.clone()),
            ),
            (vec![good.clone(), bad.clone()], Some(bad.clone())),
            (vec![bad, good.clone()], Some(good)),
        ];
        for (outcomes, expected) in rows {
            assert_eq!(after(&outcomes), expected, "{outcomes:?}");
        }
    }

    #[test]
    fn agents_that_are_gone_are_forgotten() {
        let mut ledger = Ledger::default();
        assert!(ledger.is_uneasy());
        ledger.enter(vec![
            sample("a", Outcome::Accepted),
            sample("b", Outcome::Accepted),
        ]);
        assert!(!ledger.is_uneasy());
        ledger.enter(vec![sample("b", failed("1"))]);
        assert!(ledger.is_uneasy());
        let known: Vec<_> = ledger.agents().map(|(address, _)| address).collect();
        assert_eq!(known, ["b"]);
        ledger.enter(vec![]);
        assert_eq!(ledger.agents().count(), 0);
    }
}

//! Logins at a steady pace while a fault is at work, and what became of them.
//!
//! Each login is one anonymous request of its own through the API server. One that fails is tried once more: at once
//! where the fault has no end, else half a second after its end. That is what clients are promised.

use std::time::Duration;
use std::{fmt, iter};

use anyhow::Context as _;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

/// One login each so long.
const PACE: Duration = Duration::from_millis(50);
/// How long after a fault's end a second try is made.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// For one try: what kubectl's plugin waits.
const LIMIT: Duration = Duration::from_secs(10);

/// Whether a fault has an end, and whether it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It goes on for good, such as an agent that was killed beside another: a second try is made at once.
    Lasting,
    /// It is at work, and will end.
    AtWork,
    /// It ended then.
    Ended(Instant),
}

/// Where logins go.
#[derive(Clone)]
pub struct Target {
    /// Trusts the API server.
    pub client: reqwest::Client,
    /// Of the login path.
    pub url: String,
    /// Body of the request; holds a token.
    pub body: Value,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

impl Target {
    /// One login; gives the certificate, PEM.
    ///
    /// # Errors
    /// What came instead of a credential, in one line.
    pub async fn log_in(&self) -> Result<String, String> {
        let ask = async {
            let answer = self.client.post(&self.url).json(&self.body).send().await?;
            let status = answer.status();
            anyhow::Ok((status, answer.text().await?))
        };
        let answer = tokio::time::timeout(LIMIT, ask).await.context("no answer");
        let (status, text) = match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) | Err(error) => return Err(format!("{error:#}")),
        };
        let body: Value = serde_json::from_str(&text).unwrap_or_default();
        match body.pointer("/status/credential/clientCertificateData") {
            Some(Value::String(certificate)) if status == 201 => Ok(certificate.clone()),
            _ => Err(format!(
                "{status}: {}",
                text.chars().take(200).collect::<String>()
            )),
        }
    }
}

/// One login and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Login {
    begun: Instant,
    first: Try,
    /// Where the first one failed.
    second: Option<Try>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Try {
    took: Duration,
    /// Why no credential came.
    failure: Option<String>,
}

/// What became of all logins around one fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Logins.
    pub tried: usize,
    /// Of these, how many failed at the first try.
    pub failed_at_first: usize,
    /// Of these, how many failed at the second one too.
    pub failed_after_retry: usize,
    /// From the beginning of the fault to the end of the last first try that failed.
    pub recovered_after: Duration,
    /// The longest that a try took which gave a credential.
    pub slowest: Duration,
    /// A failure of each kind of try, the latest.
    pub examples: Vec<String>,
}

impl Outcome {
    fn of(logins: &[Login], begun: Instant) -> Self {
        let failed: Vec<&Login> = logins
            .iter()
            .filter(|login| login.first.failure.is_some())
            .collect();
        let lost: Vec<&String> = failed
            .iter()
            .filter_map(|login| login.second.as_ref()?.failure.as_ref())
            .collect();
        let last = failed
            .iter()
            .max_by_key(|login| login.begun + login.first.took);
        let example = last.and_then(|login| login.first.failure.as_ref());
        let tries = logins
            .iter()
            .flat_map(|login| iter::once(&login.first).chain(&login.second));
        let good = tries.filter(|made| made.failure.is_none());
        Self {
            tried: logins.len(),
            failed_at_first: failed.len(),
            failed_after_retry: lost.len(),
            recovered_after: last.map_or(Duration::ZERO, |last| {
                (last.begun + last.first.took).saturating_duration_since(begun)
            }),
            slowest: good.map(|made| made.took).max().unwrap_or_default(),
            examples: example
                .into_iter()
                .chain(lost.last().copied())
                .cloned()
                .collect(),
        }
    }
}

/// Logins that are under way.
#[derive(Debug)]
pub struct Probe {
    logins: JoinSet<Vec<Login>>,
    fault: watch::Sender<Fault>,
    end: watch::Sender<bool>,
    begun: Instant,
}

impl Probe {
    /// Begins to log in, with a fault that is about to come.
    pub fn start(target: Target, fault: Fault) -> Self {
        let (fault, seen) = watch::channel(fault);
        let (end, ended) = watch::channel(false);
        let mut logins = JoinSet::new();
        logins.spawn(log_in_at_a_pace(target, seen, ended));
        Self {
            logins,
            fault,
            end,
            begun: Instant::now(),
        }
    }

    /// Says that the fault begins now.
    pub fn fault_begins(&mut self) {
        self.begun = Instant::now();
    }

    /// Says that the fault ended now.
    pub fn fault_ended(&self) {
        self.fault.send_replace(Fault::Ended(Instant::now()));
    }

    /// Goes on for so long, then waits for the last answer.
    ///
    /// # Errors
    /// The task that logs in has panicked.
    pub async fn finish_after(mut self, rest: Duration) -> anyhow::Result<Outcome> {
        tokio::time::sleep(rest).await;
        self.end.send_replace(true);
        let logins = self.logins.join_next().await.context("no logins")??;
        Ok(Outcome::of(&logins, self.begun))
    }
}

async fn log_in_at_a_pace(
    target: Target,
    fault: watch::Receiver<Fault>,
    mut ended: watch::Receiver<bool>,
) -> Vec<Login> {
    let mut ticks = interval(PACE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut under_way = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            _ = ended.wait_for(|ended| *ended) => break,
            _ = ticks.tick() => {}
        }
        under_way.spawn(log_in_twice_at_most(target.clone(), fault.clone()));
    }
    under_way.join_all().await
}

async fn log_in_twice_at_most(target: Target, mut fault: watch::Receiver<Fault>) -> Login {
    let begun = Instant::now();
    let first = log_in_once(&target).await;
    if first.failure.is_none() {
        return Login {
            begun,
            first,
            second: None,
        };
    }
    let state = fault
        .wait_for(|fault| *fault != Fault::AtWork)
        .await
        .map(|state| *state);
    if let Ok(Fault::Ended(end)) = state {
        // Not all at the same moment, as people would not.
        let waited = end.saturating_duration_since(begun);
        sleep_until(end + RETRY_AFTER + waited / 8).await;
    }
    Login {
        begun,
        first,
        second: Some(log_in_once(&target).await),
    }
}

async fn log_in_once(target: &Target) -> Try {
    let begun = Instant::now();
    let failure = target.log_in().await.err();
    Try {
        took: begun.elapsed(),
        failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good(took: u64) -> Try {
        Try {
            took: Duration::from_millis(took),
            failure: None,
        }
    }

    fn bad(took: u64, why: &str) -> Try {
        Try {
            failure: Some(why.to_owned()),
            ..good(took)
        }
    }

    fn login(begun: Instant, first: Try, second: Option<Try>) -> Login {
        Login {
            begun,
            first,
            second,
        }
    }

    #[test]
    fn failures_are_counted_and_the_last_answer_ends_the_fault() {
        let begun = Instant::now();
        let at = |millis| begun + Duration::from_millis(millis);
        let logins = [
            login(at(0), good(20), None),
            login(at(100), bad(250, "503"), Some(good(40))),
            login(at(300), bad(10, "504"), Some(bad(90, "500"))),
            login(at(400), good(30), None),
            login(at(200), bad(10, "502"), Some(good(10))),
        ];
        let outcome = Outcome::of(&logins, begun);
        assert_eq!(outcome.tried, 5);
        assert_eq!(outcome.failed_at_first, 3);
        assert_eq!(outcome.failed_after_retry, 1);
        assert_eq!(outcome.recovered_after, Duration::from_millis(350));
        assert_eq!(outcome.slowest, Duration::from_millis(40));
        assert_eq!(outcome.examples, ["503", "500"]);
        let undisturbed = Outcome::of(&logins[..1], begun);
        assert_eq!(
            (
                undisturbed.failed_at_first,
                undisturbed.recovered_after,
                undisturbed.slowest
            ),
            (0, Duration::ZERO, Duration::from_millis(20))
        );
    }

    /// Nobody listens there.
    fn nowhere() -> Target {
        Target {
            client: reqwest::Client::builder().timeout(LIMIT).build().unwrap(),
            url: "http://127.0.0.1:1/".to_owned(),
            body: Value::Null,
        }
    }

    #[tokio::test]
    async fn a_second_try_waits_for_the_end_of_a_fault_that_has_one() {
        crate::ensure_crypto();
        let (fault, seen) = watch::channel(Fault::AtWork);
        let mut logins = JoinSet::new();
        logins.spawn(log_in_twice_at_most(nowhere(), seen));
        let waits = tokio::time::timeout(Duration::from_millis(200), logins.join_next()).await;
        assert!(waits.is_err(), "tried again too early");
        let end = Instant::now();
        fault.send_replace(Fault::Ended(end));
        let login = logins.join_next().await.unwrap().unwrap();
        assert!(end.elapsed() >= RETRY_AFTER);
        assert!(login.first.failure.is_some());
        assert!(login.second.is_some_and(|second| second.failure.is_some()));
    }

    #[tokio::test]
    async fn logins_are_made_at_a_pace_until_the_end() {
        crate::ensure_crypto();
        let mut probe = Probe::start(nowhere(), Fault::Lasting);
        probe.fault_begins();
        let outcome = probe
            .finish_after(Duration::from_millis(300))
            .await
            .unwrap();
        assert!(outcome.tried >= 2, "{outcome:?}");
        assert_eq!(outcome.failed_after_retry, outcome.tried);
    }
}

//! Logins at a steady pace while a fault is at work, and what became of them.
//!
//! Each login is one anonymous request of its own through the API server. One that fails is tried once more: at once
//! where the fault has no end, else half a second after its end. That is what clients are promised.

use std::fmt;
use std::time::Duration;

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
    /// Why the first try failed.
    first: Option<String>,
    /// Why the second one did, where there was one.
    second: Option<String>,
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
    /// From the beginning of the fault to the beginning of the last first try that failed.
    pub recovered_after: Duration,
    /// A failure of each kind of try, the latest.
    pub examples: Vec<String>,
}

impl Outcome {
    fn of(logins: &[Login], begun: Instant) -> Self {
        let failed: Vec<&Login> = logins
            .iter()
            .filter(|login| login.first.is_some())
            .collect();
        let lost: Vec<&str> = failed
            .iter()
            .filter_map(|login| login.second.as_deref())
            .collect();
        let last = failed.iter().max_by_key(|login| login.begun);
        let examples = last.and_then(|login| login.first.clone());
        Self {
            tried: logins.len(),
            failed_at_first: failed.len(),
            failed_after_retry: lost.len(),
            recovered_after: last.map_or(Duration::ZERO, |last| {
                last.begun.saturating_duration_since(begun) + PACE
            }),
            examples: examples
                .into_iter()
                .chain(lost.last().map(ToString::to_string))
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
    let Err(first) = target.log_in().await else {
        return Login {
            begun,
            first: None,
            second: None,
        };
    };
    let state = fault
        .wait_for(|fault| *fault != Fault::AtWork)
        .await
        .map(|state| *state);
    if let Ok(Fault::Ended(end)) = state {
        // Not all at the same moment, as people would not.
        let waited = end.saturating_duration_since(begun);
        sleep_until(end + RETRY_AFTER + waited / 8).await;
    }
    let second = target.log_in().await.err();
    Login {
        begun,
        first: Some(first),
        second,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(begun: Instant, first: Option<&str>, second: Option<&str>) -> Login {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Login {
            begun,
            first: owned(first),
            second: owned(second),
        }
    }

    #[test]
    fn failures_are_counted_and_the_last_one_ends_the_fault() {
        let begun = Instant::now();
        let at = |millis| begun + Duration::from_millis(millis);
        let logins = [
            login(at(0), None, None),
            login(at(100), Some("503"), None),
            login(at(300), Some("504"), Some("500")),
            login(at(400), None, None),
            login(at(200), Some("502"), None),
        ];
        let outcome = Outcome::of(&logins, begun);
        assert_eq!(outcome.tried, 5);
        assert_eq!(outcome.failed_at_first, 3);
        assert_eq!(outcome.failed_after_retry, 1);
        assert_eq!(outcome.recovered_after, Duration::from_millis(350));
        assert_eq!(outcome.examples, ["504", "500"]);
        let good = Outcome::of(&logins[..1], begun);
        assert_eq!(
            (good.failed_at_first, good.recovered_after),
            (0, Duration::ZERO)
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
        assert!(login.first.is_some() && login.second.is_some());
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

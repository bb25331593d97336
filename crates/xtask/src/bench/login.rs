//! Logins straight at door A's listener, and what each process spends on them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use bytes::Bytes;
use haulout_tests::load::{self, Connection, Endpoint, Outcome, Plan};
use haulout_tests::logins::{self, Answer};

use super::process::cpu_time;

const STREAMS: usize = 8;

/// A running webhook and agent, and how to reach the webhook as the aggregator does.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) webhook_pid: u32,
    pub(super) agent_pid: u32,
    pub(super) endpoint: Endpoint,
}

/// CPU time of each process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cost {
    pub(super) webhook: Duration,
    pub(super) agent: Duration,
    pub(super) generator: Duration,
}

impl Cost {
    pub(super) fn total(&self) -> Duration {
        self.webhook + self.agent
    }
}

impl Target {
    pub(super) async fn connect(&self) -> Result<Arc<Connection>> {
        Ok(Arc::new(Connection::open(&self.endpoint).await?))
    }

    /// Sends `requests` logins with `token` and demands that each gets `expected`.
    pub(super) async fn logins(
        &self,
        connection: &Arc<Connection>,
        token: &str,
        expected: Answer,
        requests: usize,
        rate: Option<f64>,
    ) -> Result<Outcome> {
        let body = Bytes::from(logins::body(token).to_string());
        let plan = Plan {
            requests,
            streams: STREAMS,
            rate,
        };
        let judge = move |status, answer: &Bytes| expected.judge(status, answer);
        let outcome = load::run(connection, plan, move |_| logins::request(&body), judge).await;
        ensure!(
            outcome.failures.is_empty(),
            "{} of {requests} requests went wrong; the first: {}",
            outcome.failures.len(),
            outcome.failures.first().map_or("", String::as_str)
        );
        Ok(outcome)
    }

    /// The same, with the CPU time that each process spent on it.
    pub(super) async fn cost_of_logins(
        &self,
        connection: &Arc<Connection>,
        token: &str,
        expected: Answer,
        requests: usize,
    ) -> Result<(Cost, Outcome)> {
        let before = self.spent()?;
        let outcome = self
            .logins(connection, token, expected, requests, None)
            .await?;
        let after = self.spent()?;
        let count = u32::try_from(requests)?;
        let each = |part: fn(&Cost) -> Duration| part(&after).saturating_sub(part(&before)) / count;
        let cost = Cost {
            webhook: each(|cost| cost.webhook),
            agent: each(|cost| cost.agent),
            generator: each(|cost| cost.generator),
        };
        Ok((cost, outcome))
    }

    /// CPU time of each process so far.
    fn spent(&self) -> Result<Cost> {
        Ok(Cost {
            webhook: cpu_time(self.webhook_pid)?,
            agent: cpu_time(self.agent_pid)?,
            generator: cpu_time(std::process::id())?,
        })
    }
}

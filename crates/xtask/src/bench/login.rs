//! Logins straight at door A's listener, and what each process spends on them.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use haulout_tests::load::Plan;
use haulout_tests::logins::{Answer, Door, Job, Report};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::process::cpu_time;

/// Requests at a time where the cost of one is measured, and where the most per second is.
pub(super) const STREAMS: usize = 8;
pub(super) const MANY_STREAMS: usize = 64;

/// A running webhook and agent, and how to reach the webhook as the aggregator does.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) webhook_pid: u32,
    pub(super) agent_pid: u32,
    pub(super) door: Door,
    /// The program that makes the logins.
    pub(super) load: PathBuf,
}

/// CPU time of each process for one login.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cost {
    pub(super) webhook: Duration,
    pub(super) agent: Duration,
}

impl Cost {
    pub(super) fn total(&self) -> Duration {
        self.webhook + self.agent
    }
}

/// One kind of login.
#[derive(Clone, Copy, Debug)]
pub(super) struct Login<'a> {
    pub(super) token: &'a str,
    pub(super) expected: Answer,
}

impl Target {
    /// Makes the logins of `plan` on a connection of their own and demands that each gets the expected answer.
    pub(super) async fn logins(&self, login: Login<'_>, plan: Plan) -> Result<Report> {
        let job = Job {
            door: self.door.clone(),
            token: login.token.to_owned(),
            expected: login.expected,
            plan,
        };
        let mut child = Command::new(&self.load)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("failed to start {}", self.load.display()))?;
        let mut input = child.stdin.take().context("no standard input")?;
        input.write_all(&serde_json::to_vec(&job)?).await?;
        drop(input);
        let output = child.wait_with_output().await?;
        ensure!(output.status.success(), "the load failed");
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// The same, with the CPU time that webhook and agent spent on it.
    pub(super) async fn cost_of_logins(
        &self,
        login: Login<'_>,
        requests: usize,
    ) -> Result<(Cost, Report)> {
        let before = self.spent()?;
        let report = self.logins(login, closely(requests)).await?;
        let after = self.spent()?;
        let count = u32::try_from(requests)?;
        let cost = Cost {
            webhook: after.webhook.saturating_sub(before.webhook) / count,
            agent: after.agent.saturating_sub(before.agent) / count,
        };
        Ok((cost, report))
    }

    /// CPU time of each process so far.
    fn spent(&self) -> Result<Cost> {
        Ok(Cost {
            webhook: cpu_time(self.webhook_pid)?,
            agent: cpu_time(self.agent_pid)?,
        })
    }
}

/// As many requests, each stream's next one as soon as the last is answered.
pub(super) fn closely(requests: usize) -> Plan {
    Plan {
        requests,
        streams: STREAMS,
        rate: None,
    }
}

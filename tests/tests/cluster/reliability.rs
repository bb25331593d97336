//! What faults cost people who log in: the tables in `docs/reliability.md`.

mod certificates;
mod faults;
mod signing_pair;

use std::time::Duration;

use haulout_tests::cluster::{Profile, workspace_root};
use haulout_tests::fault_table::{self, Demand, Row};
use haulout_tests::probe::{Fault, Probe};

use crate::installed::Installed;

/// Logins before each fault, so that connections are up and the last fault is over.
const BEFORE: Duration = Duration::from_secs(1);
/// And after it.
const AFTER: Duration = Duration::from_secs(3);

/// Two nodes, an agent on each, two webhooks; no limits, since all logins have one address here. Agents are young
/// when their key's file is replaced.
const VALUES: [&str; 3] = [
    "--set=limits.perAddressPerSecond=0",
    "--set=limits.totalPerSecond=0",
    "--set=agent.leastLifeSeconds=0",
];

/// A running installation, and what was seen so far.
struct Trial {
    installed: Installed,
    rows: Vec<Row>,
}

impl Trial {
    async fn start() -> Self {
        Self {
            installed: Installed::start(Profile::Talos, 2, &VALUES).await,
            rows: Vec::new(),
        }
    }

    /// Logs people in through a fault that has no end of its own: `inject` brings it about.
    async fn lasting(
        &mut self,
        fault: &'static str,
        demand: Demand,
        inject: impl AsyncFnOnce(&mut Installed),
    ) {
        self.log_in_through(fault, Fault::Lasting, demand, inject)
            .await;
    }

    /// Logs people in through a fault that is over when `inject` returns.
    async fn ending(
        &mut self,
        fault: &'static str,
        demand: Demand,
        inject: impl AsyncFnOnce(&mut Installed),
    ) {
        self.log_in_through(fault, Fault::AtWork, demand, inject)
            .await;
    }

    async fn log_in_through(
        &mut self,
        fault: &'static str,
        kind: Fault,
        demand: Demand,
        inject: impl AsyncFnOnce(&mut Installed),
    ) {
        let mut probe = Probe::start(self.installed.target(), kind);
        tokio::time::sleep(BEFORE).await;
        probe.fault_begins();
        inject(&mut self.installed).await;
        if kind == Fault::AtWork {
            probe.fault_ended();
        }
        let row = Row {
            fault,
            demand,
            outcome: probe.finish_after(AFTER).await.unwrap(),
        };
        println!("{row}");
        for example in &row.outcome.examples {
            println!("    {example}");
        }
        self.rows.push(row);
    }

    /// Fails if the rows are not as demanded, or not those below this heading of the page.
    fn judge(&self, heading: &str) {
        let page = std::fs::read_to_string(workspace_root().join("docs/reliability.md")).unwrap();
        let findings = fault_table::judge(&page, heading, &self.rows);
        assert!(findings.is_empty(), "{}", findings.join("\n"));
    }
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn node_faults_cost_no_login_that_is_tried_again() {
    let mut trial = Trial::start().await;
    faults::none_at_all(&mut trial).await;
    faults::of_webhooks(&mut trial).await;
    faults::of_agents(&mut trial).await;
    faults::of_the_control_plane(&mut trial).await;
    certificates::renewed(&mut trial).await;
    certificates::replaced_by_the_cluster(&mut trial).await;
    signing_pair::replaced(&mut trial).await;
    trial.judge("## Crashes, restarts and new keys");
}

/// Beside the other in a cluster of its own, since both rows take their time.
#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn node_certificates_are_replaced_in_time_and_too_late() {
    let mut trial = Trial::start().await;
    certificates::replaced_in_time(&mut trial).await;
    certificates::found_expired(&mut trial).await;
    trial.judge("## Certificates replaced in time and too late");
}

//! What `haulout doctor` found.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use haulout_tests::cluster::{Products, TOKEN_VARIABLE};
use serde::Deserialize;
use tokio::process::Command;

use super::faults::Fault;

/// Longer than one run takes.
const LIMIT: Duration = Duration::from_secs(60);

/// What `haulout doctor -o json` printed.
#[derive(Debug, Deserialize)]
pub(super) struct Diagnosis {
    #[serde(skip)]
    pub(super) code: i32,
    pub(super) checks: Vec<Check>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Check {
    pub(super) name: String,
    pub(super) verdict: String,
    pub(super) evidence: String,
    pub(super) remedy: String,
    pub(super) waits_for: String,
}

impl Check {
    /// The commands of its remedy, one on each line.
    pub(super) fn commands(&self) -> String {
        let quoted: Vec<_> = self.remedy.split('`').skip(1).step_by(2).collect();
        assert!(!quoted.is_empty(), "{self:?}");
        quoted.join("\n")
    }
}

impl Diagnosis {
    /// Runs the program.
    pub(super) async fn make(kubeconfig: &Path, token: &str, arguments: &[&str]) -> Self {
        let program = Products::find().unwrap().program("haulout");
        let output = Command::new(program)
            .args(["doctor", "-o", "json", "--kubeconfig"])
            .arg(kubeconfig)
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env(TOKEN_VARIABLE, token)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(LIMIT, output).await.unwrap().unwrap();
        let code = output.status.code().unwrap();
        Self::read(&output.stdout, &output.stderr, code, token)
    }

    /// Reads it, and sees that it gives nothing away.
    pub(super) fn read(stdout: &[u8], stderr: &[u8], code: i32, token: &str) -> Self {
        let stdout = String::from_utf8_lossy(stdout);
        let stderr = String::from_utf8_lossy(stderr);
        for secret in [token, "PRIVATE KEY", "BEGIN CERTIFICATE"] {
            assert!(
                !stdout.contains(secret) && !stderr.contains(secret),
                "{stdout}{stderr}"
            );
        }
        let read = serde_json::from_str(&stdout);
        let read: Self = read.unwrap_or_else(|error| panic!("{error}: {stdout}{stderr}"));
        Self { code, ..read }
    }

    pub(super) fn check(&self, name: &str) -> &Check {
        let mut checks = self.checks.iter();
        checks
            .find(|check| check.name == name)
            .unwrap_or_else(|| panic!("{name}: {self:?}"))
    }

    pub(super) fn failed(&self) -> Vec<&str> {
        let failed = self.checks.iter().filter(|check| check.verdict == "failed");
        failed.map(|check| check.name.as_str()).collect()
    }

    /// The checks that have found something.
    pub(super) fn found(&self) -> Vec<&Check> {
        let found = ["failed", "warning"];
        let checks = self.checks.iter();
        checks
            .filter(|check| found.contains(&check.verdict.as_str()))
            .collect()
    }

    pub(super) fn is_healthy(&self) -> bool {
        self.checks.iter().all(|check| check.verdict == "ok")
    }

    /// Whether it has found this fault, and no other.
    pub(super) fn names_only(&self, fault: &Fault) -> bool {
        match self.found().as_slice() {
            [check] => {
                check.name == fault.check
                    && check.verdict == fault.verdict
                    && check.evidence.contains(fault.evidence)
                    && check.remedy.contains(fault.remedy)
            }
            _ => false,
        }
    }
}

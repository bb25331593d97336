//! `haulout get kubeconfig`, as an administrator runs it.

mod discovery;
mod login;

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use haulout_tests::cluster::{Cluster, Products};
use serde_json::Value;
use tokio::process::Command;

/// The longest that one run may take.
const LIMIT: Duration = Duration::from_secs(60);

/// What one run gave.
struct Outcome {
    status: ExitStatus,
    stdout: String,
    stderr: String,
}

impl Outcome {
    /// The kubeconfig that it printed.
    fn kubeconfig(&self) -> Value {
        assert!(self.status.success(), "{}", self.stderr);
        serde_saphyr::from_str(&self.stdout).unwrap()
    }

    /// Arguments of the plugin in it.
    fn arguments(&self) -> Vec<String> {
        let kubeconfig = self.kubeconfig();
        let arguments = kubeconfig.pointer("/users/0/user/exec/args").unwrap();
        serde_json::from_value(arguments.clone()).unwrap()
    }

    /// Checks that it failed, printed nothing else, and said so.
    fn assert_fails(&self, expected: &str) {
        assert_eq!(self.status.code(), Some(1), "{}", self.stderr);
        assert_eq!(self.stdout, "");
        let error = self.stderr.lines().find(|line| line.starts_with("Error: "));
        let error = error.unwrap_or_default();
        assert!(error.contains(expected), "{expected}: {}", self.stderr);
    }
}

/// The administrator's shell.
struct Shell {
    program: PathBuf,
    kubeconfig: PathBuf,
    home: PathBuf,
}

impl Shell {
    fn of(cluster: &Cluster) -> Self {
        Self {
            program: Products::find().unwrap().program("haulout"),
            kubeconfig: cluster.kubectl().kubeconfig().to_owned(),
            home: cluster.folder().to_owned(),
        }
    }

    fn with_kubeconfig(&self, kubeconfig: impl AsRef<Path>) -> Self {
        Self {
            program: self.program.clone(),
            kubeconfig: kubeconfig.as_ref().to_owned(),
            home: self.home.clone(),
        }
    }

    /// `haulout get kubeconfig FLAGS`, ready to be started.
    fn command(&self, flags: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(["get", "kubeconfig"])
            .args(flags)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("HOME", &self.home)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    async fn run(&self, flags: &[&str]) -> Outcome {
        finish(self.command(flags)).await
    }
}

/// Runs it to its end.
async fn finish(mut command: Command) -> Outcome {
    let output = tokio::time::timeout(LIMIT, command.output()).await;
    let output = output.expect("it does not end").unwrap();
    Outcome {
        status: output.status,
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

//! kubectl against one cluster, with one kubeconfig.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

const LIMIT: Duration = Duration::from_secs(60);

/// The kubectl that was built with the cluster; never one from the machine, which may be older.
#[derive(Clone, Debug)]
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
    cache: PathBuf,
}

impl Kubectl {
    pub(super) fn new(program: PathBuf, kubeconfig: PathBuf, cache: PathBuf) -> Self {
        Self {
            program,
            kubeconfig,
            cache,
        }
    }

    /// The same kubectl as another user.
    pub fn with_kubeconfig(&self, kubeconfig: &Path) -> Self {
        Self {
            kubeconfig: kubeconfig.to_owned(),
            ..self.clone()
        }
    }

    /// Path of the kubeconfig in use.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// A command to add arguments and environment to; it is killed when its future is dropped.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env("KUBECONFIG", &self.kubeconfig)
            .env("KUBECACHEDIR", &self.cache)
            .env("HOME", &self.cache)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// The same as a command for a [`Terminal`](crate::terminal::Terminal).
    pub fn on_terminal(&self) -> pty_process::Command {
        let command = pty_process::Command::new(&self.program);
        command
            .env("KUBECONFIG", &self.kubeconfig)
            .env("KUBECACHEDIR", &self.cache)
            .env("HOME", &self.cache)
    }

    /// Runs `kubectl ARGUMENTS` for at most a minute and gives status, standard output and standard error.
    ///
    /// # Errors
    /// It could not be started or did not end.
    pub async fn output<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> anyhow::Result<Output> {
        let mut command = self.command();
        command.args(arguments);
        self.finish(command).await
    }

    async fn finish(&self, mut command: Command) -> anyhow::Result<Output> {
        tokio::time::timeout(LIMIT, command.output())
            .await
            .context("kubectl did not end within a minute")?
            .with_context(|| format!("failed to run {}", self.program.display()))
    }

    /// Runs `kubectl ARGUMENTS` and gives its standard output.
    ///
    /// # Errors
    /// It failed; the text is its standard error.
    pub async fn run<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> anyhow::Result<String> {
        succeed(self.output(arguments).await?)
    }

    /// Runs `kubectl ARGUMENTS` with further variables in its environment and gives its standard output.
    ///
    /// # Errors
    /// It failed; the text is its standard error.
    pub async fn run_with(
        &self,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> anyhow::Result<String> {
        let mut command = self.command();
        command.args(arguments).envs(environment.iter().copied());
        succeed(self.finish(command).await?)
    }

    /// Runs `kubectl ARGUMENTS -o json`.
    ///
    /// # Errors
    /// It failed, or did not print JSON.
    pub async fn json(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        let text = self.run(arguments.iter().chain(&["-o", "json"])).await?;
        serde_json::from_str(&text).context("kubectl printed no JSON")
    }

    /// Runs `kubectl ARGUMENTS` with this standard input and gives status, standard output and standard error.
    ///
    /// # Errors
    /// It could not be started or did not end within a minute.
    pub async fn output_of(&self, arguments: &[&str], input: &str) -> anyhow::Result<Output> {
        let mut command = self.command();
        command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().context("failed to start kubectl")?;
        let mut pipe = child
            .stdin
            .take()
            .context("kubectl has no standard input")?;
        let talk = async {
            pipe.write_all(input.as_bytes()).await?;
            drop(pipe);
            child.wait_with_output().await
        };
        let talk = tokio::time::timeout(LIMIT, talk).await;
        Ok(talk.context("kubectl did not end within a minute")??)
    }

    /// Applies manifests (YAML or JSON documents) server-side, as the administrator who installs Haulout.
    ///
    /// # Errors
    /// The API server refused one; the text is kubectl's.
    pub async fn apply(&self, manifests: &str) -> anyhow::Result<()> {
        let how = ["apply", "--server-side", "--force-conflicts"];
        let as_whom = ["--field-manager", "install", "-f", "-"];
        let arguments = [&how[..], &as_whom].concat();
        succeed(self.output_of(&arguments, manifests).await?).map(drop)
    }
}

fn succeed(output: Output) -> anyhow::Result<String> {
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        bail!("kubectl failed: {}", text.trim());
    }
    String::from_utf8(output.stdout).context("kubectl printed no UTF-8")
}

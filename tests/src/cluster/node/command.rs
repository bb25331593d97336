//! Short commands that set a node up.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::process::Command;

const LIMIT: Duration = Duration::from_secs(60);

/// Runs a command to its end and gives its standard output.
///
/// # Errors
/// It could not be started, did not end, or failed; the text has its standard error.
pub(super) async fn run(mut command: Command) -> anyhow::Result<String> {
    let what = format!("{:?}", command.as_std());
    let output = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(LIMIT, output)
        .await
        .with_context(|| format!("{what} did not end within a minute"))?
        .with_context(|| format!("failed to run {what}"))?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{what} failed: {}", told.trim());
    String::from_utf8(output.stdout).with_context(|| format!("{what} printed no UTF-8"))
}

//! Go programs of this checkout, which answer questions by other people's code.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

const LIMIT: Duration = Duration::from_secs(120);

/// Asks a program about all cases at once, and gives one answer for each, in the same order.
///
/// # Errors
/// It failed: it could not read a case.
pub(crate) async fn ask<T: DeserializeOwned>(
    program: &Path,
    cases: &[impl Serialize],
) -> anyhow::Result<Vec<T>> {
    let name = program.display();
    let mut child = Command::new(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("failed to start {name}"))?;
    let mut input = child.stdin.take().context("it has no standard input")?;
    let text = serde_json::to_vec(cases)?;
    let talk = async {
        // It answers when it has read everything.
        input.write_all(&text).await?;
        drop(input);
        child.wait_with_output().await
    };
    let output = tokio::time::timeout(LIMIT, talk)
        .await
        .with_context(|| format!("{name} did not end"))??;
    ensure!(
        output.status.success(),
        "{name} ended with {}; see above",
        output.status
    );
    let answers: Vec<T> = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("{name} answers in another form"))?;
    ensure!(answers.len() == cases.len(), "{name} left out answers");
    Ok(answers)
}

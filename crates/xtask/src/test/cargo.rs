//! Runs `cargo test` with its output passed on, and counts what libtest says.

use std::fmt;
use std::ops::AddAssign;
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::output::say;
use crate::process_group::ProcessGroup;

/// How many tests passed and failed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Tally {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
}

impl Tally {
    /// A stage that counts as one test, and passed.
    pub(crate) const fn success() -> Self {
        Self {
            passed: 1,
            failed: 0,
        }
    }

    /// A stage that counts as one test, and failed.
    pub(crate) const fn failure() -> Self {
        Self {
            passed: 0,
            failed: 1,
        }
    }

    /// Whether something passed and nothing failed.
    pub(crate) const fn is_good(self) -> bool {
        self.failed == 0 && self.passed > 0
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// Runs a command and judges its exit status.
///
/// # Errors
/// It could not be started.
pub(super) async fn judge(mut command: Command) -> anyhow::Result<Tally> {
    let status = ProcessGroup::spawn(&mut command)?.wait().await?;
    if status.success() {
        return Ok(Tally::success());
    }
    say(&format!("failed: {status}"));
    Ok(Tally::failure())
}

/// Runs a `cargo test` command and counts each test. A failure to build counts as one; so does a run without any test.
///
/// # Errors
/// It could not be started.
pub(super) async fn count(mut command: Command) -> anyhow::Result<Tally> {
    let mut child = ProcessGroup::spawn(command.stdout(Stdio::piped()))?;
    let output = child
        .take_stdout()
        .context("cargo has no standard output")?;
    let mut lines = BufReader::new(output).split(b'\n');
    let mut tally = Tally::default();
    while let Some(line) = lines.next_segment().await? {
        let line = String::from_utf8_lossy(&line);
        say(&line);
        tally += read_result(&line).unwrap_or_default();
    }
    let status = child.wait().await?;
    // Cargo and libtest may fail without a failed test: a build error, an abort.
    if tally.failed == 0 && (!status.success() || tally.passed == 0) {
        say(&format!(
            "no test failed, but cargo ended with {status} after {tally}"
        ));
        tally.failed = 1;
    }
    Ok(tally)
}

/// Runs a `cargo test` command with `--list`; gives the names of the tests.
///
/// # Errors
/// It could not be started, or failed.
pub(super) async fn list(mut command: Command) -> anyhow::Result<Vec<String>> {
    let mut child = ProcessGroup::spawn(command.stdout(Stdio::piped()))?;
    let output = child
        .take_stdout()
        .context("cargo has no standard output")?;
    let mut lines = BufReader::new(output).lines();
    let mut names = Vec::new();
    while let Some(line) = lines.next_line().await? {
        names.extend(line.strip_suffix(": test").map(str::to_owned));
    }
    let status = child.wait().await?;
    ensure!(status.success(), "listing tests failed ({status})");
    Ok(names)
}

/// Reads libtest's `test result: ok. 3 passed; 0 failed; …`.
fn read_result(line: &str) -> Option<Tally> {
    let (_, numbers) = line
        .trim_start()
        .strip_prefix("test result: ")?
        .split_once(". ")?;
    let number = |word: &str| {
        let part = numbers
            .split("; ")
            .find_map(|part| part.strip_suffix(word))?;
        part.trim().parse().ok()
    };
    Some(Tally {
        passed: number(" passed")?,
        failed: number(" failed")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn results_of_libtest_are_read() {
        let tally = |passed, failed| Some(Tally { passed, failed });
        for (line, expected) in [
            (
                "test result: ok. 12 passed; 0 failed; 3 ignored; 0 measured; 0 filtered out; finished in 0.1s",
                tally(12, 0),
            ),
            (
                "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured",
                tally(1, 2),
            ),
            ("test a::result ... ok", None),
            ("12 passed; 0 failed", None),
        ] {
            assert_eq!(read_result(line), expected, "{line}");
        }
    }

    #[tokio::test]
    async fn results_of_several_binaries_add_up() {
        let line = "echo 'test result: ok. 2 passed; 0 failed; 0 ignored'";
        let tally = count(shell(&format!("{line}; {line}"))).await.unwrap();
        assert_eq!(tally.to_string(), "4 passed, 0 failed");
        assert!(tally.is_good());
    }

    #[tokio::test]
    async fn failure_without_a_failed_test_counts() {
        for script in [
            "exit 101",
            "exit 0",
            "echo 'test result: ok. 2 passed; 0 failed; 0 ignored'; exit 101",
            "echo 'test result: ok. 0 passed; 0 failed; 0 ignored'",
        ] {
            let tally = count(shell(script)).await.unwrap();
            assert_eq!(tally.failed, 1, "{script}");
            assert!(!tally.is_good());
        }
    }

    #[tokio::test]
    async fn names_of_tests_are_read() {
        let list_by = async |script| list(shell(script)).await;
        let script = "printf 'a::b: test\\nc: test\\n\\n2 tests, 0 benchmarks\\n'";
        assert_eq!(list_by(script).await.unwrap(), ["a::b", "c"]);
        assert!(list_by("echo 'a::b: test'; exit 101").await.is_err());
    }

    #[tokio::test]
    async fn exit_status_is_judged() {
        assert_eq!(judge(shell("exit 0")).await.unwrap(), Tally::success());
        assert_eq!(judge(shell("exit 1")).await.unwrap(), Tally::failure());
    }

    #[test]
    fn nothing_at_all_is_not_good() {
        assert!(!Tally::default().is_good());
    }
}

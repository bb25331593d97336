//! Children with all that they start in turn.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::process::{Child, ChildStdout, Command};

/// A child that leads a process group; dropping it before its end kills the whole group, such as the test binary that
/// Cargo runs and the programs that this one runs.
#[derive(Debug)]
pub(crate) struct ProcessGroup {
    child: Child,
    running: Option<Pid>,
}

impl ProcessGroup {
    /// Starts a command without standard input.
    ///
    /// # Errors
    /// It could not be started.
    pub(crate) fn spawn(command: &mut Command) -> anyhow::Result<Self> {
        let child = command
            .stdin(Stdio::null())
            .process_group(0)
            .spawn()
            .with_context(|| format!("failed to start {:?}", command.as_std().get_program()))?;
        let running = child
            .id()
            .and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        Ok(Self { child, running })
    }

    /// Its standard output, if that is piped.
    pub(crate) fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Waits for the child's end.
    ///
    /// # Errors
    /// The system refused to wait.
    pub(crate) async fn wait(mut self) -> anyhow::Result<ExitStatus> {
        let status = self.child.wait().await?;
        self.running = None;
        Ok(status)
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        let Some(group) = self.running else {
            return;
        };
        let _ended_meanwhile = kill_process_group(group, Signal::KILL);
        // What they leave behind can be removed only when they are gone.
        for _ in 0..100 {
            drop(self.child.try_wait());
            if test_kill_process_group(group).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[tokio::test]
    async fn grandchildren_end_with_the_group() {
        let mut command = Command::new("sh");
        command
            .args(["-c", "sleep 60 & echo $!; wait"])
            .stdout(Stdio::piped());
        let mut group = ProcessGroup::spawn(&mut command).unwrap();
        let mut output = tokio::io::BufReader::new(group.take_stdout().unwrap());
        let mut line = String::new();
        tokio::io::AsyncBufReadExt::read_line(&mut output, &mut line)
            .await
            .unwrap();
        let stat = format!("/proc/{}/stat", line.trim());
        let runs = || std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z "));
        assert!(runs());
        drop(group);
        let start = Instant::now();
        while runs() {
            assert!(start.elapsed() < Duration::from_secs(10), "still runs");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn end_is_waited_for() {
        let mut command = Command::new("sh");
        command.args(["-c", "exit 3"]);
        let group = ProcessGroup::spawn(&mut command).unwrap();
        assert_eq!(group.wait().await.unwrap().code(), Some(3));
    }
}

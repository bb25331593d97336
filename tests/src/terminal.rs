//! A pseudo-terminal with a program on it, and what a user sees and types there.

use std::io::{self, Write};
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use pty_process::{Command, OwnedWritePty};
use rustix::process::Pid;
use rustix::termios::{LocalModes, tcgetattr};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Longest time that a program may run.
const LIMIT: Duration = Duration::from_secs(60);
const TRIES: u32 = 1000;
const PAUSE: Duration = Duration::from_millis(20);

/// What a program has said so far. A copy shows the same.
#[derive(Clone, Debug, Default)]
pub struct Screen(Arc<Mutex<Vec<u8>>>);

impl Screen {
    /// All of it.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    /// The first line with this in it, as soon as there is one.
    ///
    /// # Errors
    /// It does not come within 20 seconds.
    pub async fn line(&self, part: &str) -> anyhow::Result<String> {
        self.line_that(part, |line| line.contains(part)).await
    }

    /// The first line that is meant, as soon as there is one; `what` is what the error calls it.
    ///
    /// # Errors
    /// It does not come within 20 seconds.
    pub async fn line_that(
        &self,
        what: &str,
        is_meant: impl Fn(&str) -> bool,
    ) -> anyhow::Result<String> {
        self.wait_for(what, |text| {
            let whole = text
                .split_inclusive('\n')
                .filter(|line| line.ends_with('\n'));
            let mut whole = whole.map(str::trim);
            whole.find(|line| is_meant(line)).map(str::to_owned)
        })
        .await
    }

    /// Waits until it ends so, as where a question waits for its answer.
    ///
    /// # Errors
    /// It does not within 20 seconds.
    pub async fn ends_with(&self, end: &str) -> anyhow::Result<()> {
        self.wait_for(end, |text| text.ends_with(end).then_some(()))
            .await
    }

    async fn wait_for<T>(&self, what: &str, find: impl Fn(&str) -> Option<T>) -> anyhow::Result<T> {
        for _ in 0..TRIES {
            if let Some(found) = find(&self.text()) {
                return Ok(found);
            }
            tokio::time::sleep(PAUSE).await;
        }
        bail!("{what:?} does not come: {:?}", self.text())
    }

    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a user has before him while a program runs.
pub struct Terminal {
    /// What he sees.
    pub screen: Screen,
    keyboard: OwnedWritePty,
    device: OwnedFd,
    program: Pid,
}

/// What became of the program.
#[derive(Debug)]
pub struct Ended {
    /// How it ended.
    pub status: ExitStatus,
    /// What it printed to whoever started it.
    pub stdout: String,
    /// What was on the terminal, its lines ended by a line feed alone.
    pub shown: String,
    /// Whether after it, what is typed shows, is read by lines, and Ctrl-C is heard.
    pub leaves_sane_terminal: bool,
}

impl Terminal {
    /// Runs a program with stdin and stderr on the terminal, and stdout to the caller, as kubectl runs its plugins; meanwhile
    /// does what the user does.
    ///
    /// # Errors
    /// It cannot be started, or does not end within a minute; whatever the user's part gives.
    pub async fn run(
        command: Command,
        user: impl AsyncFnOnce(&mut Self) -> anyhow::Result<()>,
    ) -> anyhow::Result<Ended> {
        let (pty, child_end) = pty_process::open()?;
        let device = pty.as_fd().try_clone_to_owned()?;
        let child = command.stdout(Stdio::piped()).kill_on_drop(true);
        let child = child.spawn(child_end)?;
        let (mut output, keyboard) = pty.into_split();
        let screen = Screen::default();
        let program = child.id().and_then(|id| i32::try_from(id).ok());
        let mut terminal = Self {
            screen: screen.clone(),
            keyboard,
            device,
            program: program.and_then(Pid::from_raw).context("it has ended")?,
        };
        let show = async {
            let mut bytes = [0; 4096];
            // An error says that the program is gone.
            while let Ok(length @ 1..) = output.read(&mut bytes).await {
                screen.bytes().extend(bytes.iter().take(length));
            }
            anyhow::Ok(())
        };
        let run = async {
            let user = user(&mut terminal);
            let end = async { anyhow::Ok(child.wait_with_output().await?) };
            let ((), (), output) = tokio::try_join!(user, show, end)?;
            anyhow::Ok(output)
        };
        let output = tokio::time::timeout(LIMIT, run).await;
        let output = output.with_context(|| format!("it goes on: {:?}", screen.text()))??;
        Ok(Ended {
            status: output.status,
            stdout: String::from_utf8(output.stdout)?,
            shown: screen.text().replace("\r\n", "\n"),
            leaves_sane_terminal: terminal.is_sane()?,
        })
    }

    /// Types, as soon as the question is there.
    ///
    /// # Errors
    /// The question does not come, or the program is gone.
    pub async fn answer(&mut self, question: &str, keys: &str) -> anyhow::Result<()> {
        self.screen.ends_with(question).await?;
        Ok(self.keyboard.write_all(keys.as_bytes()).await?)
    }

    /// The same where what is typed must not show: as soon as the program has seen to that.
    ///
    /// # Errors
    /// It does not see to it within 20 seconds; else as [`Terminal::answer`].
    pub async fn answer_unseen(&mut self, question: &str, keys: &str) -> anyhow::Result<()> {
        self.screen.ends_with(question).await?;
        for _ in 0..TRIES {
            if !self.is_sane()? {
                return self.answer(question, keys).await;
            }
            tokio::time::sleep(PAUSE).await;
        }
        bail!("what is typed after {question:?} shows")
    }

    /// Whether what is typed shows, is read by lines, and Ctrl-C is heard.
    ///
    /// # Errors
    /// It cannot be told.
    pub fn is_sane(&self) -> anyhow::Result<bool> {
        let modes = tcgetattr(&self.device)?.local_modes;
        Ok(modes.contains(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG))
    }

    /// The program that runs on it.
    pub fn program(&self) -> Pid {
        self.program
    }
}

impl std::fmt::Debug for Terminal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Terminal")
            .field("screen", &self.screen)
            .field("program", &self.program)
            .finish_non_exhaustive()
    }
}

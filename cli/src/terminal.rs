//! Questions to whoever sits at the terminal.
//!
//! Each is read on a thread of its own, so that a login can end before it is answered: because the browser was faster, because it
//! took too long, or because the user has had enough.

use std::io::{self, BufRead, IsTerminal as _};

use secrecy::SecretString;

use crate::console::Console;

/// Whether somebody can answer.
pub(crate) fn is_interactive() -> bool {
    io::stdin().is_terminal()
}

/// Asks for a line.
pub(crate) async fn ask(prompt: &str, console: &Console<'_>) -> io::Result<String> {
    console.prompt(prompt)?;
    read_line().await
}

/// The next line, without its end.
pub(crate) async fn read_line() -> io::Result<String> {
    aside(|| {
        let mut line = String::new();
        if io::stdin().lock().read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    })
    .await
}

/// Asks for something that does not show while it is typed.
pub(crate) async fn ask_secret(prompt: &str, console: &Console<'_>) -> io::Result<SecretString> {
    console.prompt(prompt)?;
    let _mode = TerminalMode::current();
    let secret = aside(rpassword::read_password).await?;
    Ok(secret.into())
}

/// Ends when the user wants the program to end, or the terminal is gone. From then on the signals for that no longer end it by
/// themselves, which would leave the terminal without echo.
pub(crate) async fn interrupted() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let kinds = [
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
        ];
        if let [Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)] = kinds.map(signal) {
            tokio::select! {
                _signal = interrupt.recv() => return,
                _signal = terminate.recv() => return,
                _signal = hangup.recv() => return,
            }
        }
    }
    #[cfg(not(unix))]
    if tokio::signal::ctrl_c().await.is_ok() {
        return;
    }
    // Nothing is heard, so the signals end the program as ever.
    std::future::pending().await
}

async fn aside<T: Send + 'static>(
    read: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let read = tokio::task::spawn_blocking(read).await;
    read.map_err(io::Error::from).flatten()
}

/// Puts the terminal back as it was: the thread that reads a secret does so too, unless the program ends before it.
struct TerminalMode(#[cfg(unix)] Option<rustix::termios::Termios>);

impl TerminalMode {
    fn current() -> Self {
        Self(
            #[cfg(unix)]
            rustix::termios::tcgetattr(io::stdin()).ok(),
        )
    }
}

impl Drop for TerminalMode {
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Some(mode) = &self.0 {
            use rustix::termios::{OptionalActions, tcsetattr};
            let _gone = tcsetattr(io::stdin(), OptionalActions::Now, mode);
        }
    }
}

//! Standard output, which is for the result alone.

use std::io::{self, Write};
use std::time::Duration;

/// Why the result did not get to whoever asked for it.
#[derive(Debug, thiserror::Error)]
#[error("failed to print the result")]
pub(crate) struct PrintError(#[source] io::Error);

/// How often it is looked whether somebody is left to read.
const INTERVAL: Duration = Duration::from_secs(1);

/// Where the result goes. What a program prints that is started from here on, such as a browser in the terminal, goes to
/// standard error: kubectl reads standard output.
pub fn take_stdout() -> Box<dyn Write> {
    #[cfg(unix)]
    if let Some(own) = own::take() {
        return Box::new(io::LineWriter::new(own));
    }
    Box::new(io::stdout())
}

/// Prints a result, and leaves nothing of it for later.
pub(crate) fn print(stdout: &mut dyn Write, text: impl AsRef<[u8]>) -> Result<(), PrintError> {
    stdout
        .write_all(text.as_ref())
        .and_then(|()| stdout.flush())
        .map_err(PrintError)
}

/// Ends when nobody is left to read the result, as when kubectl was killed; not where that cannot be known.
pub(crate) async fn reader_gone() {
    while !is_reader_gone() {
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Whether nobody is left to read the result, as far as that can be known.
pub(crate) fn is_reader_gone() -> bool {
    #[cfg(unix)]
    if let Some(own) = own::STDOUT.get() {
        return own::is_reader_gone(own);
    }
    false
}

#[cfg(unix)]
mod own {
    use std::fs::File;
    use std::io;
    use std::os::fd::AsFd as _;
    use std::sync::OnceLock;

    use rustix::event::{PollFd, PollFlags, poll};
    use rustix::fs::Timespec;

    /// Standard output of this process, once it is taken.
    pub(super) static STDOUT: OnceLock<File> = OnceLock::new();

    /// Gives it a number that no other program inherits, and makes its own standard error's.
    pub(super) fn take() -> Option<&'static File> {
        let own = io::stdout().as_fd().try_clone_to_owned().ok()?;
        rustix::stdio::dup2_stdout(io::stderr()).ok()?;
        Some(STDOUT.get_or_init(|| own.into()))
    }

    pub(super) fn is_reader_gone(stdout: &File) -> bool {
        let gone = PollFlags::ERR | PollFlags::HUP;
        let mut asked = [PollFd::new(stdout, PollFlags::empty())];
        let polled = poll(&mut asked, Some(&Timespec::default()));
        polled.is_ok() && asked.iter().any(|asked| asked.revents().intersects(gone))
    }
}

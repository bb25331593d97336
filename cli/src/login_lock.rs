//! One login for many: of several programs that need the same session, one logs in and the others wait for what it gets.
//!
//! Pinniped's CLI has no such lock: there, programs that run side by side each open a browser, and spend the same refresh token,
//! which an issuer takes once.

use std::fs::{File, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::Path;
use std::time::Duration;

use crate::console::Console;
use crate::private_file::{create_private_folder, folder};
use crate::{lock_file, standard_output};

const INTERVAL: Duration = Duration::from_millis(20);
/// After this time somebody may wonder.
const SILENCE: Duration = Duration::from_secs(2);
/// As many as the number of a process has.
const MAX_DIGITS: usize = 10;

/// Why the lock is not held.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockError {
    #[error(
        "another haulout{holder} is still logging in to the same session; finish or end that login"
    )]
    TimedOut { holder: String },
    /// As when kubectl was killed.
    #[error("whoever asked for the session is gone")]
    ReaderGone,
    #[error("failed to lock the session")]
    Io(#[from] io::Error),
}

/// Held while a session is renewed; the others of the same session wait.
#[derive(Debug)]
pub(crate) struct LoginLock {
    _file: File,
}

impl LoginLock {
    /// Waits until no other program logs in to this session, but for no longer than `limit`. The lock stands beside the cache and
    /// ends with its holder, however that ends.
    ///
    /// The file stays: were it removed, one program could hold the old file and another the new.
    pub(crate) fn wait(
        cache: &Path,
        session: &str,
        limit: Duration,
        console: &Console<'_>,
    ) -> Result<Self, LockError> {
        create_private_folder(folder(cache))?;
        let file = lock_file::open(&cache.with_added_extension(format!("{session}.lock")))?;
        let mut waited = Duration::ZERO;
        loop {
            match file.try_lock() {
                Ok(()) => {
                    // It is for those who wait; without it they are told less.
                    drop(note_holder(&file));
                    return Ok(Self { _file: file });
                }
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error.into()),
            }
            if waited >= limit {
                let holder = holder(&file);
                return Err(LockError::TimedOut { holder });
            }
            if waited == SILENCE {
                let holder = holder(&file);
                console.tell(&format!(
                    "Waiting for another haulout{holder} that is logging in to the same session..."
                ));
            }
            if standard_output::is_reader_gone() {
                return Err(LockError::ReaderGone);
            }
            std::thread::sleep(INTERVAL);
            waited += INTERVAL;
        }
    }
}

/// Writes who holds the lock, for those who wait. A file that holds something else stays as it is.
fn note_holder(mut file: &File) -> io::Result<()> {
    let text = noted(file)?;
    if text.is_empty() || process(&text).is_some() {
        file.set_len(0)?;
        file.rewind()?;
        write!(file, "{}", std::process::id())?;
    }
    Ok(())
}

/// Who holds the lock, if that can be read.
fn holder(file: &File) -> String {
    let process = noted(file).ok().and_then(|text| process(&text));
    process.map_or_else(String::new, |id| format!(" (process {id})"))
}

fn process(noted: &str) -> Option<u32> {
    let is_whole = noted.len() <= MAX_DIGITS;
    noted.parse().ok().filter(|_| is_whole)
}

/// What stands in the file, as far as the number of a process goes.
fn noted(mut file: &File) -> io::Result<String> {
    let mut text = String::new();
    file.rewind()?;
    file.take(MAX_DIGITS as u64 + 1).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    #[test]
    fn one_holds_it_and_the_other_waits_with_a_word() {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("a/sessions.yaml");
        let silent = |_: &str| Ok(());
        let console = Console::new(&silent, false, &|_| None);
        let first = LoginLock::wait(&cache, "0123", LIMIT, &console).unwrap();
        // Another session is no hindrance.
        LoginLock::wait(&cache, "4567", LIMIT, &console).unwrap();
        let (told, mut stderr) = io::pipe().unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(move || {
                let stderr: std::cell::RefCell<&mut dyn io::Write> =
                    std::cell::RefCell::new(&mut stderr);
                let print = |text: &str| crate::console::print_to(&stderr, text);
                let console = Console::new(&print, false, &|_| None);
                LoginLock::wait(&cache, "0123", LIMIT, &console).unwrap();
            });
            let mut told = BufReader::new(told);
            let mut line = String::new();
            told.read_line(&mut line).unwrap();
            let expected = format!(
                "Waiting for another haulout (process {}) that",
                std::process::id()
            );
            assert!(line.starts_with(&expected), "{line}");
            assert!(!waiting.is_finished());
            drop(first);
            waiting.join().unwrap();
            line.clear();
            told.read_to_string(&mut line).unwrap();
            assert_eq!(line, "", "it is said once");
        });
    }

    #[test]
    fn nobody_waits_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("sessions.yaml");
        let silent = |_: &str| Ok(());
        let console = Console::new(&silent, false, &|_| None);
        let _first = LoginLock::wait(&cache, "0123", LIMIT, &console).unwrap();
        let second = LoginLock::wait(&cache, "0123", INTERVAL * 3, &console);
        let expected = format!(" (process {})", std::process::id());
        assert!(matches!(second, Err(LockError::TimedOut { holder }) if holder == expected));
    }

    #[test]
    fn the_holder_is_written_over_nothing_but_another() {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("sessions.yaml");
        let path = folder.path().join("sessions.yaml.0123.lock");
        let silent = |_: &str| Ok(());
        let console = Console::new(&silent, false, &|_| None);
        let own = std::process::id().to_string();
        for (before, after) in [
            ("", own.as_str()),
            ("4294967295", &own),
            ("12 ssh-ed25519", "12 ssh-ed25519"),
            ("00000000012 and more", "00000000012 and more"),
            ("für", "für"),
        ] {
            std::fs::write(&path, before).unwrap();
            LoginLock::wait(&cache, "0123", LIMIT, &console).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), after);
        }
    }
}

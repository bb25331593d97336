//! One login for many: of several programs that need the same session, one logs in and the others wait for what it gets.
//!
//! Pinniped's CLI has no such lock: there, programs that run side by side each open a browser, and spend the same refresh token,
//! which an issuer takes once.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use crate::console::Console;
use crate::private_file::{create_private_folder, folder, private, with_extension};
use crate::standard_output;

const INTERVAL: Duration = Duration::from_millis(20);
/// After so many tries, two seconds, somebody may wonder.
const TRIES_IN_SILENCE: u32 = 100;
/// After so many, two minutes, nothing is waited for any longer: nobody may be at the other's login.
const TRIES: u32 = 6000;

/// Held while a session is renewed; the others of the same session wait.
#[derive(Debug)]
pub(crate) struct LoginLock {
    _file: File,
}

impl LoginLock {
    /// Waits until no other program logs in to this session, but not for ever. The lock stands beside the cache and ends with
    /// its holder, however that ends.
    ///
    /// The file stays: were it removed, one program could hold the old file and another the new.
    pub(crate) fn wait(cache: &Path, session: &str, console: &Console<'_>) -> io::Result<Self> {
        Self::try_repeatedly(TRIES, cache, session, console)
    }

    fn try_repeatedly(
        tries: u32,
        cache: &Path,
        session: &str,
        console: &Console<'_>,
    ) -> io::Result<Self> {
        create_private_folder(folder(cache))?;
        let path = with_extension(cache, &format!("{session}.lock"));
        let file = private(OpenOptions::new().write(true).create(true)).open(&path)?;
        for tried in 0..tries {
            match file.try_lock() {
                Ok(()) => {
                    // It is for those who wait; without it they are told less.
                    drop(note_holder(&file));
                    return Ok(Self { _file: file });
                }
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error),
            }
            if tried == TRIES_IN_SILENCE {
                let holder = holder(&path);
                console.tell(&format!(
                    "Waiting for another haulout{holder} that is logging in to the same session..."
                ));
            }
            if standard_output::is_reader_gone() {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            std::thread::sleep(INTERVAL);
        }
        console.tell("It takes too long; logging in beside it.");
        Err(io::ErrorKind::TimedOut.into())
    }
}

/// Writes who holds the lock, for those who wait.
fn note_holder(mut file: &File) -> io::Result<()> {
    file.set_len(0)?;
    write!(file, "{}", std::process::id())
}

/// Who holds the lock, if that can be read.
fn holder(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let process = text.parse::<u32>();
    process.map_or_else(|_| String::new(), |id| format!(" (process {id})"))
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Read as _};
    use std::time::Instant;

    use super::*;

    #[test]
    fn one_holds_it_and_the_other_waits_with_a_word() {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("a/sessions.yaml");
        let silent = |_: &str| Ok(());
        let console = Console::new(&silent, false, &|_| None);
        let first = LoginLock::wait(&cache, "0123", &console).unwrap();
        // Another session is no hindrance.
        LoginLock::wait(&cache, "4567", &console).unwrap();
        let (told, mut stderr) = io::pipe().unwrap();
        std::thread::scope(|scope| {
            let begun = Instant::now();
            let waiting = scope.spawn(move || {
                let stderr: std::cell::RefCell<&mut dyn io::Write> =
                    std::cell::RefCell::new(&mut stderr);
                let print = |text: &str| crate::console::print_to(&stderr, text);
                let console = Console::new(&print, false, &|_| None);
                LoginLock::wait(&cache, "0123", &console).unwrap();
            });
            let mut told = BufReader::new(told);
            let mut line = String::new();
            told.read_line(&mut line).unwrap();
            let expected = format!(
                "Waiting for another haulout (process {}) that",
                std::process::id()
            );
            assert!(line.starts_with(&expected), "{line}");
            assert!(begun.elapsed() >= INTERVAL * TRIES_IN_SILENCE);
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
        let told = std::cell::RefCell::new(String::new());
        let print = |text: &str| {
            told.borrow_mut().push_str(text);
            Ok(())
        };
        let console = Console::new(&print, false, &|_| None);
        let _first = LoginLock::wait(&cache, "0123", &console).unwrap();
        let second = LoginLock::try_repeatedly(3, &cache, "0123", &console);
        assert_eq!(second.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(!told.borrow().is_empty());
    }
}

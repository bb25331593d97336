//! One login for many: of several programs that need the same session, one logs in and the others wait for what it gets.
//!
//! Pinniped's CLI has no such lock: there, programs that run side by side each open a browser, and spend the same refresh token,
//! which an issuer takes once.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use crate::cache_file::{create_private_folder, private, with_extension};

const INTERVAL: Duration = Duration::from_millis(20);
/// After so many tries, two seconds, somebody may wonder.
const TRIES_IN_SILENCE: u32 = 100;

/// Held while a session is renewed; the others of the same session wait.
#[derive(Debug)]
pub(crate) struct LoginLock {
    _file: File,
}

impl LoginLock {
    /// Waits until no other program logs in to this session. The lock stands beside the cache and ends with its holder, however
    /// that ends.
    pub(crate) fn wait(cache: &Path, session: &str, stderr: &mut dyn Write) -> io::Result<Self> {
        if let Some(folder) = cache.parent() {
            create_private_folder(folder)?;
        }
        let path = with_extension(cache, &format!("{session}.lock"));
        let file = private(OpenOptions::new().write(true).create(true)).open(path)?;
        for tries in 0.. {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: file }),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error),
            }
            if tries == TRIES_IN_SILENCE {
                // Nobody has to read it.
                drop(writeln!(
                    stderr,
                    "Waiting for another haulout that is logging in to the same session..."
                ));
            }
            std::thread::sleep(INTERVAL);
        }
        Err(io::ErrorKind::TimedOut.into())
    }
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
        let first = LoginLock::wait(&cache, "0123", &mut io::sink()).unwrap();
        // Another session is no hindrance.
        LoginLock::wait(&cache, "4567", &mut io::sink()).unwrap();
        let (told, mut stderr) = io::pipe().unwrap();
        std::thread::scope(|scope| {
            let begun = Instant::now();
            let waiting = scope.spawn(move || {
                LoginLock::wait(&cache, "0123", &mut stderr).unwrap();
            });
            let mut told = BufReader::new(told);
            let mut line = String::new();
            told.read_line(&mut line).unwrap();
            assert!(line.starts_with("Waiting for another haulout"), "{line}");
            assert!(begun.elapsed() >= INTERVAL * TRIES_IN_SILENCE);
            assert!(!waiting.is_finished());
            drop(first);
            waiting.join().unwrap();
            line.clear();
            told.read_to_string(&mut line).unwrap();
            assert_eq!(line, "", "it is said once");
        });
    }
}

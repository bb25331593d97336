//! The keyring of the user's system, by way of a program that speaks the protocol of Docker's credential helpers, such as
//! `docker-credential-secretservice`, `-osxkeychain`, `-wincred` or `-pass`.
//!
//! A library would bring a D-Bus client, and cryptography beside our own, into a program that kubectl starts dozens of times an
//! hour, and that needs the keyring for few of them. Secrets go through pipes, never through arguments.

use std::io::{self, Read as _, Write as _};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use haulout_https::foreign;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

/// The user may have to unlock it.
const LIMIT: Duration = Duration::from_secs(60);
/// For a program that has answered.
const END_LIMIT: Duration = Duration::from_secs(5);
const END_INTERVAL: Duration = Duration::from_millis(5);
/// An answer beyond this is none.
const MAX_BYTES: u64 = 1 << 20;
/// What the programs say, on stdout, of something that is not there.
const NOT_FOUND: &str = "credentials not found";

/// Why the keyring could not be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyringError {
    #[error("failed to run {program}, which has to be installed for --session-cache=keyring:...")]
    Run { program: String, source: io::Error },
    #[error("{program} {action} failed: {}", foreign(.text))]
    Refused {
        program: String,
        action: &'static str,
        text: String,
    },
    #[error("{program} {action} gave no answer for {} seconds; is the keyring locked?", LIMIT.as_secs())]
    TimedOut {
        program: String,
        action: &'static str,
    },
    /// The text of the answer may be the secret.
    #[error(
        "{program} {action} gave an answer that cannot be read, at line {line} column {column}"
    )]
    Answer {
        program: String,
        action: &'static str,
        line: usize,
        column: usize,
    },
}

/// A keyring.
#[derive(Debug)]
pub(crate) struct Keyring {
    program: String,
    limit: Duration,
}

impl Keyring {
    /// The one whose program is `docker-credential-NAME`.
    pub(crate) fn named(name: &str) -> Self {
        Self {
            program: format!("docker-credential-{name}"),
            limit: LIMIT,
        }
    }

    /// What is kept under this URL.
    pub(crate) fn get(&self, url: &str) -> Result<Option<SecretString>, KeyringError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Item {
            secret: SecretString,
        }
        match self.call("get", url) {
            Ok(answer) => self
                .read::<Item>("get", &answer)
                .map(|item| Some(item.secret)),
            Err(KeyringError::Refused { text, .. }) if text.contains(NOT_FOUND) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Keeps a secret under this URL, in the place of another.
    pub(crate) fn put(&self, url: &str, secret: &str) -> Result<(), KeyringError> {
        let item = json!({"ServerURL": url, "Username": "haulout", "Secret": secret});
        self.call("store", &item.to_string()).map(drop)
    }

    /// Forgets what is kept under this URL.
    pub(crate) fn remove(&self, url: &str) -> Result<(), KeyringError> {
        self.call("erase", url).map(drop)
    }

    /// All URLs under which something is kept, also that of other programs.
    pub(crate) fn urls(&self) -> Result<Vec<String>, KeyringError> {
        let answer = self.call("list", "")?;
        let items: Option<Map<String, Value>> = self.read("list", &answer)?;
        let items = items.unwrap_or_default();
        Ok(items.into_iter().map(|(url, _)| url).collect())
    }

    fn read<T: DeserializeOwned>(
        &self,
        action: &'static str,
        answer: &str,
    ) -> Result<T, KeyringError> {
        serde_json::from_str(answer).map_err(|error| KeyringError::Answer {
            program: self.program.clone(),
            action,
            line: error.line(),
            column: error.column(),
        })
    }

    /// Runs the program, and gives what it prints.
    fn call(&self, action: &'static str, input: &str) -> Result<String, KeyringError> {
        let program = || self.program.clone();
        let failed = |source| KeyringError::Run {
            program: program(),
            source,
        };
        let mut child = Command::new(&self.program)
            .arg(action)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(failed)?;
        let answer = answer_within(&mut child, input, self.limit);
        let Some(answer) = answer.map_err(failed)? else {
            // It is of no use any more, however that goes.
            drop(child.kill());
            drop(child.wait());
            return Err(KeyringError::TimedOut {
                program: program(),
                action,
            });
        };
        let status = end_within(&mut child, END_LIMIT).map_err(failed)?;
        let text = answer.trim().to_owned();
        match status.success() {
            true => Ok(text),
            false => Err(KeyringError::Refused {
                program: program(),
                action,
                // One that fails after all may have printed what it keeps.
                text: match text.starts_with(['{', '"']) {
                    true => status.to_string(),
                    false => text,
                },
            }),
        }
    }
}

/// All that the program prints when it is handed the input; `None` where that takes longer.
fn answer_within(child: &mut Child, input: &str, limit: Duration) -> io::Result<Option<String>> {
    let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Ok(Some(String::new()));
    };
    let input = SecretString::from(input);
    let (done, answer) = mpsc::channel();
    std::thread::spawn(move || {
        let answer = speak(stdin, &input).and_then(|()| {
            let mut text = String::new();
            let read = stdout.take(MAX_BYTES).read_to_string(&mut text);
            read.map(|_| text)
        });
        // Nobody waits any more where it took too long.
        drop(done.send(answer));
    });
    answer.recv_timeout(limit).ok().transpose()
}

/// Hands over the input. A program that does not read it says why by how it ends.
fn speak(mut stdin: ChildStdin, input: &SecretString) -> io::Result<()> {
    match stdin.write_all(input.expose_secret().as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// How a program ends that has said all. One that does not is ended.
fn end_within(child: &mut Child, limit: Duration) -> io::Result<ExitStatus> {
    let begun = Instant::now();
    while begun.elapsed() < limit {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        std::thread::sleep(END_INTERVAL);
    }
    child.kill()?;
    child.wait()
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// What becomes of a question to a program that does this. A good one is asked in the tests of logins.
    fn ask(script: &str) -> String {
        fail(script, |keyring| {
            keyring.get("https://login.example.com").map(drop)
        })
    }

    /// How a keyring fails whose program does this.
    fn fail(script: &str, act: impl FnOnce(&Keyring) -> Result<(), KeyringError>) -> String {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("docker-credential-x");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        let executable = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(&program, executable).unwrap();
        let keyring = Keyring {
            program: program.to_str().unwrap().to_owned(),
            // Enough for a shell to start where much else runs.
            limit: Duration::from_secs(5),
        };
        act(&keyring).unwrap_err().to_string()
    }

    #[test]
    fn nobody_waits_for_ever_for_a_program_that_does_not_listen() {
        // More than a pipe holds.
        let secret = "x".repeat(1 << 20);
        let error = fail("exec sleep 60", |keyring| {
            keyring.put("https://login.example.com", &secret)
        });
        assert!(error.contains("store gave no answer"), "{error}");
    }

    #[test]
    fn programs_that_do_not_do_their_work_are_told_of() {
        for (script, expected) in [
            ("exec sleep 60", "get gave no answer"),
            ("echo nonsense", "get gave an answer that cannot be read"),
            ("echo '{}'", "get gave an answer that cannot be read"),
            ("echo locked; exit 1", "get failed: locked"),
            (
                "echo '{\"Secret\": \"very-secret\"}'; exit 1",
                "get failed: exit",
            ),
            (
                "echo '\"very-secret\"'",
                "get gave an answer that cannot be read",
            ),
            ("echo nonsense; exec 1>&-; sleep 60", "get failed: nonsense"),
        ] {
            let error = ask(script);
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains("very-secret"), "{error}");
        }
    }
}

//! `haulout login oidc` against a stand-in for a Pinniped Supervisor, and a browser that does what it is told.
//!
//! Tests that show a behaviour of `pinniped` carry its number in the list of `docs/pinniped-cli.md`.

mod browser;
mod caches;
mod device;
mod exchange;
mod failures;
mod flows;
mod identity_providers;
mod keyring;
mod logout;
mod processes;
mod programs;
mod sessions;
mod stanzas;
mod surroundings;
mod terminal;
mod verbose;
mod warnings;

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use haulout_operate::clock::{Clock, ManualClock};
use haulout_tests::supervisor::{Behaviour, PASSWORD, Supervisor};
use haulout_tests::terminal::Screen;
use serde_json::Value;

use super::{Machine, NOW, Outcome};

/// A user's machine and the issuer that he logs in at; both have the same time.
struct Site {
    machine: Machine,
    supervisor: Supervisor,
    clock: ManualClock,
}

impl Site {
    async fn new(behaviour: Behaviour) -> Self {
        Self::at(SystemTime::UNIX_EPOCH + Duration::from_secs(NOW), behaviour).await
    }

    /// For a program that is a process, and reads the time itself.
    async fn today(behaviour: Behaviour) -> Self {
        Self::at(Clock::system().now(), behaviour).await
    }

    async fn at(now: SystemTime, behaviour: Behaviour) -> Self {
        let (clock, hand) = Clock::manual(now);
        let mut machine = Machine::new();
        let since = now.duration_since(SystemTime::UNIX_EPOCH);
        machine.now = since.unwrap().as_secs();
        Self {
            machine,
            supervisor: Supervisor::start(clock, behaviour).await.unwrap(),
            clock: hand,
        }
    }

    /// Lets time pass.
    fn wait(&mut self, seconds: u64) {
        self.machine.now += seconds;
        self.clock.advance(Duration::from_secs(seconds));
    }

    fn sessions_file(&self) -> std::path::PathBuf {
        self.machine
            .home
            .path()
            .join(".config/pinniped/sessions.yaml")
    }

    /// The one session in it.
    fn session(&self) -> Value {
        let text = std::fs::read_to_string(self.sessions_file()).unwrap();
        let mut file: Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(file["sessions"].as_array().unwrap().len(), 1, "{text}");
        file["sessions"][0].take()
    }

    fn ca_flag(&self) -> String {
        let ca = BASE64_STANDARD.encode(self.supervisor.ca_pem());
        format!("--ca-bundle-data={ca}")
    }

    /// The flags of a usual stanza without a cluster, and `more`.
    fn flags(&self, more: &[&str]) -> Vec<String> {
        let issuer = format!("--issuer={}", self.supervisor.url());
        let flags =
            ["login", "oidc", &issuer, &self.ca_flag(), "--skip-browser"].map(str::to_owned);
        let more = more.iter().map(|flag| (*flag).to_owned());
        flags.into_iter().chain(more).collect()
    }

    /// Runs the program with these flags and no others, while nobody looks.
    async fn run_flags(&self, flags: &[&str]) -> Outcome {
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        self.run_whole(&Screen::default(), flags, async |_| {})
            .await
    }

    /// Runs the program, and meanwhile `user`, who sees what it says.
    async fn run_with(&self, more: &[&str], user: impl AsyncFnOnce(&Screen)) -> Outcome {
        self.run_on(&Screen::default(), more, user).await
    }

    /// The same, on this screen.
    async fn run_on(
        &self,
        screen: &Screen,
        more: &[&str],
        user: impl AsyncFnOnce(&Screen),
    ) -> Outcome {
        self.run_whole(screen, self.flags(more), user).await
    }

    async fn run_whole(
        &self,
        screen: &Screen,
        flags: Vec<String>,
        user: impl AsyncFnOnce(&Screen),
    ) -> Outcome {
        let program = self.machine.copy().start(flags, screen.clone());
        user(screen).await;
        program.end().await
    }

    /// Gives the program what it would ask for: it logs in as this user without a word.
    fn set_password(&mut self, username: &str) {
        self.machine
            .set("PINNIPED_USERNAME", username)
            .set("PINNIPED_PASSWORD", PASSWORD);
    }

    /// Runs the program while nobody looks.
    async fn run(&self, more: &[&str]) -> Outcome {
        self.run_with(more, async |_| {}).await
    }

    /// Runs the program, and logs in as this user.
    async fn log_in(&self, more: &[&str]) -> Outcome {
        self.run_with(more, async |screen| {
            browser::Browser::new(&self.supervisor)
                .log_in(screen, "alice")
                .await;
        })
        .await
    }
}

/// The stand-in's identity provider that takes passwords.
const LDAP: &[&str] = &[
    "--upstream-identity-provider-name=my-ldap",
    "--upstream-identity-provider-type=ldap",
];

/// Checks that it failed with `code` and this in its text, and printed nothing else.
fn assert_fails(outcome: &Outcome, code: u8, expected: &str) {
    assert_eq!(outcome.code, ExitCode::from(code), "{}", outcome.stderr);
    assert_eq!(outcome.stdout, "");
    assert!(outcome.stderr.contains(expected), "{}", outcome.stderr);
}

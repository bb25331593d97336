//! The program `haulout`: its logins, `doctor` and `kubeconfig` against real HTTPS servers, `talos patch` with real machine
//! configs.
#![cfg(test)]

mod cache;
mod catalogue;
mod cluster_failures;
mod doctor;
mod exchange;
mod failures;
mod get_kubeconfig;
mod login_oidc;
mod plain;
mod server;
mod talos_patch;
mod usage;
mod version;
mod whoami;

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use haulout_tests::terminal::Screen;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use server::Server;

/// Seconds since the epoch at which every test runs: 2026-11-18T11:06:40Z.
const NOW: u64 = 1_795_000_000;
const TOKEN: &str = "header.very-secret-payload.signature";

/// What one run of the program gave.
struct Outcome {
    code: ExitCode,
    stdout: String,
    stderr: String,
}

impl Outcome {
    fn credential(&self) -> Value {
        assert_eq!(self.code, ExitCode::SUCCESS, "{}", self.stderr);
        assert_eq!(self.stdout.matches('\n').count(), 1, "one line");
        serde_json::from_str(&self.stdout).unwrap()
    }

    /// Checks that it failed with `code`, printed nothing but an error, and kept the token to itself.
    fn error(&self, code: u8) -> &str {
        assert_eq!(self.code, ExitCode::from(code), "{}", self.stderr);
        assert_eq!(self.stdout, "");
        assert!(!self.stderr.contains(TOKEN), "{}", self.stderr);
        &self.stderr
    }
}

/// A user's machine: a home folder, environment variables and a clock.
struct Machine {
    home: tempfile::TempDir,
    variables: HashMap<&'static str, OsString>,
    now: u64,
}

impl Machine {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let variables = HashMap::from([("HOME", home.path().as_os_str().to_owned())]);
        Self {
            home,
            variables,
            now: NOW,
        }
    }

    fn set(&mut self, name: &'static str, value: &str) -> &mut Self {
        self.variables.insert(name, value.into());
        self
    }

    fn cache_file(&self) -> PathBuf {
        self.home.path().join(".config/pinniped/credentials.yaml")
    }

    /// The same machine once more, for another thread; its home stays this one's.
    fn copy(&self) -> Copy {
        Copy {
            variables: self.variables.clone(),
            now: self.now,
        }
    }

    fn run(&self, flags: &[&str]) -> Outcome {
        self.run_with_input(flags, "")
    }

    fn run_with_input(&self, flags: &[&str], stdin: &str) -> Outcome {
        let mut stderr = Vec::new();
        let (code, stdout) = self.copy().run_on(flags, stdin, &mut stderr);
        Outcome {
            code,
            stdout,
            stderr: String::from_utf8(stderr).unwrap(),
        }
    }

    /// Logs in at `server` with the flags of a usual stanza and `more`.
    fn login(&self, server: &Server, more: &[&str]) -> Outcome {
        let endpoint = format!("--concierge-endpoint={}", server.url());
        let ca = format!("--concierge-ca-bundle-data={}", server.ca_base64());
        let token = format!("--token={TOKEN}");
        let flags = [
            "login",
            "static",
            "--enable-concierge",
            "--concierge-api-group-suffix=pinniped.dev",
            "--concierge-authenticator-name=supervisor",
            "--concierge-authenticator-type=jwt",
            &endpoint,
            &ca,
            &token,
        ];
        self.run(&[&flags[..], more].concat())
    }
}

/// What of a machine a program sees.
struct Copy {
    variables: HashMap<&'static str, OsString>,
    now: u64,
}

impl Copy {
    /// Runs the program, and gives its exit code and what it printed.
    fn run_on(&self, flags: &[&str], stdin: &str, mut stderr: impl Write) -> (ExitCode, String) {
        let arguments = ["haulout"].iter().chain(flags);
        let arguments: Vec<OsString> = arguments.map(OsString::from).collect();
        let mut stdout = Vec::new();
        let code = haulout::run(
            &arguments,
            &|name| self.variables.get(name).cloned(),
            SystemTime::UNIX_EPOCH + Duration::from_secs(self.now),
            &mut stdin.as_bytes(),
            &mut stdout,
            &mut stderr,
        );
        (code, String::from_utf8(stdout).unwrap())
    }

    /// Runs the program on a thread, which a test that fails does not wait for.
    fn start(self, flags: Vec<String>, screen: Screen) -> Running {
        let (done, ended) = oneshot::channel();
        let own_screen = screen.clone();
        std::thread::spawn(move || {
            let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
            done.send(self.run_on(&flags, "", own_screen))
        });
        Running { ended, screen }
    }
}

/// A program on a thread of its own.
struct Running {
    ended: oneshot::Receiver<(ExitCode, String)>,
    screen: Screen,
}

impl Running {
    async fn end(self) -> Outcome {
        let ended = tokio::time::timeout(Duration::from_secs(60), self.ended).await;
        let (code, stdout) = ended.expect("the program goes on for ever").unwrap();
        Outcome {
            code,
            stdout,
            stderr: self.screen.text(),
        }
    }
}

/// A good answer whose certificate ends five minutes after [`NOW`].
fn success() -> Value {
    answer(&json!({
        "credential": {
            "expirationTimestamp": "2026-11-18T11:11:40Z",
            "clientCertificateData": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "clientKeyData": "-----BEGIN PRIVATE KEY-----\nBBBB\n-----END PRIVATE KEY-----\n",
        },
    }))
}

fn answer(status: &Value) -> Value {
    json!({
        "kind": "TokenCredentialRequest",
        "apiVersion": "login.concierge.pinniped.dev/v1alpha1",
        "metadata": {"creationTimestamp": null},
        "spec": {"authenticator": {"apiGroup": null, "kind": "", "name": ""}},
        "status": status,
    })
}

//! A person's computer: a kubeconfig, a home folder, and a browser that only notes where it was to go.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use haulout_tests::cluster::{Credential, Kubectl, exchange_flags};
use haulout_tests::fake_browser::FakeBrowser;
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use super::AUTHENTICATOR;
use crate::running::{Running, until};

/// Longest time that a command may take, with somebody who logs in meanwhile.
const LIMIT: Duration = Duration::from_secs(90);

pub(super) struct Desk {
    home: PathBuf,
    browser: FakeBrowser,
    kubectl: Kubectl,
    haulout: PathBuf,
    started: AtomicUsize,
}

impl Desk {
    /// One whose kubeconfig logs in by `haulout login oidc` with these arguments, at the cluster's [`AUTHENTICATOR`].
    pub(super) fn new(running: &Running, name: &str, arguments: &[String]) -> Self {
        let cluster = &running.cluster;
        let home = cluster.folder().join(name);
        std::fs::create_dir(&home).unwrap();
        let browser = FakeBrowser::install(&home).unwrap();
        let haulout = running.stack.products().program("haulout");
        let stanza = stanza(running, &haulout, arguments);
        let kubeconfig = cluster.kubeconfig(name, &Credential::Exec(stanza)).unwrap();
        Self {
            kubectl: cluster.kubectl().with_kubeconfig(&kubeconfig),
            haulout,
            home,
            browser,
            started: AtomicUsize::new(0),
        }
    }

    /// Starts `kubectl ARGUMENTS`.
    pub(super) fn kubectl(&self, arguments: &[&str]) -> Call {
        self.kubectl_with(arguments, &[])
    }

    /// The same with further variables in the environment.
    pub(super) fn kubectl_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Call {
        let mut command = self.kubectl.command();
        command.args(arguments).envs(variables.iter().copied());
        self.start(command)
    }

    /// Starts `haulout ARGUMENTS`.
    pub(super) fn haulout(&self, arguments: &[&str]) -> Call {
        let mut command = Command::new(&self.haulout);
        command.args(arguments);
        self.start(command)
    }

    fn start(&self, mut command: Command) -> Call {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let stderr = self.home.join(format!("stderr-{number}"));
        command
            .env("HOME", &self.home)
            .env_remove("XDG_CONFIG_HOME")
            .env("BROWSER", self.browser.program())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&stderr).unwrap())
            .kill_on_drop(true);
        let child = command.spawn().unwrap();
        Call { child, stderr }
    }

    /// Where the browser was to go, each time that it was opened.
    pub(super) fn links(&self) -> Vec<String> {
        self.browser.links()
    }

    /// Where the browser goes when it is opened for this time, 0 being the first; what `call` says is told if it is not.
    pub(super) async fn link(&self, time: usize, call: &Call) -> String {
        let link = self.browser.link(time).await;
        link.unwrap_or_else(|error| panic!("{error}: {}", call.told()))
    }

    /// A file that logins leave in the person's home.
    pub(super) fn cache(&self, name: &str) -> PathBuf {
        self.home.join(".config/pinniped").join(name)
    }

    /// Removes what logins have left.
    pub(super) fn forget(&self) {
        for name in ["credentials.yaml", "sessions.yaml"] {
            std::fs::remove_file(self.cache(name)).unwrap();
        }
    }

    /// The one session of `sessions.yaml`.
    pub(super) fn session(&self) -> Value {
        let text = std::fs::read_to_string(self.cache("sessions.yaml")).unwrap();
        let mut file: Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(file["sessions"].as_array().unwrap().len(), 1, "{text}");
        file["sessions"][0].take()
    }
}

fn stanza(running: &Running, haulout: &Path, arguments: &[String]) -> Value {
    let exchange = exchange_flags(&running.cluster, AUTHENTICATOR).unwrap();
    let login = ["login", "oidc"].map(str::to_owned);
    let arguments: Vec<String> = [&login[..], arguments, &exchange].concat();
    json!({
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": haulout,
        "args": arguments,
        "interactiveMode": "IfAvailable",
        "provideClusterInfo": true,
    })
}

/// A program that runs.
pub(super) struct Call {
    child: Child,
    stderr: PathBuf,
}

/// How it ended.
pub(super) struct Outcome {
    pub(super) is_success: bool,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Call {
    /// What it has said on stderr.
    pub(super) fn told(&self) -> String {
        std::fs::read_to_string(&self.stderr).unwrap()
    }

    /// The first line on stderr with one of these in it, as soon as there is one.
    pub(super) async fn line(&self, parts: &[&str]) -> String {
        let find = || {
            let told = self.told();
            let whole = told
                .split_inclusive('\n')
                .filter(|line| line.ends_with('\n'));
            let mut lines = whole.map(str::trim);
            let found = lines.find(|line| parts.iter().any(|part| line.contains(part)));
            found.map(str::to_owned)
        };
        until(&format!("{parts:?} on stderr"), async || find().is_some()).await;
        find().unwrap()
    }

    /// Waits for its end.
    pub(super) async fn outcome(self) -> Outcome {
        let ended = tokio::time::timeout(LIMIT, self.child.wait_with_output()).await;
        let stderr = std::fs::read_to_string(&self.stderr).unwrap();
        let output = ended
            .unwrap_or_else(|_| panic!("it goes on for ever: {stderr}"))
            .unwrap();
        Outcome {
            is_success: output.status.success(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr,
        }
    }

    /// Waits for its end, which must be a good one.
    pub(super) async fn succeed(self) -> Outcome {
        let outcome = self.outcome().await;
        assert!(outcome.is_success, "{}", outcome.stderr);
        outcome
    }
}

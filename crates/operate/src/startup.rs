//! The first things that a process does: crypto, its own protection, logs.

mod json;

use std::io;

use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit,
};
use serde::{Deserialize, Serialize};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// How much is logged and in which form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct LogSettings {
    /// The least severe level that is logged.
    pub level: LogLevel,
    /// The form of a line.
    pub format: LogFormat,
}

/// Level of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Warnings and errors.
    #[serde(rename = "")]
    Quiet,
    /// Also what an administrator wants to know of normal operation.
    #[default]
    Info,
    /// Also what helps to find a fault.
    Debug,
    /// Everything; never credentials.
    Trace,
}

/// Form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// For a terminal.
    Text,
}

/// Why the process could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum StartupError {
    /// A log was set up before.
    #[error("failed to set up the log: one is set up already")]
    Log(#[source] tracing_subscriber::util::TryInitError),
    /// The kernel refused to protect the process's memory.
    #[error("failed to forbid core dumps of this process")]
    Harden(#[source] rustix::io::Errno),
}

/// Makes aws-lc-rs the process's TLS cryptography. To be called first, and harmless when called again.
pub fn install_crypto_provider() {
    // An error says that a provider is installed already, which is what is wanted.
    let _already_installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// Forbids core dumps and reading this process's memory by others of the same user.
///
/// # Errors
/// The kernel refused.
pub fn harden_process() -> Result<(), StartupError> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(StartupError::Harden)?;
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none).map_err(StartupError::Harden)
}

/// Lets the process have as many open files, and so connections, as the system permits it. Programs
/// are started with few for the sake of old system calls that none of ours makes.
pub fn raise_open_files_limit() {
    let limit = getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    // It may always be raised so far; where it is not, the listener says when files run out.
    let _raised = setrlimit(Resource::Nofile, all);
}

/// Sends the log to stderr.
///
/// # Errors
/// The process has a log already.
pub fn init_logging(settings: &LogSettings) -> Result<(), StartupError> {
    let registry = tracing_subscriber::registry().with(filter(settings.level));
    let text = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    match settings.format {
        LogFormat::Json => registry
            .with(text.event_format(json::JsonLines).with_ansi(false))
            .try_init(),
        LogFormat::Text => registry.with(text).try_init(),
    }
    .map_err(StartupError::Log)
}

fn filter(level: LogLevel) -> Targets {
    let default = match level {
        LogLevel::Quiet => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    // Up to warnings, kube repeats what the API server answered, which may be a Secret. That a watch
    // fails is said by our controllers too: once, and with what to do.
    Targets::new()
        .with_default(default)
        .with_target("kube_client::client", LevelFilter::ERROR)
        .with_target("kube_client::client::builder", default)
        .with_target("kube_runtime::watcher", LevelFilter::ERROR)
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    #[cfg(feature = "cluster")]
    use std::sync::{Arc, Mutex, PoisonError};

    use rustix::process::dumpable_behavior;
    use tracing::Level;

    use super::*;

    #[test]
    fn levels_let_pass_what_they_say() {
        for (level, info, debug) in [
            (LogLevel::Quiet, false, false),
            (LogLevel::Info, true, false),
            (LogLevel::Debug, true, true),
            (LogLevel::Trace, true, true),
        ] {
            let filter = filter(level);
            let passes = |target, level| filter.would_enable(target, &level);
            for target in ["haulout_webhook", "kube_client::client::builder"] {
                assert!(passes(target, Level::WARN), "{level:?}");
                assert_eq!(passes(target, Level::INFO), info, "{level:?}");
                assert_eq!(passes(target, Level::DEBUG), debug, "{level:?}");
            }
            for target in ["kube_client::client", "kube_runtime::watcher"] {
                assert!(!passes(target, Level::WARN), "{level:?}");
                assert!(passes(target, Level::ERROR), "{level:?}");
            }
        }
    }

    /// An answer of the wrong type is logged by kube, as a whole or in part.
    #[cfg(feature = "cluster")]
    #[tokio::test]
    async fn no_level_lets_a_secret_into_the_log() {
        use futures_util::StreamExt as _;
        use k8s_openapi::api::core::v1::Secret;
        use kube::client::Body;

        for level in [
            LogLevel::Quiet,
            LogLevel::Info,
            LogLevel::Debug,
            LogLevel::Trace,
        ] {
            let lines = Lines::default();
            let writer = lines.clone();
            let text = tracing_subscriber::fmt::layer().with_writer(move || writer.clone());
            let log = tracing_subscriber::registry()
                .with(filter(level))
                .with(text);
            let _in_force = tracing::subscriber::set_default(log);
            tracing::warn!("the log is read");

            let (service, mut server) = tower_test::mock::pair();
            let secrets = kube::Api::<Secret>::all(kube::Client::new(service, "default"));
            let mut watch =
                kube::runtime::watcher(secrets, kube::runtime::watcher::Config::default()).boxed();
            let list = r#"{"kind":"SecretList","apiVersion":"v1","metadata":{"resourceVersion":"1"},
                "items":[{"metadata":{"name":"a"},"data":"c2VjcmV0"}]}"#;
            let answer = async {
                let next: Option<(http::Request<Body>, _)> = server.next_request().await;
                let (_list, reply) = next.unwrap();
                reply.send_response(http::Response::new(Body::from(list.as_bytes().to_vec())));
            };
            let begun = watch.next().await.unwrap();
            begun.unwrap();
            let (listed, ()) = tokio::join!(watch.next(), answer);
            let error = listed.unwrap().unwrap_err();
            let told = crate::controller::watch_fault(error).unwrap();
            assert!(
                told.starts_with("failed to read the API server's answer"),
                "{told}"
            );

            let logged = lines.text();
            assert!(logged.contains("the log is read"), "{level:?}: {logged}");
            for text in [logged, told] {
                assert!(!text.contains("c2VjcmV0"), "{level:?}: {text}");
            }
        }
    }

    #[cfg(feature = "cluster")]
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    #[cfg(feature = "cluster")]
    impl Lines {
        fn text(&self) -> String {
            String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
        }
    }

    #[cfg(feature = "cluster")]
    impl io::Write for Lines {
        fn write(&mut self, part: &[u8]) -> io::Result<usize> {
            let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            lines.write(part)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const CHILD: &str = "HAULOUT_TEST_HARDENED_CHILD";

    /// Nothing takes this back, so it is done to a child: this program, run again for this one test.
    #[test]
    fn a_hardened_process_is_not_dumpable_and_writes_no_core() {
        if std::env::var_os(CHILD).is_some() {
            return harden_and_look();
        }
        let name = "startup::tests::a_hardened_process_is_not_dumpable_and_writes_no_core";
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        let output = String::from_utf8_lossy(&child.stdout);
        assert!(
            child.status.success() && output.contains("1 passed"),
            "{output}{}",
            String::from_utf8_lossy(&child.stderr)
        );
    }

    #[test]
    fn no_open_file_is_given_away() {
        raise_open_files_limit();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }

    fn harden_and_look() {
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::Dumpable);
        harden_process().unwrap();
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
        let core = getrlimit(Resource::Core);
        assert_eq!((core.current, core.maximum), (Some(0), Some(0)));
    }
}

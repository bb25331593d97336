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
    let (default, of_watches) = match level {
        LogLevel::Quiet => (LevelFilter::WARN, LevelFilter::ERROR),
        LogLevel::Info => (LevelFilter::INFO, LevelFilter::ERROR),
        LogLevel::Debug => (LevelFilter::DEBUG, LevelFilter::DEBUG),
        LogLevel::Trace => (LevelFilter::TRACE, LevelFilter::TRACE),
    };
    // It warns at each attempt; our controllers say the same once, and what to do.
    Targets::new()
        .with_default(default)
        .with_target("kube_runtime::watcher", of_watches)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use rustix::process::dumpable_behavior;
    use tracing::Level;

    use super::*;

    #[test]
    fn levels_let_pass_what_they_say() {
        for (level, info, debug, attempts) in [
            (LogLevel::Quiet, false, false, false),
            (LogLevel::Info, true, false, false),
            (LogLevel::Debug, true, true, true),
            (LogLevel::Trace, true, true, true),
        ] {
            let filter = filter(level);
            let passes = |target, level| filter.would_enable(target, &level);
            assert!(passes("haulout_webhook", Level::WARN), "{level:?}");
            assert_eq!(passes("haulout_webhook", Level::INFO), info, "{level:?}");
            assert_eq!(passes("haulout_webhook", Level::DEBUG), debug, "{level:?}");
            let watcher = "kube_runtime::watcher";
            assert_eq!(passes(watcher, Level::WARN), attempts, "{level:?}");
            assert!(passes(watcher, Level::ERROR), "{level:?}");
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

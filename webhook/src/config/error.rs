//! What is wrong with a configuration file, in words.

use std::path::{Path, PathBuf};
use std::{fmt, io};

/// One thing that is wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Path of the field, for example `agent.tls.certFile`.
    pub field: &'static str,
    /// What is wrong and what to write instead.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("failed to read the configuration file {path}")]
    Read {
        /// Path of the file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is no YAML of the right shape; the text names line and field.
    #[error("{path} is not a valid configuration: {message}")]
    Parse {
        /// Path of the file.
        path: PathBuf,
        /// What the parser said.
        message: String,
    },
    /// Fields hold values that cannot be used: one line a fault, each with the file's path.
    #[error("{}", lines(path, faults))]
    Faults {
        /// Path of the file.
        path: PathBuf,
        /// What is wrong, in the order of the file's description.
        faults: Vec<Fault>,
    },
}

/// What the parser said and the line that it said it of, which names the field; all in one line.
pub(super) fn describe(error: &serde_saphyr::Error, text: &str) -> String {
    let said = error.without_snippet().to_string();
    let line = error
        .location()
        .and_then(|location| usize::try_from(location.line()).ok())
        .and_then(|number| text.lines().nth(number.checked_sub(1)?));
    match line {
        Some(line) => format!("{said}: `{}`", line.trim()),
        None => said,
    }
}

fn lines(path: &Path, faults: &[Fault]) -> String {
    let path = path.display();
    let lines: Vec<String> = faults
        .iter()
        .map(|fault| format!("{path}: {fault}"))
        .collect();
    lines.join("\n")
}

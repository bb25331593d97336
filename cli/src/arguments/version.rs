//! `version`.

use clap::{Args, ValueEnum};

/// Flags of `version`.
#[derive(Args, Debug)]
pub(crate) struct VersionFlags {
    /// Prints everything that is known of this build, for programs [default: one line].
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) output: Option<VersionFormat>,
}

/// How a program wants to read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum VersionFormat {
    /// One object, indented.
    Json,
    /// One document.
    Yaml,
}

//! `haulout version`: which build this is.

use std::io::Write;

use k8s_openapi::jiff::Timestamp;
use serde::Serialize;

use crate::arguments::{VersionFlags, VersionFormat};
use crate::document::{self, EncodeError};
use crate::standard_output::{PrintError, print};

/// Why it was not told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VersionError {
    #[error(transparent)]
    Encode(#[from] EncodeError),
    #[error(transparent)]
    Print(#[from] PrintError),
}

/// What is known of a build, in the fields of Kubernetes' `version.Info`, which Pinniped's CLI prints.
///
/// Nothing in it depends on where or when the program was compiled: the commit and its date are given to the build, and are
/// empty and 1970 otherwise, as in Kubernetes' own programs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    major: &'static str,
    minor: &'static str,
    git_version: &'static str,
    git_commit: &'static str,
    /// `clean` where the commit is known: releases are built from nothing else.
    git_tree_state: &'static str,
    /// Date of the commit.
    build_date: String,
    /// Empty: there is no Go in it.
    go_version: &'static str,
    compiler: &'static str,
    /// In Go's names.
    platform: String,
}

impl Version {
    fn of_this_build() -> Self {
        let git_commit = option_env!("HAULOUT_GIT_COMMIT").unwrap_or_default();
        Self {
            major: env!("CARGO_PKG_VERSION_MAJOR"),
            minor: env!("CARGO_PKG_VERSION_MINOR"),
            git_version: concat!("v", env!("CARGO_PKG_VERSION")),
            git_commit,
            git_tree_state: if git_commit.is_empty() { "" } else { "clean" },
            build_date: date(option_env!("SOURCE_DATE_EPOCH")),
            go_version: "",
            compiler: concat!("rustc ", env!("CARGO_PKG_RUST_VERSION")),
            platform: format!(
                "{}/{}",
                go_name(std::env::consts::OS),
                go_name(std::env::consts::ARCH)
            ),
        }
    }
}

/// Prints it.
pub(crate) fn run(flags: &VersionFlags, stdout: &mut dyn Write) -> Result<(), VersionError> {
    let version = Version::of_this_build();
    let text = match flags.output {
        None => concat!("haulout ", env!("CARGO_PKG_VERSION"), "\n").to_owned(),
        Some(VersionFormat::Json) => document::to_json(&version)? + "\n",
        Some(VersionFormat::Yaml) => document::to_yaml(&version)?,
    };
    Ok(print(stdout, &text)?)
}

/// Seconds since 1970, as reproducible builds are given them, for people.
fn date(seconds: Option<&str>) -> String {
    let seconds = seconds.and_then(|seconds| seconds.parse().ok());
    let date = seconds.map(Timestamp::from_second).and_then(Result::ok);
    date.unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}

/// What Go calls a system or a processor.
fn go_name(name: &'static str) -> &'static str {
    match name {
        "macos" => "darwin",
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_that_the_build_was_given() {
        assert_eq!(date(Some("1795000000")), "2026-11-18T11:06:40Z");
        for none in [None, Some(""), Some("yesterday")] {
            assert_eq!(date(none), "1970-01-01T00:00:00Z");
        }
    }

    #[test]
    fn platforms_are_named_as_in_go() {
        for (name, expected) in [
            ("macos", "darwin"),
            ("x86_64", "amd64"),
            ("aarch64", "arm64"),
            ("linux", "linux"),
            ("windows", "windows"),
        ] {
            assert_eq!(go_name(name), expected);
        }
    }
}

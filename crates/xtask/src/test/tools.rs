//! Cargo subcommands that only `--all` needs, installed below `target/tools`.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};

use crate::output::say;
use crate::products::cargo;

/// A tool at the version that the checkout was tried with.
pub(super) struct Tool {
    pub(super) name: &'static str,
    pub(super) version: &'static str,
}

pub(super) const DENY: Tool = Tool {
    name: "cargo-deny",
    version: "0.20.2",
};
pub(super) const FUZZ: Tool = Tool {
    name: "cargo-fuzz",
    version: "0.13.2",
};

impl Tool {
    /// Path of the tool, which is installed first if it is not there.
    ///
    /// # Errors
    /// `cargo install` failed.
    pub(super) async fn path(&self) -> anyhow::Result<PathBuf> {
        let Self { name, version } = self;
        let root = haulout_tests::cluster::workspace_root()
            .join("target/tools")
            .join(format!("{name}-{version}"));
        let program = root.join("bin").join(name);
        if !program.is_file() {
            say(&format!("    installing {name} {version}"));
            let status = cargo()
                .args([
                    "install",
                    "--quiet",
                    "--locked",
                    "--version",
                    version,
                    "--root",
                ])
                .arg(&root)
                .arg(name)
                .status()
                .await
                .context("failed to run cargo")?;
            ensure!(
                status.success(),
                "installing {name} {version} failed ({status})"
            );
        }
        Ok(program)
    }
}

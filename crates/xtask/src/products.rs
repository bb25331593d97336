//! Our own programs, built as they are released.

use std::io::IsTerminal as _;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use haulout_tests::cluster::{Products, TARGET};
use tokio::process::Command;

use crate::output::{say, seconds};

/// Builds the programs one by one, since features unify over packages that are built together; or takes those that
/// `HAULOUT_BIN` names.
///
/// # Errors
/// A build failed, or the given folder lacks a program.
pub(crate) async fn build() -> anyhow::Result<Products> {
    if std::env::var_os("HAULOUT_BIN").is_some_and(|folder| !folder.is_empty()) {
        let products = Products::find()?;
        say(&format!("    taken from {}", products.folder().display()));
        return Ok(products);
    }
    let count = Products::PROGRAMS.len();
    for (number, (program, package)) in Products::PROGRAMS.into_iter().enumerate() {
        let start = Instant::now();
        say(&format!("    {program} ({} of {count})", number + 1));
        let mut command = cargo();
        command
            .args(["build", "--locked", "--release", "--target", TARGET])
            .args(["--package", package, "--bin", program])
            // Static for the target only: build scripts and macros are loaded by a dynamic compiler.
            .env(
                "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS",
                "-C target-feature=+crt-static",
            )
            .env_remove("RUSTFLAGS");
        // Cargo's own progress helps on a terminal; elsewhere it is hundreds of lines.
        if !std::io::stderr().is_terminal() {
            command.arg("--quiet");
        }
        let status = command.status().await.context("failed to run cargo")?;
        ensure!(status.success(), "building {program} failed ({status})");
        say(&format!("      {}", seconds(start.elapsed())));
    }
    Products::in_folder(&Products::build_folder())
}

/// Cargo in the checkout; it ends with us.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .current_dir(haulout_tests::cluster::workspace_root())
        .kill_on_drop(true);
    command
}

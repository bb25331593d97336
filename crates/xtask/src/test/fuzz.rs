//! Runs the fuzz targets of `tests/fuzz`: shortly without coverage on stable, or long with it on nightly.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use haulout_tests::cluster::{target_folder, workspace_root};
use tokio::process::Command;

use super::cargo::{Tally, judge};
use super::tools::FUZZ;
use crate::files::visit;
use crate::products::cargo;

const SHORT_SECONDS: u32 = 10;
const LONG_SECONDS: u32 = 60;

/// Feeds each target its corpus and ten seconds of random input.
///
/// # Errors
/// The targets cannot be found or built.
pub(super) async fn corpus() -> anyhow::Result<Tally> {
    let folder = fuzz_folder();
    let target = target_folder().join("fuzz");
    let status = cargo()
        .args(["build", "--quiet", "--locked", "--manifest-path"])
        .arg(folder.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        .status()
        .await?;
    ensure!(
        status.success(),
        "building the fuzz targets failed ({status})"
    );
    let mut tally = Tally::default();
    for name in targets(&folder)? {
        // libFuzzer writes what it finds into the first folder: not into the checkout.
        let finds = target.join("finds").join(&name);
        std::fs::create_dir_all(&finds)?;
        let mut command = Command::new(target.join("debug").join(&name));
        command
            .arg(format!("-max_total_time={SHORT_SECONDS}"))
            .arg(format!("-artifact_prefix={}/", finds.display()))
            .arg(&finds)
            .kill_on_drop(true);
        let corpus = folder.join("corpus").join(&name);
        if corpus.is_dir() {
            command.arg(corpus);
        }
        tally += judge(command).await?;
    }
    Ok(tally)
}

/// Runs each target for a minute with coverage and sanitizers, by cargo-fuzz.
///
/// # Errors
/// cargo-fuzz cannot be installed.
pub(super) async fn with_coverage() -> anyhow::Result<Tally> {
    let tool = FUZZ.path().await?;
    let mut tally = Tally::default();
    for name in targets(&fuzz_folder())? {
        let mut command = Command::new(&tool);
        // Sanitizers need nightly; the toolchain that cargo gave us would win over rustup's choice.
        command
            .args(["fuzz", "run", "--fuzz-dir", "tests/fuzz", &name, "--"])
            .arg(format!("-max_total_time={LONG_SECONDS}"))
            .env("RUSTUP_TOOLCHAIN", "nightly")
            .env_remove("CARGO")
            .env_remove("RUSTC")
            .current_dir(workspace_root())
            .kill_on_drop(true);
        tally += judge(command)
            .await
            .context("install nightly: rustup toolchain install nightly")?;
    }
    Ok(tally)
}

fn fuzz_folder() -> PathBuf {
    workspace_root().join("tests/fuzz")
}

fn targets(folder: &Path) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    visit(&folder.join("fuzz_targets"), "rs", &mut |path| {
        let name = path.file_stem().context("a file without a name")?;
        names.push(name.to_string_lossy().into_owned());
        Ok(())
    })?;
    Ok(names)
}

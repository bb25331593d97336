//! Runs the fuzz targets of `tests/fuzz`: shortly on stable, or longer and with sanitizers on nightly.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use haulout_tests::cluster::{TARGET, target_folder, workspace_root};
use tokio::process::Command;

use super::cargo::{Tally, judge};
use super::tools::FUZZ;
use crate::files::visit;
use crate::products::cargo;

const SHORT_SECONDS: u32 = 10;
const LONG_SECONDS: u32 = 60;
/// Inputs are a few kilobytes: one that takes so long could hold up a server.
const INPUT_SECONDS: u32 = 20;

/// Has the compiler count which branches an input takes, as cargo-fuzz does: without that libFuzzer learns
/// nothing from the corpus, and sends noise.
const COVERAGE: &str = "-Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

/// Feeds each target its corpus and ten seconds of what it makes of that.
///
/// # Errors
/// The targets cannot be found or built.
pub(super) async fn corpus() -> anyhow::Result<Tally> {
    let target = target_folder().join("fuzz");
    let status = cargo()
        .args(["build", "--quiet", "--locked", "--manifest-path"])
        .arg(fuzz_folder().join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        // With a target named, the flags do not reach build scripts and macros.
        .args(["--target", TARGET])
        .env("RUSTFLAGS", COVERAGE)
        .status()
        .await?;
    ensure!(
        status.success(),
        "building the fuzz targets failed ({status})"
    );
    let mut tally = Tally::default();
    for name in targets()? {
        let mut command = Command::new(target.join(TARGET).join("debug").join(&name));
        command
            .args(flags(&name, SHORT_SECONDS))
            .args(inputs(&name)?)
            .kill_on_drop(true);
        tally += judge(command).await?;
    }
    Ok(tally)
}

/// Runs each target for a minute, with sanitizers, by cargo-fuzz.
///
/// # Errors
/// cargo-fuzz cannot be installed.
pub(super) async fn with_sanitizers() -> anyhow::Result<Tally> {
    let tool = FUZZ.path().await?;
    let mut tally = Tally::default();
    for name in targets()? {
        let mut command = Command::new(&tool);
        // Sanitizers need nightly; the toolchain that cargo gave us would win over rustup's choice.
        command
            .args(["fuzz", "run", "--fuzz-dir", "tests/fuzz", "--target-dir"])
            .arg(target_folder().join("fuzz"))
            .arg(&name)
            .args(inputs(&name)?)
            .arg("--")
            .args(flags(&name, LONG_SECONDS))
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

fn targets() -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    visit(&fuzz_folder().join("fuzz_targets"), "rs", &mut |path| {
        let name = path.file_stem().context("a file without a name")?;
        names.push(name.to_string_lossy().into_owned());
        Ok(())
    })?;
    Ok(names)
}

/// Where libFuzzer writes what it finds: not into the checkout.
fn finds(name: &str) -> PathBuf {
    target_folder().join("fuzz/finds").join(name)
}

/// The folders that inputs are read from; new ones are written into the first.
fn inputs(name: &str) -> anyhow::Result<[PathBuf; 2]> {
    let finds = finds(name);
    std::fs::create_dir_all(&finds)?;
    Ok([finds, fuzz_folder().join("corpus").join(name)])
}

fn flags(name: &str, seconds: u32) -> [String; 5] {
    [
        format!("-max_total_time={seconds}"),
        format!("-timeout={INPUT_SECONDS}"),
        format!("-artifact_prefix={}/", finds(name).display()),
        // Thousands of lines about coverage would hide the one that counts.
        "-verbosity=0".to_owned(),
        "-print_funcs=0".to_owned(),
    ]
}

//! Our own programs, built as they are released.

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use haulout_tests::cluster::{Products, TARGET, target_folder, workspace_root};
use tokio::process::Command;

use crate::output::{say, seconds};

/// Builds the programs one by one, since features unify over packages that are built together; or takes those that
/// `HAULOUT_BIN` names.
///
/// # Errors
/// A build failed, or the given folder lacks a program.
pub(crate) async fn build() -> anyhow::Result<Products> {
    let folder = build_some(&Products::PROGRAMS.map(|(program, _)| program)).await?;
    Products::in_folder(&folder)
}

/// The same for some of the programs; gives the folder that they are in.
///
/// # Errors
/// A build failed.
pub(crate) async fn build_some(programs: &[&str]) -> anyhow::Result<PathBuf> {
    if let Some(folder) = std::env::var_os("HAULOUT_BIN").filter(|folder| !folder.is_empty()) {
        let folder = std::path::absolute(folder)?;
        say(&format!("    taken from {}", folder.display()));
        return Ok(folder);
    }
    let wanted = Products::PROGRAMS
        .iter()
        .filter(|(program, _)| programs.contains(program));
    for (number, (program, package)) in wanted.enumerate() {
        let start = Instant::now();
        say(&format!(
            "    {program} ({} of {})",
            number + 1,
            programs.len()
        ));
        compile(program, package).await?;
        say(&format!("      {}", seconds(start.elapsed())));
    }
    Ok(Products::build_folder())
}

async fn compile(program: &str, package: &str) -> anyhow::Result<()> {
    let flags = rust_flags(
        &source_folders()?,
        packs_relocations(&c_library_version().await?),
    );
    let mut command = cargo();
    command
        .args(["build", "--locked", "--release", "--target", TARGET])
        .args(["--package", package, "--bin", program])
        // With a target named, these flags do not reach build scripts and macros, which a dynamic compiler loads.
        .env("CARGO_ENCODED_RUSTFLAGS", flags);
    // Cargo's own progress helps on a terminal; elsewhere it is hundreds of lines.
    if !std::io::stderr().is_terminal() {
        command.arg("--quiet");
    }
    let status = command.status().await.context("failed to run cargo")?;
    ensure!(status.success(), "building {program} failed ({status})");
    Ok(())
}

/// Folders whose place on this machine must not show in a program, each with the name that stands for it there.
fn source_folders() -> anyhow::Result<Vec<(PathBuf, &'static str)>> {
    let mut folders = vec![
        (workspace_root().to_owned(), "/haulout"),
        (std::path::absolute(target_folder())?, "/haulout/target"),
    ];
    // Below this, each registry or mirror of one has a folder of its own.
    let registries = cargo_home()?.join("registry/src");
    if let Ok(entries) = std::fs::read_dir(&registries) {
        for entry in entries {
            folders.push((entry?.path(), "/cargo"));
        }
    }
    Ok(folders)
}

/// Where Cargo keeps what it downloads.
///
/// # Errors
/// The environment does not say.
pub(crate) fn cargo_home() -> anyhow::Result<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|folder| !folder.is_empty());
    set("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(Path::new(&set("HOME")?).join(".cargo")))
        .context("neither CARGO_HOME nor HOME is set")
}

/// Version of the C library that programs are linked with, as `2.36`.
///
/// # Errors
/// It is not glibc, or `getconf` is missing.
pub(crate) async fn c_library_version() -> anyhow::Result<String> {
    let output = Command::new("getconf")
        .arg("GNU_LIBC_VERSION")
        .kill_on_drop(true)
        .output()
        .await
        .context("failed to run getconf")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text.trim().strip_prefix("glibc ");
    version
        .map(str::to_owned)
        .context("getconf GNU_LIBC_VERSION names no glibc: programs are linked with that")
}

/// Whether the start code of a static program can read packed relocations, which take a thirtieth of the room.
fn packs_relocations(c_library: &str) -> bool {
    let mut numbers = c_library.split('.').map(str::parse::<u32>);
    let Some(Ok(major)) = numbers.next() else {
        return false;
    };
    let minor = numbers.next().and_then(Result::ok).unwrap_or(0);
    (major, minor) >= (2, 36)
}

/// Static and the same wherever it is built, as Cargo wants to have flags that may hold spaces.
fn rust_flags(folders: &[(PathBuf, &str)], packs_relocations: bool) -> OsString {
    let mut flags = OsString::from("-Ctarget-feature=+crt-static");
    if packs_relocations {
        flags.push("\x1f-Clink-arg=-Wl,-z,pack-relative-relocs");
    }
    for (folder, name) in folders {
        flags.push("\x1f--remap-path-prefix=");
        flags.push(folder);
        flags.push("=");
        flags.push(name);
    }
    flags
}

/// Cargo in the checkout; it ends with us.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace_root()).kill_on_drop(true);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_with_spaces_stay_one_flag() {
        let folders = [("/a b".into(), "/haulout"), ("/c".into(), "/cargo")];
        let flags = rust_flags(&folders, true).into_string().unwrap();
        assert_eq!(
            flags.split('\x1f').collect::<Vec<_>>(),
            [
                "-Ctarget-feature=+crt-static",
                "-Clink-arg=-Wl,-z,pack-relative-relocs",
                "--remap-path-prefix=/a b=/haulout",
                "--remap-path-prefix=/c=/cargo",
            ]
        );
    }

    #[test]
    fn older_c_libraries_get_no_packed_relocations() {
        for version in ["2.36", "2.40", "3.0", "3"] {
            assert!(packs_relocations(version), "{version}");
        }
        for version in ["2.35", "2.4", "1.99", "", "x"] {
            assert!(!packs_relocations(version), "{version}");
        }
    }

    #[test]
    fn the_checkout_and_its_target_are_named() {
        let folders = source_folders().unwrap();
        for folder in [workspace_root().to_owned(), target_folder()] {
            assert!(folders.iter().any(|(named, _)| *named == folder));
        }
    }
}

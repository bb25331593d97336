//! Builds the images once more, from a copy of the checkout in another folder with nothing built, and compares all files.

use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context as _, ensure};
use haulout_tests::cluster::{target_folder, workspace_root};
use tokio::process::Command;

use super::cargo::{Tally, judge};
use crate::image;
use crate::output::say;

/// Each file that is the same counts as a test that passed.
///
/// # Errors
/// The checkout cannot be copied, or a build failed.
pub(super) async fn run() -> anyhow::Result<Tally> {
    ensure!(
        std::env::var_os("HAULOUT_BIN").is_none_or(|folder| folder.is_empty()),
        "unset HAULOUT_BIN: programs that are built already cannot be compared"
    );
    let here = image::default_folder();
    drop(image::build(&here).await?);

    let elsewhere = target_folder().join("reproducible");
    remove(&elsewhere)?;
    let checkout = elsewhere.join("checkout");
    copy_checkout(&checkout).await?;
    let cargo_home = other_cargo_home(&elsewhere)?;
    let images = elsewhere.join("images");
    let mut build = Command::new("cargo");
    build
        .args(["xtask", "image", "--output"])
        .arg(&images)
        .current_dir(&checkout)
        .env("CARGO_HOME", cargo_home)
        .env_remove("CARGO_TARGET_DIR")
        .kill_on_drop(true);
    let mut tally = Tally::default();
    if judge(build).await?.is_good() {
        for entry in std::fs::read_dir(&here)? {
            tally += compare(&here, &images, Path::new(&entry?.file_name()))?;
        }
    } else {
        tally += Tally::failure();
    }
    remove(&elsewhere)?;
    Ok(tally)
}

fn compare(here: &Path, elsewhere: &Path, name: &Path) -> anyhow::Result<Tally> {
    let read = |folder: &Path| {
        let path = folder.join(name);
        std::fs::read(&path).with_context(|| format!("failed to read {}", path.display()))
    };
    if read(here)? == read(elsewhere)? {
        say(&format!("same: {}", name.display()));
        return Ok(Tally::success());
    }
    say(&format!("differs: {}", name.display()));
    Ok(Tally::failure())
}

/// Copies what Git knows or would add, as it stands now.
async fn copy_checkout(to: &Path) -> anyhow::Result<()> {
    let list = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(workspace_root())
        .kill_on_drop(true)
        .output()
        .await
        .context("failed to run git")?;
    ensure!(
        list.status.success(),
        "git ls-files failed ({})",
        list.status
    );
    let names = String::from_utf8(list.stdout).context("a file's name is no UTF-8")?;
    for name in names.split_terminator('\0') {
        let (from, to) = (workspace_root().join(name), to.join(name));
        if let Some(folder) = to.parent() {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("failed to create {}", folder.display()))?;
        }
        match std::fs::copy(&from, &to) {
            Ok(_) => {}
            // Removed, and Git not told yet.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                return Err(error).with_context(|| format!("failed to copy {}", from.display()));
            }
        }
    }
    Ok(())
}

/// Another path to the same registry and settings, so that packages seem to be elsewhere without another download.
fn other_cargo_home(folder: &Path) -> anyhow::Result<std::path::PathBuf> {
    let other = folder.join("cargo");
    std::fs::create_dir_all(&other)?;
    let home = crate::products::cargo_home()?;
    for name in ["registry", "config.toml"] {
        let target = home.join(name);
        if target.exists() {
            std::os::unix::fs::symlink(&target, other.join(name))
                .with_context(|| format!("failed to link {}", target.display()))?;
        }
    }
    Ok(other)
}

fn remove(folder: &Path) -> anyhow::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("failed to remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

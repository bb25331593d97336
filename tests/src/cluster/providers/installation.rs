//! Programs of others, installed once below `target/providers`.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use tokio::process::Command;

use crate::cluster::{progress, workspace_root};

/// The folder `name`, filled by `fill` if it is not there. The name holds the version, or a hash of what decides it.
///
/// # Errors
/// `fill` failed; then there is no folder.
pub(super) async fn find_or_install(
    name: &str,
    fill: impl AsyncFnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<PathBuf> {
    find_or_install_below(&workspace_root().join("target/providers"), name, fill).await
}

async fn find_or_install_below(
    root: &Path,
    name: &str,
    fill: impl AsyncFnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<PathBuf> {
    let folder = root.join(name);
    if folder.is_dir() {
        return Ok(folder);
    }
    std::fs::create_dir_all(root)
        .with_context(|| format!("failed to create {}", root.display()))?;
    // Another run may be installing the same.
    let lock = File::create(root.join(".lock"))?;
    let _lock = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock)).await??;
    if folder.is_dir() {
        return Ok(folder);
    }
    progress::say(&format!("installing {name} (kept in {})", folder.display()));
    // Filled under another name: a folder is never seen half full.
    let new = root.join(".new");
    match std::fs::remove_dir_all(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        Ok(()) | Err(_) => std::fs::create_dir(&new)?,
    }
    progress::with_heartbeat(&format!("installing {name}"), fill(&new)).await?;
    std::fs::rename(&new, &folder)?;
    Ok(folder)
}

/// Runs a program of an installation, which must end well.
///
/// # Errors
/// It is missing or failed; the text has what it printed last.
pub(super) async fn run(command: &mut Command) -> anyhow::Result<()> {
    let program = command.as_std().get_program().to_owned();
    let program = program.display();
    let output = match command.kill_on_drop(true).output().await {
        Err(error) if error.kind() == ErrorKind::NotFound => bail!(
            "`{program}` is not installed: run the tests by `cargo xtask test`, which says how to get it"
        ),
        output => output.with_context(|| format!("failed to run {program}"))?,
    };
    let printed = [output.stdout, output.stderr].concat();
    ensure!(
        output.status.success(),
        "{program} failed ({}):\n{}",
        output.status,
        String::from_utf8_lossy(&printed).trim()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn folder_is_filled_once_and_wholly() {
        let root = tempfile::tempdir().unwrap();
        let install = async |fails: bool| {
            find_or_install_below(root.path(), "thing-1", async |folder: &Path| {
                std::fs::write(folder.join("part"), "")?;
                ensure!(!fails, "no network");
                Ok(())
            })
            .await
        };
        let error = install(true).await.unwrap_err();
        assert_eq!(error.to_string(), "no network");
        assert!(!root.path().join("thing-1").exists());
        let folder = install(false).await.unwrap();
        assert!(folder.join("part").exists());
        assert_eq!(install(true).await.unwrap(), folder, "filled again");
    }

    #[tokio::test]
    async fn programs_that_fail_are_quoted() {
        let script = "echo no such version >&2; exit 3";
        let failed = run(Command::new("sh").args(["-c", script])).await;
        let error = failed.unwrap_err().to_string();
        assert!(
            error.contains("exit status: 3") && error.contains("no such version"),
            "{error}"
        );
        let error = run(&mut Command::new("no-such-program")).await.unwrap_err();
        assert!(error.to_string().contains("not installed"), "{error}");
    }
}

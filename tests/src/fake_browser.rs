//! What `BROWSER` names in tests: a program that opens nothing, and writes down where it was to go.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::bail;

const TRIES: u32 = 1500;
const PAUSE: Duration = Duration::from_millis(20);

/// One in a folder of its user's.
#[derive(Debug)]
pub struct FakeBrowser {
    program: PathBuf,
    links: PathBuf,
}

impl FakeBrowser {
    /// Writes the program down.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub fn install(folder: &Path) -> io::Result<Self> {
        Self::install_as(folder, "browser", "")
    }

    /// The same under this name; when it has written a link, it goes on with these commands of the shell.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub fn install_as(folder: &Path, name: &str, commands: &str) -> io::Result<Self> {
        let (program, links) = (folder.join(name), folder.join("links"));
        let script = format!(
            "#!/bin/sh\necho \"$1\" >> '{}'\n{commands}\n",
            links.display()
        );
        std::fs::write(&program, script)?;
        std::fs::set_permissions(&program, Permissions::from_mode(0o755))?;
        Ok(Self { program, links })
    }

    /// What `BROWSER` is to be.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Makes it a file that cannot be run.
    ///
    /// # Errors
    /// It is gone.
    pub fn disable(&self) -> io::Result<()> {
        std::fs::set_permissions(&self.program, Permissions::from_mode(0o600))
    }

    /// Where it was to go, each time that it was opened.
    pub fn links(&self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.links).unwrap_or_default();
        let whole = text
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'));
        whole.map(|line| line.trim_end().to_owned()).collect()
    }

    /// Where it goes when it is opened for this time, 0 being the first.
    ///
    /// # Errors
    /// It is not opened within 30 seconds.
    pub async fn link(&self, time: usize) -> anyhow::Result<String> {
        for _ in 0..TRIES {
            if let Some(link) = self.links().into_iter().nth(time) {
                return Ok(link);
            }
            tokio::time::sleep(PAUSE).await;
        }
        bail!("{} was not opened", self.program.display())
    }
}

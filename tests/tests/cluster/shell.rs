//! An administrator's shell, for commands that are followed to the letter.

use std::ffi::OsString;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use haulout_tests::cluster::{Cluster, Products, workspace_root};
use tempfile::TempDir;
use tokio::process::Command;

/// Longer than any script takes.
pub(crate) const LIMIT: Duration = Duration::from_secs(480);

/// bash in a folder that stands for a checkout, with the programs and the rights of a cluster's administrator.
pub(crate) struct Shell {
    folder: TempDir,
    path: OsString,
    variables: Vec<(&'static str, String)>,
}

impl Shell {
    /// With our programs, those of the cluster, and what is in these folders.
    pub(crate) fn new(cluster: &Cluster, programs: &[&Path]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let manifests = workspace_root().join("manifests");
        symlink(manifests, folder.path().join("manifests")).unwrap();
        let products = Products::find().unwrap();
        let own = [products.folder(), cluster.binaries().folder()];
        let machine = [Path::new("/usr/bin"), Path::new("/bin")];
        let path = std::env::join_paths([&own, programs, &machine].concat()).unwrap();
        let kubeconfig = cluster.kubectl().kubeconfig().display().to_string();
        let home = folder.path().display().to_string();
        Self {
            folder,
            path,
            variables: vec![("HOME", home), ("KUBECONFIG", kubeconfig)],
        }
    }

    /// Sets a variable.
    #[must_use]
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    /// Where it is.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a script until a command fails. Gives what it printed; if one failed, standard error too, with each command.
    pub(crate) async fn run(&self, script: &str) -> Result<String, String> {
        let command = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "bash", "-euxo", "pipefail", "-c"])
            .arg(script)
            .current_dir(self.folder())
            .env_clear()
            .env("PATH", &self.path)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(LIMIT, command).await.unwrap().unwrap();
        let seen = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            Ok(seen)
        } else {
            let told = String::from_utf8_lossy(&output.stderr);
            Err(format!("{seen}\n{told}"))
        }
    }
}

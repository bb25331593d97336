//! The real Helm, and the chart of this checkout.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tempfile::TempDir;
use tokio::process::Command;

use super::binaries::{HelmVersion, find_helm, find_or_build_helm};
use super::workspace_root;

/// Folder of the chart in the checkout.
pub const CHART: &str = "manifests/helm/haulout";

const LIMIT: Duration = Duration::from_secs(120);

/// A Helm without configuration, plugins or caches of this machine.
#[derive(Debug)]
pub struct Helm {
    program: PathBuf,
    kubeconfig: Option<PathBuf>,
    home: TempDir,
}

impl Helm {
    /// Builds it first if it is missing or stale.
    ///
    /// # Errors
    /// `go` is not installed, or the build failed.
    pub async fn find_or_build(version: HelmVersion) -> anyhow::Result<Self> {
        Ok(Self {
            program: find_or_build_helm(version).await?,
            kubeconfig: None,
            home: tempfile::tempdir().context("failed to make a folder for Helm")?,
        })
    }

    /// Folder of the program, if it was built.
    ///
    /// # Errors
    /// The Go module does not say its version.
    pub fn built_folder(version: HelmVersion) -> anyhow::Result<Option<PathBuf>> {
        find_helm(version)
    }

    /// Folder of the program.
    pub fn folder(&self) -> &Path {
        self.program.parent().unwrap_or(&self.program)
    }

    /// The same Helm, which talks to a cluster.
    #[must_use]
    pub fn with_kubeconfig(mut self, kubeconfig: &Path) -> Self {
        self.kubeconfig = Some(kubeconfig.to_owned());
        self
    }

    /// Path of the program.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Runs `helm ARGUMENTS` in the root of the checkout for at most two minutes.
    ///
    /// # Errors
    /// It could not be started or did not end.
    pub async fn output(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        let home = self.home.path();
        // Without one, it would look for a cluster that the machine's user has.
        let kubeconfig = match &self.kubeconfig {
            Some(path) => path.as_path(),
            None => Path::new("/dev/null"),
        };
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .current_dir(workspace_root())
            .env_clear()
            .env("KUBECONFIG", kubeconfig)
            .env("HOME", home)
            .env("HELM_CACHE_HOME", home.join("cache"))
            .env("HELM_CONFIG_HOME", home.join("config"))
            .env("HELM_DATA_HOME", home.join("data"))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        tokio::time::timeout(LIMIT, command.output())
            .await
            .context("helm did not end within two minutes")?
            .with_context(|| format!("failed to run {}", self.program.display()))
    }

    /// Runs `helm ARGUMENTS` and gives its standard output.
    ///
    /// # Errors
    /// It failed; the text is its standard error.
    pub async fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.output(arguments).await?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            bail!("helm failed: {}", text.trim());
        }
        String::from_utf8(output.stdout).context("helm printed no UTF-8")
    }

    /// The chart rendered without a cluster, with these arguments for its values, as YAML documents.
    ///
    /// # Errors
    /// The values are refused; the text is Helm's.
    pub async fn template(&self, values: &[&str]) -> anyhow::Result<String> {
        let render = ["template", "haulout", CHART, "--namespace=haulout-system"];
        self.run(&[&render, values].concat()).await
    }
}

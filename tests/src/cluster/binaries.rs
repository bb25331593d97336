//! The Kubernetes programs: given, cached, or built from the Go module in `tests/cluster`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};
use aws_lc_rs::digest::{SHA256, digest};
use tokio::process::Command;

use super::progress;

const GO_MOD: &str = include_str!("../../cluster/go.mod");
const GO_SUM: &str = include_str!("../../cluster/go.sum");

/// Each program and the package it is built from.
const PROGRAMS: [(&str, &str); 5] = [
    ("etcd", "go.etcd.io/etcd/server/v3"),
    ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
    (
        "kube-controller-manager",
        "k8s.io/kubernetes/cmd/kube-controller-manager",
    ),
    ("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"),
    ("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
];

/// A folder with etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kubectl.
#[derive(Clone, Debug)]
pub struct KubernetesBinaries {
    folder: PathBuf,
}

impl KubernetesBinaries {
    /// Takes the programs from `HAULOUT_KUBE_BIN`, else `KUBEBUILDER_ASSETS`, else from `target/kubernetes/VERSION`, where
    /// those that are missing or stale are built first. The first build takes about ten minutes on two cores.
    ///
    /// # Errors
    /// A given folder lacks a program, `go` is not installed, or a build failed.
    pub async fn find_or_build() -> anyhow::Result<Self> {
        for variable in ["HAULOUT_KUBE_BIN", "KUBEBUILDER_ASSETS"] {
            if let Some(folder) = std::env::var_os(variable).filter(|folder| !folder.is_empty()) {
                return Self::given(variable, Path::new(&folder));
            }
        }
        let version =
            kubernetes_version(GO_MOD).context("go.mod names no version of Kubernetes")?;
        let module = super::workspace_root().join("tests/cluster");
        let folder = super::workspace_root()
            .join("target/kubernetes")
            .join(version);
        Build {
            module,
            folder,
            version,
        }
        .run()
        .await
    }

    /// Folder of the programs, for `PATH`.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Path of one program.
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn given(variable: &str, folder: &Path) -> anyhow::Result<Self> {
        let folder = std::path::absolute(folder)?;
        let missing: Vec<&str> = PROGRAMS
            .iter()
            .map(|&(name, _)| name)
            .filter(|name| !folder.join(name).is_file())
            .collect();
        ensure!(
            missing.is_empty(),
            "{variable} is {}, which lacks {}; unset it to have them built",
            folder.display(),
            missing.join(", ")
        );
        Ok(Self { folder })
    }
}

struct Build {
    module: PathBuf,
    folder: PathBuf,
    version: &'static str,
}

impl Build {
    async fn run(self) -> anyhow::Result<KubernetesBinaries> {
        if !self.stale().is_empty() {
            std::fs::create_dir_all(&self.folder)
                .with_context(|| format!("failed to create {}", self.folder.display()))?;
            // Another run may be building the same; what it built is not stale any more.
            let lock = File::create(self.folder.join(".lock"))?;
            let lock = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock)).await??;
            let stale = self.stale();
            for (number, (name, package)) in stale.iter().enumerate() {
                progress::say(&format!(
                    "building {name} for Kubernetes {} from its Go module ({} of {}; kept in {})",
                    self.version,
                    number + 1,
                    stale.len(),
                    self.folder.display()
                ));
                let start = Instant::now();
                let build = self.build(name, package);
                progress::with_heartbeat(&format!("building {name}"), build).await?;
                progress::say(&format!(
                    "  built {name} in {} s",
                    start.elapsed().as_secs()
                ));
            }
            drop(lock);
        }
        Ok(KubernetesBinaries {
            folder: self.folder,
        })
    }

    /// Programs that are missing, or were built from other sources or with other flags.
    fn stale(&self) -> Vec<(&'static str, &'static str)> {
        let fresh = |name: &str, package: &str| {
            let key = std::fs::read_to_string(self.key_file(name)).unwrap_or_default();
            self.folder.join(name).is_file() && key == self.key(package)
        };
        PROGRAMS
            .into_iter()
            .filter(|(name, package)| !fresh(name, package))
            .collect()
    }

    fn key_file(&self, name: &str) -> PathBuf {
        self.folder.join(format!(".{name}.key"))
    }

    /// Hash of all that decides what is built.
    fn key(&self, package: &str) -> String {
        let inputs = format!("{GO_MOD}\0{GO_SUM}\0{}", self.arguments(package).join("\0"));
        haulout_pki::hex(digest(&SHA256, inputs.as_bytes()).as_ref())
    }

    fn arguments(&self, package: &str) -> Vec<String> {
        // Without a version the API server says v0.0.0-master and kubectl's skew checks fail.
        let variable = "-X k8s.io/component-base/version.git";
        let mut numbers = self.version.trim_start_matches('v').split('.');
        let major = numbers.next().unwrap_or_default();
        let minor = numbers.next().unwrap_or_default();
        let linker = format!(
            "-s -w {variable}Version={} {variable}Major={major} {variable}Minor={minor}",
            self.version
        );
        ["build", "-trimpath", "-ldflags", &linker, package]
            .map(str::to_owned)
            .to_vec()
    }

    async fn build(&self, name: &str, package: &str) -> anyhow::Result<()> {
        let new = self.folder.join(format!(".{name}.new"));
        let arguments = self.arguments(package);
        let status = Command::new("go")
            .args(arguments.iter().take(1))
            .arg("-o")
            .arg(&new)
            .args(arguments.iter().skip(1))
            .current_dir(&self.module)
            .env("CGO_ENABLED", "0")
            .env("GOFLAGS", "-mod=readonly")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .status()
            .await;
        let status = match status {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => bail!(
                "`go` is not installed: install Go 1.26 or later to build Kubernetes, or set HAULOUT_KUBE_BIN to a folder \
                 with {}",
                PROGRAMS.map(|(name, _)| name).join(", ")
            ),
            status => status.context("failed to run `go`")?,
        };
        ensure!(
            status.success(),
            "`go build` of {name} failed ({status}); see above"
        );
        // The key goes last: a program without it is built again.
        std::fs::rename(&new, self.folder.join(name))?;
        std::fs::write(self.key_file(name), self.key(package))?;
        Ok(())
    }
}

/// Version of Kubernetes in a `go.mod`, with its `v`.
fn kubernetes_version(go_mod: &str) -> Option<&str> {
    go_mod
        .lines()
        .find_map(|line| {
            line.trim()
                .trim_start_matches("require ")
                .strip_prefix("k8s.io/kubernetes ")
        })
        .and_then(|rest| rest.split_whitespace().next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_comes_from_the_module() {
        assert_eq!(
            kubernetes_version("require k8s.io/kubernetes v1.36.3\n"),
            Some("v1.36.3")
        );
        assert_eq!(
            kubernetes_version("\tk8s.io/kubernetes v1.36.3 // x\n"),
            Some("v1.36.3")
        );
        assert_eq!(kubernetes_version("module x\n"), None);
        assert!(kubernetes_version(GO_MOD).is_some());
    }

    #[test]
    fn given_folder_must_hold_every_program() {
        let folder = tempfile::tempdir().unwrap();
        for (name, _) in PROGRAMS {
            let error = KubernetesBinaries::given("X", folder.path())
                .unwrap_err()
                .to_string();
            assert!(error.contains(name), "{error}");
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        KubernetesBinaries::given("X", folder.path()).unwrap();
    }

    #[test]
    fn program_is_stale_without_its_own_key() {
        let folder = tempfile::tempdir().unwrap();
        let build = Build {
            module: PathBuf::new(),
            folder: folder.path().to_owned(),
            version: "v1.36.3",
        };
        assert_eq!(build.stale().len(), PROGRAMS.len());
        let (name, package) = PROGRAMS[4];
        std::fs::write(folder.path().join(name), "").unwrap();
        std::fs::write(build.key_file(name), build.key(PROGRAMS[3].1)).unwrap();
        assert_eq!(build.stale().len(), PROGRAMS.len());
        std::fs::write(build.key_file(name), build.key(package)).unwrap();
        assert_eq!(build.stale().len(), PROGRAMS.len() - 1);
    }
}

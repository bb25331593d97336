//! Builds Go programs from the module in `tests/cluster` and keeps them.

use std::fs::File;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};
use aws_lc_rs::digest::{SHA256, digest};
use tokio::process::Command;

use crate::cluster::{progress, workspace_root};

const GO_MOD: &str = include_str!("../../../cluster/go.mod");
const GO_SUM: &str = include_str!("../../../cluster/go.sum");

/// A program and what it is built from.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) name: &'static str,
    pub(super) package: &'static str,
    /// Source text of a package of this checkout; others are told apart by `go.sum`.
    pub(super) source: &'static str,
}

/// Programs, and the folder that they are kept in.
#[derive(Debug)]
pub(super) struct Build {
    programs: &'static [Program],
    module: PathBuf,
    folder: PathBuf,
    version: &'static str,
}

impl Build {
    /// A build into `target/kubernetes/VERSION`.
    ///
    /// # Errors
    /// `go.mod` names no version of Kubernetes.
    pub(super) fn new(programs: &'static [Program]) -> anyhow::Result<Self> {
        let version =
            kubernetes_version(GO_MOD).context("go.mod names no version of Kubernetes")?;
        let root = workspace_root();
        Ok(Self {
            programs,
            module: root.join("tests/cluster"),
            folder: root.join("target/kubernetes").join(version),
            version,
        })
    }

    /// Builds what is missing or stale, and gives the folder.
    ///
    /// # Errors
    /// `go` is not installed, or a build failed.
    pub(super) async fn run(self) -> anyhow::Result<PathBuf> {
        if !self.stale().is_empty() {
            std::fs::create_dir_all(&self.folder)
                .with_context(|| format!("failed to create {}", self.folder.display()))?;
            // Another run may be building the same; what it built is not stale any more.
            let lock = File::create(self.folder.join(".lock"))?;
            let lock = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock)).await??;
            let stale = self.stale();
            for (number, program) in stale.iter().enumerate() {
                let name = program.name;
                progress::say(&format!(
                    "building {name} for Kubernetes {} from its Go module ({} of {}; kept in {})",
                    self.version,
                    number + 1,
                    stale.len(),
                    self.folder.display()
                ));
                let start = Instant::now();
                let build = self.build(program);
                progress::with_heartbeat(&format!("building {name}"), build).await?;
                progress::say(&format!(
                    "  built {name} in {} s",
                    start.elapsed().as_secs()
                ));
            }
            drop(lock);
        }
        Ok(self.folder)
    }

    /// Programs that are missing, or were built from other sources or with other flags.
    fn stale(&self) -> Vec<&'static Program> {
        let fresh = |program: &Program| {
            let key = std::fs::read_to_string(self.key_file(program.name)).unwrap_or_default();
            self.folder.join(program.name).is_file() && key == self.key(program)
        };
        let programs = self.programs.iter();
        programs.filter(|program| !fresh(program)).collect()
    }

    fn key_file(&self, name: &str) -> PathBuf {
        self.folder.join(format!(".{name}.key"))
    }

    /// Hash of all that decides what is built.
    fn key(&self, program: &Program) -> String {
        let arguments = self.arguments(program.package).join("\0");
        let inputs = format!("{GO_MOD}\0{GO_SUM}\0{}\0{arguments}", program.source);
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

    async fn build(&self, program: &Program) -> anyhow::Result<()> {
        let Program { name, package, .. } = program;
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
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                bail!("`go` is not installed: install Go 1.26 or later to build {name}")
            }
            status => status.context("failed to run `go`")?,
        };
        ensure!(
            status.success(),
            "`go build` of {name} failed ({status}); see above"
        );
        // The key goes last: a program without it is built again.
        std::fs::rename(&new, self.folder.join(name))?;
        std::fs::write(self.key_file(name), self.key(program))?;
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

    const PROGRAMS: [Program; 2] = [
        Program {
            name: "a",
            package: "example.com/a",
            source: "",
        },
        Program {
            name: "b",
            package: "./b",
            source: "package main",
        },
    ];

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
    fn program_is_stale_without_its_own_key() {
        let folder = tempfile::tempdir().unwrap();
        let build = Build {
            programs: &PROGRAMS,
            module: PathBuf::new(),
            folder: folder.path().to_owned(),
            version: "v1.36.3",
        };
        let [other, program] = &PROGRAMS;
        let changed = Program {
            source: "package other",
            ..*program
        };
        assert_eq!(build.stale().len(), 2);
        std::fs::write(folder.path().join(program.name), "").unwrap();
        for foreign in [other, &changed] {
            std::fs::write(build.key_file(program.name), build.key(foreign)).unwrap();
            assert_eq!(build.stale().len(), 2, "{foreign:?}");
        }
        std::fs::write(build.key_file(program.name), build.key(program)).unwrap();
        assert_eq!(build.stale().len(), 1);
    }
}

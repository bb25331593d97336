//! Builds Go programs from the modules below `tests/cluster` and keeps them.

use std::fs::File;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};
use aws_lc_rs::digest::{SHA256, digest};
use tokio::process::Command;

use crate::cluster::{progress, workspace_root};

/// Pins Kubernetes, etcd, and Kubernetes' own authenticator.
pub(super) const KUBERNETES: Module = Module {
    path: "tests/cluster",
    go_mod: include_str!("../../../cluster/go.mod"),
    go_sum: include_str!("../../../cluster/go.sum"),
    go_mod_path: None,
    main: "k8s.io/kubernetes",
    tags: "",
    // Without a version the API server says v0.0.0-master and kubectl's skew checks fail.
    linker_flags: |version| {
        let variable = "-X k8s.io/component-base/version.git";
        let mut numbers = version.trim_start_matches('v').split('.');
        let major = numbers.next().unwrap_or_default();
        let minor = numbers.next().unwrap_or_default();
        format!("-s -w {variable}Version={version} {variable}Major={major} {variable}Minor={minor}")
    },
};

/// Pins containerd and the plugins of its network.
pub(super) const CONTAINERD: Module = Module {
    path: "tests/cluster/node",
    go_mod: include_str!("../../../cluster/node/go.mod"),
    go_sum: include_str!("../../../cluster/node/go.sum"),
    go_mod_path: None,
    main: "github.com/containerd/containerd/v2",
    // Snapshotters that need libraries of C.
    tags: "no_btrfs,no_devmapper,no_zfs",
    linker_flags: |version| {
        format!("-s -w -X github.com/containerd/containerd/v2/version.Version={version}")
    },
};

/// Pins Helm.
pub(super) const HELM_4: Module = Module {
    path: "tests/cluster/helm",
    go_mod: include_str!("../../../cluster/helm/go.mod"),
    go_sum: include_str!("../../../cluster/helm/go.sum"),
    go_mod_path: None,
    main: "helm.sh/helm/v4",
    tags: "",
    linker_flags: |version| format!("-s -w -X helm.sh/helm/v4/internal/version.version={version}"),
};

/// Pins the Helm before it.
pub(super) const HELM_3: Module = Module {
    path: "tests/cluster/helm3",
    go_mod: HELM_3_GO_MOD,
    go_sum: include_str!("../../../cluster/helm3/go.sum"),
    go_mod_path: None,
    main: "helm.sh/helm/v3",
    tags: "",
    // Without Kubernetes' version it renders as for 1.20.
    linker_flags: |version| {
        let client = required_version(HELM_3_GO_MOD, "k8s.io/client-go");
        let minor = client.and_then(|version| version.split('.').nth(1));
        let minor = minor.unwrap_or_default();
        let own = "-X helm.sh/helm/v3";
        format!(
            "-s -w {own}/internal/version.version={version} {own}/pkg/chartutil.k8sVersionMinor={minor} \
             {own}/pkg/lint/rules.k8sVersionMinor={minor}"
        )
    },
};

const HELM_3_GO_MOD: &str = include_str!("../../../cluster/helm3/go.mod");

/// A Go module of this checkout, and how its programs are built.
#[derive(Debug)]
pub(super) struct Module {
    /// Its folder in the checkout.
    pub(super) path: &'static str,
    pub(super) go_mod: &'static str,
    pub(super) go_sum: &'static str,
    /// Path of `go.mod` in that folder where one source is built with several.
    pub(super) go_mod_path: Option<&'static str>,
    /// The module whose version is told to its programs.
    pub(super) main: &'static str,
    /// Build tags, separated by commas.
    pub(super) tags: &'static str,
    /// By that version.
    pub(super) linker_flags: fn(&str) -> String,
}

impl Module {
    /// The version of its main requirement, with the `v`.
    ///
    /// # Errors
    /// `go.mod` does not name it.
    pub(super) fn version(&self) -> anyhow::Result<&'static str> {
        required_version(self.go_mod, self.main)
            .with_context(|| format!("{}/go.mod names no version of {}", self.path, self.main))
    }
}

/// A program and what it is built from.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) name: &'static str,
    pub(super) package: &'static str,
    /// Source text of a package of this checkout; others are told apart by `go.sum`.
    pub(super) source: &'static str,
}

impl Program {
    /// A program of a module that the Go module requires.
    pub(super) const fn required(name: &'static str, package: &'static str) -> Self {
        Self {
            name,
            package,
            source: "",
        }
    }
}

/// Programs, and the folder that they are kept in.
#[derive(Debug)]
pub(super) struct Build {
    module: &'static Module,
    programs: &'static [Program],
    folder: PathBuf,
    version: &'static str,
}

impl Build {
    /// A build into this folder of `target/kubernetes`.
    ///
    /// # Errors
    /// `go.mod` names no version.
    pub(super) fn new(
        module: &'static Module,
        programs: &'static [Program],
        folder: &str,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            module,
            programs,
            folder: workspace_root().join("target/kubernetes").join(folder),
            version: module.version()?,
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
                    "building {name} of {} {} from its Go module ({} of {}; kept in {})",
                    self.module.main,
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

    /// The folder, if nothing in it is missing or stale.
    pub(super) fn find(self) -> Option<PathBuf> {
        self.stale().is_empty().then_some(self.folder)
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
        let Module { go_mod, go_sum, .. } = self.module;
        let inputs = format!("{go_mod}\0{go_sum}\0{}\0{arguments}", program.source);
        haulout_pki::hex(digest(&SHA256, inputs.as_bytes()).as_ref())
    }

    fn arguments(&self, package: &str) -> Vec<String> {
        let linker = (self.module.linker_flags)(self.version);
        let tags = self.module.tags;
        let mut arguments = vec!["build".to_owned()];
        let go_mod = self.module.go_mod_path.iter();
        arguments.extend(go_mod.map(|path| format!("-modfile={path}")));
        let rest = ["-trimpath", "-tags", tags, "-ldflags", &linker, package];
        arguments.extend(rest.map(str::to_owned));
        arguments
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
            .current_dir(workspace_root().join(self.module.path))
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

/// Version of a module in a `go.mod`, with its `v`.
fn required_version<'a>(go_mod: &'a str, module: &str) -> Option<&'a str> {
    go_mod
        .lines()
        .filter_map(|line| {
            line.trim()
                .trim_start_matches("require ")
                .strip_prefix(module)?
                .strip_prefix(' ')
        })
        .filter_map(|rest| rest.split_whitespace().next())
        .find(|version| version.starts_with('v'))
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
        for (line, expected) in [
            ("require example.com/a v1.36.3\n", Some("v1.36.3")),
            ("\texample.com/a v1.36.3 // x\n", Some("v1.36.3")),
            ("\texample.com/a/b v1.36.3\n", None),
            ("\texample.com/a => example.com/a v1.36.3\n", None),
            ("module x\n", None),
        ] {
            let version = required_version(line, "example.com/a");
            assert_eq!(version, expected, "{line}");
        }
        for module in [KUBERNETES, CONTAINERD, HELM_4, HELM_3] {
            module.version().unwrap();
        }
    }

    #[test]
    fn program_is_stale_without_its_own_key() {
        let folder = tempfile::tempdir().unwrap();
        let build = Build {
            module: &KUBERNETES,
            programs: &PROGRAMS,
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

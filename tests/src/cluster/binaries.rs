//! The Kubernetes programs: given, cached, or built from the Go module in `tests/cluster`.

mod build;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use build::{Build, Program};

const PROGRAMS: [Program; 5] = [
    of_a_module("etcd", "go.etcd.io/etcd/server/v3"),
    of_a_module("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
    of_a_module(
        "kube-controller-manager",
        "k8s.io/kubernetes/cmd/kube-controller-manager",
    ),
    of_a_module("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"),
    of_a_module("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
];

/// Asks Kubernetes' OIDC authenticator.
const OIDC: Program = Program {
    name: "kubernetes-oidc",
    package: "./oidc",
    source: include_str!("../../cluster/oidc/main.go"),
};

const fn of_a_module(name: &'static str, package: &'static str) -> Program {
    Program {
        name,
        package,
        source: "",
    }
}

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
        let folder = Build::new(&PROGRAMS)?.run().await.context(
            "no Kubernetes programs; HAULOUT_KUBE_BIN may name a folder with ready-made ones",
        )?;
        Ok(Self { folder })
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
            .map(|program| program.name)
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

/// Builds the program that asks Kubernetes' OIDC authenticator, unless that was done, and gives its path.
///
/// # Errors
/// `go` is not installed, or the build failed.
pub(crate) async fn find_or_build_oidc() -> anyhow::Result<PathBuf> {
    let folder = Build::new(std::slice::from_ref(&OIDC))?.run().await?;
    Ok(folder.join(OIDC.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_folder_must_hold_every_program() {
        let folder = tempfile::tempdir().unwrap();
        for Program { name, .. } in PROGRAMS {
            let error = KubernetesBinaries::given("X", folder.path())
                .unwrap_err()
                .to_string();
            assert!(error.contains(name), "{error}");
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        KubernetesBinaries::given("X", folder.path()).unwrap();
    }
}

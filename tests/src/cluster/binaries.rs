//! The programs of a cluster: given, cached, or built from the Go modules below `tests/cluster`.

mod build;
mod node;
mod talos;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};

pub use self::node::NodePrograms;
pub(crate) use self::talos::{find_or_build_talos_arguments, find_or_build_talos_machinery};
use build::{Build, HELM_3, HELM_4, KUBERNETES, Program};

const PROGRAMS: [Program; 5] = [
    Program::required("etcd", "go.etcd.io/etcd/server/v3"),
    Program::required("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
    Program::required(
        "kube-controller-manager",
        "k8s.io/kubernetes/cmd/kube-controller-manager",
    ),
    Program::required("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"),
    Program::required("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
];

/// Asks Kubernetes' OIDC authenticator.
const OIDC: Program = Program {
    name: "kubernetes-oidc",
    package: "./oidc",
    source: include_str!("../../cluster/oidc/main.go"),
};

/// Helm, as it is now and as it was before.
const HELM: Program = Program::required("helm", "helm.sh/helm/v4/cmd/helm");
const OLD_HELM: Program = Program::required("helm", "helm.sh/helm/v3/cmd/helm");

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
            if let Some(folder) = given(variable, names(&PROGRAMS))? {
                return Ok(Self { folder });
            }
        }
        let build = Build::new(&KUBERNETES, &PROGRAMS, KUBERNETES.version()?)?;
        let folder = build.run().await.context(
            "no Kubernetes programs; HAULOUT_KUBE_BIN may name a folder with ready-made ones",
        )?;
        Ok(Self { folder })
    }

    /// Their version where none are given, with its `v`.
    ///
    /// # Errors
    /// The Go module does not say.
    pub fn version() -> anyhow::Result<&'static str> {
        kubernetes_version()
    }

    /// Folder of the programs, for `PATH`.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Path of one program.
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// Version of Kubernetes, with its `v`.
///
/// # Errors
/// The Go module does not say.
pub(super) fn kubernetes_version() -> anyhow::Result<&'static str> {
    KUBERNETES.version()
}

/// The folder that a variable names, if it is set.
///
/// # Errors
/// One of the programs is not in it.
fn given(
    variable: &str,
    programs: impl Iterator<Item = &'static str>,
) -> anyhow::Result<Option<PathBuf>> {
    let value = std::env::var_os(variable).filter(|folder| !folder.is_empty());
    let check = |folder| ensure_complete(variable, Path::new(&folder), programs);
    value.map(check).transpose()
}

fn ensure_complete(
    variable: &str,
    folder: &Path,
    programs: impl Iterator<Item = &'static str>,
) -> anyhow::Result<PathBuf> {
    let folder = std::path::absolute(folder)?;
    let missing: Vec<&str> = programs
        .filter(|name| !folder.join(name).is_file())
        .collect();
    ensure!(
        missing.is_empty(),
        "{variable} is {}, which lacks {}; unset it to have them built",
        folder.display(),
        missing.join(", ")
    );
    Ok(folder)
}

fn names(programs: &'static [Program]) -> impl Iterator<Item = &'static str> {
    programs.iter().map(|program| program.name)
}

/// Builds the program that asks Kubernetes' OIDC authenticator, unless that was done, and gives its path.
///
/// # Errors
/// `go` is not installed, or the build failed.
pub(crate) async fn find_or_build_oidc() -> anyhow::Result<PathBuf> {
    let programs = std::slice::from_ref(&OIDC);
    let build = Build::new(&KUBERNETES, programs, KUBERNETES.version()?)?;
    let folder = build.run().await?;
    Ok(folder.join(OIDC.name))
}

/// Which Helm.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HelmVersion {
    /// The last of version 3.
    Three,
    /// The newest.
    Four,
}

impl HelmVersion {
    /// Variable that names the one to test with.
    pub const VARIABLE: &str = "HAULOUT_HELM";

    /// Its number, as the variable has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Three => "3",
            Self::Four => "4",
        }
    }

    /// The one that the variable names, or the newest.
    ///
    /// # Errors
    /// The variable has another value.
    pub fn chosen() -> anyhow::Result<Self> {
        match std::env::var(Self::VARIABLE).as_deref() {
            Err(_) | Ok("" | "4") => Ok(Self::Four),
            Ok("3") => Ok(Self::Three),
            Ok(other) => bail!("{} is \"{other}\"; use 3 or 4", Self::VARIABLE),
        }
    }
}

/// Builds Helm, unless that was done, and gives its path.
///
/// # Errors
/// `go` is not installed, or the build failed.
pub(crate) async fn find_or_build_helm(version: HelmVersion) -> anyhow::Result<PathBuf> {
    Ok(helm(version)?.run().await?.join(HELM.name))
}

/// Folder of Helm, if it was built.
///
/// # Errors
/// The Go module does not say its version.
pub(crate) fn find_helm(version: HelmVersion) -> anyhow::Result<Option<PathBuf>> {
    Ok(helm(version)?.find())
}

fn helm(version: HelmVersion) -> anyhow::Result<Build> {
    let (module, program) = match version {
        HelmVersion::Three => (&HELM_3, &OLD_HELM),
        HelmVersion::Four => (&HELM_4, &HELM),
    };
    let folder = format!("helm-{}", module.version()?);
    Build::new(module, std::slice::from_ref(program), &folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_folder_must_hold_every_program() {
        let folder = tempfile::tempdir().unwrap();
        for Program { name, .. } in PROGRAMS {
            let error = ensure_complete("X", folder.path(), names(&PROGRAMS))
                .unwrap_err()
                .to_string();
            assert!(error.contains(name), "{error}");
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        ensure_complete("X", folder.path(), names(&PROGRAMS)).unwrap();
    }
}

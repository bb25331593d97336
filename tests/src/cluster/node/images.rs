//! Images of the programs that a cluster itself runs in pods.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use haulout_image::{Config, Content, File, Image, Owner};

use crate::cluster::binaries::{KubernetesBinaries, NodePrograms, kubernetes_version};

/// The first container of each pod.
pub(super) const PAUSE_IMAGE: &str = "pause:1";
const CONTROLLER_MANAGER: &str = "kube-controller-manager";

/// Name of the controller manager's image.
///
/// # Errors
/// Its version is not known.
pub(super) fn controller_manager() -> anyhow::Result<String> {
    Ok(format!("{CONTROLLER_MANAGER}:{}", kubernetes_version()?))
}

/// Writes the archives of both images into a folder.
///
/// # Errors
/// A program cannot be read, or an archive not be written.
pub(super) fn write(
    kubernetes: &KubernetesBinaries,
    programs: &NodePrograms,
    folder: &Path,
) -> anyhow::Result<Vec<PathBuf>> {
    let pause = folder.join("pause.tar");
    write_program_image(PAUSE_IMAGE, "/pause", &programs.pause(), &pause)?;
    let manager = folder.join("kube-controller-manager.tar");
    let program = kubernetes.program(CONTROLLER_MANAGER);
    let path = format!("/usr/local/bin/{CONTROLLER_MANAGER}");
    write_program_image(&controller_manager()?, &path, &program, &manager)?;
    Ok(vec![pause, manager])
}

/// Writes the archive of an image that holds one static program, at `path`, and runs it as root.
///
/// # Errors
/// The program cannot be read, or the archive not be written.
pub fn write_program_image(
    reference: &str,
    path: &str,
    program: &Path,
    archive: &Path,
) -> anyhow::Result<()> {
    let variables = [("PATH".to_owned(), "/usr/local/bin".to_owned())];
    let image = Image {
        reference: reference.to_owned(),
        architecture: architecture()?.to_owned(),
        config: Config {
            entrypoint: vec![path.to_owned()],
            user: Owner::ROOT,
            working_directory: "/".to_owned(),
            environment: BTreeMap::from(variables),
            ports: Vec::new(),
            labels: BTreeMap::new(),
        },
        files: vec![File {
            path: path.to_owned(),
            content: Content::Source(program.to_owned()),
            mode: 0o755,
            owner: Owner::ROOT,
        }],
    };
    haulout_image::write(&image, archive)
        .with_context(|| format!("failed to make the image {reference}"))?;
    Ok(())
}

/// This computer's, by Go's name.
fn architecture() -> anyhow::Result<&'static str> {
    match std::env::consts::ARCH {
        "x86_64" => Ok("amd64"),
        "aarch64" => Ok("arm64"),
        other => bail!("no images for {other}"),
    }
}

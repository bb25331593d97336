//! `cargo xtask image`: the container images of webhook and agent, without a daemon.
//!
//! Beside each image lie its licences and its SBOM; both are in the image too, since notices must go where the program goes,
//! and scanners find nothing else to read in an image without packages.

mod contents;
#[cfg(test)]
mod dockerfile;
mod licences;
mod packages;
mod sbom;
mod trust;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use haulout_image::Archive;
use haulout_tests::cluster::target_folder;

use self::contents::{AGENT, Program, WEBHOOK};
use self::packages::Packages;
use crate::output::{say, step};
use crate::products;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Folder for the images [default: target/images]
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
}

/// The images of one build.
#[derive(Debug)]
pub(crate) struct Images {
    pub(crate) webhook: Archive,
    pub(crate) agent: Archive,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let output = arguments.output.unwrap_or_else(default_folder);
    let images = build(&output).await?;
    for image in [&images.webhook, &images.agent] {
        say(&summary(image));
    }
    Ok(())
}

/// Where images go unless told otherwise.
pub(crate) fn default_folder() -> PathBuf {
    target_folder().join("images")
}

/// Builds both programs and writes their images, licences and SBOMs into a folder.
///
/// # Errors
/// A build failed, or something cannot be read or written.
pub(crate) async fn build(output: &Path) -> anyhow::Result<Images> {
    let programs = [WEBHOOK.name, AGENT.name];
    let folder = step("build the programs", products::build_some(&programs)).await?;
    step("write the images", write_all(&folder, output)).await
}

/// The same with programs that are built already.
///
/// # Errors
/// Something cannot be read or written.
pub(crate) async fn write_all(programs: &Path, output: &Path) -> anyhow::Result<Images> {
    std::fs::create_dir_all(output)
        .with_context(|| format!("failed to create {}", output.display()))?;
    Ok(Images {
        webhook: write(&WEBHOOK, programs, output).await?,
        agent: write(&AGENT, programs, output).await?,
    })
}

/// The licences of all that a program is linked from, for a target.
///
/// # Errors
/// Cargo cannot be run, or a package's files cannot be read.
pub(crate) async fn third_party_notices(program: &str, target: &str) -> anyhow::Result<String> {
    licences::text(&Packages::linked_for(program, target, &[]).await?)
}

async fn write(program: &Program, programs: &Path, output: &Path) -> anyhow::Result<Archive> {
    let packages = Packages::linked_into(program.name, program.data()).await?;
    let documents = contents::Documents {
        licences: licences::text(&packages)?,
        sbom: sbom::encode(program.name, &packages)?,
    };
    for (ending, text) in [
        ("licences.txt", &documents.licences),
        ("cdx.json", &documents.sbom),
    ] {
        let path = output.join(format!("{}.{ending}", program.name));
        std::fs::write(&path, text)
            .with_context(|| format!("failed to write {}", path.display()))?;
    }
    let image = program.image(programs.join(program.name), documents)?;
    let path = output.join(format!("{}.tar", program.name));
    Ok(haulout_image::write(&image, &path)?)
}

fn summary(image: &Archive) -> String {
    let Archive {
        path,
        reference,
        image_id,
        layer_digest,
        layer_bytes,
    } = image;
    format!(
        "\n{reference}\n    file    {}\n    size    {}, unpacked\n    image   {image_id}\n    layer   {layer_digest}",
        path.display(),
        megabytes(*layer_bytes),
    )
}

/// `5.93 MB`.
fn megabytes(bytes: u64) -> String {
    format!("{}.{:02} MB", bytes / 1_000_000, bytes / 10_000 % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_decimal() {
        assert_eq!(megabytes(5_934_999), "5.93 MB");
        assert_eq!(megabytes(14_005_000), "14.00 MB");
        assert_eq!(megabytes(9_999), "0.00 MB");
    }
}

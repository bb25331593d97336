//! The archive that images travel in.

use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use serde::Serialize;
use tar::{Builder, EntryType};

use crate::layer::{append, finish, header};
use crate::{Error, Image, Owner, config, layer, reference};

/// An image in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archive {
    /// The file.
    pub path: PathBuf,
    /// Name and tag that it is loaded under.
    pub reference: String,
    /// What identifies it everywhere, as `sha256:…`: the digest of its config.
    pub image_id: String,
    /// The digest of its layer, unpacked.
    pub layer_digest: String,
    /// Bytes of its layer, unpacked.
    pub layer_bytes: u64,
}

/// Writes an image's archive to `path`, which is replaced in one step.
///
/// # Errors
/// [`Error`].
pub fn write(image: &Image, path: &Path) -> Result<Archive, Error> {
    if !reference::is_valid(&image.reference) {
        return Err(Error::Reference(image.reference.clone()));
    }
    let layer = layer::encode(&image.files)?;
    let layer_hex = sha256(&layer);
    let layer_digest = format!("sha256:{layer_hex}");
    let config = json("config.json", config::encode(image, &layer_digest))?;
    let config_hex = sha256(&config);

    let config_name = format!("{config_hex}.json");
    let layer_name = format!("{layer_hex}.tar");
    let manifest = json(
        MANIFEST,
        serde_json::to_vec(&[Manifest {
            config: &config_name,
            repo_tags: [&image.reference],
            layers: [&layer_name],
        }]),
    )?;
    let mut archive = Builder::new(Vec::new());
    for (name, content) in [
        (config_name.as_str(), &config),
        (&layer_name, &layer),
        (MANIFEST, &manifest),
    ] {
        let header = header(EntryType::Regular, 0o644, Owner::ROOT, content);
        append(&mut archive, name, header, content)?;
    }
    replace(path, &finish(archive, "the archive")?)?;
    Ok(Archive {
        path: path.to_owned(),
        reference: image.reference.clone(),
        image_id: format!("sha256:{config_hex}"),
        layer_digest,
        layer_bytes: layer.len() as u64,
    })
}

const MANIFEST: &str = "manifest.json";

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Manifest<'a> {
    config: &'a str,
    repo_tags: [&'a str; 1],
    layers: [&'a str; 1],
}

fn json(what: &str, encoded: serde_json::Result<Vec<u8>>) -> Result<Vec<u8>, Error> {
    encoded.map_err(|error| Error::Encode {
        what: what.to_owned(),
        source: error.into(),
    })
}

/// Whoever reads `path` meanwhile sees the old archive or the new one, whole.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    std::fs::write(&partial, bytes)
        .and_then(|()| std::fs::rename(&partial, path))
        .map_err(|source| Error::Write {
            path: path.to_owned(),
            source,
        })
}

fn sha256(bytes: &[u8]) -> String {
    let digest = digest(&SHA256, bytes);
    digest
        .as_ref()
        .iter()
        .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests;

//! The one layer of an image: a tar of its files.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use tar::{Builder, EntryType, Header};

use crate::{Error, Owner};

/// What a file of an image holds.
#[derive(Clone, Debug)]
pub enum Content {
    /// These bytes.
    Bytes(Vec<u8>),
    /// What stands in this file now; neither its times nor its owner or mode matter.
    Source(PathBuf),
}

/// A file of an image.
#[derive(Clone, Debug)]
pub struct File {
    /// Where it is in the image, as `/haulout-agent`.
    pub path: String,
    /// What it holds.
    pub content: Content,
    /// Its permissions, as `0o755`.
    pub mode: u32,
    /// Whose it is.
    pub owner: Owner,
}

const FOLDER_MODE: u32 = 0o755;

/// The layer as an uncompressed tar: folders before what is in them, else in the order of paths.
pub(crate) fn encode(files: &[File]) -> Result<Vec<u8>, Error> {
    let mut entries: BTreeMap<&str, Option<&File>> = BTreeMap::new();
    for file in files {
        let path = relative(&file.path)?;
        if entries.insert(path, Some(file)).is_some() {
            return Err(Error::Clash(file.path.clone()));
        }
    }
    let folders: BTreeSet<&str> = entries.keys().flat_map(|path| folders_of(path)).collect();
    for folder in folders {
        if let Some(Some(file)) = entries.insert(folder, None) {
            return Err(Error::Clash(file.path.clone()));
        }
    }
    let mut layer = Builder::new(Vec::new());
    for (path, file) in entries {
        let (header, content) = match file {
            Some(file) => {
                let content = read(&file.content)?;
                (
                    header(EntryType::Regular, file.mode, file.owner, &content),
                    content,
                )
            }
            None => (
                header(EntryType::Directory, FOLDER_MODE, Owner::ROOT, &[]),
                Cow::default(),
            ),
        };
        append(&mut layer, path, header, &content)?;
    }
    finish(layer, "the layer")
}

/// Adds one entry.
pub(crate) fn append(
    archive: &mut Builder<Vec<u8>>,
    path: &str,
    mut header: Header,
    content: &[u8],
) -> Result<(), Error> {
    let appended = archive.append_data(&mut header, path, content);
    appended.map_err(|source| Error::Encode {
        what: path.to_owned(),
        source,
    })
}

/// Ends a tar.
pub(crate) fn finish(archive: Builder<Vec<u8>>, what: &str) -> Result<Vec<u8>, Error> {
    let finished = archive.into_inner();
    finished.map_err(|source| Error::Encode {
        what: what.to_owned(),
        source,
    })
}

/// A header without times and names of owners; path and checksum come when it is appended.
pub(crate) fn header(kind: EntryType, mode: u32, owner: Owner, content: &[u8]) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(owner.user.into());
    header.set_gid(owner.group.into());
    header.set_mtime(0);
    header.set_size(content.len() as u64);
    header
}

fn read(content: &Content) -> Result<Cow<'_, [u8]>, Error> {
    match content {
        Content::Bytes(bytes) => Ok(bytes.into()),
        Content::Source(path) => match std::fs::read(path) {
            Ok(bytes) => Ok(bytes.into()),
            Err(source) => Err(Error::Read {
                path: path.clone(),
                source,
            }),
        },
    }
}

/// The path as it stands in a tar, without its first `/`.
fn relative(path: &str) -> Result<&str, Error> {
    // A name that begins with `.wh.` removes a file of a layer below.
    let is_safe = |part: &str| {
        !matches!(part, "" | "." | "..") && !part.starts_with(".wh.") && !part.contains('\0')
    };
    path.strip_prefix('/')
        .filter(|relative| relative.split('/').all(is_safe))
        .ok_or_else(|| Error::UnsafePath(path.to_owned()))
}

fn folders_of(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/')
        .filter_map(|(end, _)| path.get(..end))
}

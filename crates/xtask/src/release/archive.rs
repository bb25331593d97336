//! Archives that are the same byte for byte whoever makes them and when.

use std::io::Write as _;

use anyhow::Context as _;
use flate2::{Compression, GzBuilder};
use tar::{Builder, EntryType, Header};

/// One file in an archive.
#[derive(Clone, Debug)]
pub(super) struct File {
    path: String,
    mode: u32,
    content: Vec<u8>,
}

impl File {
    pub(super) fn program(path: impl Into<String>, content: Vec<u8>) -> Self {
        Self::new(path, 0o755, content)
    }

    pub(super) fn document(path: impl Into<String>, content: Vec<u8>) -> Self {
        Self::new(path, 0o644, content)
    }

    fn new(path: impl Into<String>, mode: u32, content: Vec<u8>) -> Self {
        let path = path.into();
        Self {
            path,
            mode,
            content,
        }
    }
}

/// A tar of `files`, compressed by gzip: what krew takes on every system.
pub(super) fn pack(files: &[File]) -> anyhow::Result<Vec<u8>> {
    let mut tar = Builder::new(Vec::new());
    for file in files {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(file.mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(file.content.len() as u64);
        tar.append_data(&mut header, &file.path, file.content.as_slice())
            .with_context(|| format!("failed to pack {}", file.path))?;
    }
    let tar = tar.into_inner().context("failed to end the archive")?;
    let mut gzip = GzBuilder::new()
        .mtime(0)
        .write(Vec::new(), Compression::best());
    gzip.write_all(&tar)
        .context("failed to compress the archive")?;
    gzip.finish().context("failed to compress the archive")
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn what_is_packed_comes_out_again_and_each_time_the_same() {
        let files = [
            File::program("haulout", b"program".to_vec()),
            File::document("man/man1/haulout.1", b"page".to_vec()),
        ];
        let packed = pack(&files).unwrap();
        assert_eq!(pack(&files).unwrap(), packed);
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(packed.as_slice()));
        let entries = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let mut content = String::new();
            entry.read_to_string(&mut content).unwrap();
            let path = entry.path().unwrap().display().to_string();
            (path, entry.header().mode().unwrap(), content)
        });
        let expected = [
            ("haulout", 0o755, "program"),
            ("man/man1/haulout.1", 0o644, "page"),
        ];
        let expected = expected.map(|(path, mode, text)| (path.to_owned(), mode, text.to_owned()));
        assert_eq!(entries.collect::<Vec<_>>(), expected);
    }
}

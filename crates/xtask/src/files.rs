//! Walks over files of the checkout.

use std::path::Path;

use anyhow::Context as _;

/// Calls `visitor` for each file below `folder` with the given extension, in order; hidden folders and `target` are left out.
///
/// # Errors
/// A folder cannot be listed, or `visitor` failed.
pub(crate) fn visit(
    folder: &Path,
    extension: &str,
    visitor: &mut dyn FnMut(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let list = || format!("failed to list {}", folder.display());
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(list)? {
        paths.push(entry.with_context(list)?.path());
    }
    paths.sort_unstable();
    for path in paths {
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        if name.starts_with(b".") || name == b"target" {
            continue;
        }
        if path.is_dir() {
            visit(&path, extension, visitor)?;
        } else if path.extension().is_some_and(|found| found == extension) {
            visitor(&path)?;
        }
    }
    Ok(())
}

//! Files that belong together, read again and again; the value that they make changes as a whole.
//!
//! Content is compared, not file times: Kubernetes swaps mounted ConfigMaps and Secrets by renaming
//! a link, and a file that is mounted by itself may be written in place.

use std::error::Error;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwapOption;
use aws_lc_rs::digest::{Context, SHA256};
use zeroize::Zeroizing;

/// Far above any certificate, key or policy.
const LARGEST_FILE: u64 = 256 * 1024;

/// What becomes of a value when its files are at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AtFault {
    /// The last good one stays in use.
    Keep,
    /// There is none until the files are good again. Half a file may be good by mistake, so contents
    /// that have changed count once two looks in a row have found the same.
    Drop,
}

/// One file's bytes, wiped after use.
pub(crate) type Contents = Zeroizing<Vec<u8>>;

type AnyError = Box<dyn Error + Send + Sync>;
type Load<T, const N: usize> =
    dyn Fn(&[Contents; N], SystemTime) -> Result<T, AnyError> + Send + Sync;

/// A value made of `N` files.
pub(crate) struct Watched<T, const N: usize> {
    name: &'static str,
    files: [PathBuf; N],
    at_fault: AtFault,
    load: Box<Load<T, N>>,
    value: ArcSwapOption<T>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Hash of the contents that made the value.
    loaded: Option<[u8; 32]>,
    /// Hash of the contents found last; none before the first look.
    found: Option<[u8; 32]>,
    fault: Option<String>,
}

/// What one look has found.
enum Found<T> {
    InUse,
    /// Other contents than the look before.
    Unsettled,
    New([u8; 32], T),
}

impl<T, const N: usize> Watched<T, N> {
    /// Reads nothing yet; `name` is what the log calls the files.
    pub(crate) fn new(
        name: &'static str,
        files: [&Path; N],
        at_fault: AtFault,
        load: impl Fn(&[Contents; N], SystemTime) -> Result<T, AnyError> + Send + Sync + 'static,
    ) -> Self {
        Self {
            name,
            files: files.map(Path::to_path_buf),
            at_fault,
            load: Box::new(load),
            value: ArcSwapOption::empty(),
            state: Mutex::default(),
        }
    }

    /// The value in use.
    pub(crate) fn value(&self) -> Option<Arc<T>> {
        self.value.load_full()
    }

    /// What is wrong with the files as they are now, even while an older value is in use.
    pub(crate) fn fault(&self) -> Option<String> {
        self.lock().fault.clone()
    }

    pub(crate) fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Reads the files and takes over what they hold, if that is new and good. A change of what is
    /// wrong is logged once.
    pub(crate) fn look(&self, now: SystemTime) {
        let mut state = self.lock();
        match self.read(&mut state, now) {
            Ok(Found::Unsettled) => {}
            Ok(Found::InUse) => {
                if state.fault.take().is_some() {
                    tracing::info!(files = self.name, "the files are again those in use");
                }
            }
            Ok(Found::New(loaded, value)) => {
                self.value.store(Some(Arc::new(value)));
                state.loaded = Some(loaded);
                state.fault = None;
                tracing::info!(files = self.name, "loaded");
            }
            Err(error) => {
                // Only contents found by the very first look count at once.
                state.found.get_or_insert_default();
                // Some parsers draw pictures of the text; logs and checks take one line.
                let fault = chain(&*error).replace('\n', " ");
                if self.at_fault == AtFault::Drop {
                    self.value.store(None);
                    state.loaded = None;
                }
                if state.fault.as_ref() != Some(&fault) {
                    let in_use = self.value.load().is_some();
                    tracing::error!(
                        files = self.name,
                        reason = fault,
                        last_good_in_use = in_use,
                        "failed to load"
                    );
                    state.fault = Some(fault);
                }
            }
        }
    }

    fn read(&self, state: &mut State, now: SystemTime) -> Result<Found<T>, AnyError> {
        let mut contents = std::array::from_fn(|_| Contents::default());
        for (file, contents) in self.files.iter().zip(&mut contents) {
            *contents = read(file)?;
        }
        let hash = hash(&contents);
        let before = state.found.replace(hash);
        if state.loaded == Some(hash) {
            return Ok(Found::InUse);
        }
        if self.at_fault == AtFault::Drop && before.is_some_and(|before| before != hash) {
            return Ok(Found::Unsettled);
        }
        let value = (self.load)(&contents, now)?;
        Ok(Found::New(hash, value))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file that cannot be read.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error("failed to read {}", .0.display())]
    Io(PathBuf, #[source] io::Error),
    #[error("{} is larger than {LARGEST_FILE} bytes", .0.display())]
    TooLarge(PathBuf),
}

fn read(path: &Path) -> Result<Contents, ReadError> {
    let failed = |error| ReadError::Io(path.to_owned(), error);
    let file = File::open(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    if size > LARGEST_FILE {
        return Err(ReadError::TooLarge(path.to_owned()));
    }
    // One more than the size, so that the end is found without growing the buffer, which would
    // leave a copy of a key behind.
    let mut contents = Contents::new(Vec::with_capacity(size as usize + 1));
    file.take(size).read_to_end(&mut contents).map_err(failed)?;
    Ok(contents)
}

fn hash<const N: usize>(contents: &[Contents; N]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for contents in contents {
        context.update(&contents.len().to_be_bytes());
        context.update(contents);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text += ": ";
        text += &cause.to_string();
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn number(at_fault: AtFault, path: &Path) -> Watched<u32, 1> {
        Watched::new("number", [path], at_fault, |[text], _| {
            Ok(str::from_utf8(text)?.trim().parse::<u32>()?)
        })
    }

    fn look(watched: &Watched<u32, 1>) -> (Option<u32>, Option<String>) {
        watched.look(SystemTime::UNIX_EPOCH);
        (watched.value().map(|value| *value), watched.fault())
    }

    #[test]
    fn the_last_good_value_stays_or_goes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("n");
        let (keep, drop) = (number(AtFault::Keep, &path), number(AtFault::Drop, &path));
        let (value, fault) = look(&keep);
        assert_eq!(value, None);
        assert!(fault.unwrap().contains("n: No such file"));

        fs::write(&path, "1").unwrap();
        assert_eq!(look(&keep), (Some(1), None));
        assert_eq!(look(&drop), (Some(1), None));
        fs::write(&path, "x").unwrap();
        let fault = Some("invalid digit found in string".to_owned());
        assert_eq!(look(&keep), (Some(1), fault.clone()));
        look(&drop);
        assert_eq!(look(&drop), (None, fault));
        fs::write(&path, "1").unwrap();
        assert_eq!(look(&keep), (Some(1), None));
        look(&drop);
        assert_eq!(look(&drop), (Some(1), None));
        fs::remove_file(&path).unwrap();
        assert_eq!(look(&keep).0, Some(1));
        assert_eq!(look(&drop).0, None);
        fs::write(&path, "2").unwrap();
        assert_eq!(look(&keep), (Some(2), None));
        look(&drop);
        assert_eq!(look(&drop), (Some(2), None));
    }

    #[test]
    fn a_file_that_is_being_written_does_not_count() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("n");
        let watched = number(AtFault::Drop, &path);
        assert_eq!(look(&watched).0, None);
        for (text, value) in [("1", None), ("12", None), ("12", Some(12)), ("1", Some(12))] {
            fs::write(&path, text).unwrap();
            assert_eq!(look(&watched).0, value, "{text}");
        }
        fs::write(&path, "").unwrap();
        look(&watched);
        assert_eq!(look(&watched).0, None);
        for (text, value) in [("1", None), ("12", None), ("12", Some(12))] {
            fs::write(&path, text).unwrap();
            let (found, fault) = look(&watched);
            assert_eq!(found, value, "{text}");
            assert_eq!(fault.is_some(), value.is_none(), "{text}");
        }
    }

    #[test]
    fn files_that_stay_as_they_are_are_parsed_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("n");
        fs::write(&path, "1").unwrap();
        let parsed = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&parsed);
        let watched = Watched::new("number", [&*path], AtFault::Keep, move |[_text], _now| {
            Ok(count.fetch_add(1, Ordering::Relaxed))
        });
        for text in ["1", "1", "2", "2"] {
            fs::write(&path, text).unwrap();
            watched.look(SystemTime::UNIX_EPOCH);
        }
        assert_eq!(parsed.load(Ordering::Relaxed), 2);
    }

    /// How Kubernetes changes a mounted ConfigMap or Secret.
    #[test]
    fn a_swapped_link_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        for (version, text) in [("v1", "1"), ("v2", "2")] {
            fs::create_dir(path(version)).unwrap();
            fs::write(path(version).join("n"), text).unwrap();
        }
        symlink("v1", path("..data")).unwrap();
        symlink("..data/n", path("n")).unwrap();
        let watched = number(AtFault::Keep, &path("n"));
        assert_eq!(look(&watched), (Some(1), None));
        symlink("v2", path("..data_tmp")).unwrap();
        fs::rename(path("..data_tmp"), path("..data")).unwrap();
        assert_eq!(look(&watched), (Some(2), None));
    }

    #[test]
    fn a_file_of_any_size_does_not_fill_the_memory() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("n");
        File::create(&path)
            .unwrap()
            .set_len(LARGEST_FILE + 1)
            .unwrap();
        let (value, fault) = look(&number(AtFault::Keep, &path));
        assert_eq!(value, None);
        assert!(fault.unwrap().contains("is larger than"));
    }

    #[test]
    fn files_are_told_apart_in_the_hash() {
        let hash_of =
            |a: &str, b: &str| hash(&[a, b].map(|text| Contents::new(text.as_bytes().to_vec())));
        assert_ne!(hash_of("ab", "c"), hash_of("a", "bc"));
        assert_ne!(hash_of("a", "b"), hash_of("b", "a"));
    }
}

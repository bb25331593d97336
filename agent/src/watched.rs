//! Files that belong together, read again and again; the value that they make changes as a whole.
//!
//! Content is compared, not file times: Kubernetes swaps mounted ConfigMaps and Secrets by renaming
//! a link, and a file that is mounted by itself may be written in place.

#[cfg(test)]
mod tests;

use std::error::Error;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwapOption;
use aws_lc_rs::digest::{Context, SHA256};
use haulout_operate::error::chain;
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

    /// Fine with a value in use, also one that the files no longer hold.
    pub(crate) fn ready(&self) -> Result<(), String> {
        if self.value.load().is_some() {
            return Ok(());
        }
        let unread = || format!("{} was not read yet", self.paths());
        Err(self.fault().unwrap_or_else(unread))
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
                    let paths = self.paths();
                    tracing::info!(files = self.name, paths, "the files are again those in use");
                }
            }
            Ok(Found::New(loaded, value)) => {
                self.value.store(Some(Arc::new(value)));
                state.loaded = Some(loaded);
                state.fault = None;
                tracing::info!(files = self.name, paths = self.paths(), "loaded");
            }
            Err(error) => {
                // Only contents found by the very first look count at once.
                state.found.get_or_insert_default();
                // A value that is quoted may have line ends; logs and checks take one line.
                let fault = chain(&*error).replace('\n', " ");
                if self.at_fault == AtFault::Drop {
                    self.value.store(None);
                    state.loaded = None;
                }
                if state.fault.as_ref() != Some(&fault) {
                    let in_use = self.value.load().is_some();
                    tracing::error!(
                        files = self.name,
                        paths = self.paths(),
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
        let unfit = |error| Unfit(self.paths(), error);
        let value = (self.load)(&contents, now).map_err(unfit)?;
        Ok(Found::New(hash, value))
    }

    fn paths(&self) -> String {
        let paths = self.files.each_ref().map(|path| path.display().to_string());
        paths.join(", ")
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Files that can be read but hold no such value.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unfit(String, #[source] AnyError);

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

//! A file of secrets that several processes read and change: locked, private, and replaced as a whole.
//!
//! Path, format and lock are those of Pinniped's CLI (`internal/execcredcache`, `pkg/oidcclient/filesession`), so both programs
//! can use one file. Unlike there, the file is replaced, not rewritten: a reader that takes no lock never sees half of it, and
//! a writer that is killed leaves what was there.

mod document;
mod error;

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::private_file::{self, create_private_folder, folder, remove_if_there};
use crate::{Environment, lock_file};

pub(crate) use document::Contents;
pub(crate) use error::CacheError;

/// A file beyond this is not ours.
const MAX_BYTES: u64 = 16 << 20;

/// What the names of files of ours beside a cache end in, which nobody else's do.
const NEW: &str = "haulout-new";
const DAMAGED: &str = "haulout-damaged";
const LOCK_INTERVAL: Duration = Duration::from_millis(10);
const LOCK_TRIES: u32 = 1000;

/// Whether the flag of a cache names a file, and not that there is to be none.
pub(crate) fn is_file(flag: &str) -> bool {
    !matches!(flag, "" | "none")
}

/// A file that holds a `C`.
#[derive(Debug)]
pub(crate) struct CacheFile<C> {
    path: PathBuf,
    lock_tries: u32,
    max_bytes: u64,
    contents: std::marker::PhantomData<C>,
}

impl<C: Contents> CacheFile<C> {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            lock_tries: LOCK_TRIES,
            max_bytes: MAX_BYTES,
            contents: std::marker::PhantomData,
        }
    }

    /// The file that a flag names, or the default without one; `none`, or nothing, names none.
    pub(crate) fn chosen(flag: Option<&str>, environment: Environment<'_>) -> Option<Self> {
        let path = match flag {
            Some(path) => is_file(path).then(|| path.into())?,
            None => default_folder(environment)?.join(C::FILE),
        };
        Some(Self::new(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What the file holds; nothing where it is missing. Creates nothing.
    pub(crate) fn get(&self) -> Result<C, CacheError> {
        if self.open()?.is_none() {
            return Ok(C::default());
        }
        self.check_name()?;
        // Pinniped's CLI rewrites the file in place, so reading needs the lock too.
        let lock = self.open_lock()?;
        self.try_repeatedly(|| lock.try_lock_shared())?;
        self.peek()
    }

    /// The same without a lock, which is a file of its own: a write of Pinniped's CLI that is under way may look like damage.
    pub(crate) fn peek(&self) -> Result<C, CacheError> {
        match self.read()? {
            Some(bytes) => document::parse(&bytes).ok_or(CacheError::Damaged(C::NAME)),
            None => Ok(C::default()),
        }
    }

    /// Changes what the file holds: nothing where it is damaged, which is set aside. What was never a cache is left alone.
    pub(crate) fn update(
        &self,
        change: impl FnOnce(&mut C) -> Result<(), CacheError>,
    ) -> Result<(), CacheError> {
        self.check_name()?;
        create_private_folder(folder(&self.path))
            .map_err(|error| CacheError::CreateFolder(C::NAME, error))?;
        let lock = self.open_lock()?;
        self.try_repeatedly(|| lock.try_lock())?;
        let bytes = self.read()?;
        let stored = match &bytes {
            Some(bytes) => document::parse(bytes),
            None => Some(C::default()),
        };
        let bytes = bytes.unwrap_or_default();
        let is_readable = stored.is_some();
        let mut contents = stored.unwrap_or_default();
        change(&mut contents)?;
        if !is_readable {
            self.set_aside(&bytes)?;
        }
        self.replace(contents)
    }

    /// A flag of somebody's kubeconfig may name any place of the user's, and what a session holds is an issuer's choice: no file is
    /// made that a shell or another program may run, and no folder or lock that another program may heed.
    pub(crate) fn check_name(&self) -> Result<(), CacheError> {
        let extension = self.path.extension().unwrap_or_default();
        let is_data = ["yaml", "yml", "json"]
            .iter()
            .any(|data| extension == *data);
        if is_data {
            return Ok(());
        }
        let (name, path) = (C::NAME, self.path.clone());
        match self.beginning()?.as_slice() {
            document::BEGINNING => Ok(()),
            [] => Err(CacheError::Name { name, path }),
            _ => Err(CacheError::NoCache { name, path }),
        }
    }

    /// As much of the file as tells whether it is a cache.
    fn beginning(&self) -> Result<Vec<u8>, CacheError> {
        let mut beginning = Vec::new();
        if let Some(file) = self.open()? {
            file.take(document::BEGINNING.len() as u64)
                .read_to_end(&mut beginning)
                .map_err(|error| CacheError::Read(C::NAME, error))?;
        }
        Ok(beginning)
    }

    /// Keeps a damaged cache under another name. A flag of somebody's kubeconfig may name any file of the user's: nothing else
    /// goes.
    fn set_aside(&self, old: &[u8]) -> Result<(), CacheError> {
        if !document::is_damaged::<C>(old) {
            return Err(CacheError::NoCache {
                name: C::NAME,
                path: self.path.clone(),
            });
        }
        std::fs::rename(&self.path, self.path.with_added_extension(DAMAGED))
            .map_err(|error| CacheError::Write(C::NAME, error))
    }

    /// Deletes what a writer that failed, or a damaged file, has left of secrets.
    pub(crate) fn remove_remains(&self) -> Result<(), CacheError> {
        for extension in [NEW, DAMAGED] {
            remove_if_there(&self.path.with_added_extension(extension))
                .map_err(|error| CacheError::Write(C::NAME, error))?;
        }
        Ok(())
    }

    /// Changes what the file holds, if there is one.
    pub(crate) fn change_existing(&self, change: impl FnOnce(&mut C)) -> Result<(), CacheError> {
        if self.open()?.is_none() {
            return Ok(());
        }
        self.update(|contents| {
            change(contents);
            Ok(())
        })
    }

    fn open_lock(&self) -> Result<File, CacheError> {
        lock_file::open(&self.path.with_added_extension("lock"))
            .map_err(|error| CacheError::Lock(C::NAME, error))
    }

    fn try_repeatedly(
        &self,
        mut attempt: impl FnMut() -> Result<(), TryLockError>,
    ) -> Result<(), CacheError> {
        for _ in 0..self.lock_tries {
            match attempt() {
                Ok(()) => return Ok(()),
                Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_INTERVAL),
                Err(TryLockError::Error(error)) => return Err(CacheError::Lock(C::NAME, error)),
            }
        }
        Err(CacheError::Busy(C::NAME))
    }

    /// What is in the file, as far as one of ours goes; `None` where there is none.
    fn read(&self) -> Result<Option<Vec<u8>>, CacheError> {
        let Some(file) = self.open()? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        match file.take(self.max_bytes).read_to_end(&mut bytes) {
            Ok(_) => Ok(Some(bytes)),
            Err(error) => Err(CacheError::Read(C::NAME, error)),
        }
    }

    /// The file, if it is there. Nobody is waited for: a pipe has no end before its writer has one, and a device may have none.
    fn open(&self) -> Result<Option<File>, CacheError> {
        let failed = |error| CacheError::Read(C::NAME, error);
        let file = match without_waiting(OpenOptions::new().read(true)).open(&self.path) {
            Err(error) if is_absence(&error) => return Ok(None),
            opened => opened.map_err(failed)?,
        };
        let kind = file.metadata().map_err(failed)?.file_type();
        // To read a folder fails at once.
        match kind.is_file() || kind.is_dir() {
            true => Ok(Some(file)),
            false => Err(CacheError::NotRegular {
                name: C::NAME,
                path: self.path.clone(),
            }),
        }
    }

    fn replace(&self, contents: C) -> Result<(), CacheError> {
        let text =
            document::to_text(contents).map_err(|error| CacheError::Encode(C::NAME, error))?;
        let new = self.path.with_added_extension(NEW);
        let write = || {
            // One that was left behind may be readable for others.
            remove_if_there(&new)?;
            let name = new.file_name().unwrap_or_default();
            let mut new = tempfile::Builder::new();
            let new = new.prefix(name).rand_bytes(0);
            private_file::replace(&self.path, new.tempfile_in(folder(&self.path))?, &text)
        };
        write().map_err(|error| CacheError::Write(C::NAME, error))
    }
}

/// `pinniped` below `$XDG_CONFIG_HOME`, else below `$HOME/.config`; `None` when neither is set.
fn default_folder(environment: Environment<'_>) -> Option<PathBuf> {
    let set = |name| {
        environment(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let config = set("XDG_CONFIG_HOME").or_else(|| {
        let home = set("HOME").or_else(|| set("USERPROFILE"))?;
        Some(home.join(".config"))
    })?;
    Some(config.join("pinniped"))
}

fn is_absence(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory)
}

/// Opens a pipe without anybody at its other end.
fn without_waiting(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(
        options,
        rustix::fs::OFlags::NONBLOCK.bits().cast_signed(),
    );
    options
}

#[cfg(test)]
mod tests;

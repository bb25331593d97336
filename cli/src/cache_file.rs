//! A file of secrets that several processes read and change: locked, private, and replaced as a whole.
//!
//! Path, format and lock are those of Pinniped's CLI (`internal/execcredcache`, `pkg/oidcclient/filesession`), so both programs
//! can use one file. Unlike there, the file is replaced, not rewritten: a reader that takes no lock never sees half of it, and
//! a writer that is killed leaves what was there.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::Environment;
use crate::console::Console;
use crate::keyring::KeyringError;

const API_VERSION: &str = "config.supervisor.pinniped.dev/v1alpha1";
/// How each cache file begins, Pinniped's too.
const BEGINNING: &[u8] = b"apiVersion: config.supervisor.pinniped.dev/";
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

/// Why a cache could not be used; a login goes on without it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CacheError {
    #[error("failed to create the folder of the {0} cache")]
    CreateFolder(&'static str, #[source] io::Error),
    #[error("failed to lock the {0} cache")]
    Lock(&'static str, #[source] io::Error),
    #[error("another process holds the lock of the {0} cache")]
    Busy(&'static str),
    #[error("failed to read the {0} cache")]
    Read(&'static str, #[source] io::Error),
    #[error("the {0} cache is damaged, or of another kind; the next login replaces it")]
    Damaged(&'static str),
    #[error(
        "{} holds something else than the {name} cache, and stays as it is; name another file, or delete it",
        path.display()
    )]
    NoCache { name: &'static str, path: PathBuf },
    #[error(
        "{} cannot be the {name} cache: name a file that ends in .yaml",
        path.display()
    )]
    Name { name: &'static str, path: PathBuf },
    #[error(
        "{} is no regular file, so it cannot be the {name} cache; name a file, or none to keep nothing",
        path.display()
    )]
    NotRegular { name: &'static str, path: PathBuf },
    #[error("failed to encode the {0} cache")]
    Encode(&'static str, #[source] serde_saphyr::ser::Error),
    #[error("failed to write the {0} cache")]
    Write(&'static str, #[source] io::Error),
    #[error("failed to use the keyring")]
    Keyring(#[from] KeyringError),
    #[error("the time is outside of what a timestamp can hold")]
    Time,
}

impl CacheError {
    /// Tells of it: to everybody where the user has named a place that does not do, and would wonder why each login is the first;
    /// else to those who want to know what is going on.
    pub(crate) fn report(&self, asked: bool, console: &Console<'_>) {
        match self {
            Self::Keyring(_)
            | Self::NoCache { .. }
            | Self::Name { .. }
            | Self::NotRegular { .. } => console.warn_of(self),
            _ => console.report(self, asked),
        }
    }
}

/// What a cache file holds.
pub(crate) trait Contents: Default + Serialize + DeserializeOwned {
    /// Its `kind`.
    const KIND: &'static str;
    /// What it is called in messages.
    const NAME: &'static str;
    /// Its name in the folder of caches.
    const FILE: &'static str;
}

/// The document as it stands in the file.
#[derive(Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document<C> {
    api_version: String,
    kind: String,
    #[serde(flatten)]
    contents: C,
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
        if !self.path.exists() {
            return Ok(C::default());
        }
        // Pinniped's CLI rewrites the file in place, so reading needs the lock too.
        let lock = self.open_lock()?;
        self.try_repeatedly(|| lock.try_lock_shared())?;
        self.read()?.ok_or(CacheError::Damaged(C::NAME))
    }

    /// Changes what the file holds: nothing where it is damaged, which is set aside. What was never a cache is left alone.
    pub(crate) fn update(
        &self,
        change: impl FnOnce(&mut C) -> Result<(), CacheError>,
    ) -> Result<(), CacheError> {
        if let Some(folder) = self.path.parent() {
            create_private_folder(folder)
                .map_err(|error| CacheError::CreateFolder(C::NAME, error))?;
        }
        let lock = self.open_lock()?;
        self.try_repeatedly(|| lock.try_lock())?;
        let stored = self.read()?;
        let is_damaged = stored.is_none();
        let mut contents = stored.unwrap_or_default();
        change(&mut contents)?;
        match is_damaged {
            true => self.set_aside()?,
            false => self.check_name()?,
        }
        self.replace(contents)
    }

    /// A flag of somebody's kubeconfig may name any file of the user's, and what a session holds is an issuer's choice: no file is
    /// made that a shell or another program may run.
    fn check_name(&self) -> Result<(), CacheError> {
        let extension = self.path.extension().unwrap_or_default();
        let is_data = ["yaml", "yml", "json"]
            .iter()
            .any(|data| extension == *data);
        // One that could be read is a cache already.
        let is_cache = || std::fs::metadata(&self.path).is_ok_and(|file| file.len() > 0);
        match is_data || is_cache() {
            true => Ok(()),
            false => Err(CacheError::Name {
                name: C::NAME,
                path: self.path.clone(),
            }),
        }
    }

    /// Keeps a damaged cache under another name. A flag of somebody's kubeconfig may name any file of the user's: only what begins
    /// as a cache does goes.
    fn set_aside(&self) -> Result<(), CacheError> {
        let mut beginning = Vec::new();
        let file = File::open(&self.path);
        file.and_then(|file| {
            file.take(BEGINNING.len() as u64)
                .read_to_end(&mut beginning)
        })
        .map_err(|error| CacheError::Read(C::NAME, error))?;
        // A system that failed may have left a file without contents, or with zeros in their place.
        let is_blank = beginning.iter().all(|byte| *byte == 0);
        if is_blank {
            self.check_name()?;
        }
        if !is_blank && !BEGINNING.starts_with(&beginning) || self.is_another_kind() {
            let path = self.path.clone();
            return Err(CacheError::NoCache {
                name: C::NAME,
                path,
            });
        }
        std::fs::rename(&self.path, with_extension(&self.path, DAMAGED))
            .map_err(|error| CacheError::Write(C::NAME, error))
    }

    /// Whether it is whole, and of another kind than this cache.
    fn is_another_kind(&self) -> bool {
        #[derive(Deserialize)]
        struct Kind {
            kind: String,
        }
        let Ok(file) = File::open(&self.path) else {
            return false;
        };
        let text = io::read_to_string(file.take(self.max_bytes)).unwrap_or_default();
        let kind = serde_saphyr::from_str::<Kind>(&text);
        kind.is_ok_and(|document| document.kind != C::KIND)
    }

    /// Deletes what a writer that failed, or a damaged file, has left of secrets.
    pub(crate) fn remove_remains(&self) -> Result<(), CacheError> {
        for extension in [NEW, DAMAGED] {
            remove_if_there(&with_extension(&self.path, extension))
                .map_err(|error| CacheError::Write(C::NAME, error))?;
        }
        Ok(())
    }

    /// Changes what the file holds, if there is one.
    pub(crate) fn change_existing<T: Default>(
        &self,
        change: impl FnOnce(&mut C) -> T,
    ) -> Result<T, CacheError> {
        let mut result = T::default();
        if self.path.exists() {
            self.update(|contents| {
                result = change(contents);
                Ok(())
            })?;
        }
        Ok(result)
    }

    fn open_lock(&self) -> Result<File, CacheError> {
        let path = with_extension(&self.path, "lock");
        // NFS gives a shared lock only to whoever may read, and an exclusive one only to whoever may write.
        private(OpenOptions::new().read(true).write(true).create(true))
            .open(path)
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

    /// What the file holds; `None` where that is not ours.
    fn read(&self) -> Result<Option<C>, CacheError> {
        let Some(file) = self.open()? else {
            return Ok(Some(C::default()));
        };
        let mut bytes = Vec::new();
        file.take(self.max_bytes)
            .read_to_end(&mut bytes)
            .map_err(|error| CacheError::Read(C::NAME, error))?;
        Ok(std::str::from_utf8(&bytes)
            .ok()
            .and_then(|text| serde_saphyr::from_str::<Document<C>>(text).ok())
            .filter(|document| document.api_version == API_VERSION && document.kind == C::KIND)
            .map(|document| document.contents))
    }

    /// The file, if it is there. Nobody is waited for: a pipe has no end before its writer has one, and a device may have none.
    fn open(&self) -> Result<Option<File>, CacheError> {
        let failed = |error| CacheError::Read(C::NAME, error);
        let file = match without_waiting(OpenOptions::new().read(true)).open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
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
        let document = Document {
            api_version: API_VERSION.to_owned(),
            kind: C::KIND.to_owned(),
            contents,
        };
        let text = serde_saphyr::to_string(&document)
            .map_err(|error| CacheError::Encode(C::NAME, error))?;
        let failed = |error| CacheError::Write(C::NAME, error);
        let new = with_extension(&self.path, NEW);
        // One that was left behind may be readable for others.
        remove_if_there(&new).map_err(failed)?;
        let write = || {
            let mut file = private(OpenOptions::new().write(true).create_new(true)).open(&new)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&new, &self.path)
        };
        write().map_err(failed)
    }
}

/// `pinniped` below `$XDG_CONFIG_HOME`, else below `$HOME/.config`; `None` when neither is set.
pub(crate) fn default_folder(environment: Environment<'_>) -> Option<PathBuf> {
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

fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

pub(crate) fn with_extension(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}

pub(crate) fn create_private_folder(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

pub(crate) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
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

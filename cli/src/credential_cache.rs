//! Credentials on disk, so that kubectl's next call needs no network.
//!
//! Path, format, lock and key are those of Pinniped's CLI (`internal/execcredcache`), so both programs can use one file.
//! Unlike there, the file is replaced, not rewritten: a reader that takes no lock never sees half of it.

mod key;

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Environment;
use crate::exec_credential::CredentialStatus;

pub(crate) use key::key;

const API_VERSION: &str = "config.supervisor.pinniped.dev/v1alpha1";
const KIND: &str = "CredentialCache";

/// A credential this close to its end might expire before kubectl has used it.
const MARGIN: Duration = Duration::from_secs(30);
/// Longest time for which one entry is kept, whatever the credential's own end.
const MAX_AGE: Duration = Duration::from_secs(3600);
/// A file beyond this is not ours.
const MAX_BYTES: u64 = 16 << 20;

const LOCK_INTERVAL: Duration = Duration::from_millis(10);
const LOCK_TRIES: u32 = 1000;

/// Why the cache could not be used; a login goes on without it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CacheError {
    #[error("failed to create the folder of the credential cache")]
    CreateFolder(#[source] io::Error),
    #[error("failed to lock the credential cache")]
    Lock(#[source] io::Error),
    #[error("another process holds the lock of the credential cache")]
    Busy,
    #[error("failed to read the credential cache")]
    Read(#[source] io::Error),
    #[error("failed to encode the credential cache")]
    Encode(#[source] serde_saphyr::ser::Error),
    #[error("failed to write the credential cache")]
    Write(#[source] io::Error),
    #[error("the time is outside of what a timestamp can hold")]
    Time,
}

/// A file of credentials.
#[derive(Debug)]
pub(crate) struct CredentialCache {
    path: PathBuf,
    lock_tries: u32,
    max_bytes: u64,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Contents {
    api_version: String,
    kind: String,
    #[serde(default)]
    credentials: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    key: String,
    creation_timestamp: Time,
    last_used_timestamp: Time,
    credential: CredentialStatus,
}

impl CredentialCache {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            lock_tries: LOCK_TRIES,
            max_bytes: MAX_BYTES,
        }
    }

    /// `pinniped/credentials.yaml` below `$XDG_CONFIG_HOME`, else below `$HOME/.config`; `None` when neither is set.
    pub(crate) fn default_path(environment: Environment<'_>) -> Option<PathBuf> {
        let set = |name| {
            environment(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let config = set("XDG_CONFIG_HOME").or_else(|| {
            let home = set("HOME").or_else(|| set("USERPROFILE"))?;
            Some(home.join(".config"))
        })?;
        Some(config.join("pinniped").join("credentials.yaml"))
    }

    /// The credential under `key`, if it will still be good when kubectl uses it. Creates nothing.
    pub(crate) fn get(
        &self,
        key: &str,
        now: SystemTime,
    ) -> Result<Option<CredentialStatus>, CacheError> {
        if !self.path.exists() {
            return Ok(None);
        }
        // Pinniped's CLI rewrites the file in place, so reading needs the lock too.
        let lock = self.open_lock()?;
        self.try_repeatedly(|| lock.try_lock_shared())?;
        let contents = self.read()?;
        Ok(contents
            .credentials
            .into_iter()
            .find(|entry| entry.key == key && entry.is_good(now, MARGIN))
            .map(|entry| entry.credential))
    }

    /// Keeps `credential` under `key` and drops what has expired.
    pub(crate) fn put(
        &self,
        key: &str,
        credential: &CredentialStatus,
        now: SystemTime,
    ) -> Result<(), CacheError> {
        if let Some(folder) = self.path.parent() {
            create_private_folder(folder).map_err(CacheError::CreateFolder)?;
        }
        let lock = self.open_lock()?;
        self.try_repeatedly(|| lock.try_lock())?;
        let mut contents = self.read()?;
        contents.insert(key, credential, now)?;
        self.replace(&contents)
    }

    fn open_lock(&self) -> Result<File, CacheError> {
        let path = with_extension(&self.path, "lock");
        private(OpenOptions::new().write(true).create(true))
            .open(path)
            .map_err(CacheError::Lock)
    }

    fn try_repeatedly(
        &self,
        mut attempt: impl FnMut() -> Result<(), TryLockError>,
    ) -> Result<(), CacheError> {
        for _ in 0..self.lock_tries {
            match attempt() {
                Ok(()) => return Ok(()),
                Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_INTERVAL),
                Err(TryLockError::Error(error)) => return Err(CacheError::Lock(error)),
            }
        }
        Err(CacheError::Busy)
    }

    /// What the file holds; nothing where it is missing, damaged or of another kind.
    fn read(&self) -> Result<Contents, CacheError> {
        let mut bytes = Vec::new();
        match File::open(&self.path) {
            Ok(file) => file
                .take(self.max_bytes)
                .read_to_end(&mut bytes)
                .map_err(CacheError::Read)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(CacheError::Read(error)),
        };
        Ok(std::str::from_utf8(&bytes)
            .ok()
            .and_then(|text| serde_saphyr::from_str::<Contents>(text).ok())
            .filter(|contents| contents.api_version == API_VERSION && contents.kind == KIND)
            .unwrap_or_default())
    }

    fn replace(&self, contents: &Contents) -> Result<(), CacheError> {
        let text = serde_saphyr::to_string(contents).map_err(CacheError::Encode)?;
        let new = with_extension(&self.path, "new");
        // One that was left behind may be readable for others.
        match std::fs::remove_file(&new) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(CacheError::Write(error)),
        }
        let write = || {
            let mut file = private(OpenOptions::new().write(true).create_new(true)).open(&new)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&new, &self.path)
        };
        write().map_err(CacheError::Write)
    }
}

impl Contents {
    fn insert(
        &mut self,
        key: &str,
        credential: &CredentialStatus,
        now: SystemTime,
    ) -> Result<(), CacheError> {
        API_VERSION.clone_into(&mut self.api_version);
        KIND.clone_into(&mut self.kind);
        let time = Time(Timestamp::try_from(now).map_err(|_| CacheError::Time)?);
        self.credentials
            .retain(|entry| entry.is_good(now, Duration::ZERO));
        if let Some(entry) = self.credentials.iter_mut().find(|entry| entry.key == key) {
            entry.credential = credential.clone();
            entry.last_used_timestamp = time;
        } else {
            self.credentials.push(Entry {
                key: key.to_owned(),
                creation_timestamp: time.clone(),
                last_used_timestamp: time,
                credential: credential.clone(),
            });
        }
        self.credentials
            .sort_by(|a, b| a.creation_timestamp.cmp(&b.creation_timestamp));
        Ok(())
    }
}

impl Entry {
    /// Whether the credential is good for `margin` more, and the entry is not too old.
    fn is_good(&self, now: SystemTime, margin: Duration) -> bool {
        let expires = self.credential.expiration_timestamp.as_ref();
        expires.is_some_and(|end| SystemTime::from(end.0) > now + margin)
            && SystemTime::from(self.creation_timestamp.0) + MAX_AGE >= now
    }
}

fn with_extension(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}

fn create_private_folder(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

#[cfg(test)]
mod tests;

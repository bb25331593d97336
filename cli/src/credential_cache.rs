//! Credentials on disk, so that kubectl's next call needs no network.
//!
//! Format and key are those of Pinniped's CLI (`internal/execcredcache`).

mod key;

use std::time::{Duration, SystemTime};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Environment;
use crate::cache_file::{CacheError, CacheFile, Contents};
use crate::console::Console;
use crate::exec_credential::CredentialStatus;

pub(crate) use key::{login_key, static_login_key};

/// A credential this close to its end might expire before kubectl has used it.
const MARGIN: Duration = Duration::from_secs(30);
/// Longest time for which one entry is kept, whatever the credential's own end.
const MAX_AGE: Duration = Duration::from_secs(3600);

/// A file of credentials.
#[derive(Debug)]
pub(crate) struct CredentialCache(CacheFile<Credentials>);

/// What is told where there is none.
pub(crate) fn told_off() -> String {
    "credential cache: off".to_owned()
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Credentials {
    #[serde(default)]
    credentials: Vec<Entry>,
}

impl Contents for Credentials {
    const KIND: &'static str = "CredentialCache";
    const NAME: &'static str = "credential";
    const FILE: &'static str = "credentials.yaml";
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    key: String,
    creation_timestamp: Time,
    last_used_timestamp: Time,
    credential: CredentialStatus,
}

impl CredentialCache {
    /// The cache that `--credential-cache` names; `None` where there is to be none.
    pub(crate) fn chosen(flag: Option<&str>, environment: Environment<'_>) -> Option<Self> {
        CacheFile::chosen(flag, environment).map(Self)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &std::path::Path {
        self.0.path()
    }

    /// The credential under `key`, if it will still be good when kubectl uses it. Creates nothing.
    pub(crate) fn get(
        &self,
        key: &str,
        now: SystemTime,
    ) -> Result<Option<CredentialStatus>, CacheError> {
        let entries = self.0.get()?.credentials;
        let good = entries
            .into_iter()
            .find(|entry| entry.key == key && entry.is_good(now, MARGIN));
        Ok(good.map(|entry| entry.credential))
    }

    /// The same, and tells the console what came of it; a fault of the cache is as good as nothing found.
    pub(crate) fn look_up(
        &self,
        key: &str,
        now: SystemTime,
        console: &Console<'_>,
    ) -> Option<CredentialStatus> {
        let found = self.get(key, now);
        match &found {
            Ok(found) => console.debug(|| self.told(found.as_ref())),
            Err(error) => error.report(false, console),
        }
        found.ok().flatten()
    }

    /// Keeps `credential`, and tells the console what came of it.
    pub(crate) fn keep(
        &self,
        key: &str,
        credential: &CredentialStatus,
        now: SystemTime,
        console: &Console<'_>,
    ) {
        match self.put(key, credential, now) {
            Ok(()) => {
                console.debug(|| format!("credential cache {}: written", self.path().display()))
            }
            Err(error) => error.report(false, console),
        }
    }

    fn told(&self, found: Option<&CredentialStatus>) -> String {
        let path = self.path().display();
        let end = found.and_then(|found| found.expiration_timestamp.as_ref());
        match end {
            Some(end) => format!("credential cache {path}: hit, good until {}", end.0),
            None => format!(
                "credential cache {path}: miss; it has nothing for these arguments and this cluster that is good for another {} s",
                MARGIN.as_secs()
            ),
        }
    }

    /// Forgets all credentials.
    pub(crate) fn clear(&self) -> Result<(), CacheError> {
        self.0
            .change_existing(|contents| contents.credentials.clear())?;
        self.0.remove_remains()
    }

    /// Keeps `credential` under `key` and drops what has expired.
    pub(crate) fn put(
        &self,
        key: &str,
        credential: &CredentialStatus,
        now: SystemTime,
    ) -> Result<(), CacheError> {
        self.0
            .update(|contents| contents.insert(key, credential, now))
    }
}

impl Credentials {
    fn insert(
        &mut self,
        key: &str,
        credential: &CredentialStatus,
        now: SystemTime,
    ) -> Result<(), CacheError> {
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

#[cfg(test)]
mod tests;

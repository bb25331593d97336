//! Tokens on disk, so that a login lasts longer than one of its tokens.
//!
//! Format and key are those of Pinniped's CLI (`pkg/oidcclient/filesession`): whoever swaps the program stays logged in.

mod key;
mod keyring;
mod sessions;
mod tokens;

use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use haulout_https::TrustRoots;

use crate::Environment;
use crate::cache_file::{self, CacheError, CacheFile};
use crate::hex::short_sha256_hex;

pub(crate) use key::SessionKey;
use keyring::SessionKeyring;
pub(crate) use keyring::session_place;
use sessions::{Entry, Sessions};
pub(crate) use tokens::{AccessToken, IdToken, RefreshToken, Tokens, timestamp};

/// How exactly the last use is noted: each note is a write.
const USE_INTERVAL: Duration = Duration::from_secs(3600);

/// Whether the flag of the session cache names a file, and neither a keyring nor that there is to be none.
pub(crate) fn is_file(flag: &str) -> bool {
    cache_file::is_file(flag) && SessionKeyring::chosen(flag).is_none()
}

/// Which sessions are meant.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Which<'a> {
    All,
    /// Those of this issuer.
    OfIssuer(&'a str),
    /// That which a login of this key would go on with which trusts the same roots.
    OfLogin(&'a SessionKey),
}

/// The tokens of a session that was asked for.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) tokens: Tokens,
    /// Whether the use could be noted; the tokens are good all the same.
    pub(crate) noted: Result<(), CacheError>,
}

/// A session as it is kept.
#[derive(Debug)]
pub(crate) struct KeptSession {
    pub(crate) key: SessionKey,
    pub(crate) tokens: Tokens,
    /// Name of those that it is bound to.
    roots: Option<String>,
}

impl KeptSession {
    /// Whether it is bound to other roots than those of this name: whoever these let pose as its issuer must not get its tokens.
    pub(crate) fn is_of_others(&self, roots: &str) -> bool {
        let bound = self.roots.as_deref();
        bound.is_some_and(|bound| bound != roots)
    }
}

/// Where sessions are kept, for logins that trust these roots.
///
/// A kubeconfig says which certificates an issuer's server may have. One that trusts others must not have the tokens of a
/// session sent to whomever these let pose as the issuer.
#[derive(Debug)]
pub(crate) struct SessionCache {
    file: CacheFile<Sessions>,
    /// In place of the file, which then lends its name to locks alone.
    keyring: Option<SessionKeyring>,
    /// Name of the roots.
    roots: String,
}

impl SessionCache {
    /// The cache that `--session-cache` names, for logins that trust the roots of this name.
    pub(crate) fn chosen(
        flag: Option<&str>,
        environment: Environment<'_>,
        roots: String,
    ) -> Option<Self> {
        // Pinniped's CLI takes an empty one for the default.
        let flag = flag.filter(|path| !path.is_empty());
        let keyring = flag.and_then(SessionKeyring::chosen);
        let flag = flag.filter(|_| keyring.is_none());
        Some(Self {
            file: CacheFile::chosen(flag, environment)?,
            keyring,
            roots,
        })
    }

    /// What it is called in messages.
    pub(crate) fn place(&self) -> String {
        match &self.keyring {
            Some(_) => "the keyring".to_owned(),
            None => self.path().display().to_string(),
        }
    }

    /// Where it is, if it is a file; in any case a place for locks.
    pub(crate) fn path(&self) -> &std::path::Path {
        self.file.path()
    }

    /// Whether locks may be made there.
    pub(crate) fn check_place(&self) -> Result<(), CacheError> {
        self.file.check_name()
    }

    /// The tokens of a session that are good at `now`. Notes the use.
    pub(crate) fn get(
        &self,
        key: &SessionKey,
        now: SystemTime,
    ) -> Result<Option<Found>, CacheError> {
        let contents = match &self.keyring {
            Some(keyring) => keyring.get(key, &self.roots)?,
            None => self.file.get()?,
        };
        let Some(entry) = self.find(contents, key, now) else {
            return Ok(None);
        };
        let is_bound = entry.trusted_roots.is_some();
        let is_noted = entry.last_used() + USE_INTERVAL >= now;
        // A keyring is not asked again for each use: a refresh writes anyway.
        let noted = match self.keyring.is_some() || (is_bound && is_noted) {
            true => Ok(()),
            false => self.note_use(key, now),
        };
        Ok(Some(Found {
            tokens: entry.tokens,
            noted,
        }))
    }

    /// The same for whoever only looks: nothing is noted, and no lock is made.
    pub(crate) fn peek(
        &self,
        key: &SessionKey,
        now: SystemTime,
    ) -> Result<Option<Tokens>, CacheError> {
        let contents = match &self.keyring {
            Some(keyring) => keyring.get(key, &self.roots)?,
            None => self.file.peek()?,
        };
        let found = self.find(contents, key, now);
        // Whoever is given an unbound one has to bind it.
        let bound = found.filter(|entry| entry.trusted_roots.is_some());
        Ok(bound.map(|entry| entry.tokens))
    }

    fn find(&self, mut contents: Sessions, key: &SessionKey, now: SystemTime) -> Option<Entry> {
        contents.prune(now);
        contents.find(key, &self.roots).cloned()
    }

    fn note_use(&self, key: &SessionKey, now: SystemTime) -> Result<(), CacheError> {
        self.file.update(|sessions| {
            let used = timestamp(now)?;
            if let Some(entry) = sessions.find(key, &self.roots) {
                entry.note_use(&self.roots, used);
            }
            Ok(())
        })
    }

    /// The sessions that are meant, as far as they could still be used.
    pub(crate) fn list(
        &self,
        which: Which<'_>,
        now: SystemTime,
    ) -> Result<Vec<KeptSession>, CacheError> {
        let mut contents = match &self.keyring {
            Some(keyring) => keyring.list()?,
            None => self.file.get()?,
        };
        contents.prune(now);
        let is_meant = self.is_meant(which, &contents);
        let meant = contents.sessions.into_iter().filter(is_meant);
        let kept = |entry: Entry| KeptSession {
            key: entry.key,
            tokens: entry.tokens,
            roots: entry.trusted_roots,
        };
        Ok(meant.map(kept).collect())
    }

    /// Forgets those that are meant, but for these, and what writers that failed have left of any.
    pub(crate) fn remove(
        &self,
        which: Which<'_>,
        but_for: &[&KeptSession],
    ) -> Result<(), CacheError> {
        let is_spared = |entry: &Entry| {
            let mut spared = but_for.iter();
            spared.any(|kept| kept.key == entry.key && kept.roots == entry.trusted_roots)
        };
        if let Some(keyring) = &self.keyring {
            let is_meant = self.is_meant(which, &keyring.list()?);
            return keyring.remove(|entry| is_meant(entry) && !is_spared(entry));
        }
        self.file.change_existing(|contents| {
            let is_meant = self.is_meant(which, contents);
            let sessions = &mut contents.sessions;
            sessions.retain(|entry| !is_meant(entry) || is_spared(entry));
        })?;
        self.file.remove_remains()
    }

    fn is_meant<'a>(
        &self,
        which: Which<'a>,
        contents: &Sessions,
    ) -> impl Fn(&Entry) -> bool + use<'a> {
        let used = match which {
            Which::OfLogin(key) => contents.position(key, &self.roots),
            Which::All | Which::OfIssuer(_) => None,
        };
        let used = used.and_then(|position| contents.sessions.get(position));
        let used = used.map(|entry| (entry.key.clone(), entry.trusted_roots.clone()));
        move |entry| match which {
            Which::All => true,
            Which::OfIssuer(issuer) => entry.key.issuer == issuer,
            Which::OfLogin(_) => used
                .as_ref()
                .is_some_and(|(key, roots)| entry.key == *key && entry.trusted_roots == *roots),
        }
    }

    /// Keeps the tokens of a session, and forgets what has expired of others.
    pub(crate) fn put(
        &self,
        key: &SessionKey,
        tokens: &Tokens,
        now: SystemTime,
    ) -> Result<(), CacheError> {
        if let Some(keyring) = &self.keyring {
            return keyring.put(key, &self.roots, tokens, timestamp(now)?);
        }
        self.file.update(|sessions| {
            let used = timestamp(now)?;
            match sessions.find(key, &self.roots) {
                Some(entry) => {
                    entry.tokens = tokens.clone();
                    entry.note_use(&self.roots, used);
                }
                None => {
                    let entry = Entry::new(key.clone(), &self.roots, tokens.clone(), used);
                    sessions.sessions.push(entry);
                }
            }
            sessions.prune(now);
            Ok(())
        })
    }
}

/// What these roots are called where a session is bound to them; `environment` is that of the process which trusts them.
pub(crate) fn name_of(roots: &TrustRoots, environment: Environment<'_>) -> String {
    let TrustRoots::Only(certificates) = roots else {
        return name_of_system(environment);
    };
    let hashes = certificates.iter().map(|der| digest(&SHA256, der));
    let mut hashes: Vec<_> = hashes.map(|hash| hash.as_ref().to_vec()).collect();
    hashes.sort_unstable();
    hashes.dedup();
    short_sha256_hex(&hashes.concat())
}

/// The variables put others in the place of the system's roots, and a kubeconfig can set them.
fn name_of_system(environment: Environment<'_>) -> String {
    let mut name = b"system".to_vec();
    for variable in ["SSL_CERT_FILE", "SSL_CERT_DIR"] {
        if let Some(value) = environment(variable) {
            // No variable has a zero byte in it.
            name.extend([b"\0", variable.as_bytes(), b"=", value.as_encoded_bytes()].concat());
        }
    }
    match name.as_slice() {
        b"system" => "system".to_owned(),
        name => short_sha256_hex(name),
    }
}

#[cfg(test)]
mod tests;

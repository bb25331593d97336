//! Sessions in the system's keyring, an item each.
//!
//! Of a session's tokens only the refresh token is kept, since keyrings have limits (that of Windows 2560 bytes) and the others
//! come anew with it; the ID token where there is no other.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use secrecy::ExposeSecret as _;

use super::{Entry, SessionKey, Sessions, Tokens};
use crate::cache_file::{CacheError, Contents as _};
use crate::keyring::Keyring;

/// What the flag of the session cache begins with for a keyring.
const PREFIX: &str = "keyring:";
/// Tells our items from those of others, below the issuer's URL.
const FOLDER: &str = "/haulout-session/";

/// A keyring with sessions in it.
#[derive(Debug)]
pub(crate) struct SessionKeyring(Keyring);

/// A flag's text, if it names a file, or a keyring by what can be the name of its program.
pub(crate) fn session_place(text: &str) -> Result<String, &'static str> {
    let is_name = |name: &str| {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        !name.is_empty() && name.chars().all(is_part)
    };
    match text.strip_prefix(PREFIX) {
        Some(name) if !is_name(name) => Err(
            "name the keyring, as in keyring:secretservice, which docker-credential-secretservice opens",
        ),
        _ => Ok(text.to_owned()),
    }
}

impl SessionKeyring {
    /// The keyring that the flag names, if it names one.
    pub(super) fn chosen(flag: &str) -> Option<Self> {
        flag.strip_prefix(PREFIX).map(Keyring::named).map(Self)
    }

    /// The session, if it is there.
    pub(super) fn get(&self, key: &SessionKey, roots: &str) -> Result<Sessions, CacheError> {
        self.at(&url(key, roots))
    }

    pub(super) fn put(
        &self,
        key: &SessionKey,
        roots: &str,
        tokens: &Tokens,
        now: Time,
    ) -> Result<(), CacheError> {
        let entry = Entry::new(key.clone(), roots, what_lasts(tokens), now);
        let text = serde_saphyr::to_string(&entry)
            .map_err(|error| CacheError::Encode(Sessions::NAME, error))?;
        Ok(self.0.put(&url(key, roots), &text)?)
    }

    /// All sessions.
    pub(super) fn list(&self) -> Result<Sessions, CacheError> {
        let mut all = Sessions::default();
        for url in self.urls()? {
            all.sessions.extend(self.at(&url)?.sessions);
        }
        Ok(all)
    }

    /// Forgets the sessions that are meant, and what cannot be read.
    pub(super) fn remove(&self, is_meant: impl Fn(&Entry) -> bool) -> Result<(), CacheError> {
        for url in self.urls()? {
            if self.at(&url)?.sessions.iter().all(&is_meant) {
                self.0.remove(&url)?;
            }
        }
        Ok(())
    }

    fn urls(&self) -> Result<Vec<String>, CacheError> {
        let mut urls = self.0.urls()?;
        urls.retain(|url| url.contains(FOLDER));
        Ok(urls)
    }

    fn at(&self, url: &str) -> Result<Sessions, CacheError> {
        let found = self.0.get(url)?;
        // What cannot be read is replaced by the next login.
        let entry = found.and_then(|text| serde_saphyr::from_str(text.expose_secret()).ok());
        Ok(Sessions {
            sessions: entry.into_iter().collect(),
        })
    }
}

fn url(key: &SessionKey, roots: &str) -> String {
    let issuer = key.issuer.trim_end_matches('/');
    format!("{issuer}{FOLDER}{}/{roots}", key.digest())
}

fn what_lasts(tokens: &Tokens) -> Tokens {
    let refresh = tokens.refresh.clone();
    Tokens {
        access: None,
        id: tokens.id.clone().filter(|_| refresh.is_none()),
        refresh,
    }
}

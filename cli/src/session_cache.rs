//! Tokens on disk, so that a login lasts longer than one of its tokens.
//!
//! Format and key are those of Pinniped's CLI (`pkg/oidcclient/filesession`): whoever swaps the program stays logged in.

mod keyring;

use std::fmt;
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use haulout_https::TrustRoots;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Environment;
use crate::cache_file::{self, CacheError, CacheFile, Contents};
use keyring::SessionKeyring;
pub(crate) use keyring::session_place;

/// A session that nobody has used for so long is forgotten.
const MAX_UNUSED: Duration = Duration::from_secs(90 * 24 * 3600);
/// How exactly the last use is noted: each note is a write.
const USE_INTERVAL: Duration = Duration::from_secs(3600);

/// Whether the flag of the session cache names a file, and neither a keyring nor that there is to be none.
pub(crate) fn is_file(flag: &str) -> bool {
    cache_file::is_file(flag) && SessionKeyring::chosen(flag).is_none()
}

/// What makes two logins the same session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SessionKey {
    #[serde(rename = "clientID")]
    pub(crate) client_id: String,
    pub(crate) issuer: String,
    pub(crate) redirect_uri: String,
    /// Sorted.
    pub(crate) scopes: Vec<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) upstream_provider_name: String,
}

/// What a login has given. `Debug` shows nothing of it.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Tokens {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) access: Option<AccessToken>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<IdToken>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) refresh: Option<RefreshToken>,
}

/// For the issuer's own endpoints.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AccessToken {
    pub(crate) token: String,
    #[serde(rename = "type", default, skip_serializing_if = "String::is_empty")]
    pub(crate) type_: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expiry_timestamp: Option<Time>,
}

/// Says who the user is.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IdToken {
    pub(crate) token: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expiry_timestamp: Option<Time>,
    /// As verified when it came, with those of the userinfo endpoint.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) claims: Map<String, Value>,
}

/// Gets the others anew.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct RefreshToken {
    pub(crate) token: String,
}

/// Which sessions are meant.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Which<'a> {
    All,
    /// Those of this issuer.
    OfIssuer(&'a str),
    /// Those of this issuer that a login could go on with which trusts the same roots.
    OfLogin(&'a str),
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

#[derive(Debug, Default, Serialize, Deserialize)]
struct Sessions {
    #[serde(default)]
    sessions: Vec<Entry>,
}

impl Contents for Sessions {
    const KIND: &'static str = "SessionCache";
    const NAME: &'static str = "session";
    const FILE: &'static str = "sessions.yaml";
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    key: SessionKey,
    creation_timestamp: Time,
    last_used_timestamp: Time,
    /// Whom it is bound to. Pinniped's CLI knows no such field and leaves it out of what it writes; so what has none comes from
    /// there, and becomes that of whoever asks first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trusted_roots: Option<String>,
    #[serde(default)]
    tokens: Tokens,
}

impl Tokens {
    /// What there is, for whoever looks what is going on.
    pub(crate) fn told(&self) -> String {
        let until = |what: &str, expiry: &Option<Time>| match expiry {
            Some(expiry) => format!("{what} until {}", expiry.0),
            None => what.to_owned(),
        };
        let id = self.id.as_ref();
        let access = self.access.as_ref();
        let refresh = self.refresh.as_ref().map(|_| "a refresh token".to_owned());
        let found = [
            id.map(|id| until("an ID token", &id.expiry_timestamp)),
            access.map(|access| until("an access token", &access.expiry_timestamp)),
            refresh,
        ];
        let found: Vec<String> = found.into_iter().flatten().collect();
        match found.is_empty() {
            true => "miss; no token of this issuer, client, port and scopes that is still good"
                .to_owned(),
            false => format!("hit, {}", found.join(", ")),
        }
    }
}

impl SessionKey {
    /// A name for what belongs to this session alone, fit for a file's.
    pub(crate) fn digest(&self) -> String {
        // A key always is text in JSON.
        short_hash(&serde_json::to_vec(self).unwrap_or_default())
    }

    /// The session of this key for whom the issuer is told this beside: `login_hint` and the like make another one.
    pub(crate) fn with_parameters(mut self, parameters: &[(String, String)]) -> Self {
        if !parameters.is_empty() {
            let text = serde_json::to_vec(parameters).unwrap_or_default();
            self.redirect_uri.push('#');
            self.redirect_uri.push_str(&short_hash(&text));
        }
        self
    }
}

impl SessionCache {
    /// The cache that `--session-cache` names, for logins that trust these roots.
    pub(crate) fn chosen(
        flag: Option<&str>,
        environment: Environment<'_>,
        roots: &TrustRoots,
    ) -> Option<Self> {
        // Pinniped's CLI takes an empty one for the default.
        let flag = flag.filter(|path| !path.is_empty());
        let keyring = flag.and_then(SessionKeyring::chosen);
        let flag = flag.filter(|_| keyring.is_none());
        Some(Self {
            file: CacheFile::chosen(flag, environment)?,
            keyring,
            roots: name_of(roots),
        })
    }

    /// Where it is, if it is a file; in any case a place for locks.
    pub(crate) fn path(&self) -> &std::path::Path {
        self.file.path()
    }

    /// The tokens of a session that are good at `now`. Notes the use.
    pub(crate) fn get(
        &self,
        key: &SessionKey,
        now: SystemTime,
    ) -> Result<Option<Tokens>, CacheError> {
        let mut sessions = match &self.keyring {
            Some(keyring) => keyring.get(key, &self.roots)?,
            None => self.file.get()?,
        };
        sessions.prune(now);
        let Some(entry) = sessions.find(key, &self.roots) else {
            return Ok(None);
        };
        let tokens = entry.tokens.clone();
        let is_bound = entry.trusted_roots.is_some();
        let is_noted = time(&entry.last_used_timestamp) + USE_INTERVAL >= now;
        // A keyring is not asked again for each use: a refresh writes anyway.
        if self.keyring.is_none() && !(is_bound && is_noted) {
            self.file.update(|sessions| {
                let used = timestamp(now)?;
                if let Some(entry) = sessions.find(key, &self.roots) {
                    entry.last_used_timestamp = used;
                    entry.trusted_roots = Some(self.roots.clone());
                }
                Ok(())
            })?;
        }
        Ok(Some(tokens))
    }

    /// The sessions that are meant, as far as they could still be used.
    pub(crate) fn list(
        &self,
        which: Which<'_>,
        now: SystemTime,
    ) -> Result<Vec<(SessionKey, Tokens)>, CacheError> {
        let mut contents = match &self.keyring {
            Some(keyring) => keyring.list()?,
            None => self.file.get()?,
        };
        contents.prune(now);
        let meant = contents.sessions.into_iter().filter(self.is_meant(which));
        Ok(meant.map(|entry| (entry.key, entry.tokens)).collect())
    }

    /// Forgets them, and what writers that failed have left of any.
    pub(crate) fn remove(&self, which: Which<'_>) -> Result<(), CacheError> {
        let is_meant = self.is_meant(which);
        if let Some(keyring) = &self.keyring {
            return keyring.remove(is_meant);
        }
        self.file
            .change_existing(|contents| contents.sessions.retain(|entry| !is_meant(entry)))?;
        self.file.remove_remains()
    }

    fn is_meant(&self, which: Which<'_>) -> impl Fn(&Entry) -> bool {
        move |entry| match which {
            Which::All => true,
            Which::OfIssuer(issuer) => entry.key.issuer == issuer,
            Which::OfLogin(issuer) => {
                let bound = entry.trusted_roots.as_ref();
                entry.key.issuer == issuer && bound.is_none_or(|roots| *roots == self.roots)
            }
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
                    entry.last_used_timestamp = used;
                    entry.trusted_roots = Some(self.roots.clone());
                }
                None => sessions.sessions.push(Entry {
                    key: key.clone(),
                    creation_timestamp: used.clone(),
                    last_used_timestamp: used,
                    trusted_roots: Some(self.roots.clone()),
                    tokens: tokens.clone(),
                }),
            }
            sessions.prune(now);
            Ok(())
        })
    }
}

/// What these roots are called where a session is bound to them.
fn name_of(roots: &TrustRoots) -> String {
    let TrustRoots::Only(certificates) = roots else {
        return "system".to_owned();
    };
    let hashes = certificates.iter().map(|der| digest(&SHA256, der));
    let mut hashes: Vec<_> = hashes.map(|hash| hash.as_ref().to_vec()).collect();
    hashes.sort_unstable();
    hashes.dedup();
    short_hash(&hashes.concat())
}

fn short_hash(bytes: &[u8]) -> String {
    let hash = digest(&SHA256, bytes);
    let bytes = hash.as_ref().iter().take(16);
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

impl Sessions {
    /// The session of this key that is bound to these roots, else one of Pinniped's CLI, unless others have been bound to the key.
    fn find(&mut self, key: &SessionKey, roots: &str) -> Option<&mut Entry> {
        let mut same: Vec<&mut Entry> = self.sessions.iter_mut().collect();
        same.retain(|entry| entry.key == *key);
        let is_ours = |entry: &&mut Entry| entry.trusted_roots.as_deref() == Some(roots);
        let position = same.iter().position(is_ours).or_else(|| {
            let is_free = same.iter().all(|entry| entry.trusted_roots.is_none());
            is_free.then_some(0)
        })?;
        same.into_iter().nth(position)
    }

    fn prune(&mut self, now: SystemTime) {
        for Entry { tokens, .. } in &mut self.sessions {
            let is_good = |token: &str, expiry: &Option<Time>| {
                let expired = expiry.as_ref().is_some_and(|expiry| time(expiry) <= now);
                !token.is_empty() && !expired
            };
            tokens
                .access
                .take_if(|access| !is_good(&access.token, &access.expiry_timestamp));
            tokens
                .id
                .take_if(|id| !is_good(&id.token, &id.expiry_timestamp));
            tokens.refresh.take_if(|refresh| refresh.token.is_empty());
        }
        self.sessions.retain(|entry| {
            let Tokens {
                access,
                id,
                refresh,
            } = &entry.tokens;
            let is_used = time(&entry.last_used_timestamp) + MAX_UNUSED > now;
            is_used && (access.is_some() || id.is_some() || refresh.is_some())
        });
        self.sessions
            .sort_by(|a, b| a.creation_timestamp.cmp(&b.creation_timestamp));
    }
}

fn time(time: &Time) -> SystemTime {
    time.0.into()
}

/// Kubernetes' timestamps have whole seconds.
pub(crate) fn timestamp(time: SystemTime) -> Result<Time, CacheError> {
    let exact = Timestamp::try_from(time).map_err(|_| CacheError::Time)?;
    let whole = Timestamp::from_second(exact.as_second()).map_err(|_| CacheError::Time)?;
    Ok(Time(whole))
}

/// The kind of token alone.
macro_rules! debug_without_secrets {
    ($($type:ident),*) => {
        $(impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($type))
            }
        })*
    };
}

debug_without_secrets!(Tokens, AccessToken, IdToken, RefreshToken);

#[cfg(test)]
mod tests;

//! The sessions of a cache: which is found for a login, and which are forgotten.

use std::time::{Duration, SystemTime};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::{Deserialize, Serialize};

use super::{SessionKey, Tokens};
use crate::cache_file::Contents;

/// A session that nobody has used for so long is forgotten.
const MAX_UNUSED: Duration = Duration::from_secs(90 * 24 * 3600);

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Sessions {
    #[serde(default)]
    pub(super) sessions: Vec<Entry>,
}

impl Contents for Sessions {
    const KIND: &'static str = "SessionCache";
    const NAME: &'static str = "session";
    const FILE: &'static str = "sessions.yaml";
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry {
    pub(super) key: SessionKey,
    pub(super) creation_timestamp: Time,
    pub(super) last_used_timestamp: Time,
    /// Whom it is bound to. Pinniped's CLI knows no such field and leaves it out of what it writes; so what has none comes from
    /// there, and becomes that of whoever asks first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) trusted_roots: Option<String>,
    #[serde(default)]
    pub(super) tokens: Tokens,
}

impl Sessions {
    /// The session of this key that is bound to these roots, else one of Pinniped's CLI, unless others have been bound to the key.
    pub(super) fn find(&mut self, key: &SessionKey, roots: &str) -> Option<&mut Entry> {
        let position = self.position(key, roots)?;
        self.sessions.get_mut(position)
    }

    /// Where that stands.
    pub(super) fn position(&self, key: &SessionKey, roots: &str) -> Option<usize> {
        let all = self.sessions.iter().enumerate();
        let same: Vec<_> = all.filter(|(_, entry)| entry.key == *key).collect();
        let bound = |entry: &Entry| entry.trusted_roots.as_deref() == Some(roots);
        let ours = same.iter().find(|(_, entry)| bound(entry));
        let is_free = || same.iter().all(|(_, entry)| entry.trusted_roots.is_none());
        let found = ours.or_else(|| same.first().filter(|_| is_free()));
        found.map(|(position, _)| *position)
    }

    /// Forgets what is of no use any more.
    pub(super) fn prune(&mut self, now: SystemTime) {
        self.sessions.retain_mut(|entry| {
            entry.tokens.drop_expired(now);
            entry.last_used() + MAX_UNUSED > now && !entry.tokens.is_empty()
        });
        self.sessions
            .sort_by(|a, b| a.creation_timestamp.cmp(&b.creation_timestamp));
    }
}

impl Entry {
    pub(super) fn new(key: SessionKey, roots: &str, tokens: Tokens, now: Time) -> Self {
        Self {
            key,
            creation_timestamp: now.clone(),
            last_used_timestamp: now,
            trusted_roots: Some(roots.to_owned()),
            tokens,
        }
    }

    /// Notes that a login that trusts these roots uses it, and binds it to them.
    pub(super) fn note_use(&mut self, roots: &str, now: Time) {
        self.last_used_timestamp = now;
        self.trusted_roots = Some(roots.to_owned());
    }

    pub(super) fn last_used(&self) -> SystemTime {
        self.last_used_timestamp.0.into()
    }
}

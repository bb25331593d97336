//! The tokens of a session.

use std::fmt;
use std::time::SystemTime;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::cache_file::CacheError;

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

impl Tokens {
    pub(super) fn drop_expired(&mut self, now: SystemTime) {
        let is_over = |token: &str, expiry: &Option<Time>| {
            let expiry = expiry.as_ref();
            token.is_empty() || expiry.is_some_and(|expiry| SystemTime::from(expiry.0) <= now)
        };
        self.access
            .take_if(|access| is_over(&access.token, &access.expiry_timestamp));
        self.id
            .take_if(|id| is_over(&id.token, &id.expiry_timestamp));
        self.refresh.take_if(|refresh| refresh.token.is_empty());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.access.is_none() && self.id.is_none() && self.refresh.is_none()
    }

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

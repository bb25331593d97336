//! Which session is whose.

use serde::{Deserialize, Serialize};

use crate::hex::short_sha256_hex;

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

impl SessionKey {
    /// A name for what belongs to this session alone, fit for a file's.
    pub(crate) fn digest(&self) -> String {
        // A key always is text in JSON.
        short_sha256_hex(&serde_json::to_vec(self).unwrap_or_default())
    }

    /// The session of this key for whom the issuer is told this beside: `login_hint` and the like make another one.
    pub(crate) fn with_parameters(mut self, parameters: &[(String, String)]) -> Self {
        if !parameters.is_empty() {
            let text = serde_json::to_vec(parameters).unwrap_or_default();
            self.redirect_uri.push('#');
            self.redirect_uri.push_str(&short_sha256_hex(&text));
        }
        self
    }
}

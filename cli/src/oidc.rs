//! The client of OpenID Connect: what an issuer offers ([`provider`]), how a user logs in there ([`authorization`],
//! [`callback`], [`device`], [`password`]), and what becomes of the tokens ([`tokens`], [`id_token`]).
//!
//! Nothing here knows of Kubernetes or of a cache.

pub(crate) mod authorization;
pub(crate) mod callback;
pub(crate) mod device;
pub(crate) mod error;
pub(crate) mod id_token;
pub(crate) mod identity_providers;
mod issuer_client;
pub(crate) mod password;
pub(crate) mod provider;
pub(crate) mod scopes;
mod seconds;
pub(crate) mod tokens;

pub(crate) use error::OidcError;
pub(crate) use issuer_client::IssuerClient;

use std::time::Duration;

use haulout_https::{HttpsClient, Limits, TrustRoots};

/// For each call to an issuer.
const LIMITS: Limits = Limits {
    time: Duration::from_secs(60),
    body: 1 << 20,
};

fn https_client(roots: &TrustRoots) -> Result<HttpsClient, OidcError> {
    HttpsClient::new(roots, LIMITS).map_err(OidcError::Client)
}

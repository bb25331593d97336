//! Authenticator for the tokens of one OIDC issuer.

use std::time::SystemTime;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use haulout_api::identity::UserInfo;
use haulout_jwt::claims::ClaimMapping;
use haulout_jwt::verify::Verifier;
use secrecy::{ExposeSecret, SecretString};

use super::{AuthenticationError, TokenAuthenticator};

/// Accepts what a [`Verifier`] accepts, and reads the user by a [`ClaimMapping`].
#[derive(Debug)]
pub struct JwtAuthenticator {
    verifier: Verifier,
    mapping: ClaimMapping,
}

impl JwtAuthenticator {
    /// An authenticator out of its two halves.
    pub fn new(verifier: Verifier, mapping: ClaimMapping) -> Self {
        Self { verifier, mapping }
    }

    async fn user(
        &self,
        token: &SecretString,
        now: SystemTime,
    ) -> Result<UserInfo, AuthenticationError> {
        match self.verifier.verify(token.expose_secret(), now).await {
            Ok(claims) => match self.mapping.user(&claims) {
                Ok(user) => Ok(user),
                Err(error) => Err(AuthenticationError::new(error.reason(), error)),
            },
            Err(error) if error.is_foreign() => {
                Err(AuthenticationError::rejection(error.reason(), error))
            }
            Err(error) => Err(AuthenticationError::new(error.reason(), error)),
        }
    }
}

impl TokenAuthenticator for JwtAuthenticator {
    fn authenticate<'a>(
        &'a self,
        token: &'a SecretString,
        now: SystemTime,
    ) -> BoxFuture<'a, Result<UserInfo, AuthenticationError>> {
        self.user(token, now).boxed()
    }
}

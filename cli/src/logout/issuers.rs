//! The issuers of the sessions, which are asked to end them.

use haulout_https::TrustRoots;
use secrecy::SecretString;

use super::fate::Fate;
use crate::console::Console;
use crate::oidc::authorization::Client;
use crate::oidc::tokens::TokenEndpoint;
use crate::oidc::{IssuerClient, OidcError, provider};
use crate::session_cache::{KeptSession, SessionKey, Tokens};

/// How issuers are spoken to.
pub(super) struct Issuers<'a> {
    /// Whether another call could name a CA or a secret that this one has not, as a kubeconfig has them.
    pub(super) may_name_more: bool,
    /// Whether sessions stay whose issuers others may pose as.
    pub(super) keeps_others: bool,
    pub(super) roots: TrustRoots,
    /// As sessions have it that are bound to them.
    pub(super) name_of_roots: String,
    pub(super) secret: Option<SecretString>,
    pub(super) console: &'a Console<'a>,
}

impl Issuers<'_> {
    /// Has its issuer revoke a session's tokens.
    pub(super) async fn end(&self, session: &KeptSession) -> Fate {
        let Tokens {
            refresh, access, ..
        } = &session.tokens;
        let refresh = refresh.as_ref().map(|refresh| refresh.token.as_str());
        let access = access.as_ref().map(|access| access.token.as_str());
        if refresh.or(access).is_none() {
            return Fate::NothingToRevoke;
        }
        match self.revoke(&session.key, refresh, access).await {
            Ok(true) => Fate::Revoked,
            Ok(false) => Fate::NotOffered,
            Err(error) => Fate::of_error(error, self.may_name_more),
        }
    }

    /// Whether the issuer offers that.
    async fn revoke(
        &self,
        key: &SessionKey,
        refresh: Option<&str>,
        access: Option<&str>,
    ) -> Result<bool, OidcError> {
        let issuer = IssuerClient::new(&self.roots, self.console)?;
        let provider = provider::discover(&issuer, &key.issuer).await?;
        let client = Client {
            id: key.client_id.clone(),
            secret: self.secret.clone(),
            scopes: Vec::new(),
            extra_parameters: Vec::new(),
        };
        let endpoint = TokenEndpoint {
            issuer: &issuer,
            provider: &provider,
            client: &client,
        };
        let mut is_revoked = false;
        if let Some(token) = refresh {
            is_revoked = endpoint.revoke(token, "refresh_token").await?;
        }
        if let Some(token) = access {
            // With the refresh token it should be gone, and in minutes it is: that it is not taken is no failure then.
            let revoked = endpoint.revoke(token, "access_token").await;
            is_revoked = match refresh {
                Some(_) => is_revoked,
                None => revoked?,
            };
        }
        Ok(is_revoked)
    }
}

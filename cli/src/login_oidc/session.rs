//! What one run does to get a credential, from what the session has kept or by a login.

use tokio::sync::OnceCell;
use tokio::task::JoinHandle;

use super::Caches;
use super::error::OidcLoginError;
use super::issuer::Issuer;
use super::settings::Settings;
use super::step::Step;
use crate::Environment;
use crate::arguments::Flow;
use crate::clock::Clock;
use crate::console::Console;
use crate::exchange;
use crate::exec_credential::CredentialStatus;
use crate::oidc::{IssuerClient, provider};
use crate::session_cache::{IdToken, RefreshToken, SessionKey, Tokens};

/// One renewal.
pub(super) struct Session<'a> {
    pub(super) settings: &'a Settings,
    pub(super) caches: &'a Caches,
    pub(super) key: &'a SessionKey,
    pub(super) clock: Clock,
    pub(super) environment: Environment<'a>,
    pub(super) is_interactive: bool,
    pub(super) console: &'a Console<'a>,
    /// The start of a browser, which of one in the terminal lasts until the user leaves it; says whether there is one.
    pub(super) browser: Option<JoinHandle<bool>>,
}

impl<'a> Session<'a> {
    /// The token that the cluster wants, from the session if it can be, else from a login.
    pub(super) async fn id_token(&mut self) -> Result<IdToken, OidcLoginError> {
        let stored = self.caches.session(self.key, self.clock, self.console);
        let audience = self.settings.audience.as_deref();
        let next = |tokens| Step::next(tokens, audience, self.clock.now());
        let mut step = next(stored.clone());
        self.console.debug(|| format!("next: {step}"));
        if let Step::Use(id) = step {
            return Ok(id);
        }
        let issuer = self.discover().await?;
        if let Step::Exchange(access) = step {
            let error = match issuer.exchange(&access.token, self.clock).await {
                Err(OidcLoginError::Oidc(error)) if error.is_refusal_of_token() => error,
                result => return result,
            };
            // It has not expired, but the issuer does not take it any more.
            step = next(Tokens {
                access: None,
                ..stored
            });
            self.console.debug_error(&error);
            self.console.debug(|| format!("next: {step}"));
        }
        if let Step::Refresh(token) = step {
            step = self.look_again(&issuer, token).await?;
        }
        let refreshed = match step {
            Step::Use(id) => return Ok(id),
            Step::Exchange(access) => return issuer.exchange(&access.token, self.clock).await,
            Step::Refresh(token) => self.refresh(&issuer, &token).await?,
            Step::LogIn => None,
        };
        let tokens = match refreshed {
            Some(tokens) => tokens,
            None => self.log_in(&issuer).await?,
        };
        // A program's own token has been found to be for the cluster, and none is exchanged for it.
        let of_program = self.settings.flow == Some(Flow::ClientCredentials);
        match Step::of_fresh(tokens, audience.filter(|_| !of_program)) {
            Step::Use(id) => Ok(id),
            Step::Exchange(access) => issuer.exchange(&access.token, self.clock).await,
            Step::Refresh(_) | Step::LogIn => Err(OidcLoginError::NoIdToken),
        }
    }

    async fn discover(&self) -> Result<Issuer<'a>, OidcLoginError> {
        let http = IssuerClient::new(&self.settings.roots, self.console)?;
        let provider = provider::discover(&http, &self.settings.issuer).await?;
        let client = self.settings.client_for(&provider);
        Ok(Issuer {
            http,
            provider,
            client,
            audience: self.settings.audience.as_deref(),
            keys: OnceCell::new(),
            console: self.console,
        })
    }

    /// What to do in place of a refresh with this token, if the session has got another meanwhile: whoever logs in without its
    /// lock, as `pinniped` does, may have spent this one.
    async fn look_again(
        &self,
        issuer: &Issuer<'_>,
        token: RefreshToken,
    ) -> Result<Step, OidcLoginError> {
        // An issuer takes most refresh tokens once: nothing is asked for later that can be had before.
        issuer.keys().await?;
        let stored = self
            .caches
            .session_unsaid(self.key, self.clock, self.console);
        let other = stored.refresh.as_ref();
        if other.is_none_or(|other| other.token == token.token) {
            return Ok(Step::Refresh(token));
        }
        let audience = self.settings.audience.as_deref();
        let step = Step::next(stored, audience, self.clock.now());
        self.console.debug(|| format!("next: {step}"));
        Ok(step)
    }

    /// New tokens for the refresh token; `None` where the issuer gives none, and the user has to log in again.
    async fn refresh(
        &self,
        issuer: &Issuer<'_>,
        token: &RefreshToken,
    ) -> Result<Option<Tokens>, OidcLoginError> {
        let answer = match issuer.endpoint().refresh(&token.token).await {
            Ok(answer) => answer,
            Err(error) if error.is_refusal() => {
                self.console.debug_error(&error);
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        let mut tokens = Issuer::tokens_for_issuer(&answer, self.clock);
        // Who gives no new one lets the old one live on (RFC 6749, 6).
        let refresh = tokens.refresh.get_or_insert_with(|| token.clone()).clone();
        // Whatever becomes of the rest, this one is not spent.
        self.keep(&Tokens {
            refresh: Some(refresh),
            ..Tokens::default()
        });
        match &answer.id_token {
            Some(_) => tokens.id = issuer.tokens(&answer, None, self.clock).await?.id,
            None if self.settings.audience.is_some() => {}
            None => return Ok(None),
        }
        self.keep(&tokens);
        Ok(Some(tokens))
    }

    pub(super) fn keep(&self, tokens: &Tokens) {
        self.caches
            .keep_session(self.key, tokens, self.clock, self.console);
    }

    /// The credential that the cluster gives for a token, or the token itself where it takes that.
    pub(super) async fn credential(&self, id: IdToken) -> Result<CredentialStatus, OidcLoginError> {
        let Some(parameters) = &self.settings.concierge else {
            self.console.debug(exchange::told_off);
            return Ok(CredentialStatus {
                expiration_timestamp: id.expiry_timestamp,
                ..CredentialStatus::from_token(&id.token)
            });
        };
        let token = id.token.into();
        let credential =
            exchange::exchange(parameters, &token, self.clock.now(), self.console).await;
        Ok(credential.map_err(OidcLoginError::Exchange)?.into())
    }
}

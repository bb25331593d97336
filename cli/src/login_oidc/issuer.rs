//! The issuer of one run: the tokens that it gives, checked.

use haulout_https::foreign;
use haulout_jwt::keys::KeySet;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use tokio::sync::OnceCell;
use url::Url;

use super::error::OidcLoginError;
use super::step::other_audiences;
use crate::clock::Clock;
use crate::console::Console;
use crate::oidc::IssuerClient;
use crate::oidc::authorization::{Attempt, Client, ExpectedIssuer, RANDOM_BYTES};
use crate::oidc::id_token::{self, Ties};
use crate::oidc::provider::Provider;
use crate::oidc::tokens::{TokenAnswer, TokenEndpoint};
use crate::session_cache::{AccessToken, IdToken, RefreshToken, Tokens, timestamp};

/// An issuer that has been asked for what it offers.
pub(super) struct Issuer<'a> {
    pub(super) http: IssuerClient<'a>,
    pub(super) provider: Provider,
    pub(super) client: Client,
    pub(super) audience: Option<&'a str>,
    /// Fetched with the first token that is checked.
    pub(super) keys: OnceCell<KeySet>,
    pub(super) console: &'a Console<'a>,
}

impl Issuer<'_> {
    pub(super) fn endpoint(&self) -> TokenEndpoint<'_> {
        TokenEndpoint {
            issuer: &self.http,
            provider: &self.provider,
            client: &self.client,
        }
    }

    /// The tokens of an answer, checked.
    pub(super) async fn tokens(
        &self,
        answer: &TokenAnswer,
        nonce: Option<&str>,
        clock: Clock,
    ) -> Result<Tokens, OidcLoginError> {
        let token = answer.id_token.as_ref();
        let token = token.ok_or(OidcLoginError::NoIdToken)?.expose_secret();
        let ties = Ties {
            nonce,
            access_token: Some(answer.access_token.expose_secret()),
        };
        let id = self.checked(token, &self.client.id, ties, clock).await?;
        Ok(Tokens {
            id: Some(id),
            ..Self::tokens_for_issuer(answer, clock)
        })
    }

    /// Those tokens of an answer that are for the issuer itself, which there is nothing to check in.
    pub(super) fn tokens_for_issuer(answer: &TokenAnswer, clock: Clock) -> Tokens {
        let left = answer.expires_in.0;
        let access_expiry = left.and_then(|left| clock.now().checked_add(left));
        let refresh = answer.refresh_token.as_ref();
        Tokens {
            access: Some(AccessToken {
                token: answer.access_token.expose_secret().to_owned(),
                type_: answer.token_type.clone(),
                expiry_timestamp: access_expiry.and_then(|expiry| timestamp(expiry).ok()),
            }),
            id: None,
            refresh: refresh.map(|token| RefreshToken {
                token: token.expose_secret().to_owned(),
            }),
        }
    }

    pub(super) fn authorization_endpoint(&self) -> Result<&Url, OidcLoginError> {
        let page = self.provider.page()?;
        page.ok_or(OidcLoginError::NoAuthorizationEndpoint)
    }

    /// What ties a login to its answer.
    pub(super) fn attempt(&self) -> Result<Attempt, OidcLoginError> {
        let mut random = [0; RANDOM_BYTES];
        aws_lc_rs::rand::fill(&mut random).map_err(|_| OidcLoginError::Random)?;
        let provider = &self.provider;
        Ok(Attempt::new(&random).at(ExpectedIssuer {
            issuer: provider.issuer.clone(),
            is_declared: provider.names_itself,
            has_foreign_page: provider.has_foreign_page(),
        }))
    }

    /// The tokens for an authorization code.
    pub(super) async fn redeem(
        &self,
        code: &SecretString,
        attempt: &Attempt,
        redirect_uri: &str,
        clock: Clock,
    ) -> Result<Tokens, OidcLoginError> {
        let answer = self.endpoint().redeem(code, attempt, redirect_uri).await?;
        self.tokens(&answer, Some(attempt.nonce()), clock).await
    }

    /// The token of a client without a user. Issuers give an access token, and for the cluster that has to be a JWT; where
    /// `openid` is asked for, Keycloak adds an ID token, which may be for the client alone.
    pub(super) async fn client_token(
        &self,
        answer: &TokenAnswer,
        clock: Clock,
    ) -> Result<IdToken, OidcLoginError> {
        if let Some(id_token) = &answer.id_token {
            match self.for_cluster(id_token, clock).await {
                Err(OidcLoginError::Oidc(error)) if error.is_of_other_audience() => {}
                result => return result,
            }
        }
        self.for_cluster(&answer.access_token, clock).await
    }

    /// A token for the cluster's audience in exchange for an access token.
    pub(super) async fn exchange(
        &self,
        access_token: &str,
        clock: Clock,
    ) -> Result<IdToken, OidcLoginError> {
        let audience = self.audience.unwrap_or(&self.client.id);
        let token = self.endpoint().exchange(access_token, audience).await?;
        self.for_cluster(&token, clock).await
    }

    /// A token that the issuer was asked for on the cluster's behalf. Keycloak adds audiences of its own to such, so that they are
    /// no reason to refuse it; but whoever gets it there can use it elsewhere.
    async fn for_cluster(
        &self,
        token: &SecretString,
        clock: Clock,
    ) -> Result<IdToken, OidcLoginError> {
        let audience = self.audience.unwrap_or(&self.client.id);
        let token = token.expose_secret();
        let token = self
            .checked(token, audience, Ties::default(), clock)
            .await?;
        let others = other_audiences(&token, audience);
        if !others.is_empty() {
            self.console.say(format_args!(
                "Warning: the token for \"{audience}\" is good for {} too, and whoever the cluster shows it to can use it there; \
                 have the issuer give one for \"{audience}\" alone",
                foreign(&others.join(", "))
            ));
        }
        Ok(token)
    }

    /// The keys that tokens are checked with.
    pub(super) async fn keys(&self) -> Result<&KeySet, OidcLoginError> {
        let fetch = || id_token::keys(&self.http, &self.provider);
        Ok(self.keys.get_or_try_init(fetch).await?)
    }

    async fn checked(
        &self,
        token: &str,
        audience: &str,
        ties: Ties<'_>,
        clock: Clock,
    ) -> Result<IdToken, OidcLoginError> {
        let keys = self.keys().await?;
        let issuer = &self.provider.issuer;
        let claims = id_token::check(token, issuer, audience, keys, ties, clock.now())?;
        let expiry = claims.get("exp").and_then(Value::as_f64);
        let expiry = expiry.map(|seconds| Timestamp::from_second(seconds as i64));
        Ok(IdToken {
            token: token.to_owned(),
            expiry_timestamp: expiry.and_then(Result::ok).map(Time),
            claims: claims.into(),
        })
    }
}

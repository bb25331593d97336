//! `haulout login oidc`: a user logs in at an OIDC issuer, and the token becomes a credential for kubectl.
//!
//! In this order: the credential cache, which needs nothing else; the lock of the session, under which only one program goes
//! on; both caches again, for what another got meanwhile; the issuer; the exchange at the cluster.

mod caller;
mod error;
mod flow;
mod lock;
mod settings;
mod step;

use std::ffi::OsString;
use std::io::Write;
use std::time::Duration;

use haulout_https::HttpsClient;
use haulout_jwt::keys::KeySet;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use tokio::sync::OnceCell;
use url::Url;

use crate::Environment;
use crate::arguments::OidcLogin;
use crate::cache_file::CacheError;
use crate::clock::Clock;
use crate::credential_cache::{self, CredentialCache};
use crate::exchange;
use crate::exec_credential::{CredentialStatus, ExecInfo};
use crate::oidc::authorization::{Attempt, Client};
use crate::oidc::https_client;
use crate::oidc::id_token::{self, Ties};
use crate::oidc::provider::{self, Provider};
use crate::oidc::tokens::{TokenAnswer, TokenEndpoint};
use crate::session_cache::{
    AccessToken, IdToken, RefreshToken, SessionCache, SessionKey, Tokens, timestamp,
};

use caller::Caller;
pub(crate) use error::{CaError, OidcLoginError};
use lock::LoginLock;
use settings::Settings;
pub(crate) use settings::trust_roots;
use step::Step;

/// What the command takes from around it.
pub(crate) struct Surroundings<'a> {
    /// The whole command line without the program's name; part of the cache key.
    pub(crate) arguments: &'a [OsString],
    pub(crate) environment: Environment<'a>,
    pub(crate) clock: Clock,
}

/// Prints an `ExecCredential`.
pub(crate) fn run(
    login: &OidcLogin,
    surroundings: &Surroundings<'_>,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> Result<(), OidcLoginError> {
    let Surroundings {
        environment, clock, ..
    } = *surroundings;
    let settings = Settings::parse(login, environment)?;
    let info = environment("KUBERNETES_EXEC_INFO")
        .and_then(|text| text.into_string().ok())
        .map(|text| ExecInfo::parse(&text))
        .unwrap_or_default();
    let caches = Caches::open(login, surroundings, &info)?;
    let credential = match caches.credential(clock, stderr) {
        Some(credential) => credential,
        None => renew(&settings, &caches, surroundings, &info, stderr)?,
    };
    let line = credential
        .to_exec_credential(info.version)
        .map_err(OidcLoginError::Encode)?;
    stdout
        .write_all(line.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(OidcLoginError::Print)
}

/// Gets a credential while all others of the session wait.
fn renew(
    settings: &Settings,
    caches: &Caches,
    surroundings: &Surroundings<'_>,
    info: &ExecInfo,
    stderr: &mut dyn Write,
) -> Result<CredentialStatus, OidcLoginError> {
    let caller = Caller::of_this_program();
    let clock = surroundings.clock;
    let key = settings.session_key();
    // Without a place for the lock there is none for the cache either, and nothing to share.
    let lock = (caches.sessions.as_ref())
        .map(|sessions| LoginLock::wait(sessions.path(), &key.digest(), stderr))
        .and_then(|lock| match lock {
            Ok(lock) => Some(lock),
            Err(error) => {
                caches.report(&error, stderr);
                None
            }
        });
    if lock.as_ref().is_some_and(|lock| lock.has_waited)
        && let Some(credential) = caches.credential(clock, stderr)
    {
        return Ok(credential);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(OidcLoginError::Runtime)?;
    let is_interactive = info.is_interactive && crate::terminal::is_interactive();
    let credential = runtime.block_on(async {
        let mut session = Session {
            settings,
            caches,
            key: &key,
            caller: &caller,
            clock,
            environment: surroundings.environment,
            is_interactive,
            stderr,
        };
        let token = session.id_token().await?;
        session.credential(token).await
    });
    // A question that nobody has answered is asked no more.
    runtime.shutdown_background();
    let credential = credential?;
    caches.keep_credential(&credential, clock, stderr);
    Ok(credential)
}

/// Where things are kept from one run to the next. What is wrong with them fails no login.
struct Caches {
    credentials: Option<CredentialCache>,
    credential_key: String,
    sessions: Option<SessionCache>,
    reports: bool,
}

impl Caches {
    fn open(
        login: &OidcLogin,
        surroundings: &Surroundings<'_>,
        info: &ExecInfo,
    ) -> Result<Self, OidcLoginError> {
        let environment = surroundings.environment;
        let credential_key =
            credential_cache::login_key(surroundings.arguments, info.cluster.as_deref())
                .map_err(OidcLoginError::Encode)?;
        let debug = environment("PINNIPED_DEBUG").is_some_and(|value| value == "true");
        // Pinniped's CLI takes an empty one for the default.
        let sessions = login
            .session_cache
            .as_deref()
            .filter(|path| !path.is_empty());
        Ok(Self {
            credentials: CredentialCache::chosen(login.credential_cache.as_deref(), environment),
            credential_key,
            sessions: SessionCache::chosen(sessions, environment),
            reports: debug || login.switches.debug_session_cache,
        })
    }

    fn credential(&self, clock: Clock, stderr: &mut dyn Write) -> Option<CredentialStatus> {
        let found = self.credentials.as_ref()?;
        let found = found.get(&self.credential_key, clock.now());
        self.or_report(found, stderr).flatten()
    }

    fn keep_credential(&self, credential: &CredentialStatus, clock: Clock, stderr: &mut dyn Write) {
        if let Some(cache) = &self.credentials {
            let kept = cache.put(&self.credential_key, credential, clock.now());
            self.or_report(kept, stderr);
        }
    }

    fn or_report<T>(&self, result: Result<T, CacheError>, stderr: &mut dyn Write) -> Option<T> {
        result.map_err(|error| self.report(&error, stderr)).ok()
    }

    fn report(&self, error: &dyn std::error::Error, stderr: &mut dyn Write) {
        if self.reports {
            // A line that cannot be printed is no reason to fail a login.
            drop(writeln!(stderr, "Debug: {}", crate::chain(error)));
        }
    }
}

/// One renewal.
struct Session<'a> {
    settings: &'a Settings,
    caches: &'a Caches,
    key: &'a SessionKey,
    caller: &'a Caller,
    clock: Clock,
    environment: Environment<'a>,
    is_interactive: bool,
    stderr: &'a mut dyn Write,
}

impl<'a> Session<'a> {
    /// The token that the cluster wants, from the session if it can be, else from a login.
    async fn id_token(&mut self) -> Result<IdToken, OidcLoginError> {
        let stored = self.caches.sessions.as_ref();
        let stored = stored.map(|cache| cache.get(self.key, self.clock.now()));
        let stored = stored.and_then(|found| self.caches.or_report(found, self.stderr));
        let stored = stored.flatten().unwrap_or_default();
        let audience = self.settings.audience.as_deref();
        let step = match Step::next(stored, audience, self.clock.now()) {
            Step::Use(id) => return Ok(id),
            step => step,
        };
        let issuer = self.discover().await?;
        let refreshed = match step {
            Step::Exchange(access) => return issuer.exchange(&access.token, self.clock).await,
            Step::Refresh(token) => self.refresh(&issuer, &token).await?,
            Step::Use(_) | Step::LogIn => None,
        };
        let tokens = match refreshed {
            Some(tokens) => tokens,
            None => self.log_in(&issuer).await?,
        };
        self.keep(&tokens);
        match Step::of_fresh(tokens, audience) {
            Step::Use(id) => Ok(id),
            Step::Exchange(access) => issuer.exchange(&access.token, self.clock).await,
            Step::Refresh(_) | Step::LogIn => Err(OidcLoginError::NoIdToken),
        }
    }

    async fn discover(&self) -> Result<Issuer<'a>, OidcLoginError> {
        let https = https_client(&self.settings.roots)?;
        let provider = provider::discover(&https, &self.settings.issuer).await?;
        let client = self.settings.client_for(&provider);
        Ok(Issuer {
            https,
            provider,
            client,
            audience: self.settings.audience.as_deref(),
            keys: OnceCell::new(),
        })
    }

    /// New tokens for the refresh token; `None` where the issuer gives none, and the user has to log in again.
    async fn refresh(
        &mut self,
        issuer: &Issuer<'_>,
        token: &RefreshToken,
    ) -> Result<Option<Tokens>, OidcLoginError> {
        let answer = match issuer.endpoint().refresh(&token.token).await {
            Ok(answer) if answer.id_token.is_some() => answer,
            Ok(_) => return Ok(None),
            Err(error) => {
                self.caches.report(&error, self.stderr);
                return Ok(None);
            }
        };
        let mut tokens = issuer.tokens(&answer, None, self.clock).await?;
        // Who gives no new one lets the old one live on (RFC 6749, 6).
        tokens.refresh.get_or_insert_with(|| token.clone());
        Ok(Some(tokens))
    }

    fn keep(&mut self, tokens: &Tokens) {
        if let Some(cache) = &self.caches.sessions {
            let kept = cache.put(self.key, tokens, self.clock.now());
            self.caches.or_report(kept, self.stderr);
        }
    }

    /// The credential that the cluster gives for a token, or the token itself where it takes that.
    async fn credential(&self, id: IdToken) -> Result<CredentialStatus, OidcLoginError> {
        let Some(parameters) = &self.settings.concierge else {
            return Ok(CredentialStatus {
                expiration_timestamp: id.expiry_timestamp,
                ..CredentialStatus::from_token(&id.token)
            });
        };
        let token = id.token.into();
        let credential = exchange::exchange(parameters, &token, self.clock.now()).await;
        Ok(credential.map_err(OidcLoginError::Exchange)?.into())
    }
}

/// An issuer that has been asked for what it offers.
struct Issuer<'a> {
    https: HttpsClient,
    provider: Provider,
    client: Client,
    audience: Option<&'a str>,
    /// Fetched with the first token that is checked.
    keys: OnceCell<KeySet>,
}

impl Issuer<'_> {
    fn endpoint(&self) -> TokenEndpoint<'_> {
        TokenEndpoint {
            https: &self.https,
            provider: &self.provider,
            client: &self.client,
        }
    }

    /// The tokens of an answer, checked.
    async fn tokens(
        &self,
        answer: &TokenAnswer,
        nonce: Option<&str>,
        clock: Clock,
    ) -> Result<Tokens, OidcLoginError> {
        let token = answer.id_token.as_ref();
        let token = token.ok_or(OidcLoginError::NoIdToken)?.expose_secret();
        let access_token = answer.access_token.expose_secret();
        let ties = Ties {
            nonce,
            access_token: Some(access_token),
        };
        let id = self.checked(token, &self.client.id, ties, clock).await?;
        let access_expiry = answer.expires_in();
        let access_expiry = access_expiry.map(|left| clock.now() + Duration::from_secs(left));
        let refresh = answer.refresh_token.as_ref();
        Ok(Tokens {
            access: Some(AccessToken {
                token: access_token.to_owned(),
                type_: answer.token_type.clone(),
                expiry_timestamp: access_expiry.and_then(|expiry| timestamp(expiry).ok()),
            }),
            id: Some(id),
            refresh: refresh.map(|token| RefreshToken {
                token: token.expose_secret().to_owned(),
            }),
        })
    }

    fn authorization_endpoint(&self) -> Result<&Url, OidcLoginError> {
        let endpoint = self.provider.authorization_endpoint.as_ref();
        endpoint.ok_or(OidcLoginError::NoAuthorizationEndpoint)
    }

    /// The tokens for an authorization code.
    async fn redeem(
        &self,
        code: &SecretString,
        attempt: &Attempt,
        redirect_uri: &str,
        clock: Clock,
    ) -> Result<Tokens, OidcLoginError> {
        let answer = self.endpoint().redeem(code, attempt, redirect_uri).await?;
        self.tokens(&answer, Some(attempt.nonce()), clock).await
    }

    /// The tokens of a client without a user: issuers give an access token, and for the cluster that has to be a JWT.
    async fn client_tokens(
        &self,
        answer: &TokenAnswer,
        clock: Clock,
    ) -> Result<Tokens, OidcLoginError> {
        let token = answer.id_token.as_ref().unwrap_or(&answer.access_token);
        let audience = self.audience.unwrap_or(&self.client.id);
        let id = self
            .checked(token.expose_secret(), audience, Ties::default(), clock)
            .await?;
        Ok(Tokens {
            id: Some(id),
            ..Tokens::default()
        })
    }

    /// A token for the cluster's audience in exchange for an access token.
    async fn exchange(&self, access_token: &str, clock: Clock) -> Result<IdToken, OidcLoginError> {
        let audience = self.audience.unwrap_or(&self.client.id);
        let token = self.endpoint().exchange(access_token, audience).await?;
        self.checked(token.expose_secret(), audience, Ties::default(), clock)
            .await
    }

    async fn checked(
        &self,
        token: &str,
        audience: &str,
        ties: Ties<'_>,
        clock: Clock,
    ) -> Result<IdToken, OidcLoginError> {
        let fetch = || id_token::keys(&self.https, &self.provider);
        let keys = self.keys.get_or_try_init(fetch).await?;
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

//! Authenticator for the tokens that a TokenReview server knows.
//!
//! Each login is one call, and nothing that the server grants is remembered: a revoked token is refused at once. Nor do
//! logins of one token that come together share a call, which would be the same in small. Only a plain refusal counts on for
//! a few seconds.

mod answer;
mod endpoint;
mod refused;
mod retry;

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use aws_lc_rs::rand;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use haulout_api::authenticator::{TokenReviewVersion, WebhookAuthenticatorSpec};
use haulout_api::identity::UserInfo;
use haulout_https::{ClientError, ConnectionError, HttpsClient, HttpsClients, Limits, TrustRoots};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep, timeout_at};

use super::{AuthenticationError, TokenAuthenticator};
use refused::{RefusedTokens, token_hash};

pub use answer::ReviewError;
pub use endpoint::{ENDPOINT_IS_VALID, Endpoint, EndpointError};

const GROUP: &str = "authentication.k8s.io";
const KIND: &str = "TokenReview";

/// Longest time that a login spends here: in the queue, in every call and in the pauses between them. kubectl's plugins
/// wait for 30 s, and the agent has yet to sign.
const DEADLINE: Duration = Duration::from_secs(20);

/// Most bytes of a token: more than any has, and little enough for all that wait.
const TOKEN_LIMIT: usize = 64 * 1024;

/// Most bytes of an answer that are read. The agent's policy allows 500 groups of 512 bytes.
const BODY_LIMIT: usize = 512 * 1024;

/// Most calls at a time, so that a slow server is not made slower by everybody who tries again.
const MAX_CALLS: usize = 64;

/// Most logins that wait for their first call.
const MAX_QUEUED: usize = 256;

/// Most logins that pause before they call once more. They take no turn from others; this bounds the tokens that are held.
const MAX_PAUSED: usize = 64;

/// For all servers of this process.
static CLIENTS: HttpsClients = HttpsClients::new();

/// One TokenReview server, with whom it is trusted to be.
#[derive(Clone, Debug)]
pub struct TokenReviewClient {
    http: HttpsClient,
    endpoint: Endpoint,
}

/// The server cannot be connected to: the message of the condition `WebhookConnectionValid`.
#[derive(Debug, thiserror::Error)]
#[error("cannot dial server: {0}")]
pub struct DialError(ConnectionError);

impl TokenReviewClient {
    /// A client for the server at `endpoint`, whose certificate must chain to `roots`.
    ///
    /// # Errors
    /// The roots cannot be used.
    pub fn new(endpoint: Endpoint, roots: &TrustRoots) -> Result<Self, ClientError> {
        let limits = Limits {
            time: DEADLINE,
            body: BODY_LIMIT,
        };
        let http = CLIENTS.client(roots, limits)?;
        Ok(Self { http, endpoint })
    }

    /// Connects without a request, and gives the message of the condition `WebhookConnectionValid`.
    ///
    /// A server behind a proxy is not tried: only a request would show whether the proxy lets us through.
    ///
    /// # Errors
    /// The server cannot be reached within ten seconds, or its certificate is not accepted.
    pub async fn dial(&self) -> Result<&'static str, DialError> {
        let Endpoint {
            url,
            is_behind_proxy,
        } = &self.endpoint;
        if *is_behind_proxy {
            return Ok("skipped dialing webhook server: a proxy applies to its host");
        }
        self.http.check_connection(url).await.map_err(DialError)?;
        Ok("successfully dialed webhook server")
    }
}

/// Accepts the tokens that a TokenReview server accepts.
pub struct TokenReviewAuthenticator {
    client: TokenReviewClient,
    api_version: String,
    username_prefix: String,
    groups_prefix: String,
    certificate_lifetime_seconds: Option<u32>,
    calls: Semaphore,
    queue: Semaphore,
    pauses: Semaphore,
    refused: Mutex<RefusedTokens>,
}

impl TokenReviewAuthenticator {
    /// An authenticator that asks by `client` and otherwise does as `spec` says.
    pub fn new(client: TokenReviewClient, spec: &WebhookAuthenticatorSpec) -> Self {
        let version = match spec.token_review_version.unwrap_or_default() {
            TokenReviewVersion::V1beta1 => "v1beta1",
            TokenReviewVersion::V1 => "v1",
        };
        Self {
            client,
            api_version: format!("{GROUP}/{version}"),
            username_prefix: spec.username_prefix.clone(),
            groups_prefix: spec.groups_prefix.clone(),
            certificate_lifetime_seconds: spec.certificate_lifetime_seconds,
            calls: Semaphore::new(MAX_CALLS),
            queue: Semaphore::new(MAX_QUEUED),
            pauses: Semaphore::new(MAX_PAUSED),
            refused: Mutex::default(),
        }
    }

    async fn user(&self, token: &SecretString) -> Result<Option<UserInfo>, ReviewError> {
        if token.expose_secret().len() > TOKEN_LIMIT {
            return Err(ReviewError::TooLong);
        }
        let hash = token_hash(token);
        if self.refused().contains(&hash, Instant::now()) {
            return Ok(None);
        }
        let user = self.review(token).await?;
        if user.is_none() {
            self.refused().insert(hash, Instant::now());
        }
        Ok(user.map(|user| user.with_prefixes(&self.username_prefix, &self.groups_prefix)))
    }

    /// Asks when its turn comes. A failing call is made once more only where that keeps nobody waiting: for some tokens a
    /// server may fail each time, and they could come in numbers.
    async fn review(&self, token: &SecretString) -> Result<Option<UserInfo>, ReviewError> {
        let deadline = Instant::now() + DEADLINE;
        let mut turn = self.first_turn(deadline).await?;
        let mut calls = 0;
        loop {
            let error = match timeout_at(deadline, self.call(token)).await {
                Ok(Ok(verdict)) => return Ok(verdict),
                Ok(Err(error)) => error,
                Err(_elapsed) => return Err(ReviewError::TimedOut),
            };
            drop(turn);
            calls += 1;
            let left = deadline.saturating_duration_since(Instant::now());
            let Some(pause) = retry::pause(error.failure(), calls, left, chance()) else {
                return Err(error);
            };
            tracing::debug!(%error, calls, ?pause, "asking the TokenReview server once more");
            turn = match self.turn_after(pause).await {
                Some(turn) => turn,
                None => return Err(error),
            };
        }
    }

    async fn first_turn(&self, deadline: Instant) -> Result<SemaphorePermit<'_>, ReviewError> {
        if let Ok(turn) = self.calls.try_acquire() {
            return Ok(turn);
        }
        let _place = self
            .queue
            .try_acquire()
            .map_err(|_full| ReviewError::QueueFull)?;
        match timeout_at(deadline, self.calls.acquire()).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => Err(ReviewError::QueuedTooLong),
        }
    }

    /// Another turn after `pause`; none where all are taken, before it or after.
    async fn turn_after(&self, pause: Duration) -> Option<SemaphorePermit<'_>> {
        // The turn that was just given back has gone to a login that waited.
        if self.calls.available_permits() == 0 {
            return None;
        }
        let paused = self.pauses.try_acquire().ok()?;
        sleep(pause).await;
        drop(paused);
        self.calls.try_acquire().ok()
    }

    async fn call(&self, token: &SecretString) -> Result<Option<UserInfo>, ReviewError> {
        let token = token.expose_secret();
        let review =
            json!({"kind": KIND, "apiVersion": self.api_version, "spec": {"token": token}});
        let url = self.client.endpoint.url.clone();
        let answer = self
            .client
            .http
            .post_json(url, review.to_string().into_bytes())
            .await;
        answer::read(&answer.map_err(ReviewError::Call)?, token)
    }

    fn refused(&self) -> MutexGuard<'_, RefusedTokens> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TokenAuthenticator for TokenReviewAuthenticator {
    fn authenticate<'a>(
        &'a self,
        token: &'a SecretString,
        _now: SystemTime,
    ) -> BoxFuture<'a, Result<UserInfo, AuthenticationError>> {
        let user = self.user(token);
        user.map(|verdict| match verdict {
            Ok(Some(user)) => Ok(user),
            Ok(None) => Err(AuthenticationError::rejection(
                "NotAuthenticated",
                "the TokenReview server does not accept the token",
            )),
            Err(error) => Err(AuthenticationError::new(error.reason(), error)),
        })
        .boxed()
    }

    fn certificate_lifetime_seconds(&self) -> Option<u32> {
        self.certificate_lifetime_seconds
    }
}

impl fmt::Debug for TokenReviewAuthenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenReviewAuthenticator")
            .field("client", &self.client)
            .field("api_version", &self.api_version)
            .finish_non_exhaustive()
    }
}

/// Anything from 0 to 1.
fn chance() -> f64 {
    let mut byte = [0];
    // Without chance all come back together, which is no worse than how they came.
    let _left_at_zero = rand::fill(&mut byte);
    f64::from(byte[0]) / 255.0
}

//! What turns a token into a user: one trait, and the registry in which the controllers put its implementations.

pub mod jwt;
pub mod metrics;
pub mod registry;
pub mod token_review;
pub(crate) mod trust;

use std::{error::Error, fmt, time::SystemTime};

use futures_util::future::BoxFuture;
use haulout_api::identity::UserInfo;
use secrecy::SecretString;

/// Group of the authenticators' kinds as registry keys hold it, whatever suffix is configured.
pub const API_GROUP: &str = "authentication.concierge.pinniped.dev";

/// Kind of `JWTAuthenticator` objects.
pub const JWT_KIND: &str = "JWTAuthenticator";

/// Kind of `WebhookAuthenticator` objects.
pub const WEBHOOK_KIND: &str = "WebhookAuthenticator";

/// Names one authenticator: the reference of a `TokenCredentialRequest` with its group mapped to the default suffix.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AuthenticatorKey {
    /// API group with the default suffix, as `ApiGroupSuffix::unsuffixed_group` gives it.
    pub api_group: String,
    /// Kind of the object, for example [`JWT_KIND`].
    pub kind: String,
    /// Name of the object.
    pub name: String,
}

impl AuthenticatorKey {
    /// Key of the object of `kind` called `name`.
    pub fn new(kind: &str, name: impl Into<String>) -> Self {
        Self {
            api_group: API_GROUP.to_owned(),
            kind: kind.to_owned(),
            name: name.into(),
        }
    }

    /// Key of the `JWTAuthenticator` called `name`.
    pub fn jwt(name: impl Into<String>) -> Self {
        Self::new(JWT_KIND, name)
    }
}

/// Judges tokens on behalf of one authenticator object.
pub trait TokenAuthenticator: Send + Sync {
    /// Gives the user whom `token` stands for at the time `now`.
    fn authenticate<'a>(
        &'a self,
        token: &'a SecretString,
        now: SystemTime,
    ) -> BoxFuture<'a, Result<UserInfo, AuthenticationError>>;

    /// How long certificates live for users of this authenticator, where it has a say in that.
    fn certificate_lifetime_seconds(&self) -> Option<u32> {
        None
    }
}

/// Why a token was refused: a text for the log, which never holds the token, and one word for metrics.
pub struct AuthenticationError {
    is_rejection: bool,
    reason: &'static str,
    cause: Box<dyn Error + Send + Sync>,
}

impl AuthenticationError {
    /// Wraps what an authenticator reports; `reason` becomes a metric label, so it comes from a small fixed set.
    pub fn new(reason: &'static str, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            is_rejection: false,
            reason,
            cause: cause.into(),
        }
    }

    /// The same of a token that is none of this authenticator's, such as another issuer's. Pinniped's Concierge reports it
    /// otherwise than a fault.
    pub fn rejection(reason: &'static str, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            is_rejection: true,
            ..Self::new(reason, cause)
        }
    }

    /// Whether the token is none of this authenticator's.
    pub fn is_rejection(&self) -> bool {
        self.is_rejection
    }

    /// One word from a small fixed set.
    pub fn reason(&self) -> &'static str {
        self.reason
    }
}

impl fmt::Debug for AuthenticationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuthenticationError({}: {})", self.reason, self.cause)
    }
}

impl fmt::Display for AuthenticationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)
    }
}

impl Error for AuthenticationError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.source()
    }
}

//! From a token to a certificate: what happens once a request is known to be well formed.
//!
//! Every outcome is one of two answers to the client and leaves exactly two audit events, also
//! when nobody waits for the answer any more.

#[cfg(test)]
pub(super) mod tests;

use std::io;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use haulout_api::credential::{
    AUTHENTICATION_FAILED, AuthenticatorReference, ClusterCredential, TokenCredentialRequestStatus,
};
use haulout_api::identity::UserInfo;
use haulout_api::signing::{CertificateRequest, CertificateResponse};
use haulout_operate::error::chain;
use haulout_pki::hex;
use haulout_pki::secret_key::{KeyError, KeyPair};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use super::state::Logins;
use super::user_info::{self, UnsupportedUserInfo};
use crate::audit::{Outcome, RequestIds};
use crate::authenticators::{
    API_GROUP, AuthenticationError, AuthenticatorKey, JWT_KIND, WEBHOOK_KIND,
};
use crate::metrics::LoginResult;
use crate::signer::SignerError;
use crate::signing_ca::SigningCaError;

/// Why a login failed. The client is told none of this.
#[derive(Debug, thiserror::Error)]
enum LoginError {
    /// The text is that of Pinniped's Concierge; what else there is to say is for the log alone.
    #[error("no such authenticator")]
    NoSuchAuthenticator { hint: String },
    #[error(transparent)]
    Authenticator(AuthenticationError),
    #[error("the authenticator was edited or deleted while the token was judged; log in again")]
    Changed,
    #[error("{error}")]
    UnsupportedUser {
        user: UserInfo,
        error: UnsupportedUserInfo,
    },
    #[error(transparent)]
    Key(KeyError),
    #[error(transparent)]
    Signer(SignerError),
    #[error(transparent)]
    SigningCa(SigningCaError),
    #[error("the agent's certificate ends at a time that cannot be written as a date")]
    Expiration,
    #[error(
        "no credential is handed out without its audit event, which could not be written; make room for the log"
    )]
    Unlogged(#[source] io::Error),
    /// The client hung up or the time for a request was over.
    #[error("the request ended before its answer")]
    Ended { while_signing: bool },
}

impl LoginError {
    /// One word from a fixed set, for metrics.
    fn reason(&self) -> &'static str {
        match self {
            Self::NoSuchAuthenticator { .. } => "NoSuchAuthenticator",
            Self::Authenticator(error) => error.reason(),
            Self::Changed => "AuthenticatorChanged",
            Self::UnsupportedUser { .. } => "UnsupportedUserInfo",
            Self::Key(_) => "KeyGenerationFailed",
            Self::Signer(error) => error.reason(),
            Self::SigningCa(error) => error.reason(),
            Self::Expiration => "InvalidAgentAnswer",
            Self::Unlogged(_) => "AuditEventFailed",
            Self::Ended { .. } => "RequestEnded",
        }
    }

    fn outcome<'a>(&'a self, text: &'a str) -> Outcome<'a> {
        match self {
            Self::Authenticator(error) if error.is_rejection() => Outcome::Rejected { hint: text },
            Self::UnsupportedUser { user, .. } => Outcome::UnsupportedUser { user, error: text },
            Self::NoSuchAuthenticator { hint } => Outcome::AuthenticatorError {
                error: text,
                hint: Some(hint),
            },
            Self::Authenticator(_)
            | Self::Changed
            | Self::Ended {
                while_signing: false,
            } => Outcome::AuthenticatorError {
                error: text,
                hint: None,
            },
            Self::Key(_)
            | Self::Signer(_)
            | Self::SigningCa(_)
            | Self::Expiration
            | Self::Unlogged(_)
            | Self::Ended {
                while_signing: true,
            } => Outcome::IssuerError { error: text },
        }
    }
}

/// A certificate that the agent has issued.
struct Issued {
    certified: CertificateRequest,
    certificate: CertificateResponse,
    credential: ClusterCredential,
}

/// A login in progress. Dropped before its end, it reports that as its outcome.
struct Login<'a> {
    logins: &'a Logins,
    ids: &'a RequestIds,
    token: &'a SecretString,
    authenticator: AuthenticatorReference,
    begun: Instant,
    is_signing: bool,
    is_reported: bool,
}

/// Logs in the holder of `token`, which is not empty, with the authenticator that the client
/// named. `begun` is when the request arrived.
pub(super) async fn log_in(
    logins: &Logins,
    ids: &RequestIds,
    token: &SecretString,
    authenticator: AuthenticatorReference,
    begun: Instant,
) -> TokenCredentialRequestStatus {
    let token_id = hex(digest(&SHA256, token.expose_secret().as_bytes()).as_ref());
    logins.audit.token_received(ids, &token_id);

    let key = logins
        .suffix
        .unsuffixed_group(authenticator.api_group.as_deref())
        .map(|api_group| AuthenticatorKey {
            api_group,
            kind: authenticator.kind.clone(),
            name: authenticator.name.clone(),
        });
    // Audit events show the default suffix whichever is configured, as those of Pinniped's Concierge do.
    let api_group = key
        .as_ref()
        .map(|key| key.api_group.clone())
        .or(authenticator.api_group);
    let authenticator = AuthenticatorReference {
        api_group,
        ..authenticator
    };
    let mut login = Login {
        logins,
        ids,
        token,
        authenticator,
        begun,
        is_signing: false,
        is_reported: false,
    };
    let attempt = login.attempt(key.as_ref()).await;
    match attempt.and_then(|issued| login.hand_out(issued)) {
        Ok(credential) => TokenCredentialRequestStatus {
            credential: Some(credential),
            message: None,
        },
        Err(error) => {
            login.fail(&error);
            let message = Some(AUTHENTICATION_FAILED.to_owned());
            TokenCredentialRequestStatus {
                credential: None,
                message,
            }
        }
    }
}

impl Login<'_> {
    async fn attempt(&mut self, key: Option<&AuthenticatorKey>) -> Result<Issued, LoginError> {
        let authenticator = key
            .and_then(|key| self.logins.authenticators.get(key))
            .ok_or_else(|| LoginError::NoSuchAuthenticator {
                hint: hint(key, self.logins),
            })?;
        let user = authenticator
            .authenticate(self.token, self.logins.clock.now())
            .await
            .map_err(LoginError::Authenticator)?;
        // Who waited for an issuer or a TokenReview server may have waited past an edit or a deletion.
        let current = key.and_then(|key| self.logins.authenticators.get(key));
        if !current.is_some_and(|current| Arc::ptr_eq(&current, &authenticator)) {
            return Err(LoginError::Changed);
        }
        if let Err(error) = user_info::validate(&user) {
            return Err(LoginError::UnsupportedUser { user, error });
        }

        self.is_signing = true;
        let key = KeyPair::generate_p256().map_err(LoginError::Key)?;
        let request = CertificateRequest {
            audit_id: self.ids.request.clone(),
            username: user.username,
            groups: user.groups,
            extra: user.extra,
            public_key: BASE64_STANDARD.encode(key.spki_der()),
            lifetime_seconds: authenticator
                .certificate_lifetime_seconds()
                .unwrap_or(self.logins.lifetime_seconds),
            evidence: None,
        };
        let mut certificate = self
            .logins
            .signer
            .sign(&request)
            .await
            .map_err(LoginError::Signer)?;
        self.logins
            .signing_ca
            .admit(&certificate.certificate)
            .map_err(LoginError::SigningCa)?;
        let expiration = Timestamp::from_second(certificate.not_after)
            .map_err(|_out_of_range| LoginError::Expiration)?;
        let credential = ClusterCredential {
            expiration_timestamp: Time(expiration),
            token: String::new(),
            client_certificate_data: std::mem::take(&mut certificate.certificate),
            client_key_data: std::mem::take(&mut *key.pkcs8_pem()),
        };
        Ok(Issued {
            certified: request,
            certificate,
            credential,
        })
    }

    /// The credential, once the event is written that tells of it.
    fn hand_out(&mut self, issued: Issued) -> Result<ClusterCredential, LoginError> {
        let outcome = Outcome::Authenticated {
            certified: &issued.certified,
            certificate: &issued.certificate,
        };
        self.log(&outcome).map_err(LoginError::Unlogged)?;
        self.count(LoginResult::Authenticated);
        Ok(issued.credential)
    }

    fn fail(&mut self, error: &LoginError) {
        let text = chain(error);
        // Whoever is refused has nothing that the missing line could hide.
        let _told_already = self.log(&error.outcome(&text));
        self.count(LoginResult::Failed(error.reason()));
    }

    fn log(&self, outcome: &Outcome<'_>) -> io::Result<()> {
        let token = self.token.expose_secret();
        self.logins
            .audit
            .outcome(self.ids, &self.authenticator, token, outcome)
    }

    fn count(&mut self, result: LoginResult) {
        self.is_reported = true;
        self.logins.metrics.observe(result, self.begun.elapsed());
    }
}

impl Drop for Login<'_> {
    fn drop(&mut self) {
        if !self.is_reported {
            self.fail(&LoginError::Ended {
                while_signing: self.is_signing,
            });
        }
    }
}

/// What to do about an authenticator that is not there; repeats nothing that only the client says.
fn hint(key: Option<&AuthenticatorKey>, logins: &Logins) -> String {
    let Some(key) = key.filter(|key| key.api_group == API_GROUP) else {
        return format!(
            "that API group is no authenticator's; use {}",
            logins.suffix.authentication_group()
        );
    };
    if ![JWT_KIND, WEBHOOK_KIND].contains(&key.kind.as_str()) {
        return "that kind is no authenticator's; use JWTAuthenticator or WebhookAuthenticator"
            .to_owned();
    }
    let kind = &key.kind;
    match logins.authenticators.fault(key) {
        Some(fault) => format!("the {kind} is not in force: {fault}"),
        None => format!("there is no {kind} of that name, or it is not judged yet"),
    }
}

//! `haulout logout`: forgets what logins have left behind, here and at their issuers.

use std::collections::BTreeSet;
use std::io::Write;
use std::time::SystemTime;

use haulout_https::TrustRoots;
use secrecy::SecretString;

use crate::Environment;
use crate::arguments::LogoutFlags;
use crate::ca::{CaBundle, CaError};
use crate::cache_file::CacheError;
use crate::console::Console;
use crate::credential_cache::CredentialCache;
use crate::login_lock::LoginLock;
use crate::oidc::authorization::Client;
use crate::oidc::tokens::TokenEndpoint;
use crate::oidc::{IssuerClient, OidcError, provider};
use crate::runtime::{RuntimeError, block_on};
use crate::secret_variable::{VariableError, secret_of};
use crate::session_cache::{SessionCache, SessionKey, Tokens};
use crate::standard_output::{PrintError, print};

const NO_SESSION: &str = "No session; all credentials are forgotten.";

/// Why something is left.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogoutError {
    #[error(transparent)]
    Ca(#[from] CaError),
    #[error(transparent)]
    Cache(#[from] CacheError),
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    #[error(transparent)]
    ClientSecret(#[from] VariableError),
    #[error(
        "you are logged out here, but {0} of your sessions may go on at their issuers. A private CA is named by --ca-bundle or \
         --ca-bundle-data, a client's secret by --client-secret-env, as in the kubeconfig: name them the next time"
    )]
    NotRevoked(usize),
    #[error(transparent)]
    Print(#[from] PrintError),
}

impl LogoutError {
    /// Whether the command line is at fault.
    pub(crate) fn is_usage(&self) -> bool {
        matches!(self, Self::Ca(_))
    }
}

/// Forgets all credentials, and the sessions of the named issuer or of all; has each issuer revoke their tokens before.
///
/// An issuer that cannot be reached keeps nobody logged in here: it is told and the rest is done.
pub(crate) fn run(
    flags: &LogoutFlags,
    environment: Environment<'_>,
    now: SystemTime,
    stdout: &mut dyn Write,
    console: &Console<'_>,
) -> Result<(), LogoutError> {
    let roots = CaBundle::trust_roots(CaBundle::from_flags(&flags.ca)?.as_ref());
    let variable = flags.client_secret_env.as_deref();
    let secret = variable.map(|variable| secret_of("--client-secret-env", variable, environment));
    let secret = secret.transpose()?;
    let credentials = flags.credential_cache.as_deref();
    if let Some(cache) = CredentialCache::chosen(credentials, environment) {
        cache.clear()?;
    }
    let sessions = flags.session_cache.as_deref();
    let Some(cache) = SessionCache::chosen(sessions, environment, &roots) else {
        return Ok(print(stdout, format!("{NO_SESSION}\n"))?);
    };
    let issuer = flags.issuer.as_deref();
    let found = listed(&cache, issuer, now)?;
    // Nobody gets new tokens for one of them meanwhile.
    let _locks: Vec<_> = found
        .iter()
        .map(|(key, _)| key.digest())
        .collect::<BTreeSet<_>>()
        .iter()
        .map(|session| LoginLock::wait(cache.path(), session, console))
        .map(|lock| lock.inspect_err(|error| console.warn_of(error)))
        .collect();
    let ended = listed(&cache, issuer, now)?;
    let (mut lines, mut left) = (Vec::new(), 0);
    for (key, tokens) in &ended {
        let issuer = &key.issuer;
        let line = match block_on(revoke(key, tokens, &roots, secret.as_ref(), console))? {
            Ok(Revoked::Yes) => format!("Logged out of {issuer}, which has revoked the session."),
            Ok(Revoked::NothingToRevoke) => format!("Logged out of {issuer}."),
            Ok(Revoked::NotOffered) => format!(
                "Logged out of {issuer}, which cannot revoke sessions; it ends there by itself."
            ),
            Err(error) => {
                left += 1;
                let why = crate::chain(&error);
                // The line on stdout says what was done in any case.
                let warning = format!("Warning: {issuer} did not revoke the session: {why}");
                console.tell(&crate::printable(&warning));
                format!("Logged out of {issuer} here alone.")
            }
        };
        lines.push(crate::printable(&line));
    }
    cache.remove(issuer)?;
    if lines.is_empty() {
        lines.push(NO_SESSION.to_owned());
    }
    for line in lines {
        print(stdout, format!("{line}\n"))?;
    }
    match left {
        0 => Ok(()),
        left => Err(LogoutError::NotRevoked(left)),
    }
}

/// What a damaged file has kept is lost in any case.
fn listed(
    cache: &SessionCache,
    issuer: Option<&str>,
    now: SystemTime,
) -> Result<Vec<(SessionKey, Tokens)>, CacheError> {
    match cache.list(issuer, now) {
        Err(CacheError::Damaged(_)) => Ok(Vec::new()),
        listed => listed,
    }
}

enum Revoked {
    Yes,
    NothingToRevoke,
    NotOffered,
}

async fn revoke(
    key: &SessionKey,
    tokens: &Tokens,
    roots: &TrustRoots,
    secret: Option<&SecretString>,
    console: &Console<'_>,
) -> Result<Revoked, OidcError> {
    let (refresh, access) = (&tokens.refresh, &tokens.access);
    let refresh = refresh.as_ref().map(|refresh| &refresh.token);
    let access = access.as_ref().map(|access| &access.token);
    if refresh.or(access).is_none() {
        return Ok(Revoked::NothingToRevoke);
    }
    let issuer = IssuerClient::new(roots, console)?;
    let provider = provider::discover(&issuer, &key.issuer).await?;
    let client = Client {
        id: key.client_id.clone(),
        secret: secret.cloned(),
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
    Ok(match is_revoked {
        true => Revoked::Yes,
        false => Revoked::NotOffered,
    })
}

//! `haulout logout`: forgets what logins have left behind, here and at their issuers.

use std::io::{self, Write};
use std::time::SystemTime;

use haulout_https::TrustRoots;

use crate::Environment;
use crate::arguments::LogoutFlags;
use crate::cache_file::CacheError;
use crate::console::Console;
use crate::credential_cache::CredentialCache;
use crate::login_oidc::{CaError, trust_roots};
use crate::oidc::authorization::Client;
use crate::oidc::tokens::TokenEndpoint;
use crate::oidc::{IssuerClient, OidcError, provider};
use crate::session_cache::{SessionCache, SessionKey, Tokens};

/// Why something is left.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogoutError {
    #[error(transparent)]
    Ca(#[from] CaError),
    #[error(transparent)]
    Cache(#[from] CacheError),
    #[error("failed to set up input and output")]
    Runtime(#[source] io::Error),
    #[error("failed to print the result")]
    Print(#[source] io::Error),
}

/// Forgets all credentials, and the sessions of the named issuer or of all; has each issuer revoke their refresh tokens.
///
/// An issuer that cannot be reached keeps nobody logged in here: it is told and the rest is done.
pub(crate) fn run(
    flags: &LogoutFlags,
    environment: Environment<'_>,
    now: SystemTime,
    stdout: &mut dyn Write,
    console: &Console<'_>,
) -> Result<(), LogoutError> {
    let roots = trust_roots(&flags.ca.ca_bundle, &flags.ca.ca_bundle_data)?;
    let sessions = flags.session_cache.as_deref();
    let sessions = SessionCache::chosen(sessions, environment, &roots);
    let mut ended = Vec::new();
    if let Some(cache) = &sessions {
        ended = cache.remove(flags.issuer.as_deref(), now)?;
    }
    let credentials = flags.credential_cache.as_deref();
    if let Some(cache) = CredentialCache::chosen(credentials, environment) {
        cache.clear()?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(LogoutError::Runtime)?;
    for (key, tokens) in &ended {
        let issuer = &key.issuer;
        let line = match runtime.block_on(revoke(key, tokens, &roots, console)) {
            Ok(Revoked::Yes) => format!("Logged out of {issuer}, which has revoked the session."),
            Ok(Revoked::NothingToRevoke) => format!("Logged out of {issuer}."),
            Ok(Revoked::NotOffered) => format!(
                "Logged out of {issuer}, which cannot revoke sessions; it ends there by itself."
            ),
            Err(error) => {
                let why = crate::printable(&crate::chain(&error));
                // The line on stdout says what was done in any case.
                console.tell(&format!(
                    "Warning: {issuer} did not revoke the session: {why}"
                ));
                format!("Logged out of {issuer} here alone.")
            }
        };
        writeln!(stdout, "{}", crate::printable(&line)).map_err(LogoutError::Print)?;
    }
    if ended.is_empty() {
        writeln!(stdout, "No session; all credentials are forgotten.")
            .map_err(LogoutError::Print)?;
    }
    Ok(())
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
    console: &Console<'_>,
) -> Result<Revoked, OidcError> {
    let Some(refresh) = &tokens.refresh else {
        return Ok(Revoked::NothingToRevoke);
    };
    let issuer = IssuerClient::new(roots, console)?;
    let provider = provider::discover(&issuer, &key.issuer).await?;
    let client = Client {
        id: key.client_id.clone(),
        secret: None,
        scopes: Vec::new(),
        extra_parameters: Vec::new(),
    };
    let endpoint = TokenEndpoint {
        issuer: &issuer,
        provider: &provider,
        client: &client,
    };
    Ok(match endpoint.revoke(&refresh.token).await? {
        true => Revoked::Yes,
        false => Revoked::NotOffered,
    })
}

//! `haulout logout`: forgets what logins have left behind, here and at their issuers.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::time::SystemTime;

use haulout_https::TrustRoots;
use secrecy::SecretString;

use crate::Environment;
use crate::arguments::{CaFlags, LogoutFlags, OidcLogin};
use crate::ca::{CaBundle, CaError};
use crate::cache_file::CacheError;
use crate::console::Console;
use crate::credential_cache::CredentialCache;
use crate::exec_stanza::{OidcStanza, StanzaError};
use crate::login_lock::LoginLock;
use crate::oidc::authorization::Client;
use crate::oidc::tokens::TokenEndpoint;
use crate::oidc::{IssuerClient, OidcError, provider};
use crate::runtime::{RuntimeError, block_on};
use crate::secret_variable::{VariableError, secret_of};
use crate::session_cache::{self, SessionCache, SessionKey, Tokens, Which};
use crate::standard_output::{PrintError, print};

const NO_SESSION: &str = "No session; all credentials are forgotten.";

/// Why something is left.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogoutError {
    #[error(transparent)]
    Stanza(#[from] StanzaError),
    #[error(
        "--issuer is not {0}, where the kubeconfig's user logs in; leave out --issuer, or --kubeconfig and --context"
    )]
    OtherIssuer(String),
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
         --ca-bundle-data, a client's secret by --client-secret-env, as in the kubeconfig, or both by --kubeconfig itself: name \
         them the next time"
    )]
    NotRevoked(usize),
    #[error(transparent)]
    Print(#[from] PrintError),
}

impl LogoutError {
    /// Whether the command line is at fault.
    pub(crate) fn is_usage(&self) -> bool {
        match self {
            Self::Stanza(error) => error.is_usage(),
            Self::OtherIssuer(_) | Self::Ca(_) => true,
            _ => false,
        }
    }
}

/// What is forgotten, and how its issuers are spoken to.
struct Wanted<'a> {
    which: Which<'a>,
    ca: &'a CaFlags,
    client_secret_env: Option<&'a str>,
    session_cache: Option<&'a str>,
    credential_cache: Option<&'a str>,
}

impl<'a> Wanted<'a> {
    /// What the flags say, and what the login of a kubeconfig says where they say nothing.
    fn of(flags: &'a LogoutFlags, login: Option<&'a OidcLogin>) -> Result<Self, LogoutError> {
        let has_ca = !flags.ca.ca_bundle.is_empty() || !flags.ca.ca_bundle_data.is_empty();
        let which = match (&flags.issuer, login) {
            (Some(issuer), Some(login)) if *issuer != login.issuer => {
                return Err(LogoutError::OtherIssuer(login.issuer.clone()));
            }
            // The kubeconfig of somebody else may name a CA that would pose as the issuer of another session.
            (_, Some(login)) if !has_ca => Which::OfLogin(&login.issuer),
            (Some(issuer), _) => Which::OfIssuer(issuer),
            (None, Some(login)) => Which::OfIssuer(&login.issuer),
            (None, None) => Which::All,
        };
        let either = |flag: &'a Option<String>, of: fn(&OidcLogin) -> &Option<String>| {
            let of_login = login.and_then(|login| of(login).as_deref());
            flag.as_deref().or(of_login)
        };
        Ok(Self {
            which,
            ca: login.map_or(&flags.ca, |login| match has_ca {
                true => &flags.ca,
                false => &login.ca,
            }),
            client_secret_env: either(&flags.client_secret_env, |login| &login.client_secret_env),
            session_cache: either(&flags.session_cache, |login| &login.session_cache),
            credential_cache: either(&flags.credential_cache, |login| &login.credential_cache),
        })
    }
}

/// Forgets all credentials, and the sessions of the named issuer, or kubeconfig, or of all; has each issuer revoke their tokens
/// before.
///
/// An issuer that cannot be reached keeps nobody logged in here: it is told and the rest is done.
pub(crate) fn run(
    flags: &LogoutFlags,
    environment: Environment<'_>,
    now: SystemTime,
    stdout: &mut dyn Write,
    console: &Console<'_>,
) -> Result<(), LogoutError> {
    let stanza = flags.context();
    let stanza = stanza.map(|context| OidcStanza::of(&context, environment));
    let stanza = stanza.transpose()?;
    let variable = |name: &str| match &stanza {
        Some(stanza) => stanza.variable(name, environment),
        None => environment(name),
    };
    let environment: Environment<'_> = &variable;
    let wanted = Wanted::of(flags, stanza.as_ref().map(|stanza| &*stanza.login))?;
    let roots = CaBundle::trust_roots(CaBundle::from_flags(wanted.ca)?.as_ref());
    let variable = wanted.client_secret_env;
    let secret = variable.map(|variable| secret_of("--client-secret-env", variable, environment));
    let secret = secret.transpose()?;
    if let Some(cache) = CredentialCache::chosen(wanted.credential_cache, environment) {
        if flags.credential_cache.is_some() {
            warn_if_missing("credential", cache.path(), console);
        }
        cache.clear()?;
    }
    let Some(cache) = SessionCache::chosen(wanted.session_cache, environment, &roots) else {
        return Ok(print(stdout, format!("{NO_SESSION}\n"))?);
    };
    let sessions = flags.session_cache.as_deref();
    if sessions.is_some_and(session_cache::is_file) {
        warn_if_missing("session", cache.path(), console);
    }
    let found = listed(&cache, wanted.which, now)?;
    // Nobody gets new tokens for one of them meanwhile.
    let _locks: Vec<_> = found
        .iter()
        .map(|(key, _)| key.digest())
        .collect::<BTreeSet<_>>()
        .iter()
        .map(|session| LoginLock::wait(cache.path(), session, console))
        .map(|lock| lock.inspect_err(|error| console.warn_of(error)))
        .collect();
    let ended = listed(&cache, wanted.which, now)?;
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
                console.say(format_args!(
                    "Warning: {issuer} did not revoke the session: {why}"
                ));
                format!("Logged out of {issuer} here alone.")
            }
        };
        lines.push(crate::printable(&line));
    }
    cache.remove(wanted.which)?;
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

/// Tells of a file that was named and is not there: another one may be meant.
fn warn_if_missing(name: &str, path: &Path, console: &Console<'_>) {
    if matches!(path.try_exists(), Ok(false)) {
        console.say(format_args!(
            "Warning: there is no {name} cache {}",
            path.display()
        ));
    }
}

/// What a damaged file has kept is lost in any case.
fn listed(
    cache: &SessionCache,
    which: Which<'_>,
    now: SystemTime,
) -> Result<Vec<(SessionKey, Tokens)>, CacheError> {
    match cache.list(which, now) {
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

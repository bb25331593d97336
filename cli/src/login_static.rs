//! `haulout login static`: a token that the user has already becomes a credential for kubectl.

use std::ffi::OsString;
use std::io::Write;
use std::time::SystemTime;

use haulout_api::credential::ClusterCredential;
use secrecy::{ExposeSecret, SecretString};

use crate::Environment;
use crate::arguments::StaticLogin;
use crate::console::Console;
use crate::credential_cache::{self, CredentialCache};
use crate::exchange::{self, ExchangeError, ParameterError, Parameters};
use crate::exec_credential::{CredentialStatus, ExecInfo};
use crate::runtime::{RuntimeError, block_on};
use crate::secret_variable::VariableError;
use crate::standard_output::{PrintError, print};

/// Why there is no credential.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoginError {
    #[error("one of --token or --token-env must be set")]
    NoToken,
    #[error(transparent)]
    Variable(#[from] VariableError),
    #[error("invalid Concierge parameters")]
    Parameters(#[source] ParameterError),
    #[error("could not complete Concierge credential exchange")]
    Exchange(#[source] ExchangeError),
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    #[error("failed to encode the credential")]
    Encode(#[source] serde_json::Error),
    #[error(transparent)]
    Print(#[from] PrintError),
}

impl LoginError {
    /// Whether the command line is at fault.
    pub(crate) fn is_usage(&self) -> bool {
        matches!(self, Self::NoToken | Self::Parameters(_))
    }
}

/// What the command takes from around it.
pub(crate) struct Surroundings<'a> {
    /// The whole command line without the program's name; part of the cache key.
    pub(crate) arguments: &'a [OsString],
    pub(crate) environment: Environment<'a>,
    pub(crate) now: SystemTime,
}

/// Prints an `ExecCredential`: from the cache if it can, else from an exchange, else the token itself.
pub(crate) fn run(
    login: &StaticLogin,
    surroundings: &Surroundings<'_>,
    stdout: &mut dyn Write,
    console: &Console<'_>,
) -> Result<(), LoginError> {
    if login.token.is_empty() && login.token_env.is_empty() {
        return Err(LoginError::NoToken);
    }
    let parameters = Parameters::of_login(&login.concierge).map_err(LoginError::Parameters)?;
    let token = login.given_token(surroundings.environment)?;
    let info = ExecInfo::of(surroundings.environment);
    let credential = match parameters {
        Some(parameters) => cached_or(login, surroundings, &token, &info, console, || {
            let now = surroundings.now;
            block_on(exchange::exchange(&parameters, &token, now, console))?
                .map_err(LoginError::Exchange)
        })?,
        None => {
            console.debug(exchange::told_off);
            CredentialStatus::from_token(token.expose_secret())
        }
    };
    let line = credential
        .to_exec_credential(info.version)
        .map_err(LoginError::Encode)?;
    Ok(print(stdout, &line)?)
}

/// The cached credential, else that of `exchange`, which is then cached.
///
/// A fault of the cache never fails a login.
fn cached_or(
    login: &StaticLogin,
    surroundings: &Surroundings<'_>,
    token: &SecretString,
    info: &ExecInfo,
    console: &Console<'_>,
    exchange: impl FnOnce() -> Result<ClusterCredential, LoginError>,
) -> Result<CredentialStatus, LoginError> {
    let Surroundings {
        arguments,
        environment,
        now,
    } = *surroundings;
    let cache = CredentialCache::chosen(login.credential_cache.as_deref(), environment);
    let Some(cache) = cache else {
        console.debug(credential_cache::told_off);
        return exchange().map(Into::into);
    };
    let key = credential_cache::static_login_key(
        arguments,
        token.expose_secret(),
        info.cluster.as_deref(),
    )
    .map_err(LoginError::Encode)?;
    if let Some(credential) = cache.look_up(&key, now, console) {
        return Ok(credential);
    }
    let credential = exchange()?.into();
    cache.keep(&key, &credential, now, console);
    Ok(credential)
}

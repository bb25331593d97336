//! Why there is no credential.

use std::io;

use crate::ca::CaError;
use crate::exchange::{ExchangeError, ParameterError};
use crate::login_lock::LockError;
use crate::oidc::OidcError;
use crate::runtime::RuntimeError;
use crate::secret_variable::VariableError;
use crate::standard_output::PrintError;

/// Why `login oidc` printed none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OidcLoginError {
    #[error("invalid Concierge parameters")]
    Parameters(#[source] ParameterError),
    #[error("invalid --issuer")]
    Issuer(#[source] Box<OidcError>),
    #[error(transparent)]
    Ca(#[from] CaError),
    #[error(
        "could not complete Pinniped login: this program no longer listens for the browser; try again"
    )]
    ListenerEnded,
    #[error(transparent)]
    ClientSecret(#[from] VariableError),
    #[error(
        "{variable} is '{value}'; use browser_authcode, cli_password, device_code or client_credentials"
    )]
    Flow {
        variable: &'static str,
        value: String,
    },
    #[error("could not complete Pinniped login")]
    Oidc(#[source] Box<OidcError>),
    #[error(
        "could not complete Pinniped login: the issuer gave no ID token; have `openid` among --scopes"
    )]
    NoIdToken,
    #[error(
        "could not complete Pinniped login: nobody can be asked to log in here, since this is no terminal and port {port} of \
         127.0.0.1 cannot be listened on; try --flow=device_code, or another --listen-port"
    )]
    NoWay { port: u16, source: io::Error },
    #[error(
        "could not complete Pinniped login: nobody can be asked to log in here, since this is no terminal and --skip-listen is \
         given; try --flow=device_code"
    )]
    NoListener,
    #[error(
        "could not complete Pinniped login: stdin is not connected to a terminal; set PINNIPED_USERNAME and PINNIPED_PASSWORD"
    )]
    NoTerminal,
    #[error("could not complete Pinniped login: could not read your answer")]
    Ask(#[source] io::Error),
    #[error("could not complete Pinniped login: interrupted")]
    Interrupted,
    #[error(
        "could not complete Pinniped login: timed out waiting for token callback: nobody has logged in for {minutes} minutes; try again"
    )]
    TimedOut { minutes: u64 },
    #[error("could not complete Pinniped login")]
    OfAnother(#[source] LockError),
    #[error("could not complete Pinniped login: whoever asked for the credential is gone")]
    Abandoned,
    #[error(
        "could not complete Pinniped login: the issuer has no authorization_endpoint; it cannot be logged in to with a browser"
    )]
    NoAuthorizationEndpoint,
    #[error("could not complete Concierge credential exchange")]
    Exchange(#[source] ExchangeError),
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    #[error("failed to choose random numbers for a login; the system has none")]
    Random,
    #[error("failed to encode the credential")]
    Encode(#[source] serde_json::Error),
    #[error(transparent)]
    Print(#[from] PrintError),
}

impl From<OidcError> for OidcLoginError {
    fn from(error: OidcError) -> Self {
        Self::Oidc(Box::new(error))
    }
}

impl OidcLoginError {
    /// Whether the command line is at fault.
    pub(crate) fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Parameters(_) | Self::Issuer(_) | Self::Ca(_) | Self::Flow { .. }
        )
    }
}

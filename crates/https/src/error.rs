//! Why a call failed, with certificates' faults worded as Go words them, since people and tools look for `x509:`.

use std::error::Error;
use std::time::Duration;

use url::Url;

use crate::body::BodyError;

/// The client could not be made; its text says what the roots lack. There is no source: the text has the cause, without
/// what reqwest puts around it.
#[derive(Debug, thiserror::Error)]
#[error("failed to set up TLS with these roots: {}", innermost(.0))]
pub struct ClientError(pub(crate) reqwest::Error);

/// No whole answer came.
#[derive(Debug, thiserror::Error)]
#[error("{verb} \"{url}\": {fault}")]
pub struct CallError {
    verb: &'static str,
    url: Url,
    /// What went wrong.
    pub fault: CallFault,
}

impl CallError {
    pub(crate) fn new(verb: &'static str, url: Url, fault: CallFault) -> Self {
        Self { verb, url, fault }
    }
}

/// What can go wrong in a call.
#[derive(Debug, thiserror::Error)]
pub enum CallFault {
    /// There is no connection, for example because the certificate was not accepted, or it broke. There is no source:
    /// the text has the cause, in Go's words.
    #[error("{}", transport_text(.0))]
    Transport(reqwest::Error),
    /// Time ran out.
    #[error("no answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// The answer is longer than this many bytes.
    #[error("answer is longer than {0} bytes")]
    TooLong(usize),
}

impl CallFault {
    pub(crate) fn new(error: BodyError, limit: Duration) -> Self {
        match error {
            BodyError::Transport(error) if error.is_timeout() => Self::TimedOut(limit),
            // Whoever reads this is told the URL already.
            BodyError::Transport(error) => Self::Transport(error.without_url()),
            BodyError::TooLong(limit) => Self::TooLong(limit),
        }
    }
}

fn transport_text(error: &reqwest::Error) -> String {
    let cause = innermost(error);
    match cause.strip_prefix("invalid peer certificate: ") {
        // A root of the same name but another key gives the second.
        Some("UnknownIssuer" | "BadSignature") => {
            "tls: failed to verify certificate: x509: certificate signed by unknown authority"
                .to_owned()
        }
        Some(fault) => format!("tls: failed to verify certificate: x509: {fault}"),
        None => cause,
    }
}

fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

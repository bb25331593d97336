//! Why a call failed, with certificates' faults worded as Go words them, since people and tools look for `x509:`.

use std::error::Error;
use std::io;
use std::time::Duration;

use url::Url;

use crate::body::BodyError;
use crate::client::CONNECT_TIMEOUT;
use crate::proxy::Proxy;

/// Why a client could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The roots cannot be used. There is no source: the text has the cause.
    #[error("failed to set up TLS with these roots: {0}")]
    Roots(rustls::Error),
    /// The HTTP library refused our settings; no input leads here.
    #[error("failed to set up an HTTPS client")]
    Client(#[source] reqwest::Error),
}

/// No whole answer came.
#[derive(Debug, thiserror::Error)]
#[error("{verb} {place}: {fault}")]
pub struct CallError {
    verb: &'static str,
    /// The URL, and the proxy on the way there.
    place: String,
    /// What went wrong.
    pub fault: CallFault,
}

impl CallError {
    pub(crate) fn new(
        verb: &'static str,
        url: &Url,
        proxy: Option<&Proxy>,
        fault: CallFault,
    ) -> Self {
        Self {
            verb,
            place: format!("\"{}\"{}", place(url), by_way_of(proxy)),
            fault,
        }
    }
}

/// A URL for messages, without what may be secret in it: user, password, query and fragment.
pub fn place(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    // Only URLs that cannot have them refuse.
    let (_user, _password) = (url.set_username(""), url.set_password(None));
    url.into()
}

/// What a message about a call says of the proxy on its way, which may be what fails.
pub fn by_way_of(proxy: Option<&Proxy>) -> String {
    proxy.map_or_else(String::new, |proxy| format!(" by way of {proxy}"))
}

/// What can go wrong in a call.
#[derive(Debug, thiserror::Error)]
pub enum CallFault {
    /// There is no connection, for example because the certificate was not accepted, or it broke. There is no source:
    /// the text has the cause, in Go's words.
    #[error("{}", tls_text(innermost(.0)))]
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
            BodyError::Transport(error) if error.is_timeout() => {
                Self::TimedOut(if error.is_connect() {
                    CONNECT_TIMEOUT
                } else {
                    limit
                })
            }
            // Whoever reads this is told the URL already.
            BodyError::Transport(error) => Self::Transport(error.without_url()),
            BodyError::TooLong(limit) => Self::TooLong(limit),
        }
    }

    /// Whether a connection was there that broke, or brought what is no HTTP: another may do better at once.
    pub fn is_connection_lost(&self) -> bool {
        match self {
            Self::Transport(error) => !error.is_connect() || causes(error).any(is_reset),
            Self::TimedOut(_) | Self::TooLong(_) => false,
        }
    }
}

/// What a TLS library says, in Go's words where people know them.
pub(crate) fn tls_text(cause: String) -> String {
    if cause == "received corrupt message of type InvalidContentType" {
        return "tls: first record does not look like a TLS handshake".to_owned();
    }
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

/// The error and all that it wraps; an `io::Error` hides what it wraps from `source`.
pub fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| {
        let wrapped = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        match wrapped {
            Some(inner) => Some(inner),
            None => error.source(),
        }
    })
}

fn innermost(error: &reqwest::Error) -> String {
    causes(error)
        .last()
        .map(ToString::to_string)
        .unwrap_or_default()
}

fn is_reset(error: &(dyn Error + 'static)) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::ConnectionReset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_judged_in_gos_words() {
        let unknown =
            "tls: failed to verify certificate: x509: certificate signed by unknown authority";
        for (cause, text) in [
            ("invalid peer certificate: UnknownIssuer", unknown),
            ("invalid peer certificate: BadSignature", unknown),
            (
                "invalid peer certificate: certificate expired",
                "tls: failed to verify certificate: x509: certificate expired",
            ),
            (
                "received corrupt message of type InvalidContentType",
                "tls: first record does not look like a TLS handshake",
            ),
            ("tls handshake eof", "tls handshake eof"),
        ] {
            assert_eq!(tls_text(cause.to_owned()), text);
        }
        let of_today = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        assert_eq!(tls_text(of_today.to_string()), unknown);
    }

    #[test]
    fn no_secret_of_a_url_is_repeated() {
        let url = Url::parse("https://very-secret:very-secret@h/keys?a=very-secret#very-secret");
        let fault = CallFault::TooLong(1);
        let error = CallError::new("Get", &url.unwrap(), None, fault);
        assert_eq!(
            error.to_string(),
            "Get \"https://h/keys\": answer is longer than 1 bytes"
        );
    }

    #[test]
    fn causes_are_found_behind_io_errors() {
        let reset = io::Error::from(io::ErrorKind::ConnectionReset);
        let wrapped = io::Error::other(io::Error::other(reset));
        assert_eq!(causes(&wrapped).count(), 3);
        assert!(causes(&wrapped).any(is_reset));
        let refused = io::Error::other(io::Error::from(io::ErrorKind::ConnectionRefused));
        assert!(!causes(&refused).any(is_reset));
    }
}

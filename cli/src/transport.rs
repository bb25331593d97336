//! What hides in the layers of an HTTP client's error.

use std::error::Error;
use std::io;

use haulout_https::causes;

/// What is said of [`TransportFault::NoTls`].
pub(crate) const NO_TLS: &str = "it does not speak TLS, or ends the connection before it answers";

/// Why a server gave no answer.
#[derive(Clone, Debug)]
pub(crate) enum TransportFault {
    TimedOut,
    ConnectionRefused,
    /// The server speaks no version of TLS that this program does.
    TlsVersion,
    /// The server does not speak TLS, or ends the connection before it answers.
    NoTls,
    /// Its certificate is not accepted.
    Certificate(rustls::CertificateError),
    Other,
}

impl TransportFault {
    pub(crate) fn of(error: &(dyn Error + 'static)) -> Self {
        for cause in causes(error) {
            let http = cause.downcast_ref::<reqwest::Error>();
            if http.is_some_and(reqwest::Error::is_timeout) {
                return Self::TimedOut;
            }
            if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
                match tls {
                    rustls::Error::InvalidCertificate(reason) => {
                        return Self::Certificate(reason.clone());
                    }
                    rustls::Error::AlertReceived(rustls::AlertDescription::ProtocolVersion)
                    | rustls::Error::PeerIncompatible(
                        rustls::PeerIncompatible::ServerDoesNotSupportTls12Or13
                        | rustls::PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
                    ) => return Self::TlsVersion,
                    rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType) => {
                        return Self::NoTls;
                    }
                    _ => {}
                }
            }
            match cause.downcast_ref::<io::Error>().map(io::Error::kind) {
                Some(io::ErrorKind::ConnectionRefused) => return Self::ConnectionRefused,
                Some(io::ErrorKind::TimedOut) => return Self::TimedOut,
                Some(io::ErrorKind::UnexpectedEof) => return Self::NoTls,
                _ => {}
            }
        }
        Self::Other
    }
}

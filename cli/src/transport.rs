//! What hides in the layers of an HTTP client's error.

use std::io;

use haulout_https::causes;

/// Why a server gave no answer.
#[derive(Clone, Debug)]
pub(crate) enum TransportFault {
    TimedOut,
    ConnectionRefused,
    /// The server does not speak TLS 1.3.
    TlsVersion,
    /// Its certificate is not accepted.
    Certificate(rustls::CertificateError),
    Other,
}

impl TransportFault {
    pub(crate) fn of(error: &reqwest::Error) -> Self {
        if error.is_timeout() {
            return Self::TimedOut;
        }
        for cause in causes(error) {
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
                    _ => {}
                }
            }
            if let Some(io) = cause.downcast_ref::<io::Error>()
                && io.kind() == io::ErrorKind::ConnectionRefused
            {
                return Self::ConnectionRefused;
            }
        }
        Self::Other
    }
}

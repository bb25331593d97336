//! Why a call to an API server brought no answer of one.

use std::time::Duration;

use haulout_https::{causes, foreign};
use http_body_util::LengthLimitError;

use super::{MAX_BYTES, MAX_OBJECTS};
use crate::transport::{NO_TLS, TransportFault};

/// What went wrong, and what to do. No text holds anything of an answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallFault {
    #[error(
        "the API server did not answer within {} s; check the server of the kubeconfig and your network",
        .0.as_secs_f64()
    )]
    TimedOut(Duration),
    #[error("no answer in time; check the server of the kubeconfig and your network")]
    ConnectionTimedOut,
    #[error("nothing listens there; check the server of the kubeconfig and your network")]
    ConnectionRefused,
    #[error("it does not speak TLS 1.2 or later; check the server of the kubeconfig")]
    TlsVersion,
    #[error("{NO_TLS}; check the scheme and the port of the kubeconfig's server")]
    NoTls,
    #[error(
        "its certificate is not to be trusted ({0}); check the kubeconfig's server and certificate-authority-data, and the date and \
         time of this computer"
    )]
    Certificate(rustls::CertificateError),
    #[error("something else than an API server answers; check the server of the kubeconfig")]
    NotAnApiServer,
    #[error("its answer is longer than {} MiB; check the server of the kubeconfig", MAX_BYTES >> 20)]
    TooLong,
    #[error(
        "there are more than {MAX_OBJECTS}, or its answers have no end; check the server of the kubeconfig"
    )]
    TooMany,
    #[error("its answer cannot be read: {:?} error in line {}, column {}; does haulout fit the cluster's version?", .0.classify(), .0.line(), .0.column())]
    Unreadable(serde_json::Error),
    #[error("{}; check the server of the kubeconfig and your network", foreign(.0))]
    Other(String),
}

impl CallFault {
    pub(super) fn of(error: kube::Error) -> Self {
        match error {
            kube::Error::SerdeError(error) if error.is_data() => return Self::Unreadable(error),
            kube::Error::SerdeError(_) | kube::Error::FromUtf8(_) => return Self::NotAnApiServer,
            _ => {}
        }
        if causes(&error).any(|cause| cause.is::<LengthLimitError>()) {
            return Self::TooLong;
        }
        match TransportFault::of(&error) {
            TransportFault::TimedOut => Self::ConnectionTimedOut,
            TransportFault::ConnectionRefused => Self::ConnectionRefused,
            TransportFault::TlsVersion => Self::TlsVersion,
            TransportFault::NoTls => Self::NoTls,
            TransportFault::Certificate(reason) => Self::Certificate(reason),
            TransportFault::Other => {
                let innermost = causes(&error).last();
                Self::Other(innermost.map(ToString::to_string).unwrap_or_default())
            }
        }
    }
}

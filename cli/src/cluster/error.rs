//! Why a cluster could not be read.

use std::error::Error;
use std::path::{Path, PathBuf};

use haulout_https::{causes, foreign};
use kube::client::AuthError;
use kube::config::LoadDataError;
use kube::core::Status;

use super::{CallFault, ContextFault};
use crate::kubeconfig_source::KubeconfigFault;
use crate::runtime::RuntimeError;

/// Why the cluster could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClusterError {
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    #[error("failed to use the kubeconfig{}; name another by --kubeconfig or --context", named(path.as_deref()))]
    Kubeconfig {
        path: Option<PathBuf>,
        source: KubeconfigFault,
    },
    #[error("failed to use the kubeconfig{}; name another by --kubeconfig or --context", named(path.as_deref()))]
    Context {
        path: Option<PathBuf>,
        source: ContextFault,
    },
    /// There is no source: the text has the cause.
    #[error("failed to read a file that the kubeconfig names, {}: {cause}", path.display())]
    File { path: PathBuf, cause: String },
    #[error("the kubeconfig's server is no URL; write it as https://HOST:PORT")]
    Server,
    /// What it is may hold a password.
    #[error(
        "the proxy of the kubeconfig, or of HTTPS_PROXY, cannot be used; write it as http://HOST:PORT"
    )]
    Proxy,
    #[error("failed to set up the client of the Kubernetes API from the kubeconfig")]
    Client(#[source] Box<kube::Error>),
    #[error("the credentials of the kubeconfig cannot be had: {0}")]
    Credentials(CredentialFault),
    #[error("failed to read {what} from {server}: {}", refusal(status))]
    Refused {
        what: &'static str,
        server: String,
        status: Box<Status>,
    },
    #[error("failed to read {what} from {server}: {fault}")]
    Call {
        what: &'static str,
        server: String,
        fault: CallFault,
    },
}

/// Why a kubeconfig's user has no credentials.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CredentialFault {
    /// The plugin was run and has failed, and knows why.
    #[error("{0}")]
    Plugin(String),
    #[error("{0}")]
    Other(String),
}

pub(super) const NO_HEADER: &str =
    "its token has a character that no header can have, such as the end of a line";

impl ClusterError {
    /// Why there is no client.
    pub(super) fn of_client(error: kube::Error) -> Self {
        match error {
            // Their texts have the whole URL.
            kube::Error::ProxyProtocolUnsupported { .. }
            | kube::Error::ProxyProtocolDisabled { .. } => Self::Proxy,
            error => Self::Client(Box::new(error)),
        }
    }

    /// Why a call for `what` to `server` failed.
    pub(super) fn of_call(what: &'static str, server: String, error: kube::Error) -> Self {
        if let kube::Error::Api(status) = error {
            return Self::Refused {
                what,
                server,
                status,
            };
        }
        match credential_fault(&error) {
            Some(fault) => Self::Credentials(fault),
            None => Self::Call {
                what,
                server,
                fault: CallFault::of(error),
            },
        }
    }
}

/// What is wrong with the kubeconfig's credentials, if that is it. A file with a token is read again and again, so any call may find
/// out.
pub(super) fn credential_fault(error: &kube::Error) -> Option<CredentialFault> {
    let fault = causes(error).find_map(|cause| cause.downcast_ref::<AuthError>())?;
    Some(CredentialFault::Other(match fault {
        AuthError::ReadTokenFile(error, path) => {
            format!("its token cannot be read from {}: {error}", path.display())
        }
        AuthError::InvalidBearerToken(_) => NO_HEADER.to_owned(),
        _ => "they cannot be used".to_owned(),
    }))
}

/// The file with a certificate or a key that the kubeconfig leads to and that cannot be read, if that is it.
pub(super) fn file_fault(error: &(dyn Error + 'static)) -> Option<ClusterError> {
    match causes(error).find_map(|cause| cause.downcast_ref::<LoadDataError>())? {
        LoadDataError::ReadFile(cause, path) => Some(ClusterError::File {
            path: path.clone(),
            cause: cause.to_string(),
        }),
        _ => None,
    }
}

fn named(path: Option<&Path>) -> String {
    path.map_or_else(String::new, |path| format!(" {}", path.display()))
}

fn refusal(status: &Status) -> String {
    /// What the client takes for the reason where an answer is not of Kubernetes.
    const NO_STATUS: &str = "Failed to parse error data";
    let Status {
        code,
        reason,
        message,
        ..
    } = status;
    if *code == 401 {
        return "401 Unauthorized: the API server does not accept the credential of the kubeconfig's user; log in again, or ask \
                haulout doctor why"
            .to_owned();
    }
    match message.as_str() {
        page if reason == NO_STATUS && page.starts_with('<') => {
            format!("{code}: {}", CallFault::NotAnApiServer)
        }
        "" => format!("the API server answered {code} {}", foreign(reason)),
        text if reason == NO_STATUS => format!("{code}: {}", foreign(text)),
        message => foreign(message),
    }
}

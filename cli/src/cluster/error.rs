//! Why a cluster could not be read.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use haulout_https::{causes, foreign};
use kube::client::AuthError;
use kube::config::{ExecConfig, LoadDataError};
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
    Credentials(String),
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

impl ClusterError {
    /// Why a call for `what` to `server` failed.
    pub(super) fn of_call(
        what: &'static str,
        server: String,
        plugin: Option<&ExecConfig>,
        error: kube::Error,
    ) -> Self {
        if let kube::Error::Api(status) = error {
            return Self::Refused {
                what,
                server,
                status,
            };
        }
        match credential_fault(&error, plugin) {
            Some(fault) => Self::Credentials(fault),
            None => Self::Call {
                what,
                server,
                fault: CallFault::of(error),
            },
        }
    }
}

/// What is wrong with the kubeconfig's credentials, if that is it. Credential plugins are run again when a credential ends, so
/// any call may find out. What one printed to its standard output may be a credential, and is not repeated.
pub(super) fn credential_fault(error: &kube::Error, plugin: Option<&ExecConfig>) -> Option<String> {
    let fault = causes(error).find_map(|cause| cause.downcast_ref::<AuthError>())?;
    Some(match fault {
        AuthError::AuthExecRun { out, .. } => {
            let told = String::from_utf8_lossy(&out.stderr);
            let told = match told.trim() {
                // One that may ask the user has this program's own standard error.
                "" => "; if it said why, that is on stderr".to_owned(),
                told => format!(": {told}"),
            };
            format!("its plugin ended with {}{told}", out.status)
        }
        AuthError::AuthExecParse(_) => "its plugin printed no ExecCredential".to_owned(),
        AuthError::AuthExecStart(error) => {
            let command = plugin.and_then(|plugin| plugin.command.as_deref());
            let hint = plugin.and_then(|plugin| plugin.install_hint.as_deref());
            let hint = hint.filter(|_| error.kind() == io::ErrorKind::NotFound);
            let hint = hint.map_or_else(String::new, |hint| format!("; {}", hint.trim()));
            let command = command.unwrap_or_default();
            format!("its plugin {command} cannot be started: {error}{hint}")
        }
        AuthError::MissingCommand => "its plugin has no command".to_owned(),
        AuthError::ReadTokenFile(error, path) => {
            format!("its token cannot be read from {}: {error}", path.display())
        }
        _ => "they cannot be used".to_owned(),
    })
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

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    #[test]
    fn what_a_plugin_printed_is_not_repeated() {
        let out = std::process::Command::new("/bin/sh")
            .args(["-c", "echo very-secret; echo no session >&2; exit 3"])
            .output()
            .unwrap();
        let cmd = "plugin".to_owned();
        let out = Box::new(out);
        let fault = AuthError::AuthExecRun { cmd, out };
        // Now, and in a call whose credential has ended.
        for error in [
            kube::Error::Auth(fault),
            kube::Error::Service(Box::new(io::Error::other(AuthError::MissingCommand))),
        ] {
            let told = credential_fault(&error, None).unwrap();
            assert!(!told.contains("very-secret"), "{told}");
            assert!(
                told.contains("no session") || told.contains("no command"),
                "{told}"
            );
        }
    }
}

//! Why a cluster could not be read.

use std::path::{Path, PathBuf};

use haulout_https::causes;
use kube::client::AuthError;
use kube::core::Status;

use super::CALL_TIMEOUT;
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
    #[error("the kubeconfig's server is no URL; write it as https://HOST:PORT")]
    Server,
    #[error("failed to set up the client of the Kubernetes API from the kubeconfig")]
    Client(#[source] Box<kube::Error>),
    #[error("the credentials of the kubeconfig cannot be had: {0}")]
    Credentials(String),
    #[error("failed to read {what}: {}", refusal(status))]
    Refused {
        what: &'static str,
        status: Box<Status>,
    },
    #[error("failed to read {what}")]
    Call {
        what: &'static str,
        source: Box<kube::Error>,
    },
    #[error("failed to read {what}: the API server did not answer within {} s", CALL_TIMEOUT.as_secs())]
    TimedOut { what: &'static str },
}

/// Why a call for `what` failed.
pub(crate) fn call_error(what: &'static str, error: kube::Error) -> ClusterError {
    if let kube::Error::Api(status) = error {
        return ClusterError::Refused { what, status };
    }
    match credential_fault(&error) {
        Some(fault) => ClusterError::Credentials(fault),
        None => ClusterError::Call {
            what,
            source: Box::new(error),
        },
    }
}

/// What is wrong with the kubeconfig's credentials, if that is it. Credential plugins are run again when a credential ends, so
/// any call may find out. What one printed to its standard output may be a credential, and is not repeated.
pub(super) fn credential_fault(error: &kube::Error) -> Option<String> {
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
        AuthError::AuthExecStart(error) => format!("its plugin cannot be started: {error}"),
        AuthError::MissingCommand => "its plugin has no command".to_owned(),
        AuthError::ReadTokenFile(error, path) => {
            format!("its token cannot be read from {}: {error}", path.display())
        }
        _ => "they cannot be used".to_owned(),
    })
}

fn named(path: Option<&Path>) -> String {
    path.map_or_else(String::new, |path| format!(" {}", path.display()))
}

fn refusal(status: &Status) -> String {
    if status.message.is_empty() {
        format!("the API server answered {} {}", status.code, status.reason)
    } else {
        status.message.clone()
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::io;

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
            let told = credential_fault(&error).unwrap();
            assert!(!told.contains("very-secret"), "{told}");
            assert!(
                told.contains("no session") || told.contains("no command"),
                "{told}"
            );
        }
    }
}

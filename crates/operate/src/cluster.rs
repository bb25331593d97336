//! Reaching the Kubernetes API: one client, and calls that end in time with errors worth reading.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use kube::api::PostParams;
use kube::config::{AuthInfo, InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::core::Status;
use kube::{Client, Config};

/// Who writes, in `managedFields` of every object that this project writes.
pub const FIELD_MANAGER: &str = "haulout";

/// How long one call may take, retries included.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The kubeconfig file cannot be used.
    #[error("failed to read the kubeconfig {path}")]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<KubeconfigError>,
    },
    /// No kubeconfig was given and this is no pod.
    #[error(
        "failed to read the service account of this pod; outside of a cluster name a file by --kubeconfig"
    )]
    InCluster(#[source] Box<InClusterError>),
    /// The settings were read but make no client.
    #[error("failed to set up the client of the Kubernetes API")]
    Client(#[source] Box<kube::Error>),
}

/// The API server: where it is, how it is verified, and who we are to it.
#[derive(Clone, Debug)]
pub struct ApiServer(Config);

impl ApiServer {
    /// The API server of `kubeconfig`, or of the cluster that this pod runs in. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ConnectError`]: the file, or the pod's service account, cannot be used.
    pub async fn find(kubeconfig: Option<&Path>) -> Result<Self, ConnectError> {
        let Some(path) = kubeconfig else {
            return Config::incluster()
                .map(Self)
                .map_err(|error| ConnectError::InCluster(Box::new(error)));
        };
        let failed = |source| ConnectError::Kubeconfig {
            path: path.to_owned(),
            source: Box::new(source),
        };
        let file = Kubeconfig::read_from(path).map_err(failed)?;
        Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
            .await
            .map(Self)
            .map_err(failed)
    }

    /// A client that is whoever the kubeconfig or the pod's service account says.
    ///
    /// # Errors
    /// [`ConnectError::Client`].
    pub fn client(&self) -> Result<Client, ConnectError> {
        Self::connect(self.0.clone())
    }

    /// A client that shows a certificate, PEM, and nothing else to say who it is.
    ///
    /// # Errors
    /// [`ConnectError::Client`]: the pair cannot be used.
    pub fn client_with(&self, certificate: &str, key: &str) -> Result<Client, ConnectError> {
        let mut config = self.0.clone();
        config.auth_info = AuthInfo {
            client_certificate_data: Some(BASE64_STANDARD.encode(certificate)),
            client_key_data: Some(BASE64_STANDARD.encode(key).into()),
            ..AuthInfo::default()
        };
        Self::connect(config)
    }

    fn connect(config: Config) -> Result<Client, ConnectError> {
        Client::try_from(config).map_err(|error| ConnectError::Client(Box::new(error)))
    }
}

impl From<Config> for ApiServer {
    fn from(config: Config) -> Self {
        Self(config)
    }
}

/// Why a call to the API gave nothing. The text is what the API server said, where it said something.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The API server refused.
    #[error("{}", Refusal(.0))]
    Refused(Box<Status>),
    /// The answer is not what was asked for. The library's error is left out: it repeats parts of the
    /// answer, which may be those of a Secret.
    #[error(
        "failed to read the API server's answer: line {line}, column {column} is not of the expected type"
    )]
    Unreadable {
        /// Where the answer differs, from 1.
        line: usize,
        /// Where in this line, from 1.
        column: usize,
    },
    /// The API server could not be asked, or its answer not be read.
    #[error("failed to call the API server")]
    Failed(#[source] Box<kube::Error>),
    /// No answer came.
    #[error("the API server did not answer within {} s", .0.as_secs())]
    TimedOut(Duration),
}

impl CallError {
    /// 409, of another writer or of an object that exists already: look again.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Refused(status) if status.code == 409)
    }

    /// 404.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused(status) if status.code == 404)
    }
}

impl From<kube::Error> for CallError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::Refused(status),
            kube::Error::SerdeError(error) => Self::Unreadable {
                line: error.line(),
                column: error.column(),
            },
            other => Self::Failed(Box::new(other)),
        }
    }
}

/// What goes with each create and replace: the [`FIELD_MANAGER`].
pub fn post_params() -> PostParams {
    PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    }
}

/// Waits for one call, five seconds at most.
///
/// # Errors
/// [`CallError`].
pub async fn call<T>(call: impl Future<Output = kube::Result<T>>) -> Result<T, CallError> {
    call_within(CALL_TIMEOUT, call).await
}

/// Waits for one call, as long as `limit` at most.
///
/// # Errors
/// [`CallError`].
pub async fn call_within<T>(
    limit: Duration,
    call: impl Future<Output = kube::Result<T>>,
) -> Result<T, CallError> {
    match tokio::time::timeout(limit, call).await {
        Ok(answer) => answer.map_err(CallError::from),
        Err(_elapsed) => Err(CallError::TimedOut(limit)),
    }
}

struct Refusal<'a>(&'a Status);

impl fmt::Display for Refusal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Status {
            code,
            reason,
            message,
            ..
        } = self.0;
        if message.is_empty() {
            write!(f, "the API server answered {code} {reason}")
        } else {
            f.write_str(message)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_read_as_the_api_server_wrote_them() {
        let status = |code, message: &str, reason: &str| Status {
            code,
            ..Status::failure(message, reason)
        };
        let forbidden = CallError::from(kube::Error::Api(Box::new(status(
            403,
            "leases is forbidden",
            "Forbidden",
        ))));
        assert_eq!(forbidden.to_string(), "leases is forbidden");
        assert!(!forbidden.is_conflict() && !forbidden.is_not_found());
        let mute = CallError::Refused(Box::new(status(409, "", "Conflict")));
        assert_eq!(mute.to_string(), "the API server answered 409 Conflict");
        assert!(mute.is_conflict());
    }

    /// Company machines have `HTTPS_PROXY` set; without a feature of kube's, no client can be made there.
    #[tokio::test]
    async fn a_proxy_in_the_environment_is_no_fault() {
        crate::startup::install_crypto_provider();
        let mut config = Config::new("https://cluster.example.com".parse().unwrap());
        config.proxy_url = Some("http://proxy.example.com:3128".parse().unwrap());
        assert!(Client::try_from(config).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_api_server_is_left_in_time() {
        let error = call::<()>(std::future::pending()).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "the API server did not answer within 5 s"
        );
    }

    #[tokio::test]
    async fn a_missing_kubeconfig_is_named() {
        let path = Path::new("/nonexistent/kubeconfig");
        let error = ApiServer::find(Some(path)).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "failed to read the kubeconfig /nonexistent/kubeconfig"
        );
    }
}

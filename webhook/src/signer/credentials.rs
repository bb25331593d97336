//! The webhook's own certificate and its trust in agents, kept as files say.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use haulout_operate::error::chain;
use haulout_pki::bundle::{BundleError, CertificateBundle};
use haulout_serve::tls::{ClientConfigError, ClientIdentity, IdentityError, client_config};
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::fault::LastingFault;

/// How often the files are read. Kubernetes swaps a mounted Secret by a rename that inotify on the
/// file would not see, and three small files cost less than a watch.
const INTERVAL: Duration = Duration::from_secs(5);

/// Paths of the material for mutual TLS with agents, all PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialFiles {
    /// Client certificate with URI `haulout:webhook`, leaf first.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// CAs that may have issued the agents' certificates.
    pub ca: PathBuf,
}

/// Why the files give no TLS configuration.
#[derive(Debug, thiserror::Error)]
pub(super) enum CredentialsError {
    #[error("failed to read {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("failed to read the agents' CA certificates; the file must be PEM")]
    Ca(#[source] BundleError),
    #[error("failed to use the client certificate for agents")]
    Identity(#[source] IdentityError),
    #[error("failed to use the agents' CA certificates")]
    Config(#[source] ClientConfigError),
}

/// What the files hold.
#[derive(PartialEq, Eq)]
pub(super) struct Contents {
    certificate: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
    ca: Vec<u8>,
}

/// Publishes what the files hold, now and after each change, until `stop`. Files that do not fit
/// together (half written, say) leave the former publication in force, and a `fault`.
pub(super) async fn follow(
    files: CredentialFiles,
    publish: watch::Sender<Option<TlsConnector>>,
    fault: &LastingFault,
    stop: CancellationToken,
) {
    let mut loaded = None;
    loop {
        match reload(&files, &mut loaded).await {
            Ok(new) => {
                fault.clear();
                if new.is_some() {
                    publish.send_replace(new);
                }
            }
            Err(error) => {
                let text = format!("agent.tls: {}", chain(&error));
                if fault.note(&text) {
                    tracing::warn!(
                        error = text,
                        "failed to load the credentials for the signing agents"
                    );
                }
            }
        }
        if stop
            .run_until_cancelled(tokio::time::sleep(INTERVAL))
            .await
            .is_none()
        {
            return;
        }
    }
}

/// Reads the files and gives a connector if they differ from `loaded`.
pub(super) async fn reload(
    files: &CredentialFiles,
    loaded: &mut Option<Contents>,
) -> Result<Option<TlsConnector>, CredentialsError> {
    let contents = Contents {
        certificate: read(&files.certificate).await?,
        key: Zeroizing::new(read(&files.key).await?),
        ca: read(&files.ca).await?,
    };
    if loaded.as_ref() == Some(&contents) {
        return Ok(None);
    }
    let connector = connector(&contents)?;
    *loaded = Some(contents);
    Ok(Some(connector))
}

fn connector(contents: &Contents) -> Result<TlsConnector, CredentialsError> {
    let roots = CertificateBundle::parse_pem(&contents.ca).map_err(CredentialsError::Ca)?;
    let identity = ClientIdentity::new();
    identity
        .publish(&contents.certificate, &contents.key)
        .map_err(CredentialsError::Identity)?;
    let config =
        client_config(&roots, Some(Arc::new(identity))).map_err(CredentialsError::Config)?;
    Ok(TlsConnector::from(config))
}

async fn read(path: &PathBuf) -> Result<Vec<u8>, CredentialsError> {
    tokio::fs::read(path)
        .await
        .map_err(|source| CredentialsError::Read {
            path: path.clone(),
            source,
        })
}

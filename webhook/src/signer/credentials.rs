//! The webhook's own certificate and its trust in agents, as files say or a controller.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use haulout_operate::error::chain;
use haulout_pki::bundle::{BundleError, CertificateBundle};
use haulout_serve::server_trust::ServerTrust;
use haulout_serve::tls::{ClientConfigError, ClientIdentity, IdentityError, client_config};
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::agent::SERVER_NAME;
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

/// What connections to agents are made with and which agents they trust: changed as a whole.
pub struct CredentialStore {
    trust: ServerTrust,
    connector: watch::Sender<Option<TlsConnector>>,
    fault: LastingFault,
}

/// Why material gives no TLS configuration.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A file cannot be read.
    #[error("failed to read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The CA certificates are no PEM.
    #[error("failed to read the agents' CA certificates; the file must be PEM")]
    Ca(#[source] BundleError),
    /// Certificate and key cannot be used together.
    #[error("failed to use the client certificate for agents")]
    Identity(#[source] IdentityError),
    /// The CA certificates cannot be used.
    #[error("failed to use the agents' CA certificates")]
    Config(#[source] ClientConfigError),
}

impl CredentialStore {
    /// A store without credentials, with which no agent is connected to.
    pub fn new() -> Self {
        Self {
            trust: ServerTrust::new(SERVER_NAME),
            connector: watch::Sender::new(None),
            fault: LastingFault::default(),
        }
    }

    /// Trusts agents whose certificates chain to `authorities`, from the next call on, and shows this
    /// client certificate (leaf first) from the next connection on.
    ///
    /// # Errors
    /// [`CredentialsError`]; nothing has changed then.
    pub fn publish(
        &self,
        authorities: &CertificateBundle,
        certificate_pem: &[u8],
        key_pem: &[u8],
    ) -> Result<(), CredentialsError> {
        let identity = ClientIdentity::new();
        identity
            .publish(certificate_pem, key_pem)
            .map_err(CredentialsError::Identity)?;
        let config = client_config(authorities, Some(Arc::new(identity)))
            .map_err(CredentialsError::Config)?;
        self.trust.replace(authorities);
        self.connector
            .send_replace(Some(TlsConnector::from(config)));
        Ok(())
    }

    /// Keeps what stands in the way of good credentials, for readiness; true if it is new, so that the
    /// log is to have it.
    pub fn note_fault(&self, text: &str) -> bool {
        self.fault.note(text)
    }

    /// Nothing stands in the way any more.
    pub fn clear_fault(&self) {
        self.fault.clear();
    }

    pub(crate) fn fault(&self) -> Option<String> {
        self.fault.text()
    }

    pub(crate) fn trust(&self) -> &ServerTrust {
        &self.trust
    }

    /// Follows what new connections are to be made with.
    pub(crate) fn connector(&self) -> watch::Receiver<Option<TlsConnector>> {
        self.connector.subscribe()
    }
}

impl fmt::Debug for CredentialStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialStore")
            .field("trust", &self.trust)
            .finish_non_exhaustive()
    }
}

impl Default for CredentialStore {
    fn default() -> Self {
        Self::new()
    }
}

/// What the files hold.
#[derive(PartialEq, Eq)]
pub(super) struct Contents {
    certificate: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
    ca: Vec<u8>,
}

/// Publishes what the files hold, now and after each change, until `stop`. Files that do not fit
/// together (half written, say) leave the former publication in force, and a fault.
pub(super) async fn follow(
    files: CredentialFiles,
    store: Arc<CredentialStore>,
    stop: CancellationToken,
) {
    let mut loaded = None;
    loop {
        match reload(&files, &mut loaded, &store).await {
            Ok(()) => store.clear_fault(),
            Err(error) => {
                let text = format!("agent.tls: {}", chain(&error));
                if store.note_fault(&text) {
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

/// Reads the files and publishes what they hold if it differs from `loaded`.
pub(super) async fn reload(
    files: &CredentialFiles,
    loaded: &mut Option<Contents>,
    store: &CredentialStore,
) -> Result<(), CredentialsError> {
    let contents = Contents {
        certificate: read(&files.certificate).await?,
        key: Zeroizing::new(read(&files.key).await?),
        ca: read(&files.ca).await?,
    };
    if loaded.as_ref() == Some(&contents) {
        return Ok(());
    }
    let Contents {
        certificate,
        key,
        ca,
    } = &contents;
    let authorities = CertificateBundle::parse_pem(ca).map_err(CredentialsError::Ca)?;
    store.publish(&authorities, certificate, key)?;
    *loaded = Some(contents);
    Ok(())
}

async fn read(path: &PathBuf) -> Result<Vec<u8>, CredentialsError> {
    tokio::fs::read(path)
        .await
        .map_err(|source| CredentialsError::Read {
            path: path.clone(),
            source,
        })
}

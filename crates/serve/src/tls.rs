//! TLS configurations: assembled whole, checked, then swapped in one step.
//!
//! This module alone names [`ServerConfig`], and for peers of our own [`ClientConfig`]; calls to
//! others are `haulout_https`'s. Both speak TLS 1.3 only, but for the server that anybody may call,
//! with aws-lc-rs named explicitly, and neither resumes sessions: a resumed session would skip the
//! handshake that proves the peer's key, and would outlive the certificate that began it.

mod identity;
mod possession;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::SystemTime;

use arc_swap::ArcSwapOption;
use haulout_pki::bundle::CertificateBundle;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::server::NoServerSessionStorage;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

pub(crate) use self::identity::verify_server;
pub use self::identity::{ClientIdentity, IdentityError, ServingIdentity};
use self::possession::ProofOfPossession;

/// The one set of algorithms that every configuration of ours uses.
static PROVIDER: LazyLock<Arc<CryptoProvider>> =
    LazyLock::new(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));

/// The provider of every configuration, for callers that check chains by themselves.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::clone(&PROVIDER)
}

/// The server side's configuration in force: nothing at first, then what was published last.
///
/// Connections begun before a publication go on with the certificate they have seen.
#[derive(Default)]
pub struct ServingStore {
    clients: Clients,
    published: ArcSwapOption<Published>,
}

/// Who is served.
#[derive(Clone, Copy, Default)]
enum Clients {
    /// Parts of Kubernetes and of ours: TLS 1.3, and each is asked for a certificate.
    #[default]
    Peers,
    /// Whoever comes, through whatever proxy: TLS 1.2 too, and nobody is asked for a certificate.
    Anybody,
}

struct Published {
    config: Arc<ServerConfig>,
    not_after: SystemTime,
}

impl ServingStore {
    /// A store without a certificate, with which every handshake fails.
    pub fn new() -> Self {
        Self::default()
    }

    /// A store of a server that asks no client for a certificate. It speaks TLS 1.2 as well, if the
    /// feature `tls12` is on: nginx before 1.23.4 and some load balancers offer their backends no more.
    pub fn for_anybody() -> Self {
        Self {
            clients: Clients::Anybody,
            ..Self::default()
        }
    }

    /// Serves `identity` to every handshake that begins from now on.
    pub fn publish(&self, identity: ServingIdentity) -> Result<(), IdentityError> {
        let not_after = identity.not_after();
        let config = Arc::new(server_config(identity, self.clients)?);
        self.published
            .store(Some(Arc::new(Published { config, not_after })));
        Ok(())
    }

    /// The end of the published leaf's validity; nothing while no handshake can succeed.
    pub fn not_after(&self) -> Option<SystemTime> {
        self.published
            .load()
            .as_ref()
            .map(|published| published.not_after)
    }

    /// The configuration for one new handshake.
    pub(crate) fn current(&self) -> Option<Arc<ServerConfig>> {
        self.published
            .load()
            .as_ref()
            .map(|published| Arc::clone(&published.config))
    }
}

impl fmt::Debug for ServingStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServingStore")
            .field("not_after", &self.not_after())
            .finish()
    }
}

fn server_config(
    identity: ServingIdentity,
    clients: Clients,
) -> Result<ServerConfig, IdentityError> {
    let builder = ServerConfig::builder_with_provider(provider());
    let builder = match clients {
        Clients::Peers => builder.with_protocol_versions(&[&rustls::version::TLS13]),
        Clients::Anybody => builder.with_protocol_versions(rustls::ALL_VERSIONS),
    };
    let builder = builder.map_err(IdentityError::Config)?;
    let builder = match clients {
        Clients::Peers => {
            builder.with_client_cert_verifier(Arc::new(ProofOfPossession::new(&PROVIDER)))
        }
        Clients::Anybody => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(
        identity.into_certified_key(),
    )));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

/// Why a client side configuration cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientConfigError {
    /// One of the roots is no usable certificate authority.
    #[error("failed to read a trusted CA certificate; replace it in the CA bundle")]
    Root(#[source] rustls::Error),
    /// The TLS library refused our settings; no input leads here.
    #[error("failed to set up TLS 1.3")]
    Config(#[source] rustls::Error),
}

/// The client side for HTTP/2 over TLS 1.3: trusts `roots` alone, checks the server's name, and
/// shows what `identity` holds when a connection begins (nothing while it is empty).
pub fn client_config(
    roots: &CertificateBundle,
    identity: Option<Arc<ClientIdentity>>,
) -> Result<Arc<ClientConfig>, ClientConfigError> {
    let mut store = RootCertStore::empty();
    for root in roots.certificates() {
        store.add(root.clone()).map_err(ClientConfigError::Root)?;
    }
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(ClientConfigError::Config)?
        .with_root_certificates(store);
    let mut config = match identity {
        Some(identity) => builder.with_client_cert_resolver(identity),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

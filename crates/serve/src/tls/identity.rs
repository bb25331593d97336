//! A certificate chain together with its private key, checked as a peer will see it.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwapOption;
use haulout_pki::bundle::{self, BundleError, CertificateBundle};
use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, SignatureScheme};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;

/// Why a certificate chain and key cannot be used together.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The chain is no PEM, or holds no certificate.
    #[error("failed to read the certificate chain; it must be PEM with the leaf first")]
    Chain(#[source] BundleError),
    /// The leaf's dates cannot be read.
    #[error("failed to read the validity of the leaf certificate")]
    Validity(#[source] BundleError),
    /// The key is no PEM private key.
    #[error("failed to read the private key; it must be PEM in PKCS#8, PKCS#1 or SEC1 form")]
    Key(#[source] rustls_pki_types::pem::Error),
    /// The key has a type or size that TLS 1.3 cannot use.
    #[error(
        "failed to use the private key for TLS; take P-256, P-384, Ed25519 or RSA of 2048 bits or more"
    )]
    UnusableKey(#[source] rustls::Error),
    /// A peer would not be able to read the leaf.
    #[error("failed to read the leaf certificate as a TLS peer would")]
    UnusableLeaf(#[source] rustls::Error),
    /// The key belongs to another certificate.
    #[error("the private key does not belong to the leaf certificate; write both files together")]
    KeyMismatch,
    /// The TLS library refused our settings; no input leads here.
    #[error("failed to set up TLS 1.3")]
    Config(#[source] rustls::Error),
}

/// A chain (leaf first) and its key, fit to be served; expiry is the caller's to judge.
pub struct ServingIdentity {
    certified_key: CertifiedKey,
    not_after: SystemTime,
}

impl ServingIdentity {
    /// Reads both from PEM and checks that a peer can use them: the leaf parses under the rules
    /// of a TLS peer, the key can sign in TLS 1.3 and is the leaf's own.
    pub fn from_pem(chain_pem: &[u8], key_pem: &[u8]) -> Result<Self, IdentityError> {
        let (certified_key, not_after) = certified_key(chain_pem, key_pem)?;
        Ok(Self {
            certified_key,
            not_after,
        })
    }

    /// The end of the leaf's validity.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    pub(super) fn into_certified_key(self) -> CertifiedKey {
        self.certified_key
    }
}

impl fmt::Debug for ServingIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServingIdentity")
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

/// The certificate that a client shows in handshakes; empty at first, swapped at will.
#[derive(Default)]
pub struct ClientIdentity {
    current: ArcSwapOption<CertifiedKey>,
}

impl ClientIdentity {
    /// An identity that shows no certificate yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Shows this chain (leaf first) from the next connection on, after the checks of
    /// [`ServingIdentity::from_pem`]; on an error the former one stays.
    pub fn publish(&self, chain_pem: &[u8], key_pem: &[u8]) -> Result<(), IdentityError> {
        let (certified_key, _) = certified_key(chain_pem, key_pem)?;
        self.current.store(Some(Arc::new(certified_key)));
        Ok(())
    }
}

impl ResolvesClientCert for ClientIdentity {
    fn resolve(
        &self,
        _root_hint_subjects: &[&[u8]],
        schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        self.current
            .load_full()
            .filter(|current| current.key.choose_scheme(schemes).is_some())
    }

    fn has_certs(&self) -> bool {
        // Asked once per handshake, so a certificate published later counts too.
        self.current.load().is_some()
    }
}

impl fmt::Debug for ClientIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientIdentity")
            .field("published", &self.has_certs())
            .finish()
    }
}

fn certified_key(
    chain_pem: &[u8],
    key_pem: &[u8],
) -> Result<(CertifiedKey, SystemTime), IdentityError> {
    let chain = CertificateBundle::parse_pem(chain_pem).map_err(IdentityError::Chain)?;
    let chain = chain.certificates().to_vec();
    let key = PrivateKeyDer::from_pem_slice(key_pem).map_err(IdentityError::Key)?;
    let key = super::PROVIDER
        .key_provider
        .load_private_key(key)
        .map_err(IdentityError::UnusableKey)?;
    let certified_key = CertifiedKey::new(chain, key);
    certified_key.keys_match().map_err(|error| match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            IdentityError::KeyMismatch
        }
        other => IdentityError::UnusableLeaf(other),
    })?;
    let leaf = certified_key
        .end_entity_cert()
        .map_err(IdentityError::UnusableLeaf)?;
    let not_after = bundle::validity(leaf)
        .map_err(IdentityError::Validity)?
        .not_after;
    Ok((certified_key, not_after))
}

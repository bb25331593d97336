//! A certificate chain together with its private key, checked as a peer will see it.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwapOption;
use haulout_pki::bundle::{self, BundleError, CertificateBundle};
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{ResolvesClientCert, WebPkiServerVerifier, verify_server_name};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

/// Why a certificate chain and key cannot be used together.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The chain is no PEM, or holds no certificate.
    #[error("failed to read the certificate chain; it must be PEM with the leaf first")]
    Chain(#[source] BundleError),
    /// The leaf's dates cannot be read.
    #[error("failed to read the validity of the leaf certificate")]
    Validity(#[source] BundleError),
    /// The key is no PEM private key. The library's error is left out: it repeats lines of the key.
    #[error("failed to read the private key; it must be PEM in PKCS#8, PKCS#1 or SEC1 form")]
    Key,
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
    /// No root certificate is usable, so that no client would trust the chain.
    #[error("there is no usable CA certificate to check the chain against")]
    NoRoot,
    /// A name that clients are to call the server by is no DNS name.
    #[error("failed to read a server name; it must be a DNS name")]
    Name(#[source] rustls_pki_types::InvalidDnsNameError),
    /// The leaf does not count yet.
    #[error("the certificate is not valid yet; check the clock of this machine")]
    NotYetValid,
    /// The leaf counts no more.
    #[error("the certificate has expired; renew it")]
    Expired,
    /// The leaf does not name the server as clients call it.
    #[error("the certificate is of another server")]
    WrongName(#[source] rustls::Error),
    /// A client would refuse the chain.
    #[error("the certificate chain would be refused by clients")]
    Untrusted(#[source] rustls::Error),
    /// The TLS library refused our settings; no input leads here.
    #[error("failed to set up TLS 1.3")]
    Config(#[source] rustls::Error),
}

/// A chain (leaf first) and its key, fit to be served; expiry is the caller's to judge.
#[derive(Clone)]
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

    /// Judges the chain at `now` as a client would that trusts `roots` alone and calls the server by
    /// each of `names`: signatures, dates, server authentication, names.
    ///
    /// # Errors
    /// What the client would complain of.
    pub fn verify(
        &self,
        roots: &CertificateBundle,
        names: &[String],
        now: SystemTime,
    ) -> Result<(), IdentityError> {
        verify_server(&self.certified_key.cert, roots, names, now)
    }

    /// Judges at `now` what can be judged without knowing whom clients trust, who call the server by
    /// `name`: the leaf's dates and its names.
    ///
    /// # Errors
    /// What each of them would complain of.
    pub fn verify_leaf(&self, name: &str, now: SystemTime) -> Result<(), IdentityError> {
        let (leaf, _) = self
            .certified_key
            .cert
            .split_first()
            .ok_or(IdentityError::Chain(BundleError::Empty))?;
        let validity = bundle::validity(leaf).map_err(IdentityError::Validity)?;
        if now < validity.not_before {
            return Err(IdentityError::NotYetValid);
        }
        if validity.not_after < now {
            return Err(IdentityError::Expired);
        }
        let leaf = ParsedCertificate::try_from(leaf).map_err(IdentityError::UnusableLeaf)?;
        let name = ServerName::try_from(name).map_err(IdentityError::Name)?;
        verify_server_name(&leaf, &name).map_err(IdentityError::WrongName)
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

/// Judges a server's chain, leaf first, as [`ServingIdentity::verify`] does.
pub(crate) fn verify_server(
    chain: &[CertificateDer<'static>],
    roots: &CertificateBundle,
    names: &[String],
    now: SystemTime,
) -> Result<(), IdentityError> {
    let mut trusted = RootCertStore::empty();
    // A root that cannot be read is one that the client cannot read either.
    trusted.add_parsable_certificates(roots.certificates().iter().cloned());
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(trusted), super::provider())
            .build()
            .map_err(|_no_root| IdentityError::NoRoot)?;
    let since_epoch = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (leaf, intermediates) = chain
        .split_first()
        .ok_or(IdentityError::Chain(BundleError::Empty))?;
    for name in names {
        let name = ServerName::try_from(name.as_str()).map_err(IdentityError::Name)?;
        let now = UnixTime::since_unix_epoch(since_epoch);
        verifier
            .verify_server_cert(leaf, intermediates, &name, &[], now)
            .map_err(IdentityError::Untrusted)?;
    }
    Ok(())
}

fn certified_key(
    chain_pem: &[u8],
    key_pem: &[u8],
) -> Result<(CertifiedKey, SystemTime), IdentityError> {
    let chain = CertificateBundle::parse_pem(chain_pem).map_err(IdentityError::Chain)?;
    let chain = chain.certificates().to_vec();
    let key =
        PrivateKeyDer::from_pem_slice(key_pem).map_err(|_repeats_lines| IdentityError::Key)?;
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

//! Trust in client certificates, decided per request.
//!
//! The handshake proves only that a client holds its key. Whether its certificate counts is asked
//! for each request against the bundle in force, so a swapped CA takes effect on connections that
//! are already open.

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{SHA256, digest};
use haulout_pki::bundle::{self, BundleError, CertificateBundle};
use haulout_pki::hex;
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::{CertificateDer, UnixTime};

use crate::listener::PeerCertificates;

/// How many verdicts of each kind are kept for one bundle.
const VERDICTS: usize = 64;

/// The longest chain that is judged: the work on a chain grows with the pairs of its certificates,
/// and anybody may show one.
const LONGEST_CHAIN: usize = 4;

/// The most bytes of such a chain: front proxies have some 2 KB. Chains are compared with those known.
const LARGEST_CHAIN: usize = 16 * 1024;

/// How long a refusal is kept, so that a connection cannot have the same chain judged with each
/// request.
const REFUSED_FOR: Duration = Duration::from_secs(1);

/// A client whose certificate chains to a trusted CA and is meant for client authentication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedClient {
    /// The common name of the subject, if there is one.
    pub common_name: Option<String>,
    /// The URI subject alternative names.
    pub uris: Vec<String>,
    /// SHA-256 over the leaf's DER, in hexadecimal.
    pub sha256: String,
}

/// Why a client is not trusted.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ClientTrustError {
    /// The client showed no certificate.
    #[error("no client certificate was presented")]
    NoCertificate,
    /// The chain is longer, or larger, than any that is judged.
    #[error(
        "the client's certificate chain has more than {LONGEST_CHAIN} certificates or {LARGEST_CHAIN} bytes"
    )]
    TooLong,
    /// No CA is trusted at this time.
    #[error("no client CA is trusted at present; the CA bundle is empty or expired")]
    NoAuthority,
    /// The chain leads to no trusted CA, is out of its dates, or is not for client authentication.
    #[error("failed to verify the client certificate")]
    Untrusted(#[source] rustls::Error),
    /// The certificate verified, but its contents cannot be read.
    #[error("failed to read the client certificate")]
    Unreadable(#[source] BundleError),
}

/// The CAs that client certificates must chain to; replaced as a whole, read without waiting.
pub struct ClientTrust {
    in_force: ArcSwap<InForce>,
}

/// One bundle with the verdicts that were reached under it, which end together.
struct InForce {
    authorities: Vec<Authority>,
    accepted: Verdicts<Arc<VerifiedClient>>,
    /// Apart, so that strangers cannot push out those who are trusted.
    refused: Verdicts<ClientTrustError>,
}

/// Verdicts with the chain that each is about. Few, so that looking through them takes less than hashing a chain.
struct Verdicts<T>(Mutex<Vec<Verdict<T>>>);

struct Authority {
    certificate: CertificateDer<'static>,
    validity: Window,
}

struct Verdict<T> {
    chain: Arc<[CertificateDer<'static>]>,
    verdict: T,
    /// While all that the verdict rests on is valid.
    holds: Window,
}

/// A span of time, both ends included.
#[derive(Clone, Copy)]
pub(crate) struct Window {
    from: SystemTime,
    to: SystemTime,
}

impl ClientTrust {
    /// Trusts nobody, until a bundle is given.
    pub fn new() -> Self {
        Self {
            in_force: ArcSwap::from_pointee(InForce::new(Vec::new())),
        }
    }

    /// Trusts the CAs of `bundle` and no others, from the next request on, open connections
    /// included. A CA whose dates cannot be read is left out.
    pub fn replace(&self, bundle: &CertificateBundle) {
        let authorities = bundle
            .certificates()
            .iter()
            .filter_map(|certificate| {
                let validity = window(certificate).ok()?;
                Some(Authority {
                    certificate: certificate.clone(),
                    validity,
                })
            })
            .collect();
        self.in_force.store(Arc::new(InForce::new(authorities)));
    }

    /// The client behind `peer`, if its chain verifies at `now`, as Go's `x509.Verify` for
    /// client authentication judges: a CA out of its dates does not count.
    ///
    /// The full check costs about 70 µs; a success is kept for as long as the bundle stays and
    /// every certificate that it rests on is valid, a refusal for a second.
    pub fn verify(
        &self,
        peer: &PeerCertificates,
        now: SystemTime,
    ) -> Result<Arc<VerifiedClient>, ClientTrustError> {
        if peer.0.is_empty() {
            return Err(ClientTrustError::NoCertificate);
        }
        let bytes: usize = peer.0.iter().map(|certificate| certificate.len()).sum();
        if peer.0.len() > LONGEST_CHAIN || bytes > LARGEST_CHAIN {
            return Err(ClientTrustError::TooLong);
        }
        let in_force = self.in_force.load();
        let (accepted, refused) = (&in_force.accepted, &in_force.refused);
        if let Some(client) = accepted.known(peer, now) {
            return Ok(client);
        }
        if let Some(error) = refused.known(peer, now) {
            return Err(error);
        }
        match in_force.judge(peer, now) {
            Ok((client, holds)) => {
                accepted.remember(peer, Arc::clone(&client), holds, now);
                Ok(client)
            }
            Err(error) => {
                let holds = Window {
                    from: now,
                    to: now + REFUSED_FOR,
                };
                refused.remember(peer, error.clone(), holds, now);
                Err(error)
            }
        }
    }
}

impl Default for ClientTrust {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ClientTrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authorities = self.in_force.load().authorities.len();
        f.debug_struct("ClientTrust")
            .field("authorities", &authorities)
            .finish()
    }
}

impl InForce {
    fn new(authorities: Vec<Authority>) -> Self {
        Self {
            authorities,
            accepted: Verdicts(Mutex::default()),
            refused: Verdicts(Mutex::default()),
        }
    }

    /// The full check: the client, and while that holds. The trust anchors are chosen anew each
    /// time, because webpki does not look at an anchor's own dates.
    fn judge(
        &self,
        peer: &PeerCertificates,
        now: SystemTime,
    ) -> Result<(Arc<VerifiedClient>, Window), ClientTrustError> {
        let (leaf, intermediates) = peer
            .0
            .split_first()
            .ok_or(ClientTrustError::NoCertificate)?;
        let mut roots = RootCertStore::empty();
        let mut holds = Vec::new();
        for authority in self.authorities.iter().filter(|a| a.validity.contains(now)) {
            if roots.add(authority.certificate.clone()).is_ok() {
                holds.push(authority.validity);
            }
        }
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), crate::tls::provider())
                .build()
                .map_err(|_no_root| ClientTrustError::NoAuthority)?;
        let since_epoch = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        verifier
            .verify_client_cert(leaf, intermediates, UnixTime::since_unix_epoch(since_epoch))
            .map_err(ClientTrustError::Untrusted)?;

        let validity = window(leaf).map_err(ClientTrustError::Unreadable)?;
        for certificate in intermediates {
            holds.push(window(certificate).map_err(ClientTrustError::Unreadable)?);
        }
        let client = VerifiedClient {
            common_name: bundle::common_name(leaf),
            uris: bundle::uri_sans(leaf),
            sha256: hex(digest(&SHA256, leaf).as_ref()),
        };
        let holds = holds.into_iter().fold(validity, Window::intersect);
        Ok((Arc::new(client), holds))
    }
}

impl<T: Clone> Verdicts<T> {
    fn known(&self, peer: &PeerCertificates, now: SystemTime) -> Option<T> {
        let verdicts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = verdicts.iter().find(|kept| kept.is_about(peer))?;
        kept.holds.contains(now).then(|| kept.verdict.clone())
    }

    fn remember(&self, peer: &PeerCertificates, verdict: T, holds: Window, now: SystemTime) {
        let mut verdicts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        verdicts.retain(|kept| kept.holds.contains(now) && !kept.is_about(peer));
        if verdicts.len() >= VERDICTS {
            verdicts.clear();
        }
        verdicts.push(Verdict {
            chain: Arc::clone(&peer.0),
            verdict,
            holds,
        });
    }
}

impl<T> Verdict<T> {
    /// The requests of a connection share one chain.
    fn is_about(&self, peer: &PeerCertificates) -> bool {
        Arc::ptr_eq(&self.chain, &peer.0) || self.chain == peer.0
    }
}

impl Window {
    pub(crate) fn contains(self, time: SystemTime) -> bool {
        self.from <= time && time <= self.to
    }

    pub(crate) fn intersect(self, other: Self) -> Self {
        Self {
            from: self.from.max(other.from),
            to: self.to.min(other.to),
        }
    }
}

pub(crate) fn window(certificate: &[u8]) -> Result<Window, BundleError> {
    let validity = bundle::validity(certificate)?;
    Ok(Window {
        from: validity.not_before,
        to: validity.not_after,
    })
}

//! Trust in the certificates of servers, decided per call.
//!
//! The handshake checks a server once, but connections stay open for days. Whether a call may still
//! go to that server is asked against the bundle in force, as
//! [`ClientTrust`](crate::client_trust::ClientTrust) does for callers.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwapOption;
use haulout_pki::bundle::CertificateBundle;
use rustls_pki_types::CertificateDer;

use crate::client_trust::{Window, window};
use crate::tls::{IdentityError, verify_server};

/// The CAs that servers of one name must chain to; replaced as a whole, read without waiting.
pub struct ServerTrust {
    names: [String; 1],
    in_force: ArcSwapOption<CertificateBundle>,
}

/// The chain that a server has shown in its handshake, and the last verdict about it.
pub struct ServerChain {
    certificates: Vec<CertificateDer<'static>>,
    accepted: ArcSwapOption<Accepted>,
}

/// Holds under this bundle, while all that it rests on is valid.
struct Accepted {
    under: Arc<CertificateBundle>,
    holds: Window,
}

impl ServerTrust {
    /// Trusts no server, until a bundle is given.
    pub fn new(name: &str) -> Self {
        Self {
            names: [name.to_owned()],
            in_force: ArcSwapOption::empty(),
        }
    }

    /// Trusts the CAs of `bundle` and no others, from the next call on, open connections included.
    pub fn replace(&self, bundle: &CertificateBundle) {
        self.in_force.store(Some(Arc::new(bundle.clone())));
    }

    /// Whether a call may go to the server that has shown `chain`. A CA out of its dates does not
    /// count. The full check costs some 70 µs and is made once for each chain and bundle.
    ///
    /// # Errors
    /// Why not.
    pub fn verify(&self, chain: &ServerChain, now: SystemTime) -> Result<(), IdentityError> {
        let bundle = self.in_force.load_full().ok_or(IdentityError::NoRoot)?;
        let accepted = chain.accepted.load();
        let is_known = accepted
            .as_ref()
            .is_some_and(|one| Arc::ptr_eq(&one.under, &bundle) && one.holds.contains(now));
        if is_known {
            return Ok(());
        }
        let valid = |one: &CertificateDer<'static>| window(one).is_ok_and(|w| w.contains(now));
        let roots = bundle.filtered(valid).ok_or(IdentityError::NoRoot)?;
        verify_server(&chain.certificates, &roots, &self.names, now)?;
        let windows = chain.certificates.iter().chain(roots.certificates());
        let holds = windows
            .map(|one| window(one))
            .reduce(|all, one| Ok(all?.intersect(one?)));
        if let Some(Ok(holds)) = holds {
            let accepted = Accepted {
                under: bundle,
                holds,
            };
            chain.accepted.store(Some(Arc::new(accepted)));
        }
        Ok(())
    }
}

impl ServerChain {
    /// The certificates of a handshake, leaf first.
    pub fn new(certificates: &[CertificateDer<'_>]) -> Self {
        Self {
            certificates: certificates
                .iter()
                .map(|one| one.clone().into_owned())
                .collect(),
            accepted: ArcSwapOption::empty(),
        }
    }
}

impl fmt::Debug for ServerTrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authorities = self.in_force.load();
        let authorities = authorities.as_ref().map(|all| all.certificates().len());
        f.debug_struct("ServerTrust")
            .field("authorities", &authorities.unwrap_or_default())
            .finish()
    }
}

impl fmt::Debug for ServerChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerChain")
            .field("certificates", &self.certificates.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use haulout_pki::authority::{SigningAuthority, generate_authority};
    use haulout_pki::profile::Validity;
    use haulout_pki::secret_key::KeyPair;

    use super::*;

    const NAME: &str = "agent.example.com";
    const HOUR: Duration = Duration::from_secs(3600);

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }

    /// A CA whose life ends after so many hours.
    fn authority(hours: u32) -> (SigningAuthority, CertificateBundle) {
        let life = Validity {
            not_before: now() - HOUR,
            not_after: now() + HOUR * hours,
        };
        let made = generate_authority("CA", life).unwrap();
        let certificate = made.certificate_pem.as_bytes();
        let authority = SigningAuthority::from_pem(certificate, made.key_pem.as_bytes(), now());
        let bundle = CertificateBundle::parse_pem(certificate);
        (authority.unwrap(), bundle.unwrap())
    }

    /// The chain of a server whose leaf lives two hours.
    fn chain(authority: &SigningAuthority, name: &str) -> ServerChain {
        let key = KeyPair::generate_p256().unwrap();
        let life = Validity {
            not_before: now() - HOUR,
            not_after: now() + HOUR * 2,
        };
        let names = [name.to_owned()];
        let leaf = authority
            .issue_serving_certificate(&names, &[], &key.spki_der(), life)
            .unwrap();
        let leaf = CertificateBundle::parse_pem(leaf.pem.as_bytes()).unwrap();
        ServerChain::new(leaf.certificates())
    }

    #[test]
    fn a_server_counts_by_its_ca_its_name_and_its_dates() {
        let (ours, bundle) = authority(9);
        let (other, other_bundle) = authority(9);
        let trust = ServerTrust::new(NAME);
        let good = chain(&ours, NAME);
        assert!(trust.verify(&good, now()).is_err(), "no bundle yet");
        trust.replace(&bundle);
        trust.verify(&good, now()).unwrap();
        assert!(trust.verify(&chain(&ours, "b.example.com"), now()).is_err());
        assert!(trust.verify(&chain(&other, NAME), now()).is_err());
        assert!(trust.verify(&ServerChain::new(&[]), now()).is_err());
        assert!(trust.verify(&good, now() + HOUR * 3).is_err(), "expired");

        trust.replace(&other_bundle);
        assert!(trust.verify(&good, now()).is_err(), "out of force");
        trust.replace(&bundle.union(&other_bundle));
        trust.verify(&good, now()).unwrap();
    }

    /// The library that checks chains does not look at the dates of a CA.
    #[test]
    fn a_ca_counts_within_its_dates_only() {
        let (short_lived, bundle) = authority(1);
        let trust = ServerTrust::new(NAME);
        trust.replace(&bundle);
        // A leaf of ours ends with its CA: what is told shows that the CA's own end was looked at.
        let good = chain(&short_lived, NAME);
        trust.verify(&good, now()).unwrap();
        let late = now() + HOUR + Duration::from_secs(1);
        assert!(matches!(
            trust.verify(&good, late),
            Err(IdentityError::NoRoot)
        ));
    }
}

//! This replica's client certificate: when another is issued, and by which CA. The time is an argument.

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use haulout_api::signing::WEBHOOK_URI;
use haulout_pki::authority::SigningAuthority;
use haulout_pki::bundle::CertificateBundle;
use haulout_pki::profile::Validity;
use haulout_pki::secret_key::KeyPair;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use zeroize::Zeroizing;

use super::ANNOUNCED_FOR;
use crate::controllers::renewal::{BACKDATED, RenewError, part_left};

const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// The wall clock is looked at this often, since it may jump.
const CHECK_EVERY: Duration = Duration::from_secs(60);

/// A client certificate and its key, known to no other process.
#[derive(Clone)]
pub(super) struct ClientLeaf {
    pub(super) certificate_pem: String,
    pub(super) key_pem: Zeroizing<String>,
    pub(super) ends: SystemTime,
    issuer: Option<CertificateDer<'static>>,
}

/// Since when this replica has known each CA in force.
#[derive(Debug, Default)]
pub(super) struct Known(HashMap<CertificateDer<'static>, SystemTime>);

/// What matters of the certificate that is shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    ends: SystemTime,
    /// Whether its issuer is still among the CAs in force.
    is_trusted: bool,
    /// If another CA is to sign now: for how long this replica has known of it.
    new_signer_known_for: Option<Duration>,
}

impl ClientLeaf {
    pub(super) fn issue(signer: &SigningAuthority, now: SystemTime) -> Result<Self, RenewError> {
        let key = KeyPair::generate_p256().map_err(RenewError::Key)?;
        let validity = Validity {
            not_before: now - BACKDATED,
            not_after: now + LIFETIME,
        };
        let issued = signer
            .issue_uri_client_certificate(WEBHOOK_URI, &key.spki_der(), validity)
            .map_err(RenewError::Leaf)?;
        Ok(Self {
            certificate_pem: issued.pem,
            key_pem: key.pkcs8_pem(),
            ends: issued.not_after,
            issuer: certificate(signer),
        })
    }

    pub(super) fn facts(
        &self,
        signer: &SigningAuthority,
        authorities: &CertificateBundle,
        known: &Known,
        now: SystemTime,
    ) -> Facts {
        let issuer = self.issuer.as_ref();
        let signer = certificate(signer);
        Facts {
            ends: self.ends,
            is_trusted: issuer.is_some_and(|one| authorities.certificates().contains(one)),
            new_signer_known_for: signer
                .filter(|signer| Some(signer) != issuer)
                .map(|signer| known.known_for(&signer, now)),
        }
    }
}

impl Known {
    pub(super) fn note(&mut self, authorities: &CertificateBundle, now: SystemTime) {
        let authorities = authorities.certificates();
        self.0.retain(|known, _| authorities.contains(known));
        for authority in authorities {
            self.0.entry(authority.clone()).or_insert(now);
        }
    }

    fn known_for(&self, authority: &CertificateDer<'static>, now: SystemTime) -> Duration {
        let since = self.0.get(authority);
        since
            .and_then(|since| now.duration_since(*since).ok())
            .unwrap_or_default()
    }
}

/// Whether another certificate is to be issued at `now`, and when to look again.
///
/// That of a CA which agents may not know yet, because the key of the one before is lost, waits as long
/// as the present one counts: a leader that still has that key lets everybody use it meanwhile.
pub(super) fn due(shown: Option<&Facts>, now: SystemTime) -> (bool, Duration) {
    let Some(shown) = shown else {
        return (true, CHECK_EVERY);
    };
    let left = shown.ends.duration_since(now).unwrap_or_default();
    match shown.new_signer_known_for {
        _ if left.is_zero() || !shown.is_trusted => (true, CHECK_EVERY),
        Some(known_for) => {
            let wait = ANNOUNCED_FOR.saturating_sub(known_for);
            (
                wait.is_zero(),
                wait.clamp(Duration::from_secs(1), CHECK_EVERY),
            )
        }
        None => {
            let wait = left.saturating_sub(part_left(LIFETIME));
            (
                wait.is_zero(),
                wait.clamp(Duration::from_secs(1), CHECK_EVERY),
            )
        }
    }
}

fn certificate(authority: &SigningAuthority) -> Option<CertificateDer<'static>> {
    CertificateDer::from_pem_slice(authority.certificate_pem().as_bytes()).ok()
}

impl fmt::Debug for ClientLeaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientLeaf")
            .field("ends", &self.ends)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_certificate_is_issued_in_time_and_by_a_ca_that_agents_know() {
        const HOUR: u64 = 3600;
        let now = SystemTime::UNIX_EPOCH + LIFETIME;
        // Seconds left, whether the issuer counts, seconds for which another signer is known.
        let rows = [
            (24 * HOUR, true, None, (false, 60)),
            (8 * HOUR + 30, true, None, (false, 30)),
            (8 * HOUR, true, None, (true, 1)),
            (0, true, None, (true, 60)),
            (24 * HOUR, true, Some(0), (false, 60)),
            (24 * HOUR, true, Some(100), (false, 20)),
            (24 * HOUR, true, Some(120), (true, 1)),
            // The old one is worth more than one that agents may not know.
            (60, true, Some(100), (false, 20)),
            (0, true, Some(100), (true, 60)),
            (24 * HOUR, false, Some(0), (true, 60)),
        ];
        for (left, is_trusted, known_for, (is_due, next)) in rows {
            let facts = Facts {
                ends: now + Duration::from_secs(left),
                is_trusted,
                new_signer_known_for: known_for.map(Duration::from_secs),
            };
            let outcome = due(Some(&facts), now);
            assert_eq!(outcome, (is_due, Duration::from_secs(next)), "{facts:?}");
        }
        assert_eq!(due(None, now), (true, CHECK_EVERY));
    }
}

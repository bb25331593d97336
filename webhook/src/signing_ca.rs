//! Holds certificates back when the key that signed them is the front proxy's.
//!
//! Whoever has a certificate of the front proxy's CA can name himself anybody. If an agent was given
//! that CA for signing, no login may succeed, whatever else works.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use haulout_pki::bundle::{BundleError, CertificateBundle};
use haulout_pki::signature::{Issuer, issuer};
use haulout_serve::front_proxy::FrontProxy;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio::sync::Notify;
use tokio::time::Instant;

/// How long a judgement holds for certificates of one issuer: to verify a signature costs as much as to make one.
const JUDGED_FOR: Duration = Duration::from_secs(60);
/// How many issuers are known at a time: agents have one, and a second while their CA is replaced.
const KNOWN_ISSUERS: usize = 8;

/// Why a certificate is held back.
#[derive(Debug, thiserror::Error)]
pub enum SigningCaError {
    /// It could vouch for anybody.
    #[error(
        "the agents sign with the key of the front proxy's CA, so that every user could become any other; give them the \
         files of kube-controller-manager's --cluster-signing-cert-file and --cluster-signing-key-file"
    )]
    FrontProxyKey,
    /// It is none.
    #[error("failed to read the certificate that the agent gave")]
    Unreadable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl SigningCaError {
    /// One word from a fixed set, for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::FrontProxyKey => "FrontProxyKeySigns",
            Self::Unreadable(_) => "InvalidAgentAnswer",
        }
    }
}

/// Judges each certificate before it is handed out.
pub struct SigningCaGuard {
    front_proxy: Arc<FrontProxy>,
    /// The oldest first.
    judged: Mutex<Vec<Judged>>,
    changed: Notify,
}

struct Judged {
    issuer: Issuer,
    /// The CAs of the front proxy at the time.
    front_proxy_ca: Option<Arc<CertificateBundle>>,
    at: Instant,
    is_front_proxy_key: bool,
}

impl SigningCaGuard {
    /// Compares with the keys that `front_proxy` has at the time.
    pub fn new(front_proxy: Arc<FrontProxy>) -> Self {
        Self {
            front_proxy,
            judged: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// Lets a certificate of an agent, PEM, through.
    ///
    /// # Errors
    /// [`SigningCaError`]: it must not be handed out.
    pub fn admit(&self, certificate_pem: &str) -> Result<(), SigningCaError> {
        let der = der(certificate_pem)?;
        let issuer = issuer(&der).map_err(unreadable)?;
        let front_proxy_ca = self.front_proxy.client_ca();
        let mut judged = self.judged.lock().unwrap_or_else(PoisonError::into_inner);
        let known = judged.iter().position(|judged| judged.issuer == issuer);
        if let Some(judged) = known.and_then(|known| judged.get(known))
            && judged.issuer.key_id.is_some()
            && judged.front_proxy_ca == front_proxy_ca
            && judged.at.elapsed() < JUDGED_FOR
        {
            return verdict(judged.is_front_proxy_key);
        }
        let is_front_proxy_key = has_signed(front_proxy_ca.as_deref(), &der)?;
        match known {
            Some(known) => drop(judged.remove(known)),
            None => self.changed.notify_one(),
        }
        if judged.len() == KNOWN_ISSUERS {
            judged.remove(0);
        }
        judged.push(Judged {
            issuer,
            front_proxy_ca,
            at: Instant::now(),
            is_front_proxy_key,
        });
        verdict(is_front_proxy_key)
    }

    /// Judges a certificate of an agent, PEM, by itself: what was judged before does not count.
    ///
    /// # Errors
    /// [`SigningCaError`]: it must not be used.
    pub fn judge(&self, certificate_pem: &str) -> Result<(), SigningCaError> {
        let der = der(certificate_pem)?;
        has_signed(self.front_proxy.client_ca().as_deref(), &der).and_then(verdict)
    }

    /// Ends when an issuer was met that is none of the last ones; one waits for it.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }
}

/// Whether a key of the front proxy's CAs has signed this certificate; nobody's has while none is known.
fn has_signed(
    front_proxy_ca: Option<&CertificateBundle>,
    der: &[u8],
) -> Result<bool, SigningCaError> {
    front_proxy_ca.map_or(Ok(false), |authorities| {
        authorities.has_signed(der).map_err(unreadable)
    })
}

fn der(certificate_pem: &str) -> Result<CertificateDer<'static>, SigningCaError> {
    CertificateDer::from_pem_slice(certificate_pem.as_bytes())
        .map_err(|error| SigningCaError::Unreadable(error.into()))
}

fn unreadable(error: BundleError) -> SigningCaError {
    SigningCaError::Unreadable(error.into())
}

fn verdict(is_front_proxy_key: bool) -> Result<(), SigningCaError> {
    if is_front_proxy_key {
        Err(SigningCaError::FrontProxyKey)
    } else {
        Ok(())
    }
}

impl fmt::Debug for SigningCaGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningCaGuard").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;
    use futures_util::FutureExt;
    use haulout_operate::clock::Clock;
    use haulout_pki::authority::{SigningAuthority, generate_authority};
    use haulout_pki::profile::{ClientSubject, Validity};
    use haulout_pki::secret_key::KeyPair;
    use haulout_serve::front_proxy::FrontProxyConfig;

    use super::*;
    use crate::signer::fake_agent::new_authority;

    fn certificate((authority, validity): &(SigningAuthority, Validity)) -> String {
        let subject = ClientSubject {
            username: "alice".to_owned(),
            ..ClientSubject::default()
        };
        let spki = KeyPair::generate_p256().unwrap().spki_der();
        let issued = authority.issue_client_certificate(&subject, &spki, *validity);
        issued.unwrap().pem
    }

    fn front_proxy(ca_pem: &str) -> FrontProxyConfig {
        let data = [("requestheader-client-ca-file".to_owned(), ca_pem.to_owned())];
        FrontProxyConfig::from_config_map(&data.into()).unwrap()
    }

    /// The same key, in a certificate that gives it no identifier.
    fn without_key_id(name: &str) -> (SigningAuthority, Validity) {
        const SUBJECT_KEY_IDENTIFIER: &[u8] = &[0x55, 0x1d, 0x0e];
        let now = Clock::system().now();
        let validity = Validity {
            not_before: now,
            not_after: now + Duration::from_secs(3600),
        };
        let made = generate_authority(name, validity).unwrap();
        let mut der = der(&made.certificate_pem).unwrap().to_vec();
        let found = der.windows(3).position(|at| at == SUBJECT_KEY_IDENTIFIER);
        der[found.unwrap() + 2] = 0x7f;
        let certificate = format!(
            "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
            BASE64_STANDARD.encode(der)
        );
        let authority =
            SigningAuthority::from_pem(certificate.as_bytes(), made.key_pem.as_bytes(), now);
        (authority.unwrap(), validity)
    }

    #[tokio::test(start_paused = true)]
    async fn the_key_decides_and_not_the_name() {
        for new in [new_authority, without_key_id] {
            let (cluster, other) = (new("kubernetes"), new("kubernetes"));
            let guard = SigningCaGuard::new(Arc::default());
            let (good, bad) = (certificate(&cluster), certificate(&other));
            guard
                .front_proxy
                .replace(front_proxy(other.0.certificate_pem()));
            for _ in 0..2 {
                guard.admit(&good).unwrap();
                let error = guard.admit(&bad).unwrap_err();
                assert_eq!(error.reason(), "FrontProxyKeySigns");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn another_front_proxy_counts_at_once() {
        let cluster = new_authority("kubernetes");
        let guard = SigningCaGuard::new(Arc::default());
        let certificate = certificate(&cluster);
        // While no front proxy is known, there is none to be taken for.
        guard.admit(&certificate).unwrap();
        guard
            .front_proxy
            .replace(front_proxy(cluster.0.certificate_pem()));
        assert!(guard.admit(&certificate).is_err());
        let other = new_authority("front-proxy-ca");
        guard
            .front_proxy
            .replace(front_proxy(other.0.certificate_pem()));
        guard.admit(&certificate).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn only_so_many_issuers_are_known() {
        let guard = SigningCaGuard::new(Arc::default());
        let first = certificate(&new_authority("kubernetes"));
        guard.admit(&first).unwrap();
        for _ in 0..KNOWN_ISSUERS {
            guard
                .admit(&certificate(&new_authority("kubernetes")))
                .unwrap();
        }
        assert_eq!(guard.judged.lock().unwrap().len(), KNOWN_ISSUERS);
        assert!(guard.changed().now_or_never().is_some());
        guard.admit(&first).unwrap();
        assert!(guard.changed().now_or_never().is_some(), "it was forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn another_issuer_is_judged_at_once_and_told_of() {
        let cluster = new_authority("kubernetes");
        let misused = new_authority("front-proxy-ca");
        let guard = SigningCaGuard::new(Arc::default());
        guard
            .front_proxy
            .replace(front_proxy(misused.0.certificate_pem()));
        let (good, bad) = (certificate(&cluster), certificate(&misused));
        for _ in 0..2 {
            guard.admit(&good).unwrap();
        }
        assert!(guard.changed().now_or_never().is_some());
        assert!(guard.changed().now_or_never().is_none());
        for _ in 0..2 {
            assert!(guard.admit(&bad).is_err());
        }
        assert!(guard.changed().now_or_never().is_some());
        guard.admit(&good).unwrap();
        assert!(guard.changed().now_or_never().is_none(), "both are known");
    }

    #[tokio::test]
    async fn what_is_no_certificate_is_held_back() {
        let guard = SigningCaGuard::new(Arc::default());
        for text in [
            "",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ] {
            assert_eq!(
                guard.admit(text).unwrap_err().reason(),
                "InvalidAgentAnswer"
            );
        }
    }
}

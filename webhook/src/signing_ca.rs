//! Holds certificates back when the key that signed them is the front proxy's.
//!
//! Whoever has a certificate of the front proxy's CA can name himself anybody. If an agent was given
//! that CA for signing, no login may succeed, whatever else works.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use haulout_pki::bundle::BundleError;
use haulout_pki::signature::issuer_der;
use haulout_serve::front_proxy::FrontProxy;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio::sync::Notify;
use tokio::time::Instant;

/// How long a judgement holds for certificates of one issuer: to verify a signature costs as much as to make one.
const JUDGED_FOR: Duration = Duration::from_secs(60);

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
    judged: Mutex<Option<Judged>>,
    changed: Notify,
}

struct Judged {
    issuer: Vec<u8>,
    at: Instant,
    is_front_proxy_key: bool,
}

impl SigningCaGuard {
    /// Compares with the keys that `front_proxy` has at the time.
    pub fn new(front_proxy: Arc<FrontProxy>) -> Self {
        Self {
            front_proxy,
            judged: Mutex::new(None),
            changed: Notify::new(),
        }
    }

    /// Lets a certificate of an agent, PEM, through.
    ///
    /// # Errors
    /// [`SigningCaError`]: it must not be handed out.
    pub fn admit(&self, certificate_pem: &str) -> Result<(), SigningCaError> {
        let der = der(certificate_pem)?;
        let issuer = issuer_der(&der).map_err(unreadable)?;
        let mut judged = self.judged.lock().unwrap_or_else(PoisonError::into_inner);
        let known = judged.as_ref().filter(|judged| judged.issuer == issuer);
        let is_front_proxy_key = match known.filter(|judged| judged.at.elapsed() < JUDGED_FOR) {
            Some(judged) => judged.is_front_proxy_key,
            None => {
                let is_new = known.is_none();
                let is_front_proxy_key = self.judge_signature(&der)?;
                *judged = Some(Judged {
                    issuer: issuer.to_vec(),
                    at: Instant::now(),
                    is_front_proxy_key,
                });
                if is_new {
                    self.changed.notify_one();
                }
                is_front_proxy_key
            }
        };
        verdict(is_front_proxy_key)
    }

    /// Judges a certificate of an agent, PEM, by itself: what was judged before does not count.
    ///
    /// # Errors
    /// [`SigningCaError`]: it must not be used.
    pub fn judge(&self, certificate_pem: &str) -> Result<(), SigningCaError> {
        let der = der(certificate_pem)?;
        self.judge_signature(&der).and_then(verdict)
    }

    fn judge_signature(&self, der: &[u8]) -> Result<bool, SigningCaError> {
        self.front_proxy.has_signed(der).map_err(unreadable)
    }

    /// Ends when an issuer was met that is not the last one; one waits for it.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }
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
    use futures_util::FutureExt;
    use haulout_pki::authority::SigningAuthority;
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

    #[tokio::test(start_paused = true)]
    async fn the_key_decides_and_not_the_name() {
        let cluster = new_authority("kubernetes");
        let other = new_authority("kubernetes");
        let guard = SigningCaGuard::new(Arc::default());
        let (good, bad) = (certificate(&cluster), certificate(&other));
        // While no front proxy is known, there is none to be taken for.
        guard.admit(&bad).unwrap();
        guard
            .front_proxy
            .replace(front_proxy(other.0.certificate_pem()));
        tokio::time::advance(JUDGED_FOR).await;
        guard.admit(&good).unwrap();
        tokio::time::advance(JUDGED_FOR).await;
        let error = guard.admit(&bad).unwrap_err();
        assert_eq!(error.reason(), "FrontProxyKeySigns");
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

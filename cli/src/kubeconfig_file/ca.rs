//! CA certificates, and nothing that may stand beside them in a file.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use haulout_https::TrustRoots;

use crate::login_oidc::certificates_of;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// At least one CA certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CaBundle {
    pem: String,
    certificates: Vec<Vec<u8>>,
}

/// Why a text holds no CA certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CaFault {
    #[error("it is not base64")]
    NotBase64,
    #[error("it holds no PEM certificates, or a damaged one")]
    NotPem,
}

impl CaBundle {
    /// Takes the certificates of a PEM text. What else it holds, such as a key, is left out: the bundle will stand in a
    /// kubeconfig.
    pub(crate) fn parse(pem: &[u8]) -> Result<Self, CaFault> {
        let text = std::str::from_utf8(pem).map_err(|_| CaFault::NotPem)?;
        let mut kept = String::new();
        let mut is_inside = false;
        for line in text.lines().map(str::trim) {
            is_inside |= line == BEGIN;
            if is_inside {
                kept.push_str(line);
                kept.push('\n');
            }
            is_inside &= line != END;
        }
        let certificates = certificates_of(kept.as_bytes()).ok_or(CaFault::NotPem)?;
        Ok(Self {
            pem: kept,
            certificates,
        })
    }

    pub(crate) fn from_base64(data: &str) -> Result<Self, CaFault> {
        let pem = BASE64_STANDARD.decode(data.trim());
        Self::parse(&pem.map_err(|_| CaFault::NotBase64)?)
    }

    /// How many certificates it has.
    pub(crate) fn len(&self) -> usize {
        self.certificates.len()
    }

    pub(crate) fn to_base64(&self) -> String {
        BASE64_STANDARD.encode(&self.pem)
    }

    pub(crate) fn trust_roots(&self) -> TrustRoots {
        TrustRoots::Only(self.certificates.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A block as those of certificates are.
    fn block(kind: &str, content: &str) -> String {
        let content = BASE64_STANDARD.encode(content);
        format!("-----BEGIN {kind}-----\n{content}\n-----END {kind}-----\n")
    }

    #[test]
    fn only_certificates_are_kept() {
        let (one, two) = (block("CERTIFICATE", "one"), block("CERTIFICATE", "two"));
        let key = block("PRIVATE KEY", "very secret");
        let text = format!("password: hunter2\n{one}\r\n{key}# two\n{two}");
        let ca = CaBundle::parse(text.as_bytes()).unwrap();
        assert_eq!(ca.len(), 2);
        assert_eq!(
            ca.to_base64(),
            BASE64_STANDARD.encode(format!("{one}{two}"))
        );
        assert_eq!(CaBundle::from_base64(&ca.to_base64()), Ok(ca));
    }

    #[test]
    fn what_holds_none_is_refused() {
        for text in [
            String::new(),
            "hunter2".to_owned(),
            block("PRIVATE KEY", "very secret"),
            format!("{BEGIN}\n*\n{END}\n"),
            format!("{BEGIN}\nZm9v\n"),
        ] {
            assert_eq!(
                CaBundle::parse(text.as_bytes()),
                Err(CaFault::NotPem),
                "{text}"
            );
        }
        assert_eq!(CaBundle::from_base64("*"), Err(CaFault::NotBase64));
        assert_eq!(CaBundle::from_base64("Zm9v"), Err(CaFault::NotPem));
    }
}

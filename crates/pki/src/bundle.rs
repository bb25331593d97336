//! PEM bundles of certificates, and what can be read from one certificate.

use std::time::SystemTime;

use aws_lc_rs::digest::{Context, SHA256};
use der::Decode;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_cert::Certificate;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use crate::certificate::RawParts;
use crate::pem;
use crate::profile::Validity;

/// Why text or bytes are no certificates.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BundleError {
    /// There is no PEM block of a certificate.
    #[error("found no CERTIFICATE block in the PEM text")]
    Empty,
    /// The PEM text is broken. The library's error is left out: it repeats lines of the text, which
    /// may be those of a key in the wrong place.
    #[error("failed to read the PEM text; a block is cut short, lacks line breaks or is no base64")]
    Pem,
    /// A certificate is not X.509.
    #[error("failed to parse the certificate")]
    Certificate(#[source] der::Error),
}

/// Certificates in the order of their text, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateBundle {
    certificates: Vec<CertificateDer<'static>>,
}

impl CertificateBundle {
    /// Reads the `CERTIFICATE` blocks of a PEM text, at least one; other blocks and text between
    /// them do not count.
    pub fn parse_pem(pem: &[u8]) -> Result<Self, BundleError> {
        let certificates = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_repeats_lines| BundleError::Pem)?;
        if certificates.is_empty() {
            return Err(BundleError::Empty);
        }
        for certificate in &certificates {
            parse(certificate)?;
        }
        Ok(Self::of(certificates))
    }

    /// The certificates, each complete and parsable.
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.certificates
    }

    /// SHA-256 over all certificates in their order, to notice a change.
    pub fn sha256(&self) -> [u8; 32] {
        let mut digest = Context::new(&SHA256);
        for certificate in &self.certificates {
            digest.update(certificate);
        }
        let mut out = [0; 32];
        out.copy_from_slice(digest.finish().as_ref());
        out
    }

    /// One PEM block for each certificate.
    pub fn to_pem(&self) -> String {
        self.certificates
            .iter()
            .map(|certificate| pem::encode(pem::CERTIFICATE, certificate))
            .collect()
    }

    /// These certificates and then those of `other` that are not among them.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self::of(self.certificates.iter().chain(&other.certificates).cloned())
    }

    /// Those certificates that `keep` approves of; nothing if there are none.
    pub fn filtered(&self, keep: impl Fn(&CertificateDer<'static>) -> bool) -> Option<Self> {
        let kept = Self::of(self.certificates.iter().filter(|one| keep(one)).cloned());
        (!kept.certificates.is_empty()).then_some(kept)
    }

    fn of(certificates: impl IntoIterator<Item = CertificateDer<'static>>) -> Self {
        let mut unique = Vec::new();
        for certificate in certificates {
            if !unique.contains(&certificate) {
                unique.push(certificate);
            }
        }
        Self {
            certificates: unique,
        }
    }
}

/// The common name of a DER certificate; none when there is none, or the DER is broken.
pub fn common_name(certificate_der: &[u8]) -> Option<String> {
    let certificate = parse(certificate_der).ok()?;
    let name = certificate.tbs_certificate().subject();
    name.common_name()
        .ok()?
        .map(|name| name.value().into_owned())
}

/// The URIs among the subject alternative names of a DER certificate; none when the DER is broken.
pub fn uri_sans(certificate_der: &[u8]) -> Vec<String> {
    let Ok(certificate) = parse(certificate_der) else {
        return Vec::new();
    };
    let names = certificate.tbs_certificate().get_extension();
    let Ok(Some((_critical, SubjectAltName(names)))) = names else {
        return Vec::new();
    };
    names
        .iter()
        .filter_map(|name| match name {
            GeneralName::UniformResourceIdentifier(uri) => Some(uri.to_string()),
            _ => None,
        })
        .collect()
}

/// The validity of a DER certificate.
pub fn validity(certificate_der: &[u8]) -> Result<Validity, BundleError> {
    let certificate = parse(certificate_der)?;
    let validity = certificate.tbs_certificate().validity();
    Ok(Validity {
        not_before: SystemTime::from(validity.not_before),
        not_after: SystemTime::from(validity.not_after),
    })
}

/// The `SubjectPublicKeyInfo` of a DER certificate, as it stands there.
pub fn spki_der(certificate_der: &[u8]) -> Result<Vec<u8>, BundleError> {
    RawParts::read(certificate_der)
        .map(|parts| parts.spki.to_vec())
        .map_err(BundleError::Certificate)
}

pub(crate) fn parse(certificate_der: &[u8]) -> Result<Certificate, BundleError> {
    Certificate::from_der(certificate_der).map_err(BundleError::Certificate)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::authority::generate_authority;

    fn ca(common_name: &str) -> String {
        let lasting = Validity {
            not_before: UNIX_EPOCH,
            not_after: UNIX_EPOCH + Duration::from_secs(60),
        };
        generate_authority(common_name, lasting)
            .unwrap()
            .certificate_pem
    }

    fn bundle(pem: &str) -> CertificateBundle {
        CertificateBundle::parse_pem(pem.as_bytes()).unwrap()
    }

    #[test]
    fn text_between_blocks_does_not_count() {
        let (a, b) = (ca("a"), ca("b"));
        let text = format!("# first\n{a}\n# second\n{b}-----BEGIN X-----\n-----END X-----\n");
        assert_eq!(bundle(&text).to_pem(), format!("{a}{b}"));
    }

    #[test]
    fn union_keeps_order_and_drops_what_is_there_already() {
        let (a, b, c) = (ca("a"), ca("b"), ca("c"));
        let both = bundle(&format!("{a}{b}")).union(&bundle(&format!("{b}{c}{c}")));
        assert_eq!(both.to_pem(), format!("{a}{b}{c}"));
    }

    #[test]
    fn filtering_keeps_order_and_never_yields_an_empty_bundle() {
        let (a, b, c) = (ca("a"), ca("b"), ca("c"));
        let all = bundle(&format!("{a}{b}{c}"));
        let without_b = all.filtered(|one| common_name(one).as_deref() != Some("b"));
        assert_eq!(without_b.unwrap().to_pem(), format!("{a}{c}"));
        assert_eq!(all.filtered(|_| false), None);
    }

    #[test]
    fn the_hash_changes_with_the_contents_alone() {
        let (a, b) = (ca("a"), ca("b"));
        let hash = bundle(&a).sha256();
        assert_eq!(bundle(&format!("# comment\n{a}")).sha256(), hash);
        assert_ne!(bundle(&b).sha256(), hash);
        assert_ne!(bundle(&format!("{a}{b}")).sha256(), hash);
    }

    #[test]
    fn broken_text_is_refused() {
        let whole = ca("a");
        for (text, reason) in [
            (String::new(), "found no CERTIFICATE"),
            ("hello".to_owned(), "found no CERTIFICATE"),
            (whole.replace("-----END", "-----DNE"), "failed to read"),
            (
                pem::encode(pem::CERTIFICATE, b"junk"),
                "failed to parse the certificate",
            ),
        ] {
            let error = CertificateBundle::parse_pem(text.as_bytes()).unwrap_err();
            assert!(error.to_string().starts_with(reason), "{error}");
        }
    }

    /// As from a variable whose line breaks were escaped.
    #[test]
    fn errors_do_not_repeat_a_key_in_the_wrong_place() {
        let text = r"-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n";
        let error = CertificateBundle::parse_pem(text.as_bytes()).unwrap_err();
        assert!(matches!(error, BundleError::Pem), "{error:?}");
    }

    #[test]
    fn facts_of_one_certificate() {
        let bundle = bundle(&ca("the CA"));
        let certificate = &bundle.certificates()[0];
        assert_eq!(common_name(certificate).unwrap(), "the CA");
        assert_eq!(validity(certificate).unwrap().not_before, UNIX_EPOCH);
        assert!(uri_sans(certificate).is_empty());
        assert!(spki_der(certificate).unwrap().starts_with(&[0x30, 0x59]));
        assert_eq!(common_name(b"junk"), None);
        assert!(validity(b"junk").is_err() && spki_der(b"junk").is_err());
    }
}

//! A CA: load it from PEM, check that its parts belong together, sign with it, make a new one.

mod error;
mod issue;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::IpAddr;
use std::time::SystemTime;

use aws_lc_rs::digest::{SHA256, digest};
use x509_cert::Certificate;
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage, SubjectKeyIdentifier};
use zeroize::Zeroizing;

pub use self::error::{AuthorityError, IssueError};
pub use self::issue::IssuedCertificate;
use self::issue::ToBeSigned;
use crate::bundle::{self, BundleError, CertificateBundle};
use crate::certificate::RawParts;
use crate::encode::DerWriter;
use crate::pem;
use crate::profile::{self, AlternativeName, ClientSubject, Purpose, Validity};
use crate::secret_key::{KeyPair, SigningKey, is_p256_spki};

/// A new CA; the key is a secret.
pub struct GeneratedAuthority {
    /// One PEM `CERTIFICATE` block, signed by itself.
    pub certificate_pem: String,
    /// One PEM `PRIVATE KEY` block.
    pub key_pem: Zeroizing<String>,
}

/// A CA with its key, parsed once; all that its certificates have in common is encoded beforehand.
pub struct SigningAuthority {
    key: SigningKey,
    certificate_pem: String,
    subject: Vec<u8>,
    authority_key_id: Vec<u8>,
    validity: Validity,
}

impl SigningAuthority {
    /// Loads a CA, if it can sign at `now`.
    ///
    /// Of several certificates in the file the one that belongs to the key is used; Pinniped's
    /// Concierge refuses such a file. Keys: RSA (PKCS#1, PKCS#8), EC P-256 and P-384 (SEC1, also
    /// behind an `EC PARAMETERS` block, PKCS#8) and Ed25519 (PKCS#8).
    pub fn from_pem(
        certificate_pem: &[u8],
        key_pem: &[u8],
        now: SystemTime,
    ) -> Result<Self, AuthorityError> {
        let bundle =
            CertificateBundle::parse_pem(certificate_pem).map_err(AuthorityError::Certificate)?;
        let key = SigningKey::from_pem(key_pem).map_err(AuthorityError::Key)?;
        // A renewed CA may stand beside its older self: the last failure counts only if none will do.
        let mut outcome = Err(AuthorityError::Mismatch);
        for certificate in bundle.certificates() {
            let parsed = bundle::parse(certificate).map_err(AuthorityError::Certificate)?;
            let spki = parsed.tbs_certificate().subject_public_key_info();
            if spki.subject_public_key.raw_bytes() != key.public_key() {
                continue;
            }
            outcome = check_authority(&parsed, now).map(|validity| (certificate, parsed, validity));
            if outcome.is_ok() {
                break;
            }
        }
        let (certificate, parsed, validity) = outcome?;
        let parts = RawParts::read(certificate)
            .map_err(BundleError::Certificate)
            .map_err(AuthorityError::Certificate)?;
        Ok(Self {
            certificate_pem: pem::encode(pem::CERTIFICATE, certificate),
            subject: parts.subject.to_vec(),
            authority_key_id: subject_key_id(&parsed)
                .map(|id| profile::authority_key_id_extension(&id))
                .unwrap_or_default(),
            validity,
            key,
        })
    }

    /// Issues a certificate with which `subject` logs in to kube-apiserver.
    ///
    /// The contents are those of Pinniped's `certauthority.IssueClientCert`: organizations, units
    /// and common name; client authentication only; no alternative names. The end is clamped to
    /// the CA's own.
    pub fn issue_client_certificate(
        &self,
        subject: &ClientSubject,
        public_key_spki_der: &[u8],
        validity: Validity,
    ) -> Result<IssuedCertificate, IssueError> {
        if subject.username.is_empty() {
            return Err(IssueError::EmptyUsername);
        }
        let leaf = Leaf {
            size_hint: subject.size_hint(),
            purpose: Purpose::ClientAuth,
            names: &[],
        };
        self.issue(
            leaf,
            |out| subject.write(out),
            public_key_spki_der,
            validity,
        )
    }

    /// Issues a certificate for a server at the given names and addresses; the first of them is
    /// the common name as well. The end is clamped to the CA's own.
    pub fn issue_serving_certificate(
        &self,
        dns_names: &[String],
        ips: &[IpAddr],
        public_key_spki_der: &[u8],
        validity: Validity,
    ) -> Result<IssuedCertificate, IssueError> {
        let names: Vec<AlternativeName<'_>> = dns_names
            .iter()
            .map(|name| AlternativeName::Dns(name))
            .chain(ips.iter().copied().map(AlternativeName::Ip))
            .collect();
        let common_name = match names.first() {
            Some(AlternativeName::Ip(ip)) => ip.to_string(),
            Some(AlternativeName::Dns(name) | AlternativeName::Uri(name)) => (*name).to_owned(),
            None => return Err(IssueError::AlternativeName),
        };
        let leaf = Leaf {
            size_hint: 256,
            purpose: Purpose::ServerAuth,
            names: &names,
        };
        let subject = |out: &mut DerWriter| profile::write_common_name(out, &common_name);
        self.issue(leaf, subject, public_key_spki_der, validity)
    }

    /// Issues a client certificate for one of our own processes, known by its URI. The end is
    /// clamped to the CA's own.
    pub fn issue_uri_client_certificate(
        &self,
        uri: &str,
        public_key_spki_der: &[u8],
        validity: Validity,
    ) -> Result<IssuedCertificate, IssueError> {
        let leaf = Leaf {
            size_hint: 256,
            purpose: Purpose::ClientAuth,
            names: &[AlternativeName::Uri(uri)],
        };
        let subject = |out: &mut DerWriter| profile::write_common_name(out, uri);
        self.issue(leaf, subject, public_key_spki_der, validity)
    }

    /// The certificate in use, as PEM.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The last second in which the CA counts.
    pub fn not_after(&self) -> SystemTime {
        self.validity.not_after
    }

    /// Whether a signature takes so long (RSA: most of a millisecond and more) that it is better
    /// made off the threads that serve connections.
    pub fn signs_slowly(&self) -> bool {
        matches!(self.key, SigningKey::Rsa(_))
    }

    fn issue(
        &self,
        leaf: Leaf<'_>,
        subject: impl FnOnce(&mut DerWriter),
        public_key_spki_der: &[u8],
        validity: Validity,
    ) -> Result<IssuedCertificate, IssueError> {
        if !is_p256_spki(public_key_spki_der) {
            return Err(IssueError::PublicKey);
        }
        if !leaf.names.iter().all(AlternativeName::is_valid) {
            return Err(IssueError::AlternativeName);
        }
        let validity = Validity {
            not_after: validity.not_after.min(self.validity.not_after),
            ..validity
        };
        let certificate = ToBeSigned {
            issuer: &self.subject,
            size_hint: 512 + leaf.size_hint,
            public_key: public_key_spki_der,
            validity,
        };
        certificate.sign(&self.key, subject, |out| {
            profile::write_leaf_extensions(out, leaf.purpose, &self.authority_key_id, leaf.names);
        })
    }
}

impl fmt::Debug for SigningAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningAuthority")
            .field("validity", &self.validity)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for GeneratedAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GeneratedAuthority")
            .field("certificate_pem", &self.certificate_pem)
            .finish_non_exhaustive()
    }
}

/// Makes a P-256 CA that signs itself, for certificates between our own processes.
pub fn generate_authority(
    common_name: &str,
    validity: Validity,
) -> Result<GeneratedAuthority, IssueError> {
    let pair = KeyPair::generate_p256().map_err(IssueError::Key)?;
    let key = pair.to_signing_key().map_err(IssueError::Key)?;
    let mut name = DerWriter::with_capacity(common_name.len() + 16);
    profile::write_common_name(&mut name, common_name);
    let name = name.into_vec();
    // RFC 7093 method 1: the first 160 bits of the SHA-256 of the public key.
    let key_hash = digest(&SHA256, key.public_key());
    let key_id = key_hash.as_ref().get(..20).unwrap_or_default();
    let certificate = ToBeSigned {
        issuer: &name,
        size_hint: 512,
        public_key: &pair.spki_der(),
        validity,
    };
    let issued = certificate.sign(
        &key,
        |out| out.raw(&name),
        |out| profile::write_authority_extensions(out, key_id),
    )?;
    Ok(GeneratedAuthority {
        certificate_pem: issued.pem,
        key_pem: pair.pkcs8_pem(),
    })
}

/// What sets one kind of leaf apart from another.
#[derive(Clone, Copy)]
struct Leaf<'a> {
    size_hint: usize,
    purpose: Purpose,
    names: &'a [AlternativeName<'a>],
}

/// What Go's `x509.Certificate.CheckSignatureFrom` asks of an issuer, and its dates.
fn check_authority(certificate: &Certificate, now: SystemTime) -> Result<Validity, AuthorityError> {
    let tbs = certificate.tbs_certificate();
    let is_authority = matches!(
        tbs.get_extension::<BasicConstraints>(),
        Ok(Some((_critical, constraints))) if constraints.ca
    );
    let may_sign = match tbs.get_extension::<KeyUsage>() {
        Ok(None) => true,
        Ok(Some((_critical, usage))) => usage.key_cert_sign(),
        Err(_unreadable) => false,
    };
    if !is_authority || !may_sign {
        return Err(AuthorityError::NotAuthority);
    }
    let validity = Validity {
        not_before: SystemTime::from(tbs.validity().not_before),
        not_after: SystemTime::from(tbs.validity().not_after),
    };
    if now < validity.not_before {
        return Err(AuthorityError::NotYetValid);
    }
    if now > validity.not_after {
        return Err(AuthorityError::Expired);
    }
    Ok(validity)
}

fn subject_key_id(certificate: &Certificate) -> Option<Vec<u8>> {
    match certificate.tbs_certificate().get_extension() {
        Ok(Some((_critical, SubjectKeyIdentifier(id)))) => Some(id.as_bytes().to_vec()),
        _ => None,
    }
}

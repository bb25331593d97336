//! Whose key signed a certificate, whatever the names in it say.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ECDSA_P521_SHA512_ASN1, ED25519,
    RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};

use x509_cert::ext::pkix::AuthorityKeyIdentifier;

use crate::bundle::{self, BundleError, CertificateBundle};
use crate::certificate::RawParts;

/// The signatures that [`SigningAuthority`](crate::authority::SigningAuthority) makes, one for each kind of key.
static ALGORITHMS: [&dyn VerificationAlgorithm; 5] = [
    &ECDSA_P256_SHA256_ASN1,
    &ECDSA_P384_SHA384_ASN1,
    &ECDSA_P521_SHA512_ASN1,
    &RSA_PKCS1_2048_8192_SHA256,
    &ED25519,
];

/// What a certificate says of the key that signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// The issuer's name in DER, as it stands there.
    pub name: Vec<u8>,
    /// The authority key identifier; without it only the name is told, which several keys may have.
    pub key_id: Option<Vec<u8>>,
}

/// The issuer of a DER certificate.
pub fn issuer(certificate_der: &[u8]) -> Result<Issuer, BundleError> {
    let parts = RawParts::read(certificate_der).map_err(BundleError::Certificate)?;
    let certificate = bundle::parse(certificate_der)?;
    let key_id = match certificate.tbs_certificate().get_extension() {
        Ok(Some((_critical, AuthorityKeyIdentifier { key_identifier, .. }))) => key_identifier,
        _ => None,
    };
    Ok(Issuer {
        name: parts.issuer.to_vec(),
        key_id: key_id.map(|id| id.as_bytes().to_vec()),
    })
}

impl CertificateBundle {
    /// Whether the key of one of these certificates has signed `certificate_der`. Names, dates and
    /// uses do not matter.
    pub fn has_signed(&self, certificate_der: &[u8]) -> Result<bool, BundleError> {
        let signed = RawParts::read(certificate_der).map_err(BundleError::Certificate)?;
        for authority in self.certificates() {
            let authority = RawParts::read(authority).map_err(BundleError::Certificate)?;
            let fits = |algorithm: &&'static dyn VerificationAlgorithm| {
                UnparsedPublicKey::new(*algorithm, authority.spki)
                    .verify(signed.tbs, signed.signature)
                    .is_ok()
            };
            if ALGORITHMS.iter().any(fits) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

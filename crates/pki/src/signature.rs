//! Whose key signed a certificate, whatever the names in it say.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ECDSA_P521_SHA512_ASN1, ED25519,
    RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};

use crate::bundle::{BundleError, CertificateBundle};
use crate::certificate::RawParts;

/// The signatures that [`SigningAuthority`](crate::authority::SigningAuthority) makes, one for each kind of key.
static ALGORITHMS: [&dyn VerificationAlgorithm; 5] = [
    &ECDSA_P256_SHA256_ASN1,
    &ECDSA_P384_SHA384_ASN1,
    &ECDSA_P521_SHA512_ASN1,
    &RSA_PKCS1_2048_8192_SHA256,
    &ED25519,
];

/// The issuer's name in a DER certificate, as it stands there.
pub fn issuer_der(certificate_der: &[u8]) -> Result<&[u8], BundleError> {
    RawParts::read(certificate_der)
        .map(|parts| parts.issuer)
        .map_err(BundleError::Certificate)
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

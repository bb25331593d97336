//! From the fields of a certificate to signed DER.

use std::time::SystemTime;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand;

use super::error::IssueError;
use crate::encode::{DerWriter, SEQUENCE, TimeOutOfRange, hex};
use crate::pem;
use crate::profile::Validity;
use crate::secret_key::SigningKey;

/// `[0] EXPLICIT INTEGER 2`: X.509 version 3.
const VERSION_3: &[u8] = &[0xa0, 0x03, 0x02, 0x01, 0x02];

/// A certificate just signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedCertificate {
    /// One PEM `CERTIFICATE` block.
    pub pem: String,
    /// The same as DER.
    pub der: Vec<u8>,
    /// The serial number, hexadecimal.
    pub serial: String,
    /// SHA-256 over the DER, lower-case hexadecimal; Kubernetes logs it as `X509SHA256=`.
    pub x509_sha256: String,
    /// The first second of its validity.
    pub not_before: SystemTime,
    /// The last second of its validity, never after the CA's own.
    pub not_after: SystemTime,
}

/// A certificate but for its subject and extensions.
pub(super) struct ToBeSigned<'a> {
    pub(super) issuer: &'a [u8],
    pub(super) size_hint: usize,
    pub(super) public_key: &'a [u8],
    pub(super) validity: Validity,
}

impl ToBeSigned<'_> {
    pub(super) fn sign(
        self,
        key: &SigningKey,
        subject: impl FnOnce(&mut DerWriter),
        extensions: impl FnOnce(&mut DerWriter),
    ) -> Result<IssuedCertificate, IssueError> {
        let validity = self.validity.whole_seconds();
        if validity.not_after <= validity.not_before {
            return Err(IssueError::Validity);
        }
        let mut serial = [0; 16];
        rand::fill(&mut serial).map_err(|Unspecified| IssueError::Serial)?;
        let algorithm = key.algorithm_identifier();

        let mut dated = Ok(());
        let mut tbs = DerWriter::with_capacity(self.size_hint);
        tbs.nested(SEQUENCE, |out| {
            out.raw(VERSION_3);
            out.unsigned(&serial);
            out.raw(algorithm);
            out.raw(self.issuer);
            dated = validity.write(out);
            subject(out);
            out.raw(self.public_key);
            extensions(out);
        });
        dated.map_err(|TimeOutOfRange| IssueError::Validity)?;
        let tbs = tbs.into_vec();
        let signature = key
            .sign(&tbs)
            .map_err(|Unspecified| IssueError::Signature)?;

        let mut certificate = DerWriter::with_capacity(tbs.len() + signature.len() + 32);
        certificate.nested(SEQUENCE, |out| {
            out.raw(&tbs);
            out.raw(algorithm);
            out.bits(&signature);
        });
        let der = certificate.into_vec();
        Ok(IssuedCertificate {
            pem: pem::encode(pem::CERTIFICATE, &der),
            serial: hex(&serial),
            x509_sha256: hex(digest(&SHA256, &der).as_ref()),
            not_before: validity.not_before,
            not_after: validity.not_after,
            der,
        })
    }
}

//! The parts of a certificate that are compared or copied byte for byte.

use der::asn1::{BitStringRef, SequenceRef};
use der::{Decode, Reader, SliceReader};

/// First octet of the optional version field, `[0] EXPLICIT`.
const VERSION: u8 = 0xa0;

/// Slices of a certificate. Decoding and encoding again may reorder a name that its CA did not
/// write in strict DER, and then no chain would verify.
pub(crate) struct RawParts<'a> {
    /// All that is signed.
    pub(crate) tbs: &'a [u8],
    pub(crate) issuer: &'a [u8],
    pub(crate) subject: &'a [u8],
    pub(crate) spki: &'a [u8],
    pub(crate) signature: &'a [u8],
}

impl<'a> RawParts<'a> {
    /// Follows the fields of a `Certificate` and its `TBSCertificate`, RFC 5280 4.1.
    pub(crate) fn read(certificate_der: &'a [u8]) -> der::Result<Self> {
        let certificate = <&SequenceRef>::from_der(certificate_der)?;
        let mut outer = SliceReader::new(certificate.as_bytes())?;
        let tbs = outer.tlv_bytes()?;
        let _algorithm = outer.tlv_bytes()?;
        let signature: BitStringRef<'a> = outer.decode()?;
        let fields = <&SequenceRef>::from_der(tbs)?;
        let mut fields = SliceReader::new(fields.as_bytes())?;
        if fields.peek_byte() == Some(VERSION) {
            fields.tlv_bytes()?;
        }
        let _serial = fields.tlv_bytes()?;
        let _algorithm = fields.tlv_bytes()?;
        let issuer = fields.tlv_bytes()?;
        let _validity = fields.tlv_bytes()?;
        Ok(Self {
            tbs,
            issuer,
            subject: fields.tlv_bytes()?,
            spki: fields.tlv_bytes()?,
            signature: signature.raw_bytes(),
        })
    }
}

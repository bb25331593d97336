//! The parts of a certificate that are compared or copied byte for byte.

use der::asn1::SequenceRef;
use der::{Decode, Reader, SliceReader};

/// First octet of the optional version field, `[0] EXPLICIT`.
const VERSION: u8 = 0xa0;

/// Slices of a certificate. Decoding and encoding again may reorder a name that its CA did not
/// write in strict DER, and then no chain would verify.
pub(crate) struct RawParts<'a> {
    pub(crate) subject: &'a [u8],
    pub(crate) spki: &'a [u8],
}

impl<'a> RawParts<'a> {
    /// Follows the fields of a `TBSCertificate`, RFC 5280 4.1.
    pub(crate) fn read(certificate_der: &'a [u8]) -> der::Result<Self> {
        let certificate = <&SequenceRef>::from_der(certificate_der)?;
        let tbs: &SequenceRef = SliceReader::new(certificate.as_bytes())?.decode()?;
        let mut fields = SliceReader::new(tbs.as_bytes())?;
        if fields.peek_byte() == Some(VERSION) {
            fields.tlv_bytes()?;
        }
        let _serial = fields.tlv_bytes()?;
        let _algorithm = fields.tlv_bytes()?;
        let _issuer = fields.tlv_bytes()?;
        let _validity = fields.tlv_bytes()?;
        Ok(Self {
            subject: fields.tlv_bytes()?,
            spki: fields.tlv_bytes()?,
        })
    }
}

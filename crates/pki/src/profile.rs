//! What goes into a certificate besides names of its CA: subject, validity, extensions.

use std::net::IpAddr;
use std::time::SystemTime;

use crate::encode::{
    self, DerWriter, OCTET_STRING, SEQUENCE, SET, context_constructed, context_primitive,
};

/// Whom a client certificate speaks for, as kube-apiserver reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientSubject {
    /// The common name: the user.
    pub username: String,
    /// The organizations: the groups. All of them go into one RDN, in no order.
    pub groups: Vec<String>,
    /// The organizational units, `key=value` for each extra value; kube-apiserver ignores them.
    pub organizational_units: Vec<String>,
}

/// A span of time, ends included; fractions of seconds are cut off when it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first second.
    pub not_before: SystemTime,
    /// The last second.
    pub not_after: SystemTime,
}

/// The attribute types of X.520 that subjects hold, as complete OBJECT IDENTIFIERs.
const COMMON_NAME: &[u8] = &[0x06, 0x03, 0x55, 0x04, 0x03];
const ORGANIZATION: &[u8] = &[0x06, 0x03, 0x55, 0x04, 0x0a];
const ORGANIZATIONAL_UNIT: &[u8] = &[0x06, 0x03, 0x55, 0x04, 0x0b];

impl ClientSubject {
    /// A `Name` in the order of Go's `pkix.Name`: organizations, units, common name.
    pub(crate) fn write(&self, out: &mut DerWriter) {
        out.nested(SEQUENCE, |name| {
            write_rdn(name, ORGANIZATION, &self.groups);
            write_rdn(name, ORGANIZATIONAL_UNIT, &self.organizational_units);
            write_rdn(name, COMMON_NAME, &[&self.username]);
        });
    }

    /// Roughly what [`write`](Self::write) appends.
    pub(crate) fn size_hint(&self) -> usize {
        let values = self.groups.iter().chain(&self.organizational_units);
        values.map(|value| value.len() + 16).sum::<usize>() + self.username.len() + 32
    }
}

/// A `Name` that holds nothing but a common name.
pub(crate) fn write_common_name(out: &mut DerWriter, common_name: &str) {
    out.nested(SEQUENCE, |name| {
        write_rdn(name, COMMON_NAME, &[common_name]);
    });
}

/// One `SET OF` attributes of the same type, sorted by their encoding (X.690 11.6); nothing when
/// there are no values. An empty value counts as none only as a common name, as in Go.
fn write_rdn(name: &mut DerWriter, attribute_type: &[u8], values: &[impl AsRef<str>]) {
    let mut attributes: Vec<Vec<u8>> = values
        .iter()
        .map(|value| {
            let mut attribute = DerWriter::with_capacity(value.as_ref().len() + 16);
            attribute.nested(SEQUENCE, |out| {
                out.raw(attribute_type);
                out.text(value.as_ref());
            });
            attribute.into_vec()
        })
        .collect();
    if attributes.is_empty() {
        return;
    }
    attributes.sort_unstable();
    name.nested(SET, |set| {
        for attribute in &attributes {
            set.raw(attribute);
        }
    });
}

/// Extended key usage, one purpose (RFC 5280 4.2.1.12).
#[derive(Clone, Copy)]
pub(crate) enum Purpose {
    ClientAuth,
    ServerAuth,
}

const CLIENT_AUTH: &[u8] =
    b"\x30\x13\x06\x03\x55\x1d\x25\x04\x0c\x30\x0a\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x02";
const SERVER_AUTH: &[u8] =
    b"\x30\x13\x06\x03\x55\x1d\x25\x04\x0c\x30\x0a\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x01";
/// Basic constraints, critical, `CA:FALSE` by its default: an empty SEQUENCE.
const NO_AUTHORITY: &[u8] = b"\x30\x0c\x06\x03\x55\x1d\x13\x01\x01\xff\x04\x02\x30\x00";
/// Basic constraints, critical, `CA:TRUE`.
const IS_AUTHORITY: &[u8] = b"\x30\x0f\x06\x03\x55\x1d\x13\x01\x01\xff\x04\x05\x30\x03\x01\x01\xff";
/// Key usage, critical: digitalSignature, keyCertSign.
const SIGNS_CERTIFICATES: &[u8] =
    b"\x30\x0e\x06\x03\x55\x1d\x0f\x01\x01\xff\x04\x04\x03\x02\x02\x84";
const SUBJECT_KEY_IDENTIFIER: &[u8] = &[0x06, 0x03, 0x55, 0x1d, 0x0e];
const AUTHORITY_KEY_IDENTIFIER: &[u8] = &[0x06, 0x03, 0x55, 0x1d, 0x23];
const SUBJECT_ALTERNATIVE_NAME: &[u8] = &[0x06, 0x03, 0x55, 0x1d, 0x11];

/// A name in a subject alternative name extension.
pub(crate) enum AlternativeName<'a> {
    Dns(&'a str),
    Uri(&'a str),
    Ip(IpAddr),
}

/// The extensions of a leaf: purpose, no authority, key identifier of the CA, and at last the
/// alternative names, which client certificates for users never have.
pub(crate) fn write_leaf_extensions(
    out: &mut DerWriter,
    purpose: Purpose,
    authority_key_id: &[u8],
    names: &[AlternativeName<'_>],
) {
    write_extensions(out, |out| {
        out.raw(match purpose {
            Purpose::ClientAuth => CLIENT_AUTH,
            Purpose::ServerAuth => SERVER_AUTH,
        });
        out.raw(NO_AUTHORITY);
        out.raw(authority_key_id);
        if !names.is_empty() {
            write_extension(out, SUBJECT_ALTERNATIVE_NAME, |out| {
                out.nested(SEQUENCE, |out| {
                    for name in names {
                        name.write(out);
                    }
                });
            });
        }
    });
}

/// The extensions of a CA that signs itself.
pub(crate) fn write_authority_extensions(out: &mut DerWriter, key_id: &[u8]) {
    write_extensions(out, |out| {
        out.raw(SIGNS_CERTIFICATES);
        out.raw(IS_AUTHORITY);
        write_extension(out, SUBJECT_KEY_IDENTIFIER, |out| {
            out.primitive(OCTET_STRING, key_id);
        });
    });
}

/// The complete extension by which a leaf names its CA's key.
pub(crate) fn authority_key_id_extension(key_id: &[u8]) -> Vec<u8> {
    let mut out = DerWriter::with_capacity(key_id.len() + 16);
    write_extension(&mut out, AUTHORITY_KEY_IDENTIFIER, |out| {
        out.nested(SEQUENCE, |out| out.primitive(context_primitive(0), key_id));
    });
    out.into_vec()
}

fn write_extensions(out: &mut DerWriter, write: impl FnOnce(&mut DerWriter)) {
    out.nested(context_constructed(3), |out| out.nested(SEQUENCE, write));
}

fn write_extension(out: &mut DerWriter, oid: &[u8], write: impl FnOnce(&mut DerWriter)) {
    out.nested(SEQUENCE, |out| {
        out.raw(oid);
        out.nested(OCTET_STRING, write);
    });
}

impl AlternativeName<'_> {
    /// Whether the name fits into the IA5String that it is written as.
    pub(crate) fn is_valid(&self) -> bool {
        match self {
            Self::Dns(text) | Self::Uri(text) => !text.is_empty() && text.is_ascii(),
            Self::Ip(_) => true,
        }
    }

    fn write(&self, out: &mut DerWriter) {
        match self {
            Self::Dns(name) => out.primitive(context_primitive(2), name.as_bytes()),
            Self::Uri(uri) => out.primitive(context_primitive(6), uri.as_bytes()),
            Self::Ip(IpAddr::V4(ip)) => out.primitive(context_primitive(7), &ip.octets()),
            Self::Ip(IpAddr::V6(ip)) => out.primitive(context_primitive(7), &ip.octets()),
        }
    }
}

impl Validity {
    pub(crate) fn write(&self, out: &mut DerWriter) -> Result<(), encode::TimeOutOfRange> {
        let mut outcome = Ok(());
        out.nested(SEQUENCE, |out| {
            outcome = out
                .time(self.not_before)
                .and_then(|()| out.time(self.not_after));
        });
        outcome
    }

    /// The same span with the fractions of seconds cut off.
    pub(crate) fn whole_seconds(self) -> Self {
        Self {
            not_before: whole_second(self.not_before),
            not_after: whole_second(self.not_after),
        }
    }
}

fn whole_second(time: SystemTime) -> SystemTime {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => time - std::time::Duration::from_nanos(u64::from(since.subsec_nanos())),
        Err(_before_the_epoch) => time,
    }
}

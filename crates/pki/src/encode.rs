//! The DER that certificates are made of, written in one pass into one buffer.
//!
//! Fixed parts are constants, so a certificate costs little more than its signature.

use std::time::{SystemTime, UNIX_EPOCH};

use der::{DateTime, Encode};
use x509_cert::time::Time;

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const UTF8_STRING: u8 = 0x0c;
pub(crate) const PRINTABLE_STRING: u8 = 0x13;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;
/// `[n] EXPLICIT`, or `[n] IMPLICIT` of something constructed.
pub(crate) const fn context_constructed(number: u8) -> u8 {
    0xa0 | number
}
/// `[n] IMPLICIT` of something primitive.
pub(crate) const fn context_primitive(number: u8) -> u8 {
    0x80 | number
}

/// A time that no certificate can hold: before 1970 or after 9999.
#[derive(Debug)]
pub(crate) struct TimeOutOfRange;

/// Growing DER.
pub(crate) struct DerWriter {
    buffer: Vec<u8>,
}

impl DerWriter {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self {
            buffer: Vec::with_capacity(bytes),
        }
    }

    /// Appends DER that is complete already.
    pub(crate) fn raw(&mut self, der: &[u8]) {
        self.buffer.extend_from_slice(der);
    }

    /// Appends an element of which all content is at hand.
    pub(crate) fn primitive(&mut self, tag: u8, content: &[u8]) {
        self.buffer.push(tag);
        self.length(content.len());
        self.buffer.extend_from_slice(content);
    }

    /// Appends an element with the content that `write` appends.
    pub(crate) fn nested(&mut self, tag: u8, write: impl FnOnce(&mut Self)) {
        self.buffer.push(tag);
        let start = self.buffer.len();
        write(self);
        let written = self.buffer.len();
        self.length(written - start);
        // The length stands behind its content now; let them change places.
        if let Some(element) = self.buffer.get_mut(start..) {
            element.rotate_left(written - start);
        }
    }

    /// Appends a non-negative INTEGER of big-endian bytes.
    pub(crate) fn unsigned(&mut self, bytes: &[u8]) {
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        let digits = bytes.get(zeros..).unwrap_or_default();
        let sign = digits.first().is_none_or(|first| first & 0x80 != 0);
        self.buffer.push(INTEGER);
        self.length(digits.len() + usize::from(sign));
        if sign {
            self.buffer.push(0);
        }
        self.buffer.extend_from_slice(digits);
    }

    /// Appends a PrintableString where the text allows it, else a UTF8String: the choice that Go's
    /// `encoding/asn1` makes.
    pub(crate) fn text(&mut self, text: &str) {
        let tag = if text.bytes().all(is_printable) {
            PRINTABLE_STRING
        } else {
            UTF8_STRING
        };
        self.primitive(tag, text.as_bytes());
    }

    /// Appends a BIT STRING of whole bytes.
    pub(crate) fn bits(&mut self, bytes: &[u8]) {
        self.nested(BIT_STRING, |out| {
            out.raw(&[0]);
            out.raw(bytes);
        });
    }

    /// Appends a time with whole seconds, as RFC 5280 4.1.2.5 wants it: UTCTime through 2049.
    pub(crate) fn time(&mut self, time: SystemTime) -> Result<(), TimeOutOfRange> {
        let since_epoch = time
            .duration_since(UNIX_EPOCH)
            .map_err(|_| TimeOutOfRange)?;
        DateTime::from_unix_duration(since_epoch)
            .and_then(|date| Time::from(date).encode_to_vec(&mut self.buffer))
            .map(|_length| ())
            .map_err(|_| TimeOutOfRange)
    }

    pub(crate) fn into_vec(self) -> Vec<u8> {
        self.buffer
    }

    fn length(&mut self, length: usize) {
        let bytes = length.to_be_bytes();
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        let digits = bytes.get(zeros..).unwrap_or_default();
        match digits {
            [] => self.buffer.push(0),
            [short] if *short < 0x80 => self.buffer.push(*short),
            long => {
                self.buffer.push(0x80 | long.len() as u8);
                self.buffer.extend_from_slice(long);
            }
        }
    }
}

fn is_printable(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&byte)
}

/// Bytes in lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
    ];
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or_default();
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 0x0f)])
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use der::asn1::Uint;

    use super::*;

    fn written(write: impl FnOnce(&mut DerWriter)) -> Vec<u8> {
        let mut out = DerWriter::with_capacity(0);
        write(&mut out);
        out.into_vec()
    }

    #[test]
    fn lengths_take_the_shortest_form() {
        for (length, head) in [
            (0, &[0x04, 0x00][..]),
            (127, &[0x04, 0x7f]),
            (128, &[0x04, 0x81, 0x80]),
            (255, &[0x04, 0x81, 0xff]),
            (256, &[0x04, 0x82, 0x01, 0x00]),
            (70_000, &[0x04, 0x83, 0x01, 0x11, 0x70]),
        ] {
            let content = vec![7; length];
            let expected = [head, &content].concat();
            assert_eq!(
                written(|out| out.primitive(OCTET_STRING, &content)),
                expected
            );
            let nested = written(|out| out.nested(OCTET_STRING, |out| out.raw(&content)));
            assert_eq!(nested, expected);
        }
    }

    #[test]
    fn integers_agree_with_the_der_crate() {
        for bytes in [
            &[0][..],
            &[0, 0, 1],
            &[0x7f],
            &[0x80],
            &[0xff; 16],
            &[0, 0x80, 0],
        ] {
            assert_eq!(
                written(|out| out.unsigned(bytes)),
                Uint::new(bytes).unwrap().to_der().unwrap()
            );
        }
    }

    #[test]
    fn text_is_printable_only_where_go_says_so() {
        for (text, tag) in [
            ("alice", PRINTABLE_STRING),
            ("", PRINTABLE_STRING),
            ("a b'()+,-./:=?9Z", PRINTABLE_STRING),
            ("a@b", UTF8_STRING),
            ("a*", UTF8_STRING),
            ("a&b", UTF8_STRING),
            ("a_b", UTF8_STRING),
            ("ä", UTF8_STRING),
            ("a\\b", UTF8_STRING),
        ] {
            assert_eq!(written(|out| out.text(text))[0], tag, "{text:?}");
        }
    }

    #[test]
    fn times_change_their_form_after_2049() {
        let at = |seconds| {
            written(|out| {
                out.time(UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
            })
        };
        assert_eq!(at(2_524_607_999), b"\x17\x0d491231235959Z");
        assert_eq!(at(2_524_608_000), b"\x18\x0f20500101000000Z");
    }

    #[test]
    fn times_before_1970_are_refused() {
        let before = UNIX_EPOCH - Duration::from_secs(1);
        assert!(DerWriter::with_capacity(0).time(before).is_err());
    }

    #[test]
    fn hexadecimal_is_lower_case() {
        assert_eq!(hex(&[0x00, 0x9f, 0xff]), "009fff");
    }
}

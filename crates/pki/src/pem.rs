//! PEM as OpenSSL and Go write it: 64 characters a line, a newline at the end.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Groups of three bytes that make one line.
const LINE_BYTES: usize = 48;

pub(crate) const CERTIFICATE: &str = "CERTIFICATE";
pub(crate) const PRIVATE_KEY: &str = "PRIVATE KEY";

/// One block. The buffer is never grown, so no copy of a key is left behind.
pub(crate) fn encode(label: &str, der: &[u8]) -> String {
    let lines = der.len().div_ceil(LINE_BYTES);
    let frame = 2 * (label.len() + "-----BEGIN -----\n".len());
    let mut pem = String::with_capacity(frame + der.len().div_ceil(3) * 4 + lines);
    for part in ["-----BEGIN ", label, "-----\n"] {
        pem.push_str(part);
    }
    for line in der.chunks(LINE_BYTES) {
        STANDARD.encode_string(line, &mut pem);
        pem.push('\n');
    }
    for part in ["-----END ", label, "-----\n"] {
        pem.push_str(part);
    }
    pem
}

#[cfg(test)]
mod tests {
    use der::pem::{LineEnding, encode_string};

    use super::*;

    #[test]
    fn agrees_with_the_pem_crate_at_every_length() {
        for length in 1..300 {
            let der = vec![0xa5; length];
            let pem = encode(CERTIFICATE, &der);
            assert_eq!(
                pem,
                encode_string(CERTIFICATE, LineEnding::LF, &der).unwrap()
            );
            assert!(pem.capacity() >= pem.len());
        }
    }
}

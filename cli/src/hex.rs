//! Bytes as lower-case hexadecimal.

use aws_lc_rs::digest::{SHA256, digest};

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The SHA-256 of this.
pub(crate) fn sha256_hex(bytes: impl AsRef<[u8]>) -> String {
    hex(digest(&SHA256, bytes.as_ref()).as_ref())
}

/// Its first half, which is enough for a name.
pub(crate) fn short_sha256_hex(bytes: &[u8]) -> String {
    let mut hash = sha256_hex(bytes);
    hash.truncate(32);
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sessions and locks of other versions are found by it.
    #[test]
    fn names_stay_what_they_are() {
        assert_eq!(short_sha256_hex(b""), "e3b0c44298fc1c149afbf4c8996fb924");
    }
}

//! The public CAs that the webhook trusts in its image, where issuers have certificates of theirs.
//!
//! They are Mozilla's, in the version that `Cargo.lock` names: the same on each machine, and brought up to date like any
//! dependency. An administrator puts his own in their place by mounting a file or by `SSL_CERT_FILE`.

use anyhow::Context as _;
use der::pem::{LineEnding, encode_string};
use webpki_root_certs::TLS_SERVER_ROOT_CERTS;

/// Where the TLS library looks for the system's CAs.
pub(super) const PATH: &str = "/etc/ssl/certs/ca-certificates.crt";

/// The package that has them.
pub(super) const PACKAGE: &str = "webpki-root-certs";

/// All of them in PEM.
pub(super) fn public_authorities() -> anyhow::Result<String> {
    let encode = |certificate| encode_string("CERTIFICATE", LineEnding::LF, certificate);
    (TLS_SERVER_ROOT_CERTS.iter())
        .map(|certificate| encode(certificate).context("failed to encode a CA certificate"))
        .collect()
}

#[cfg(test)]
mod tests {
    use haulout_pki::bundle::CertificateBundle;

    use super::*;

    #[test]
    fn each_authority_is_a_certificate() {
        let bundle = CertificateBundle::parse_pem(public_authorities().unwrap().as_bytes());
        let bundle = bundle.unwrap();
        assert!(bundle.certificates().len() > 100);
        assert_eq!(bundle.certificates(), TLS_SERVER_ROOT_CERTS);
    }
}

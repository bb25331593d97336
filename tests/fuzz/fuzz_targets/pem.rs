//! PEM bundles and what is read from the certificates in them.

#![no_main]

use haulout_pki::bundle::{self, CertificateBundle};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|pem: &[u8]| {
    let Ok(read) = CertificateBundle::parse_pem(pem) else {
        return;
    };
    for certificate in read.certificates() {
        drop(bundle::common_name(certificate));
        drop(bundle::uri_sans(certificate));
        drop(bundle::validity(certificate));
        drop(bundle::spki_der(certificate));
    }
    let again = CertificateBundle::parse_pem(read.to_pem().as_bytes());
    assert_eq!(again.ok().as_ref(), Some(&read), "what we write, we read");
});

//! CAs come from the `openssl` program in every form that clusters have, and `openssl verify`
//! judges what is issued: a second opinion that shares no code with us.

mod issue;
mod load;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, UNIX_EPOCH};

use der::{Decode, Tag, Tagged};
use proptest::prelude::*;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tempfile::TempDir;
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use super::*;
use crate::bundle::{common_name, spki_der, uri_sans, validity};

const CN: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const O: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.10");
const OU: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.11");

const RSA: &[&str] = &[
    "genpkey",
    "-algorithm",
    "RSA",
    "-pkeyopt",
    "rsa_keygen_bits:2048",
];
const P256: &[&str] = &[
    "genpkey",
    "-algorithm",
    "EC",
    "-pkeyopt",
    "ec_paramgen_curve:P-256",
];
const P384: &[&str] = &[
    "genpkey",
    "-algorithm",
    "EC",
    "-pkeyopt",
    "ec_paramgen_curve:P-384",
];
const ED25519: &[&str] = &["genpkey", "-algorithm", "ED25519"];
const CA: &[&str] = &[
    "-addext",
    "keyUsage=critical,digitalSignature,keyEncipherment,keyCertSign",
];

fn time(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

/// A CA's two files as an administrator has them.
struct Files {
    directory: TempDir,
}

impl Files {
    /// A self-signed certificate over a key that `openssl KEY_ARGUMENTS` makes.
    fn new(key_arguments: &[&str], certificate_arguments: &[&str]) -> Self {
        let files = Self {
            directory: TempDir::new().unwrap(),
        };
        openssl(&[key_arguments, &["-out", &files.path("ca.key")]].concat());
        files.certify("ca.crt", certificate_arguments);
        files
    }

    fn certify(&self, name: &str, arguments: &[&str]) {
        let (key, out) = (self.path("ca.key"), self.path(name));
        let fixed = ["req", "-x509", "-key", &key, "-out", &out, "-days", "10"];
        let subject: &[&str] = if arguments.contains(&"-subj") {
            &[]
        } else {
            &["-subj", "/CN=kubernetes"]
        };
        openssl(&[&fixed, subject, arguments].concat());
    }

    /// Writes the key anew in another form.
    fn convert(self, arguments: &[&str]) -> Self {
        let (old, new) = (self.path("ca.key"), self.path("new.key"));
        openssl(&[arguments, &["-in", &old, "-out", &new]].concat());
        std::fs::rename(new, old).unwrap();
        self
    }

    fn path(&self, name: &str) -> String {
        let path: &Path = self.directory.path();
        path.join(name).to_str().unwrap().to_owned()
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    /// A second in which the certificate is valid.
    fn now(&self) -> SystemTime {
        let certificate = CertificateDer::from_pem_slice(&self.read("ca.crt")).unwrap();
        validity(&certificate).unwrap().not_before + Duration::from_secs(3600)
    }

    fn load(&self) -> Result<SigningAuthority, AuthorityError> {
        SigningAuthority::from_pem(&self.read("ca.crt"), &self.read("ca.key"), self.now())
    }

    /// Asks OpenSSL whether the certificate is good for `purpose` under this CA.
    fn verify(&self, issued: &IssuedCertificate, purpose: &str) {
        std::fs::write(self.path("leaf.crt"), &issued.pem).unwrap();
        let at = seconds(self.now()).to_string();
        let (ca, leaf) = (self.path("ca.crt"), self.path("leaf.crt"));
        let strict = ["-purpose", purpose, "-attime", &at, "-CAfile", &ca, &leaf];
        openssl(&[&["verify", "-check_ss_sig"], &strict[..]].concat());
    }
}

fn openssl(arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("openssl").args(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments:?}: {errors}");
    output.stdout
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn ten_minutes(now: SystemTime) -> Validity {
    Validity {
        not_before: now - Duration::from_secs(300),
        not_after: now + Duration::from_secs(300),
    }
}

fn public_key() -> Vec<u8> {
    KeyPair::generate_p256().unwrap().spki_der()
}

fn alice(groups: &[&str]) -> ClientSubject {
    ClientSubject {
        username: "alice".to_owned(),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        organizational_units: Vec::new(),
    }
}

fn issue(
    authority: &SigningAuthority,
    subject: &ClientSubject,
    now: SystemTime,
) -> IssuedCertificate {
    authority
        .issue_client_certificate(subject, &public_key(), ten_minutes(now))
        .unwrap()
}

fn p256_pair() -> &'static (GeneratedAuthority, SystemTime) {
    static PAIR: OnceLock<(GeneratedAuthority, SystemTime)> = OnceLock::new();
    PAIR.get_or_init(|| {
        let now = time(1_800_000_000);
        let lasting = Validity {
            not_before: now,
            not_after: now + Duration::from_secs(86_400),
        };
        (generate_authority("kubernetes", lasting).unwrap(), now)
    })
}

fn p256_authority() -> &'static (SigningAuthority, SystemTime) {
    static AUTHORITY: OnceLock<(SigningAuthority, SystemTime)> = OnceLock::new();
    AUTHORITY.get_or_init(|| {
        let (pair, now) = p256_pair();
        let (certificate, key) = (pair.certificate_pem.as_bytes(), pair.key_pem.as_bytes());
        (
            SigningAuthority::from_pem(certificate, key, *now).unwrap(),
            *now,
        )
    })
}

fn certificate_der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

fn issued_for(subject: &ClientSubject) -> Certificate {
    let (authority, now) = p256_authority();
    Certificate::from_der(&issue(authority, subject, *now).der).unwrap()
}

fn attributes(certificate: &Certificate, oid: ObjectIdentifier) -> Vec<(Tag, String)> {
    let text = |attribute: &AttributeTypeAndValue| {
        let value = String::from_utf8(attribute.value.value().to_vec()).unwrap();
        (attribute.value.tag(), value)
    };
    let subject = certificate.tbs_certificate().subject();
    subject.iter().filter(|a| a.oid == oid).map(text).collect()
}

fn values(certificate: &Certificate, oid: ObjectIdentifier) -> Vec<String> {
    let mut values: Vec<String> = attributes(certificate, oid)
        .into_iter()
        .map(|(_, value)| value)
        .collect();
    values.sort();
    values
}

fn sorted(mut values: Vec<String>) -> Vec<String> {
    values.sort();
    values
}

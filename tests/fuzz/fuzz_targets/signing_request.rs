//! The call from the webhook to the agent: what a webhook in foreign hands can get signed.

#![no_main]

use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use der::Decode as _;
use der::asn1::ObjectIdentifier;
use haulout_agent::client_subject;
use haulout_agent::policy::{Policy, judge};
use haulout_api::signing::{CANARY_USERNAME, CertificateRequest};
use haulout_fuzz::{is_forbidden_group, is_forbidden_user, is_reserved};
use haulout_pki::authority::{SigningAuthority, generate_authority};
use haulout_pki::profile::{ClientSubject, Validity};
use haulout_pki::secret_key::KeyPair;
use libfuzzer_sys::fuzz_target;
use x509_cert::Certificate;
use x509_cert::ext::pkix::{BasicConstraints, SubjectAltName};

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const ORGANIZATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.10");
const ORGANIZATIONAL_UNIT: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.11");

const NOW: SystemTime = UNIX_EPOCH;

/// Allows as much as a policy can.
static GENEROUS: LazyLock<Policy> = LazyLock::new(|| {
    let yaml = "maxLifetimeSeconds: 86400
allowedReservedNames: ['system:*', ' system:*', 'kubeadm:*', 'haulout:*', ' haulout:*']
";
    Policy::from_yaml(yaml.as_bytes()).expect("a valid policy")
});

static AUTHORITY: LazyLock<SigningAuthority> = LazyLock::new(|| {
    let made = generate_authority("kubernetes", one_minute()).expect("a CA");
    let (certificate, key) = (made.certificate_pem.as_bytes(), made.key_pem.as_bytes());
    SigningAuthority::from_pem(certificate, key, NOW).expect("its own CA")
});

static PUBLIC_KEY: LazyLock<Vec<u8>> =
    LazyLock::new(|| KeyPair::generate_p256().expect("a key").spki_der());

fuzz_target!(|body: &[u8]| {
    let Ok(request) = serde_json::from_slice::<CertificateRequest>(body) else {
        return;
    };
    let CertificateRequest {
        username, groups, ..
    } = &request;
    if judge(&request, &Policy::default()).is_ok() {
        let is_unlisted = |group: &String| is_reserved(group) && group != "system:authenticated";
        assert!(!is_reserved(username), "{username:?}");
        assert!(!groups.iter().any(is_unlisted), "{groups:?}");
        assert!(request.lifetime_seconds <= 3600);
    }
    if judge(&request, &GENEROUS).is_err() {
        return;
    }
    assert!(!is_forbidden_user(username), "{username:?}");
    assert!(
        !groups.iter().any(|group| is_forbidden_group(group)),
        "{groups:?}"
    );
    assert!(username != CANARY_USERNAME || groups.is_empty() && request.extra.is_empty());

    let subject = client_subject(&request);
    let issued = AUTHORITY
        .issue_client_certificate(&subject, &PUBLIC_KEY, one_minute())
        .expect("what is allowed can be signed");
    let certificate = Certificate::from_der(&issued.der).expect("DER");
    assert_eq!(subject_of(&certificate), sorted(subject));
    let tbs = certificate.tbs_certificate();
    assert!(matches!(tbs.get_extension::<SubjectAltName>(), Ok(None)));
    let constraints = tbs.get_extension::<BasicConstraints>();
    assert!(matches!(
        constraints,
        Ok(Some((true, BasicConstraints { ca: false, .. })))
    ));
});

fn one_minute() -> Validity {
    Validity {
        not_before: NOW,
        not_after: NOW + Duration::from_secs(60),
    }
}

/// The names in the certificate, each list in order.
fn subject_of(certificate: &Certificate) -> ClientSubject {
    let values = |oid| -> Vec<String> {
        let subject = certificate.tbs_certificate().subject();
        let attributes = subject.iter().filter(|attribute| attribute.oid == oid);
        attributes
            .map(|attribute| String::from_utf8(attribute.value.value().to_vec()).expect("UTF-8"))
            .collect()
    };
    let mut users = values(COMMON_NAME);
    assert_eq!(users.len(), 1);
    sorted(ClientSubject {
        username: users.remove(0),
        groups: values(ORGANIZATION),
        organizational_units: values(ORGANIZATIONAL_UNIT),
    })
}

/// The certificate keeps no order.
fn sorted(mut subject: ClientSubject) -> ClientSubject {
    subject.groups.sort_unstable();
    subject.organizational_units.sort_unstable();
    subject
}

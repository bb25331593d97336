//! What stands in certificates.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use der::Encode;

use super::*;
use crate::bundle::CertificateBundle;
use crate::encode::{SEQUENCE, hex};
use crate::signature::issuer;

/// What Pinniped's Concierge issues (`certauthority.IssueClientCert`).
#[test]
fn contents_are_those_of_pinnipeds_concierge() {
    let (authority, now) = p256_authority();
    let subject = ClientSubject {
        username: "alice".to_owned(),
        groups: vec!["devs".to_owned(), "ops".to_owned()],
        organizational_units: vec!["example.com/a=1".to_owned(), "example.com/a=2".to_owned()],
    };
    let key = public_key();
    let almost = *now + Duration::from_millis(999);
    let issued = authority
        .issue_client_certificate(&subject, &key, ten_minutes(almost))
        .unwrap();
    let certificate = Certificate::from_der(&issued.der).unwrap();
    let tbs = certificate.tbs_certificate();

    let name = "CN=alice,OU=example.com/a\\=1+OU=example.com/a\\=2,O=ops+O=devs";
    assert_eq!(
        tbs.subject().to_string().replace("\\=", "="),
        name.replace("\\=", "=")
    );
    assert_eq!(tbs.subject().iter_rdn().count(), 3);
    for oid in [CN, O, OU] {
        assert!(
            attributes(&certificate, oid)
                .iter()
                .all(|(tag, _)| *tag == Tag::PrintableString)
        );
    }
    assert_eq!(tbs.issuer().to_string(), "CN=kubernetes");
    assert_eq!(spki_der(&issued.der).unwrap(), key);
    assert_eq!(issued.serial.len(), 32);
    assert_eq!(validity(&issued.der).unwrap(), ten_minutes(*now));
    assert_eq!(
        (issued.not_before, issued.not_after),
        (
            *now - Duration::from_secs(300),
            *now + Duration::from_secs(300)
        )
    );
    assert_eq!(
        issued.x509_sha256,
        hex(digest(&SHA256, &issued.der).as_ref())
    );
    assert_eq!(
        CertificateDer::from_pem_slice(issued.pem.as_bytes())
            .unwrap()
            .as_ref(),
        issued.der
    );

    let extensions: Vec<(String, bool)> = tbs
        .extensions()
        .unwrap()
        .iter()
        .map(|extension| (extension.extn_id.to_string(), extension.critical))
        .collect();
    let expected = [
        ("2.5.29.37", false),
        ("2.5.29.19", true),
        ("2.5.29.35", false),
    ];
    assert_eq!(
        extensions,
        expected.map(|(oid, critical)| (oid.to_owned(), critical))
    );
    let contents = |index: usize| tbs.extensions().unwrap()[index].extn_value.as_bytes();
    assert_eq!(
        contents(0),
        b"\x30\x0a\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x02"
    );
    assert_eq!(contents(1), b"\x30\x00");
    assert_eq!(&contents(2)[..4], b"\x30\x16\x80\x14");
}

#[test]
fn groups_and_units_are_left_out_when_there_are_none() {
    let certificate = issued_for(&alice(&[]));
    assert_eq!(
        certificate.tbs_certificate().subject().to_string(),
        "CN=alice"
    );
}

#[test]
fn names_survive_whatever_characters_they_hold() {
    let strange = [
        "a,b",
        "a+b",
        "a=b",
        "a\\b",
        " leading",
        "trailing ",
        "grüße",
        "群组",
        "a\"b",
        "a;b<c>d",
        "#04",
        "a\nb",
        "a\0b",
        "*",
        "a@b",
        "",
        "O=system:masters,CN=x",
    ];
    let certificate = issued_for(&alice(&strange));
    let expected = sorted(strange.map(str::to_owned).to_vec());
    assert_eq!(values(&certificate, O), expected);
    for name in strange.into_iter().filter(|name| !name.is_empty()) {
        let subject = ClientSubject {
            username: name.to_owned(),
            ..ClientSubject::default()
        };
        assert_eq!(values(&issued_for(&subject), CN), [name]);
    }
}

#[test]
fn three_hundred_groups_are_all_there() {
    let groups: Vec<String> = (0..300)
        .map(|n| format!("team-{n:03}:with a longer name"))
        .collect();
    let subject = ClientSubject {
        groups: groups.clone(),
        ..alice(&[])
    };
    let certificate = issued_for(&subject);
    assert_eq!(values(&certificate, O), groups);
    assert_eq!(
        certificate.tbs_certificate().subject().iter_rdn().count(),
        2
    );
}

proptest! {
    #[test]
    fn any_subject_survives(
        username in ".{1,64}",
        groups in prop::collection::vec(any::<String>(), 0..20),
        units in prop::collection::vec("[a-z./]{1,20}=.{0,40}", 0..6),
    ) {
        let subject = ClientSubject { username, groups, organizational_units: units };
        let certificate = issued_for(&subject);
        prop_assert_eq!(values(&certificate, CN), [subject.username]);
        prop_assert_eq!(values(&certificate, O), sorted(subject.groups));
        prop_assert_eq!(values(&certificate, OU), sorted(subject.organizational_units));
    }

    /// Its key is the real one, so that every check is reached.
    #[test]
    fn a_damaged_certificate_is_refused_or_signs_well_formed_ones(damages in damages()) {
        let (pair, now) = p256_pair();
        let der = damaged(&certificate_der(&pair.certificate_pem), &damages);
        let _either_way = (spki_der(&der), common_name(&der), uri_sans(&der), validity(&der));
        let pem = pem::encode(pem::CERTIFICATE, &der);
        let loaded = SigningAuthority::from_pem(pem.as_bytes(), pair.key_pem.as_bytes(), *now);
        if let Ok(authority) = loaded {
            let issued = issue(&authority, &alice(&["devs"]), *now);
            prop_assert!(Certificate::from_der(&issued.der).is_ok());
        }
    }

    #[test]
    fn a_damaged_key_is_refused_or_still_signs_for_its_certificate(damages in damages()) {
        let (pair, now) = p256_pair();
        let key = PrivatePkcs8KeyDer::from_pem_slice(pair.key_pem.as_bytes()).unwrap();
        let key = pem::encode(pem::PRIVATE_KEY, &damaged(key.secret_pkcs8_der(), &damages));
        let loaded = SigningAuthority::from_pem(pair.certificate_pem.as_bytes(), key.as_bytes(), *now);
        if let Ok(authority) = loaded {
            let issued = issue(&authority, &alice(&[]), *now);
            prop_assert!(is_signed_by(&issued, &certificate_der(&pair.certificate_pem)));
        }
    }
}

fn damages() -> impl Strategy<Value = Vec<(prop::sample::Index, u8)>> {
    prop::collection::vec(any::<(prop::sample::Index, u8)>(), 0..=3)
}

fn damaged(der: &[u8], damages: &[(prop::sample::Index, u8)]) -> Vec<u8> {
    let mut der = der.to_vec();
    for (place, byte) in damages {
        *place.get_mut(&mut der) = *byte;
    }
    der
}

fn is_signed_by(issued: &IssuedCertificate, authority: &[u8]) -> bool {
    let authority = Certificate::from_der(authority).unwrap();
    let issued = Certificate::from_der(&issued.der).unwrap();
    let spki = authority.tbs_certificate().subject_public_key_info();
    let point = spki.subject_public_key.raw_bytes();
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point)
        .verify(
            &issued.tbs_certificate().to_der().unwrap(),
            issued.signature().raw_bytes(),
        )
        .is_ok()
}

#[test]
fn sets_are_sorted_as_der_wants_them() {
    let (authority, now) = p256_authority();
    let issued = issue(authority, &alice(&["b", "aa", "a", "ö"]), *now);
    let organization = |tag: u8, text: &str| {
        let mut out = DerWriter::with_capacity(16);
        out.nested(SEQUENCE, |out| {
            out.raw(&[0x06, 0x03, 0x55, 0x04, 0x0a]);
            out.primitive(tag, text.as_bytes());
        });
        out.into_vec()
    };
    let expected = [
        organization(0x13, "a"),
        organization(0x13, "b"),
        organization(0x0c, "ö"),
        organization(0x13, "aa"),
    ];
    let expected = expected.concat();
    assert!(
        issued
            .der
            .windows(expected.len())
            .any(|window| window == expected)
    );
}

#[test]
fn serials_do_not_repeat() {
    let (authority, now) = p256_authority();
    let serials: BTreeSet<String> = (0..100)
        .map(|_| issue(authority, &alice(&[]), *now).serial)
        .collect();
    assert_eq!(serials.len(), 100);
}

#[test]
fn the_end_is_never_after_the_authority_s_own() {
    let (authority, now) = p256_authority();
    let near_the_end = authority.not_after() - Duration::from_secs(60);
    let issued = issue(authority, &alice(&[]), near_the_end);
    assert_eq!(issued.not_after, authority.not_after());
    assert_eq!(
        validity(&issued.der).unwrap().not_after,
        authority.not_after()
    );
    let serving = authority
        .issue_serving_certificate(
            &["a".to_owned()],
            &[],
            &public_key(),
            ten_minutes(near_the_end),
        )
        .unwrap();
    assert_eq!(serving.not_after, authority.not_after());
    let after = authority.not_after() + Duration::from_secs(600);
    let outcome =
        authority.issue_client_certificate(&alice(&[]), &public_key(), ten_minutes(after));
    assert!(matches!(outcome, Err(IssueError::Validity)), "{outcome:?}");
    let backwards = Validity {
        not_before: *now,
        not_after: *now,
    };
    let outcome = authority.issue_client_certificate(&alice(&[]), &public_key(), backwards);
    assert!(matches!(outcome, Err(IssueError::Validity)), "{outcome:?}");
}

#[test]
fn a_user_and_a_whole_key_are_needed() {
    let (authority, now) = p256_authority();
    let nobody = ClientSubject::default();
    let outcome = authority.issue_client_certificate(&nobody, &public_key(), ten_minutes(*now));
    assert!(
        matches!(outcome, Err(IssueError::EmptyUsername)),
        "{outcome:?}"
    );
    let smuggled = [&public_key()[..], b"\x30\x00"].concat();
    let outcome = authority.issue_client_certificate(&alice(&[]), &smuggled, ten_minutes(*now));
    assert!(matches!(outcome, Err(IssueError::PublicKey)), "{outcome:?}");
}

#[test]
fn a_serving_certificate_names_its_hosts() {
    let files = Files::new(P256, CA);
    let authority = files.load().unwrap();
    let names = [
        "haulout-api.haulout-system.svc".to_owned(),
        "localhost".to_owned(),
    ];
    let ips = ["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()];
    let issued = authority
        .issue_serving_certificate(&names, &ips, &public_key(), ten_minutes(files.now()))
        .unwrap();
    files.verify(&issued, "sslserver");
    let text = openssl(&[
        "x509",
        "-noout",
        "-ext",
        "subjectAltName",
        "-in",
        &files.path("leaf.crt"),
    ]);
    let text = String::from_utf8(text).unwrap();
    let expected = "DNS:haulout-api.haulout-system.svc, DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1";
    assert!(text.contains(expected), "{text}");
    assert_eq!(common_name(&issued.der).unwrap(), names[0]);

    for bad in [vec![], vec![String::new()], vec!["grüße".to_owned()]] {
        let outcome =
            authority.issue_serving_certificate(&bad, &[], &public_key(), ten_minutes(files.now()));
        assert!(
            matches!(outcome, Err(IssueError::AlternativeName)),
            "{bad:?}"
        );
    }
}

#[test]
fn a_process_certificate_holds_its_uri() {
    let files = Files::new(P256, CA);
    let issued = files
        .load()
        .unwrap()
        .issue_uri_client_certificate("haulout:webhook", &public_key(), ten_minutes(files.now()))
        .unwrap();
    files.verify(&issued, "sslclient");
    assert_eq!(uri_sans(&issued.der), ["haulout:webhook"]);
}

#[test]
fn certificates_for_users_have_no_alternative_names() {
    let certificate = issued_for(&alice(&["devs"]));
    let names = certificate
        .tbs_certificate()
        .get_extension::<SubjectAltName>()
        .unwrap();
    assert!(names.is_none());
}

#[test]
fn a_generated_authority_is_one_that_openssl_accepts() {
    let (authority, _) = p256_authority();
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("ca.crt");
    std::fs::write(&path, authority.certificate_pem()).unwrap();
    let path = path.to_str().unwrap();
    let at = "1800000060";
    openssl(&[
        "verify",
        "-x509_strict",
        "-check_ss_sig",
        "-attime",
        at,
        "-CAfile",
        path,
        path,
    ]);
    let parsed = Certificate::from_der(&certificate_der(authority.certificate_pem())).unwrap();
    assert_eq!(
        parsed.tbs_certificate().subject(),
        parsed.tbs_certificate().issuer()
    );
}

#[test]
fn names_of_every_kind_are_told_apart() {
    let (authority, now) = p256_authority();
    let issued = authority
        .issue_serving_certificate(
            &["a.b".to_owned()],
            &["10.0.0.1".parse().unwrap()],
            &public_key(),
            ten_minutes(*now),
        )
        .unwrap();
    let certificate = Certificate::from_der(&issued.der).unwrap();
    let (_, SubjectAltName(names)) = certificate
        .tbs_certificate()
        .get_extension()
        .unwrap()
        .unwrap();
    assert!(matches!(&names[0], GeneralName::DnsName(name) if name.to_string() == "a.b"));
    assert!(matches!(&names[1], GeneralName::IpAddress(ip) if ip.as_bytes() == [10, 0, 0, 1]));
    assert!(uri_sans(&issued.der).is_empty());
}

/// A key is known again under any name, and whoever has the name has not the key.
#[test]
fn the_signer_is_told_by_its_key() {
    for (kind, algorithm) in [
        ("RSA", RSA),
        ("P-256", P256),
        ("P-384", P384),
        ("Ed25519", ED25519),
    ] {
        let files = Files::new(algorithm, CA);
        files.certify("renamed.crt", &["-subj", "/CN=front-proxy-ca"]);
        let issued = issue(&files.load().unwrap(), &alice(&[]), files.now());
        let bundle = |pem: &[u8]| CertificateBundle::parse_pem(pem).unwrap();
        let renamed = bundle(&files.read("renamed.crt"));
        assert!(renamed.has_signed(&issued.der).unwrap(), "{kind}");

        let namesake = bundle(&Files::new(algorithm, CA).read("ca.crt"));
        assert!(!namesake.has_signed(&issued.der).unwrap(), "{kind}");
        assert!(namesake.union(&renamed).has_signed(&issued.der).unwrap());

        let mut changed = issued.der;
        *changed.last_mut().unwrap() ^= 1;
        assert!(!renamed.has_signed(&changed).unwrap(), "{kind}");
    }
}

#[test]
fn an_issuer_is_told_by_its_name_and_the_identifier_of_its_key() {
    let issuer = |files: &Files| {
        let issued = issue(&files.load().unwrap(), &alice(&[]), files.now());
        issuer(&issued.der).unwrap()
    };
    let files = Files::new(P256, CA);
    let (named, namesake) = (issuer(&files), issuer(&Files::new(P256, CA)));
    assert_eq!(issuer(&files), named);
    assert_eq!(named.name, namesake.name);
    assert!(named.key_id.is_some() && named.key_id != namesake.key_id);
    let mute = Files::new(P256, &["-addext", "subjectKeyIdentifier=none"]);
    assert_eq!(issuer(&mute).key_id, None);
}

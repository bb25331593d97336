//! Which CAs are taken, and which are refused.

use super::*;
use crate::encode::{SEQUENCE, SET};
use crate::secret_key::KeyError;

#[test]
fn every_key_form_of_a_cluster_signs_what_openssl_verifies() {
    let ec_parameters = ["ecparam", "-genkey", "-name", "prime256v1"];
    for (name, files, algorithm) in [
        ("RSA PKCS#8", Files::new(RSA, CA), "sha256WithRSAEncryption"),
        (
            "RSA PKCS#1",
            Files::new(RSA, CA).convert(&["rsa", "-traditional"]),
            "sha256WithRSAEncryption",
        ),
        ("P-256 PKCS#8", Files::new(P256, CA), "ecdsa-with-SHA256"),
        (
            "P-256 SEC1",
            Files::new(P256, CA).convert(&["ec"]),
            "ecdsa-with-SHA256",
        ),
        (
            "P-256 SEC1 behind EC PARAMETERS",
            Files::new(&ec_parameters, CA),
            "ecdsa-with-SHA256",
        ),
        ("P-384 PKCS#8", Files::new(P384, CA), "ecdsa-with-SHA384"),
        (
            "P-384 SEC1",
            Files::new(P384, CA).convert(&["ec"]),
            "ecdsa-with-SHA384",
        ),
        ("Ed25519", Files::new(ED25519, CA), "ED25519"),
        (
            "no subject key identifier",
            Files::new(P256, &["-addext", "subjectKeyIdentifier=none"]),
            "ecdsa-with-SHA256",
        ),
        (
            "several organizations in one RDN, out of order",
            Files::new(
                P256,
                &["-multivalue-rdn", "-subj", "/O=zzz+O=a+O=bb/CN=kubernetes"],
            ),
            "ecdsa-with-SHA256",
        ),
        (
            "Talos' subject",
            Files::new(P256, &["-subj", "/O=kubernetes"]),
            "ecdsa-with-SHA256",
        ),
    ] {
        let authority = files
            .load()
            .unwrap_or_else(|error| panic!("{name}: {error:?}"));
        let issued = issue(&authority, &alice(&["devs", "ops"]), files.now());
        files.verify(&issued, "sslclient");
        let text = openssl(&["x509", "-noout", "-text", "-in", &files.path("leaf.crt")]);
        let text = String::from_utf8(text).unwrap();
        assert!(
            text.contains(&format!("Signature Algorithm: {algorithm}")),
            "{name}: {text}"
        );
    }
}

/// A CA that wrote its own name in an order that is not DER; a chain compares names byte for byte.
#[test]
fn the_issuer_is_copied_as_it_stands() {
    let key = KeyPair::generate_p256().unwrap();
    let attribute = |text: &str| {
        let mut name = DerWriter::with_capacity(16);
        profile::write_common_name(&mut name, text);
        name.into_vec()[4..].to_vec()
    };
    let mut name = DerWriter::with_capacity(32);
    name.nested(SEQUENCE, |out| {
        out.nested(SET, |out| {
            out.raw(&attribute("zz"));
            out.raw(&attribute("a"));
        });
    });
    let name = name.into_vec();
    let now = time(1_800_000_000);
    let ca = ToBeSigned {
        issuer: &name,
        size_hint: 0,
        public_key: &key.spki_der(),
        validity: ten_minutes(now),
    };
    let signing_key = key.to_signing_key().unwrap();
    let ca = ca
        .sign(
            &signing_key,
            |out| out.raw(&name),
            |out| profile::write_authority_extensions(out, &[1]),
        )
        .unwrap();
    let authority =
        SigningAuthority::from_pem(ca.pem.as_bytes(), key.pkcs8_pem().as_bytes(), now).unwrap();
    let issued = issue(&authority, &alice(&[]), now);
    assert!(issued.der.windows(name.len()).any(|window| window == name));
}

#[test]
fn of_several_certificates_the_one_of_the_key_is_used() {
    let (ours, other) = (Files::new(P256, CA), Files::new(RSA, CA));
    let both = [other.read("ca.crt"), ours.read("ca.crt")].concat();
    let authority = SigningAuthority::from_pem(&both, &ours.read("ca.key"), ours.now()).unwrap();
    assert_eq!(authority.certificate_pem().as_bytes(), ours.read("ca.crt"));
}

#[test]
fn a_renewed_authority_may_stand_beside_its_expired_self() {
    let files = Files::new(P256, CA);
    files.certify("renewed.crt", &["-days", "1000"]);
    let (expired, renewed) = (files.read("ca.crt"), files.read("renewed.crt"));
    let later = files.now() + Duration::from_secs(86_400 * 100);
    for both in [[&expired[..], &renewed], [&renewed, &expired]] {
        let authority =
            SigningAuthority::from_pem(&both.concat(), &files.read("ca.key"), later).unwrap();
        assert_eq!(authority.certificate_pem().as_bytes(), renewed);
    }
}

#[test]
fn files_that_are_no_authority_say_why() {
    let (files, other) = (Files::new(P256, CA), Files::new(P256, CA));
    let (certificate, key, now) = (files.read("ca.crt"), files.read("ca.key"), files.now());
    let load = |certificate: &[u8], key: &[u8], now| {
        SigningAuthority::from_pem(certificate, key, now).unwrap_err()
    };
    assert!(matches!(
        load(&certificate, &other.read("ca.key"), now),
        AuthorityError::Mismatch
    ));
    assert!(matches!(
        load(b"", &key, now),
        AuthorityError::Certificate(BundleError::Empty)
    ));
    assert!(matches!(
        load(&certificate, b"", now),
        AuthorityError::Key(KeyError::Pem)
    ));
    assert!(matches!(
        load(&certificate, b"garbage", now),
        AuthorityError::Key(KeyError::Pem)
    ));
    assert!(matches!(
        load(&certificate, &certificate, now),
        AuthorityError::Key(KeyError::Pem)
    ));
    assert!(matches!(
        load(&certificate[..certificate.len() / 2], &key, now),
        AuthorityError::Certificate(BundleError::Pem)
    ));
    assert!(matches!(
        load(&certificate, &key[..key.len() / 2], now),
        AuthorityError::Key(KeyError::Pem)
    ));
    let day = Duration::from_secs(86_400);
    assert!(matches!(
        load(&certificate, &key, now + 11 * day),
        AuthorityError::Expired
    ));
    assert!(matches!(
        load(&certificate, &key, now - day),
        AuthorityError::NotYetValid
    ));
}

#[test]
fn certificates_that_may_not_sign_are_refused() {
    for arguments in [
        &["-addext", "basicConstraints=critical,CA:FALSE"][..],
        &["-addext", "keyUsage=critical,digitalSignature"],
    ] {
        let outcome = Files::new(P256, arguments).load();
        assert!(
            matches!(outcome, Err(AuthorityError::NotAuthority)),
            "{arguments:?}: {outcome:?}"
        );
        let text = outcome.unwrap_err().to_string();
        assert!(text.ends_with("--cluster-signing-cert-file"), "{text}");
    }
}

#[test]
fn encrypted_and_unfit_keys_are_refused() {
    let new_form = &["pkcs8", "-topk8", "-passout", "pass:secret"];
    let old_form = &["rsa", "-traditional", "-aes128", "-passout", "pass:secret"];
    for files in [
        Files::new(P256, CA).convert(new_form),
        Files::new(RSA, CA).convert(old_form),
    ] {
        let outcome = files.load();
        assert!(
            matches!(outcome, Err(AuthorityError::Key(KeyError::Encrypted))),
            "{outcome:?}"
        );
    }
    for arguments in [
        &[
            "genpkey",
            "-algorithm",
            "RSA",
            "-pkeyopt",
            "rsa_keygen_bits:1024",
        ][..],
        &[
            "genpkey",
            "-algorithm",
            "EC",
            "-pkeyopt",
            "ec_paramgen_curve:P-521",
        ],
        &[
            "genpkey",
            "-algorithm",
            "EC",
            "-pkeyopt",
            "ec_paramgen_curve:secp256k1",
        ],
        &["genpkey", "-algorithm", "ED448"],
    ] {
        let outcome = Files::new(arguments, CA).load();
        assert!(
            matches!(outcome, Err(AuthorityError::Key(KeyError::Unsupported))),
            "{arguments:?}: {outcome:?}"
        );
    }
}

#[test]
fn nothing_printed_holds_the_key() {
    let files = Files::new(P256, CA);
    let key = String::from_utf8(files.read("ca.key")).unwrap();
    let secret = key.lines().nth(1).unwrap();
    let authority = files.load().unwrap();
    let lasting = ten_minutes(files.now());
    let made = generate_authority("kubernetes", lasting).unwrap();
    let made_secret = made.key_pem.lines().nth(1).unwrap();
    assert!(!format!("{authority:?}").contains(secret));
    assert!(!format!("{made:?}").contains(made_secret));
    let broken = key.replace("END", "DNE");
    let error = SigningAuthority::from_pem(&files.read("ca.crt"), broken.as_bytes(), files.now());
    assert!(!format!("{error:?}").contains(secret));
}

//! Attacks on the signature and on the key that it is made with.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

use super::*;

/// RFC 8725, 2.1: the token says how it is to be verified.
#[test]
fn the_algorithm_is_not_the_attackers_choice() {
    let unsigned = |alg: &str| signature_part(&json!({"alg": alg}).to_string(), |_| String::new());
    for alg in [
        "none", "None", "NONE", "nOnE", "none ", "none\0", "", "null",
    ] {
        assert_eq!(judge(&unsigned(alg)), "UnsupportedAlgorithm", "{alg:?}");
    }
    for alg in [
        "es256",
        "Es256",
        "eS256",
        "ES256 ",
        " ES256",
        "ES256\0",
        "ＥＳ256",
        "ES-256",
        "none",
        "HS256",
        "ES512",
        "ES256K",
        "PS384",
        "PS512",
        "Ed25519",
        "dir",
        "RSA-OAEP",
    ] {
        let header = json!({"alg": alg}).to_string();
        let token = es256(&header, &good_claims().to_string());
        assert_eq!(judge(&token), "UnsupportedAlgorithm", "{alg:?}");
    }
    assert_refused(rows(
        "no algorithm",
        "MalformedHeader",
        [
            ("absent", header("{}")),
            ("null", header(r#"{"alg":null}"#)),
            ("number", header(r#"{"alg":256}"#)),
            ("list", header(r#"{"alg":["ES256"]}"#)),
        ],
    ));
}

/// The classic confusion: the public key, which everyone knows, taken for an HMAC secret.
#[test]
fn a_public_key_is_no_secret() {
    let rsa: PublicKeyX509Der<'_> = RSA.public_key().as_der().unwrap();
    let ec: PublicKeyX509Der<'_> = EC.public_key().as_der().unwrap();
    let pem = |der: &[u8]| {
        let text = STANDARD.encode(der);
        let lines: Vec<_> = text
            .as_bytes()
            .chunks(64)
            .map(String::from_utf8_lossy)
            .collect();
        format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            lines.join("\n")
        )
    };
    let secrets = [
        ("RSA, PEM", pem(rsa.as_ref()).into_bytes()),
        (
            "RSA, PEM without its last line break",
            pem(rsa.as_ref()).trim_end().into(),
        ),
        ("RSA, DER", rsa.as_ref().to_vec()),
        ("RSA, PKCS#1", RSA.public_key().as_ref().to_vec()),
        ("RSA, JWK", rsa_jwk(Some("rsa-1")).to_string().into_bytes()),
        ("EC, PEM", pem(ec.as_ref()).into_bytes()),
        ("EC, DER", ec.as_ref().to_vec()),
        ("EC, point", EC.public_key().as_ref().to_vec()),
        ("empty", Vec::new()),
    ];
    for (name, secret) in secrets {
        for (alg, algorithm) in [
            ("HS256", hmac::HMAC_SHA256),
            ("HS384", hmac::HMAC_SHA384),
            ("HS512", hmac::HMAC_SHA512),
        ] {
            for kid in [None, Some("rsa-1"), Some("ec-1")] {
                let header = json!({"alg": alg, "kid": kid}).to_string();
                let token = signature_part(&header, |message| {
                    let key = hmac::Key::new(algorithm, &secret);
                    b64(hmac::sign(&key, message.as_bytes()))
                });
                assert_eq!(judge(&token), "UnsupportedAlgorithm", "{alg}, {name}");
            }
        }
    }
}

#[test]
fn a_key_serves_its_own_algorithms_only() {
    let token = |made_with, said: &str, kid: &str| {
        let header = json!({"alg": said, "kid": kid}).to_string();
        signed(made_with, &header, &good_claims().to_string())
    };
    assert_refused(
        rows(
            "key of another type",
            "UnknownKey",
            [
                ("ES256, RSA key", token(Es256, "ES256", "rsa-1")),
                ("ES256, P-384 key", token(Es256, "ES256", "ec384-1")),
                ("ES384, P-256 key", token(Es384, "ES384", "ec-1")),
                ("RS256, EC key", token(Rs256, "RS256", "ec-1")),
                ("RS256, Ed25519 key", token(Rs256, "RS256", "ed-1")),
                ("EdDSA, EC key", token(EdDsa, "EdDSA", "ec-1")),
                ("PS256, key for RS256", token(Ps256, "PS256", "rs256-only")),
                ("RS512, key for RS256", token(Rs512, "RS512", "rs256-only")),
            ],
        )
        .chain(rows(
            "mislabelled",
            "WrongSignature",
            [
                ("PS256 as RS256", token(Ps256, "RS256", "rsa-1")),
                ("RS256 as PS256", token(Rs256, "PS256", "rsa-1")),
                ("RS256 as RS512", token(Rs256, "RS512", "rsa-1")),
                ("RS512 as RS256", token(Rs512, "RS256", "rs256-only")),
                ("ES256 as RS256", token(Es256, "RS256", "rsa-1")),
                ("ES256 as ES384", token(Es256, "ES384", "ec384-1")),
                ("ES256 as EdDSA", token(Es256, "EdDSA", "ed-1")),
                ("RS256 as ES256", token(Rs256, "ES256", "ec-1")),
            ],
        )),
    );
}

/// With an ES256 header, and this instead of the signature.
fn es256_signature(make: impl FnOnce(&str) -> String) -> String {
    signature_part(ES256_HEADER, make)
}

#[test]
fn ecdsa_signatures_are_whole_and_of_the_issuer() {
    // The order of P-256 (SEC 2, 2.4.2), which is zero to arithmetic that does not look.
    const ORDER: &str = "_____wAAAAD__________7zm-q2nF56E87nKwvxjJVE";
    let good = |message: &str| signature(Es256, message);
    let r_and_s = |message: &str| {
        let signature = good(message);
        let (r, s) = signature.split_at(32);
        (r.to_vec(), s.to_vec())
    };
    let pkcs8 = EC.to_pkcs8v1().unwrap();
    let asn1 = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref()).unwrap();
    let order = URL_SAFE.decode(format!("{ORDER}=")).unwrap();
    let attacks = [
        ("empty", es256_signature(|_| String::new())),
        ("one byte", es256_signature(|_| b64([1]))),
        ("r = s = 0", es256_signature(|_| b64([0; 64]))),
        (
            "r = 0",
            es256_signature(|m| b64([&[0; 32][..], &r_and_s(m).1].concat())),
        ),
        (
            "s = 0",
            es256_signature(|m| b64([&r_and_s(m).0, &[0; 32][..]].concat())),
        ),
        (
            "r = s = n",
            es256_signature(|_| b64([&order[..], &order].concat())),
        ),
        (
            "r and s exchanged",
            es256_signature(|m| b64([r_and_s(m).1, r_and_s(m).0].concat())),
        ),
        (
            "a byte short",
            es256_signature(|m| b64(good(m).get(..63).unwrap())),
        ),
        (
            "a byte more",
            es256_signature(|m| b64([&good(m)[..], &[0]].concat())),
        ),
        (
            "a zero in front",
            es256_signature(|m| b64([&[0], &good(m)[..]].concat())),
        ),
        ("DER", es256_signature(|m| b64(ec_signature(&asn1, m)))),
        (
            "hexadecimal",
            es256_signature(|m| good(m).iter().map(|b| format!("{b:02x}")).collect()),
        ),
        ("of another text", es256_signature(|_| b64(good("other")))),
        (
            "of the claims alone",
            es256_signature(|m| b64(good(m.split_once('.').unwrap().1))),
        ),
        (
            "of another key",
            es256_signature(|m| b64(ec_signature(&OTHER_EC, m))),
        ),
        ("padded", es256_signature(|m| URL_SAFE.encode(good(m)))),
        (
            "line break behind",
            es256_signature(|m| format!("{}\n", b64(good(m)))),
        ),
        (
            "space in it",
            es256_signature(|m| b64(good(m)).replacen(|_| true, " ", 1)),
        ),
        (
            "other last bits",
            es256_signature(|m| with_other_last_bits(&b64(good(m)))),
        ),
    ];
    assert_refused(rows("signature", "WrongSignature", attacks));
}

#[test]
fn rsa_signatures_are_as_long_as_the_key() {
    let rsa = |change: fn(Vec<u8>) -> Vec<u8>| {
        signature_part(r#"{"alg":"RS256","kid":"rsa-1"}"#, |message| {
            b64(change(signature(Rs256, message)))
        })
    };
    assert_eq!(judge(&rsa(|whole| whole)), "good");
    assert_refused(rows(
        "RSA signature",
        "WrongSignature",
        [
            ("zero", rsa(|whole| vec![0; whole.len()])),
            (
                "one",
                rsa(|whole| [&vec![0; whole.len() - 1][..], &[1]].concat()),
            ),
            ("a byte short", rsa(|whole| whole[1..].to_vec())),
            ("a zero in front", rsa(|whole| [&[0], &whole[..]].concat())),
            (
                "longer than the key",
                rsa(|whole| [&whole[..], &whole].concat()),
            ),
        ],
    ));
}

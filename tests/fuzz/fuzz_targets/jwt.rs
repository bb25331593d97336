//! Tokens, of which anybody may send any. None is signed here, so that none may be accepted.

#![no_main]

use std::sync::LazyLock;
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use haulout_api::authenticator::SigningAlgorithm;
use haulout_jwt::algorithms::AcceptedAlgorithms;
use haulout_jwt::keys::KeySet;
use haulout_jwt::verify::Expectations;
use libfuzzer_sys::fuzz_target;

/// The public keys of RFC 7517, A.1, one of them without an id, and of RFC 8037, A.2.
const JWKS: &str = r#"{"keys":[
    {"kty":"EC","crv":"P-256",
     "x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
     "y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"},
    {"kty":"OKP","crv":"Ed25519","kid":"ed",
     "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
    {"kty":"RSA","kid":"2011-04-29","e":"AQAB",
     "n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"}
]}"#;

static KEYS: LazyLock<[Option<KeySet>; 3]> = LazyLock::new(|| {
    let keys = KeySet::parse(JWKS.as_bytes()).expect("a key set");
    assert!(keys.serves(&EXPECTATIONS.algorithms));
    [None, Some(KeySet::default()), Some(keys)]
});

static EXPECTATIONS: LazyLock<Expectations> = LazyLock::new(|| Expectations {
    issuer: "https://issuer.example.com".to_owned(),
    audience: "cluster-1".to_owned(),
    algorithms: AcceptedAlgorithms::new(&[
        SigningAlgorithm::Rs256,
        SigningAlgorithm::Rs384,
        SigningAlgorithm::Rs512,
        SigningAlgorithm::Ps256,
        SigningAlgorithm::Es256,
        SigningAlgorithm::Es384,
        SigningAlgorithm::EdDsa,
    ]),
});

fuzz_target!(|input: &[u8]| {
    if let Ok(token) = std::str::from_utf8(input) {
        refuse(token);
    }
    // Base64 hides the JSON from mutations; here they reach it, one part on each line.
    let parts = input.splitn(3, |byte| *byte == b'\n');
    let parts: Vec<String> = parts.map(|part| URL_SAFE_NO_PAD.encode(part)).collect();
    refuse(&parts.join("."));
});

fn refuse(token: &str) {
    let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    for keys in &*KEYS {
        let error = EXPECTATIONS
            .check(token, keys.as_ref(), now)
            .expect_err("nobody signed this");
        let text = error.to_string();
        assert!(text.len() < 4096, "{text}");
        // Text without a dot may well be a word of the message.
        assert!(!token.contains('.') || !text.contains(token), "{text}");
    }
}

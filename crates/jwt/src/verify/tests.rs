//! Every attack starts from a good token, so that the one change is what gets it refused.

use std::sync::LazyLock;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, KeyPair, RSA_PKCS1_SHA256,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use proptest::prelude::*;
use serde_json::json;

use super::*;

const NOW: u64 = 1_800_000_000;
const ISSUER: &str = "https://issuer.example.com";
const AUDIENCE: &str = "cluster-1";

static EC: LazyLock<EcdsaKeyPair> = LazyLock::new(|| ec_key(&ECDSA_P256_SHA256_FIXED_SIGNING));
static OTHER_EC: LazyLock<EcdsaKeyPair> =
    LazyLock::new(|| ec_key(&ECDSA_P256_SHA256_FIXED_SIGNING));
static EC384: LazyLock<EcdsaKeyPair> = LazyLock::new(|| ec_key(&ECDSA_P384_SHA384_FIXED_SIGNING));
static RSA: LazyLock<RsaKeyPair> =
    LazyLock::new(|| RsaKeyPair::generate(KeySize::Rsa2048).unwrap());

fn ec_key(algorithm: &'static EcdsaSigningAlgorithm) -> EcdsaKeyPair {
    EcdsaKeyPair::generate(algorithm).unwrap()
}

fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn ec_signature(key: &EcdsaKeyPair, message: &str) -> Vec<u8> {
    let signature = key.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
    signature.as_ref().to_vec()
}

fn rsa_signature(message: &str) -> Vec<u8> {
    let mut signature = vec![0; RSA.public_modulus_len()];
    RSA.sign(
        &RSA_PKCS1_SHA256,
        &SystemRandom::new(),
        message.as_bytes(),
        &mut signature,
    )
    .unwrap();
    signature
}

fn ec_jwk(key: &EcdsaKeyPair, id: Option<&str>) -> Value {
    let point = key.public_key().as_ref();
    json!({"kty": "EC", "crv": "P-256", "kid": id, "x": b64(&point[1..33]), "y": b64(&point[33..])})
}

fn rsa_jwk(id: Option<&str>) -> Value {
    let key = RSA.public_key();
    json!({
        "kty": "RSA",
        "kid": id,
        "n": b64(key.modulus().big_endian_without_leading_zero()),
        "e": b64(key.exponent().big_endian_without_leading_zero()),
    })
}

fn key_set(keys: &[Value]) -> KeySet {
    KeySet::parse(json!({"keys": keys}).to_string().as_bytes()).unwrap()
}

/// The issuer of these tests: an EC key without id, and an RSA key.
fn issuer_keys() -> KeySet {
    key_set(&[ec_jwk(&EC, None), rsa_jwk(Some("rsa-1"))])
}

fn good_claims() -> Value {
    json!({"iss": ISSUER, "aud": AUDIENCE, "exp": NOW + 120, "username": "alice", "groups": ["a"]})
}

fn es256_header() -> Value {
    json!({"alg": "ES256", "typ": "JWT"})
}

fn es256(header: &str, claims: &str) -> String {
    let message = format!("{}.{}", b64(header), b64(claims));
    let signature = ec_signature(&EC, &message);
    format!("{message}.{}", b64(signature))
}

fn rs256(header: &Value) -> String {
    let message = format!(
        "{}.{}",
        b64(header.to_string()),
        b64(good_claims().to_string())
    );
    let signature = rsa_signature(&message);
    format!("{message}.{}", b64(signature))
}

fn check(token: &str) -> Result<Claims, TokenError> {
    check_at(token, Duration::from_secs(NOW))
}

fn check_at(token: &str, since_1970: Duration) -> Result<Claims, TokenError> {
    check_with(token, &issuer_keys(), since_1970)
}

fn check_with(token: &str, keys: &KeySet, since_1970: Duration) -> Result<Claims, TokenError> {
    let expectations = Expectations {
        issuer: ISSUER.to_owned(),
        audience: AUDIENCE.to_owned(),
    };
    expectations.check(token, Some(keys), SystemTime::UNIX_EPOCH + since_1970)
}

/// Word for the outcome: `good`, or the error's reason.
fn outcome(verdict: Result<Claims, TokenError>) -> &'static str {
    verdict.map_or_else(|error| error.reason(), |_| "good")
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        other => panic!("{other} is no object"),
    }
}

fn with_header(changes: Value) -> &'static str {
    let mut header = es256_header();
    header.as_object_mut().unwrap().append(&mut object(changes));
    outcome(check(&es256(
        &header.to_string(),
        &good_claims().to_string(),
    )))
}

fn with_claim(name: &str, value: Value) -> &'static str {
    let mut claims = good_claims();
    claims[name] = value;
    outcome(check(&es256(
        &es256_header().to_string(),
        &claims.to_string(),
    )))
}

fn without_claim(name: &str) -> &'static str {
    let mut claims = good_claims();
    claims.as_object_mut().unwrap().remove(name);
    outcome(check(&es256(
        &es256_header().to_string(),
        &claims.to_string(),
    )))
}

fn good_token() -> String {
    es256(&es256_header().to_string(), &good_claims().to_string())
}

#[test]
fn tokens_of_both_kinds_are_good() {
    let claims = check(&good_token()).unwrap();
    assert_eq!(claims.get("username"), Some(&json!("alice")));
    assert!(check(&rs256(&json!({"alg": "RS256", "kid": "rsa-1"}))).is_ok());
    assert!(
        check(&rs256(&json!({"alg": "RS256"}))).is_ok(),
        "without kid every key is tried"
    );
}

#[test]
fn unsigned_and_differently_signed_tokens_are_refused() {
    for alg in [
        "none", "None", "", "HS256", "ES384", "ES512", "RS384", "RS512", "PS256", "EdDSA", "es256",
        "dir",
    ] {
        assert_eq!(
            with_header(json!({"alg": alg})),
            "UnsupportedAlgorithm",
            "{alg}"
        );
    }
    let claims = good_claims().to_string();
    let unsigned = format!("{}.{}.", b64(r#"{"alg":"none"}"#), b64(&claims));
    assert_eq!(outcome(check(&unsigned)), "UnsupportedAlgorithm");

    let message = format!("{}.{}", b64(r#"{"alg":"ES384"}"#), b64(&claims));
    let es384 = format!("{message}.{}", b64(ec_signature(&EC384, &message)));
    let error = check(&es384).unwrap_err();
    assert_eq!(
        error.to_string(),
        "oidc: verify token: oidc: id token signed with unsupported algorithm, expected [\"RS256\" \"ES256\"] got \"ES384\""
    );
    assert_eq!(
        outcome(check_with(
            &es384,
            &key_set(&[ec_jwk(&EC, None)]),
            Duration::from_secs(NOW)
        )),
        "UnsupportedAlgorithm"
    );
}

/// The classic confusion: the public key, which everyone knows, taken for an HMAC secret.
#[test]
fn hmac_with_a_public_key_is_refused() {
    for header in [r#"{"alg":"HS256"}"#, r#"{"alg":"HS256","kid":"rsa-1"}"#] {
        let message = format!("{}.{}", b64(header), b64(good_claims().to_string()));
        for secret in [RSA.public_key().as_ref(), EC.public_key().as_ref()] {
            let tag = hmac::sign(
                &hmac::Key::new(hmac::HMAC_SHA256, secret),
                message.as_bytes(),
            );
            assert_eq!(
                outcome(check(&format!("{message}.{}", b64(tag)))),
                "UnsupportedAlgorithm"
            );
        }
    }
}

#[test]
fn a_key_is_used_with_its_own_algorithm_only() {
    let token = es256(
        &json!({"alg": "ES256", "kid": "rsa-1"}).to_string(),
        &good_claims().to_string(),
    );
    assert_eq!(
        outcome(check(&token)),
        "UnknownKey",
        "the only key of this id is RSA"
    );
    let both = key_set(&[
        ec_jwk(&OTHER_EC, Some("k")),
        rsa_jwk(Some("k")),
        ec_jwk(&EC, Some("k")),
    ]);
    let token = es256(
        &json!({"alg": "ES256", "kid": "k"}).to_string(),
        &good_claims().to_string(),
    );
    assert!(
        check_with(&token, &both, Duration::from_secs(NOW)).is_ok(),
        "ids need not be unique"
    );
    let message = format!(
        "{}.{}",
        b64(r#"{"alg":"RS256"}"#),
        b64(good_claims().to_string())
    );
    let mislabelled = format!("{message}.{}", b64(ec_signature(&EC, &message)));
    assert_eq!(outcome(check(&mislabelled)), "WrongSignature");
}

#[test]
fn signatures_of_other_keys_are_refused() {
    let message = format!(
        "{}.{}",
        b64(es256_header().to_string()),
        b64(good_claims().to_string())
    );
    let forged = format!("{message}.{}", b64(ec_signature(&OTHER_EC, &message)));
    assert_eq!(
        check(&forged).unwrap_err().to_string(),
        "oidc: verify token: failed to verify signature: failed to verify id token signature"
    );
    assert_eq!(
        outcome(check_with(
            &good_token(),
            &KeySet::default(),
            Duration::from_secs(NOW)
        )),
        "UnknownKey"
    );
    for signature in ["", "AA", &b64([0; 64]), &b64([0; 63]), "!!"] {
        assert_eq!(
            outcome(check(&format!("{message}.{signature}"))),
            "WrongSignature",
            "{signature}"
        );
    }
}

#[test]
fn keys_that_a_token_brings_along_give_no_trust() {
    for parameter in [
        json!({"jwk": ec_jwk(&OTHER_EC, None)}),
        json!({"jku": "https://evil.example.com/keys"}),
        json!({"x5u": "https://evil.example.com/cert"}),
        json!({"x5c": ["MIIB"]}),
    ] {
        let mut header = es256_header();
        header
            .as_object_mut()
            .unwrap()
            .extend(parameter.as_object().unwrap().clone());
        let message = format!(
            "{}.{}",
            b64(header.to_string()),
            b64(good_claims().to_string())
        );
        let forged = format!("{message}.{}", b64(ec_signature(&OTHER_EC, &message)));
        assert_eq!(outcome(check(&forged)), "WrongSignature", "{parameter}");
        assert_eq!(with_header(parameter), "good", "and do no harm");
    }
}

#[test]
fn header_parameters_that_change_the_meaning_are_refused() {
    for crit in [json!(["exp"]), json!([]), json!(null), json!("b64")] {
        assert_eq!(
            with_header(json!({"crit": crit})),
            "CriticalHeader",
            "{crit}"
        );
    }
    for typ in ["logout+jwt", "application/secevent+jwt", "DPoP+JWT"] {
        assert_eq!(with_header(json!({"typ": typ})), "UnsupportedType", "{typ}");
    }
    for typ in ["JWT", "jwt", "at+jwt", "application/at+jwt", "anything"] {
        assert_eq!(with_header(json!({"typ": typ})), "good", "{typ}");
    }
    for cty in ["JWT", "jwt", "application/jwt"] {
        assert_eq!(with_header(json!({"cty": cty})), "NestedToken", "{cty}");
    }
    for wrong_type in [
        json!({"alg": 1}),
        json!({"kid": 1}),
        json!({"typ": []}),
        json!({"cty": {}}),
    ] {
        assert_eq!(
            with_header(wrong_type.clone()),
            "MalformedHeader",
            "{wrong_type}"
        );
    }
    let claims = good_claims().to_string();
    assert_eq!(
        outcome(check(&es256(r#"{"alg":"none","alg":"ES256"}"#, &claims))),
        "MalformedHeader"
    );
    assert_eq!(
        outcome(check(&es256(r#"{"typ":"JWT"}"#, &claims))),
        "MalformedHeader",
        "no alg"
    );
}

#[test]
fn key_ids_are_compared_and_nothing_else() {
    for id in [
        "../../etc/passwd",
        "' OR 1=1 --",
        "a\u{0}b",
        "\u{202e}",
        "%00",
        "ключ",
        &"x".repeat(5000),
    ] {
        assert_eq!(with_header(json!({"kid": id})), "UnknownKey", "{id:?}");
        let keys = key_set(&[ec_jwk(&EC, Some(id))]);
        let token = es256(
            &json!({"alg": "ES256", "kid": id}).to_string(),
            &good_claims().to_string(),
        );
        assert!(
            check_with(&token, &keys, Duration::from_secs(NOW)).is_ok(),
            "{id:?}"
        );
    }
    let text = TokenError::UnknownKey(Some(foreign("a\nb"))).to_string();
    assert!(text.ends_with("(key \"a\\nb\")"), "{text}");
    assert_eq!(
        with_header(json!({"kid": ""})),
        "good",
        "an empty id is none"
    );
}

#[test]
fn what_must_be_said_must_be_said() {
    for name in ["iss", "aud", "exp"] {
        assert_eq!(without_claim(name), "MissingClaim", "{name}");
    }
    assert_eq!(without_claim("username"), "good");
}

#[test]
fn the_issuer_is_one_text_and_equal() {
    for other in [
        "",
        "https://issuer.example.com/",
        "https://ISSUER.example.com",
        "issuer.example.com",
    ] {
        assert_eq!(with_claim("iss", json!(other)), "OtherIssuer", "{other}");
    }
    for wrong_type in [json!([ISSUER]), json!({"a": ISSUER}), json!(null), json!(1)] {
        assert_eq!(
            with_claim("iss", wrong_type.clone()),
            "WrongClaimType",
            "{wrong_type}"
        );
    }
}

#[test]
fn the_audience_is_ours() {
    assert_eq!(with_claim("aud", json!([AUDIENCE])), "good");
    assert_eq!(with_claim("aud", json!(["other", AUDIENCE])), "good");
    for other in [
        json!("cluster-2"),
        json!("cluster-1 "),
        json!(""),
        json!([]),
        json!(["cluster-2", "CLUSTER-1"]),
    ] {
        assert_eq!(with_claim("aud", other.clone()), "WrongAudience", "{other}");
    }
    for wrong_type in [
        json!(null),
        json!(1),
        json!({"a": AUDIENCE}),
        json!([AUDIENCE, 1]),
    ] {
        assert_eq!(
            with_claim("aud", wrong_type.clone()),
            "WrongClaimType",
            "{wrong_type}"
        );
    }
    let mut claims = good_claims();
    claims["aud"] = json!("cluster-2");
    assert_eq!(
        check(&es256(&es256_header().to_string(), &claims.to_string()))
            .unwrap_err()
            .to_string(),
        "oidc: verify token: oidc: expected audience \"cluster-1\" got \\\"cluster-2\\\""
    );
}

#[test]
fn expiry_has_no_leeway() {
    let token = good_token();
    let at = |millis: u64| outcome(check_at(&token, Duration::from_millis(NOW * 1000 + millis)));
    assert_eq!(at(119_999), "good");
    assert_eq!(at(120_000), "Expired");
    assert_eq!(at(121_000), "Expired");
    assert_eq!(with_claim("exp", json!(NOW as f64 + 0.5)), "good");
    assert_eq!(with_claim("exp", json!(NOW as f64 - 0.5)), "Expired");
    for past in [json!(0), json!(-1), json!(NOW), json!(NOW - 1)] {
        assert_eq!(with_claim("exp", past.clone()), "Expired", "{past}");
    }
    for wrong_type in [
        json!((NOW + 120).to_string()),
        json!(null),
        json!([NOW + 120]),
        json!(true),
    ] {
        assert_eq!(
            with_claim("exp", wrong_type.clone()),
            "WrongClaimType",
            "{wrong_type}"
        );
    }
}

#[test]
fn not_before_has_a_minute_of_leeway_and_issued_at_is_not_judged() {
    assert_eq!(with_claim("nbf", json!(NOW + 59)), "good");
    assert_eq!(with_claim("nbf", json!(NOW + 61)), "NotYetValid");
    assert_eq!(with_claim("nbf", json!(NOW as f64 + 60.5)), "NotYetValid");
    assert_eq!(with_claim("nbf", json!("0")), "WrongClaimType");
    assert_eq!(with_claim("nbf", json!(null)), "WrongClaimType");
    assert_eq!(with_claim("iat", json!(NOW + 100_000)), "good");
}

#[test]
fn duplicate_claims_are_refused() {
    for extra in [
        format!(r#""iss":"{ISSUER}""#),
        r#""groups":["system:masters"]"#.to_owned(),
        r#""nested":{"a":1,"a":2}"#.to_owned(),
    ] {
        let claims = good_claims()
            .to_string()
            .replacen('{', &format!("{{{extra},"), 1);
        assert_eq!(
            outcome(check(&es256(&es256_header().to_string(), &claims))),
            "DuplicateClaim",
            "{extra}"
        );
    }
}

#[test]
fn only_the_compact_form_is_a_token() {
    let token = good_token();
    let (message, signature) = token.rsplit_once('.').unwrap();
    let (header, payload) = message.split_once('.').unwrap();
    let padded = STANDARD.encode(r#"{"alg":"ES256" }"#);
    for other in [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        "abc".to_owned(),
        message.to_owned(),
        format!("{token}."),
        format!(".{token}"),
        format!("{token}.{signature}"),
        format!("{header}.{payload}.{signature}.{signature}.{signature}"),
        format!(" {token}"),
        format!("Bearer {token}"),
        format!("{padded}.{payload}.{signature}"),
        format!("{header}=.{payload}.{signature}"),
        format!("{header}.{payload}\n.{signature}"),
        format!("{header}.{}.{signature}", b64("[]")),
        format!("{header}.{}.{signature}", b64("{}x")),
        format!("{header}.{}.{signature}", b64("not json")),
        format!("{}.{payload}.{signature}", b64("not json")),
        json!({"payload": payload, "protected": header, "signature": signature}).to_string(),
    ] {
        assert_eq!(outcome(check(&other)), "NotJwt", "{other}");
    }
}

/// Two texts for one token would give it two identities in logs and caches.
#[test]
fn base64_that_is_not_canonical_is_refused() {
    let token = good_token();
    let (message, signature) = token.rsplit_once('.').unwrap();
    assert_eq!(
        signature.len(),
        86,
        "four bits are left over in the last character"
    );
    let last = signature.chars().last().unwrap();
    let position = |c: char| {
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
            .find(c)
            .unwrap()
    };
    let other = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        .chars()
        .nth(position(last) + 1)
        .unwrap();
    let twin = format!("{message}.{}{other}", signature.get(..85).unwrap());
    assert_eq!(outcome(check(&twin)), "WrongSignature");
    assert_eq!(outcome(check(&format!("{token}=="))), "WrongSignature");
    let spaced = es256(r#"{"alg":"ES256" }"#, &good_claims().to_string());
    let (header, rest) = spaced.split_once('.').unwrap();
    assert_eq!(header.len() % 4, 2);
    let twin = format!("{}{}.{rest}", header.get(..header.len() - 1).unwrap(), "R");
    assert_eq!(outcome(check(&twin)), "NotJwt");
}

#[test]
fn oversized_tokens_are_refused_before_they_are_read() {
    assert_eq!(outcome(check(&"a".repeat(65 * 1024))), "TooLarge");
    assert_eq!(
        with_header(json!({"kid": "x".repeat(9 * 1024)})),
        "TooLarge"
    );
    assert_eq!(
        outcome(check(&format!("{}{}", good_token(), "A".repeat(1400)))),
        "TooLarge"
    );
    assert_eq!(
        with_claim("groups", json!(vec!["g".repeat(100); 300])),
        "good",
        "30 KiB of groups"
    );
}

#[test]
fn the_cheap_faults_are_found_before_a_signature_is_computed() {
    let message = format!(
        "{}.{}",
        b64(es256_header().to_string()),
        b64(json!({"iss": ISSUER, "aud": AUDIENCE, "exp": NOW - 1}).to_string())
    );
    assert_eq!(outcome(check(&format!("{message}.AAAA"))), "Expired");
    let expectations = Expectations {
        issuer: ISSUER.to_owned(),
        audience: AUDIENCE.to_owned(),
    };
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
    assert_eq!(
        expectations.check(&good_token(), None, now),
        Err(TokenError::KeysOutdated)
    );
    assert_eq!(
        expectations
            .check(&format!("{message}.AAAA"), None, now)
            .unwrap_err()
            .reason(),
        "Expired"
    );
}

#[test]
fn foreign_tokens_are_told_apart_from_bad_ones() {
    assert!(check("junk").unwrap_err().is_foreign());
    let mut claims = good_claims();
    claims["iss"] = json!("https://other");
    let other = check(&es256(&es256_header().to_string(), &claims.to_string())).unwrap_err();
    assert!(other.is_foreign());
    assert!(
        !check(&format!("{}x", good_token()))
            .unwrap_err()
            .is_foreign()
    );
}

/// Invariant 10: whatever is wrong, the text for the log holds no part of the token that could be used.
#[test]
fn errors_never_hold_the_token() {
    let token = good_token();
    let (message, signature) = token.rsplit_once('.').unwrap();
    let (_, payload) = message.split_once('.').unwrap();
    for bad in [
        format!("{token}."),
        format!("{message}.AAAA"),
        token.get(1..).unwrap().to_owned(),
    ] {
        let error = check(&bad).unwrap_err();
        let texts = format!("{error} {error:?}");
        assert!(
            !texts.contains(signature) && !texts.contains(payload),
            "{texts}"
        );
    }
    assert_eq!(format!("{:?}", check(&token).unwrap()), "Claims");
}

/// `text` with up to three of its characters taken out or replaced by others.
fn damaged(text: String) -> impl Strategy<Value = String> {
    let damage = (any::<prop::sample::Index>(), "[ -~]{0,2}|.");
    prop::collection::vec(damage, 0..=3).prop_map(move |damages| {
        let mut parts: Vec<String> = text.chars().map(String::from).collect();
        for (place, replacement) in damages {
            *place.get_mut(&mut parts) = replacement;
        }
        parts.concat()
    })
}

static GOOD: LazyLock<String> = LazyLock::new(good_token);

proptest! {
    #[test]
    fn a_damaged_token_neither_panics_nor_passes(token in damaged(GOOD.clone())) {
        prop_assert!(token == *GOOD || check(&token).is_err());
    }

    /// Signed by the issuer's own key after the damage, so that every check is reached.
    #[test]
    fn what_passes_says_the_right_things(
        header in damaged(es256_header().to_string()),
        claims in damaged(good_claims().to_string()),
    ) {
        if let Ok(claims) = check(&es256(&header, &claims)) {
            prop_assert_eq!(claims.get("iss"), Some(&json!(ISSUER)));
            prop_assert!(claims.get("aud").unwrap().to_string().contains(AUDIENCE));
            prop_assert!(claims.get("exp").unwrap().as_f64().unwrap() > NOW as f64);
        }
    }

    #[test]
    fn any_changed_character_is_noticed(
        position in any::<prop::sample::Index>(),
        replacement in "[A-Za-z0-9_-]",
    ) {
        let token = good_token();
        let position = position.index(token.len());
        prop_assume!(token.get(position..=position) != Some(&replacement));
        let mut changed = token;
        changed.replace_range(position..=position, &replacement);
        prop_assert!(check(&changed).is_err());
    }
}

#[test]
fn a_clock_before_1970_accepts_nothing() {
    let expectations = Expectations {
        issuer: ISSUER.to_owned(),
        audience: AUDIENCE.to_owned(),
    };
    let unset = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
    assert_eq!(
        expectations.check(&good_token(), Some(&issuer_keys()), unset),
        Err(TokenError::ClockUnset)
    );
}

#[test]
fn a_token_without_key_id_is_tried_with_few_keys() {
    let expectations = Expectations {
        issuer: ISSUER.to_owned(),
        audience: AUDIENCE.to_owned(),
    };
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
    let judge = |others: usize| {
        let mut keys = vec![ec_jwk(&OTHER_EC, None); others];
        keys.push(ec_jwk(&EC, None));
        expectations
            .check(&good_token(), Some(&key_set(&keys)), now)
            .is_ok()
    };
    assert!(judge(MAX_CANDIDATES - 1));
    assert!(!judge(MAX_CANDIDATES));
}

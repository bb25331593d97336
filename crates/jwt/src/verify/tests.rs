//! What a good token says, and how one is refused that says less.

mod algorithms;
mod attacks;
mod issuer;

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use issuer::*;

const NOW: u64 = 1_800_000_000;
const ISSUER: &str = "https://issuer.example.com";
const AUDIENCE: &str = "cluster-1";

fn check(token: &str) -> Result<Claims, TokenError> {
    check_at(token, Duration::from_secs(NOW))
}

fn check_at(token: &str, since_1970: Duration) -> Result<Claims, TokenError> {
    expectations().check(
        token,
        Some(&issuer_keys()),
        SystemTime::UNIX_EPOCH + since_1970,
    )
}

fn check_with(token: &str, keys: &KeySet) -> Result<Claims, TokenError> {
    expectations().check(token, Some(keys), now())
}

fn expectations() -> Expectations {
    Expectations {
        issuer: ISSUER.to_owned(),
        audience: AUDIENCE.to_owned(),
        algorithms: AcceptedAlgorithms::default(),
    }
}

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(NOW)
}

/// Word for the outcome: `good`, or the error's reason.
fn outcome(verdict: Result<Claims, TokenError>) -> &'static str {
    verdict.map_or_else(|error| error.reason(), |_| "good")
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
        let header = json!({"alg": "ES256", "kid": id});
        let token = es256(&header.to_string(), &good_claims().to_string());
        assert_eq!(outcome(check(&token)), "UnknownKey", "{id:?}");
        let keys = key_set(&[ec_jwk(&EC, Some(id))]);
        assert!(check_with(&token, &keys).is_ok(), "{id:?}");
    }
    let text = TokenError::UnknownKey(Some(foreign("a\nb"))).to_string();
    assert!(text.ends_with("(key \"a\\nb\")"), "{text}");
    let token = es256(r#"{"alg":"ES256","kid":""}"#, &good_claims().to_string());
    assert_eq!(outcome(check(&token)), "good", "an empty id is none");
}

#[test]
fn what_must_be_said_must_be_said() {
    for name in ["iss", "aud", "exp"] {
        assert_eq!(without_claim(name), "MissingClaim", "{name}");
    }
    assert_eq!(without_claim("username"), "good");
}

/// Google signs with and without the scheme. Nobody else has two names.
#[test]
fn googles_issuer_may_leave_out_its_scheme() {
    let good = |configured: &str, said: &str| {
        let mut claims = good_claims();
        claims["iss"] = json!(said);
        let token = es256(&es256_header().to_string(), &claims.to_string());
        let expectations = Expectations {
            issuer: configured.to_owned(),
            ..expectations()
        };
        expectations
            .check(&token, Some(&issuer_keys()), now())
            .is_ok()
    };
    assert!(good(
        "https://accounts.google.com",
        "https://accounts.google.com"
    ));
    assert!(good("https://accounts.google.com", "accounts.google.com"));
    for (configured, said) in [
        ("https://accounts.google.com/", "accounts.google.com"),
        ("https://accounts.google.com", "accounts.google.com/"),
        ("https://accounts.google.com", "Accounts.google.com"),
        ("https://accounts.google.com", "http://accounts.google.com"),
        ("accounts.google.com", "https://accounts.google.com"),
        ("https://issuer.example.com", "accounts.google.com"),
        ("https://issuer.example.com", "issuer.example.com"),
    ] {
        assert!(!good(configured, said), "{configured}, {said}");
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
    let mut claims = good_claims();
    claims["aud"] = json!("cluster-2");
    assert_eq!(
        check(&es256(&es256_header().to_string(), &claims.to_string()))
            .unwrap_err()
            .to_string(),
        "oidc: verify token: oidc: expected audience \"cluster-1\" got \"cluster-2\""
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
    let error = check_at(&token, Duration::from_secs(NOW + 121)).unwrap_err();
    let text = error.to_string();
    let dates = ["2027-01-15T08:02:00Z", "2027-01-15T08:02:01Z"];
    assert!(dates.iter().all(|date| text.contains(date)), "{text}");
}

#[test]
fn not_before_has_a_minute_of_leeway_and_issued_at_is_not_judged() {
    assert_eq!(with_claim("nbf", json!(NOW + 59)), "good");
    assert_eq!(with_claim("nbf", json!(NOW + 61)), "NotYetValid");
    assert_eq!(with_claim("nbf", json!(NOW as f64 + 60.5)), "NotYetValid");
    assert_eq!(with_claim("iat", json!(NOW + 100_000)), "good");
}

#[test]
fn the_cheap_faults_are_found_before_a_signature_is_computed() {
    let message = format!(
        "{}.{}",
        b64(es256_header().to_string()),
        b64(json!({"iss": ISSUER, "aud": AUDIENCE, "exp": NOW - 1}).to_string())
    );
    assert_eq!(outcome(check(&format!("{message}.AAAA"))), "Expired");
    assert_eq!(
        expectations().check(&good_token(), None, now()),
        Err(TokenError::KeysOutdated)
    );
    assert_eq!(
        expectations()
            .check(&format!("{message}.AAAA"), None, now())
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
    let unset = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
    assert_eq!(
        expectations().check(&good_token(), Some(&issuer_keys()), unset),
        Err(TokenError::ClockUnset)
    );
}

#[test]
fn a_token_without_key_id_is_tried_with_few_keys() {
    let judge = |others: usize| {
        let mut keys = vec![ec_jwk(&OTHER_EC, None); others];
        keys.push(ec_jwk(&EC, None));
        expectations()
            .check(&good_token(), Some(&key_set(&keys)), now())
            .is_ok()
    };
    assert!(judge(MAX_CANDIDATES - 1));
    assert!(!judge(MAX_CANDIDATES));
}

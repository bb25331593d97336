//! The known attacks on tokens, as tables. Every token is good but for the one change that its row names, and is
//! signed by the issuer's own key after the change wherever that is possible. So the check whose error a row names is the
//! only one in its way.

mod claim_values;
mod header_parameters;
mod signatures;
mod token_form;

use super::*;
use SigningAlgorithm::{EdDsa, Es256, Es384, Ps256, Rs256, Rs384, Rs512};

const ES256_HEADER: &str = r#"{"alg":"ES256"}"#;

/// The name of an attack, its token, and the error that refuses it.
type Attack = (String, String, &'static str);

/// Tries them with every algorithm accepted, since an attack has most room there.
fn assert_refused(attacks: impl IntoIterator<Item = Attack>) {
    for (name, token, refusal) in attacks {
        assert_eq!(judge(&token), refusal, "{name}");
    }
}

fn judge(token: &str) -> &'static str {
    let expectations = Expectations {
        algorithms: AcceptedAlgorithms::new(&[Rs256, Rs384, Rs512, Ps256, Es256, Es384, EdDsa]),
        ..expectations()
    };
    let mut rs256_only = rsa_jwk(Some("rs256-only"));
    rs256_only["alg"] = json!("RS256");
    let keys = key_set(&[
        ec_jwk(&EC, Some("ec-1")),
        rsa_jwk(Some("rsa-1")),
        rs256_only,
        ec_jwk(&EC384, Some("ec384-1")),
        ed_jwk(Some("ed-1")),
    ]);
    outcome(expectations.check(token, Some(&keys), now()))
}

/// With this header, signed with ES256.
fn header(header: &str) -> String {
    es256(header, &good_claims().to_string())
}

/// With these parameters besides `alg`.
fn parameters(more: &str) -> String {
    header(&format!(r#"{{"alg":"ES256",{more}}}"#))
}

/// With this text for claims, signed with ES256.
fn claims(claims: &str) -> String {
    es256(ES256_HEADER, claims)
}

/// With one claim of the good ones replaced.
fn claim(name: &str, value: Value) -> String {
    let mut good = good_claims();
    good[name] = value;
    claims(&good.to_string())
}

/// With this text for the number that is `exp`.
fn expiry(text: &str) -> String {
    let good = good_claims().to_string();
    claims(&good.replace(&(NOW + 120).to_string(), text))
}

/// With this text in front of the good claims.
fn more_claims(more: &str) -> String {
    claims(
        &good_claims()
            .to_string()
            .replacen('{', &format!("{{{more},"), 1),
    )
}

/// With this header, and what is made of header and claims instead of their signature.
fn signature_part(header: &str, make: impl FnOnce(&str) -> String) -> String {
    let message = format!("{}.{}", b64(header), b64(good_claims().to_string()));
    let signature = make(&message);
    format!("{message}.{signature}")
}

fn rows<const N: usize>(
    attack: &str,
    refusal: &'static str,
    tokens: [(&str, String); N],
) -> impl Iterator<Item = Attack> {
    tokens
        .map(|(variant, token)| (format!("{attack}: {variant}"), token, refusal))
        .into_iter()
}

/// The text with the next letter for its last, whose low bits stand for nothing.
fn with_other_last_bits(text: &str) -> String {
    assert_ne!(text.len() % 4, 0, "no bits are left over in {text}");
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (rest, last) = text.split_at(text.len() - 1);
    let next = alphabet.split_once(last).unwrap().1.chars().next().unwrap();
    format!("{rest}{next}")
}

#[test]
fn without_an_attack_the_tokens_are_good() {
    assert_eq!(judge(&header(ES256_HEADER)), "good");
    assert_eq!(judge(&more_claims(r#""a":1"#)), "good");
    assert_eq!(judge(&expiry("1800000001")), "good");
    let own = signature_part(ES256_HEADER, |message| b64(signature(Es256, message)));
    assert_eq!(judge(&own), "good");
}

//! Attacks by the header of a token.

use aws_lc_rs::signature::KeyPair;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::*;

#[test]
fn a_header_brings_no_keys() {
    let forged = |more: Value| {
        let mut header = more;
        header["alg"] = json!("ES256");
        signature_part(&header.to_string(), |message| {
            b64(ec_signature(&OTHER_EC, message))
        })
    };
    let url = "https://evil.example.com/keys";
    assert_refused(rows(
        "own key",
        "WrongSignature",
        [
            ("jwk", forged(json!({"jwk": ec_jwk(&OTHER_EC, None)}))),
            (
                "jwk with a known id",
                forged(json!({"kid": "ec-1", "jwk": ec_jwk(&OTHER_EC, Some("ec-1"))})),
            ),
            ("jku", forged(json!({"jku": url}))),
            ("x5u", forged(json!({"x5u": url}))),
            (
                "x5c",
                forged(json!({"x5c": [STANDARD.encode(OTHER_EC.public_key().as_ref())]})),
            ),
        ],
    ));
}

#[test]
fn a_header_does_not_change_the_rules() {
    let attacks = rows(
        "must be understood",
        "CriticalHeader",
        [
            ("crit", parameters(r#""crit":["exp"],"exp":1"#)),
            ("empty crit", parameters(r#""crit":[]"#)),
            ("null crit", parameters(r#""crit":null"#)),
            ("crit that is no list", parameters(r#""crit":"b64""#)),
            (
                "unencoded payload",
                parameters(r#""b64":false,"crit":["b64"]"#),
            ),
            ("b64 alone", parameters(r#""b64":false"#)),
            ("null b64", parameters(r#""b64":null"#)),
            ("escaped crit", parameters(r#""\u0063rit":["exp"]"#)),
        ],
    )
    .chain(rows(
        "token for another purpose",
        "UnsupportedType",
        [
            ("logout", parameters(r#""typ":"logout+jwt""#)),
            ("event", parameters(r#""typ":"application/secevent+jwt""#)),
            ("proof", parameters(r#""typ":"DPoP+JWT""#)),
        ],
    ))
    .chain(rows(
        "nested token",
        "NestedToken",
        [
            ("JWT", parameters(r#""cty":"JWT""#)),
            ("lower case", parameters(r#""cty":"jwt""#)),
            ("media type", parameters(r#""cty":"application/JWT""#)),
        ],
    ))
    .chain(rows(
        "ambiguous header",
        "MalformedHeader",
        [
            ("two alg", header(r#"{"alg":"none","alg":"ES256"}"#)),
            ("two alg, equal", header(r#"{"alg":"ES256","alg":"ES256"}"#)),
            (
                "two alg, one escaped",
                header(r#"{"alg":"ES256","\u0061lg":"none"}"#),
            ),
            ("two kid", parameters(r#""kid":"rsa-1","kid":"ec-1""#)),
            ("two of what is not read", parameters(r#""a":1,"a":1"#)),
            (
                "two in depth",
                parameters(r#""jwk":{"kty":"EC","kty":"RSA"}"#),
            ),
            ("two in a list", parameters(r#""x5c":[{"a":1,"a":1}]"#)),
            ("kid of another type", parameters(r#""kid":["ec-1"]"#)),
            ("typ of another type", parameters(r#""typ":1"#)),
            ("cty of another type", parameters(r#""cty":{}"#)),
        ],
    ));
    assert_refused(attacks);
}

#[test]
fn what_means_nothing_in_a_header_does_no_harm() {
    for harmless in [
        r#""jwk":{"kty":"EC"},"jku":"https://evil.example.com","x5u":"a","x5c":["MIIB"]"#,
        r#""typ":"JWT""#,
        r#""typ":"jwt""#,
        r#""typ":"at+jwt""#,
        r#""typ":"application/at+jwt""#,
        r#""typ":"anything""#,
        r#""typ":null,"cty":null,"kid":null"#,
        r#""cty":"json""#,
        r#""b64":true"#,
        r#""zip":"DEF","enc":"A256GCM""#,
    ] {
        assert_eq!(judge(&parameters(harmless)), "good", "{harmless}");
    }
}

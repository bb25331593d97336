//! Attacks by the form of a token as a whole.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE};

use super::*;

#[test]
fn there_is_one_form_of_a_token() {
    let token = good_token();
    let (message, signature) = token.rsplit_once('.').unwrap();
    let (head, payload) = message.split_once('.').unwrap();
    let flattened = json!({"payload": payload, "protected": head, "signature": signature});
    let general = json!({
        "payload": payload,
        "signatures": [{"protected": head, "header": {"a": "b.c.d"}, "signature": signature}],
    });
    let jwe = b64(r#"{"alg":"RSA-OAEP","enc":"A256GCM"}"#);
    let spaced = b64(r#"{"alg":"ES256" }"#);
    let good = good_claims().to_string();
    // With letters in which the two alphabets differ.
    let odd = good.replacen('{', r#"{"a":"???>>>~~~ÿÿÿ","#, 1);
    let standard = STANDARD_NO_PAD.encode(&odd);
    assert!(standard.contains(['+', '/']), "{standard}");
    let mut short = good;
    while short.len().is_multiple_of(3) {
        short.push(' ');
    }
    let resigned = |head: &str, payload: &str| encoded(Es256, head, payload);
    assert_eq!(judge(&resigned(head, &b64(&odd))), "good");
    assert_refused(rows(
        "form",
        "NotJwt",
        [
            ("nothing", String::new()),
            ("dots", "..".to_owned()),
            ("four dots", "....".to_owned()),
            ("two parts", message.to_owned()),
            ("four parts", format!("{token}.{signature}")),
            ("dot behind", format!("{token}.")),
            ("dot in front", format!(".{token}")),
            (
                "encrypted",
                format!("{jwe}.{head}.{payload}.{payload}.{signature}"),
            ),
            (
                "encrypted, direct",
                format!("{jwe}..{payload}.{payload}.{signature}"),
            ),
            ("flattened JSON", flattened.to_string()),
            ("general JSON", general.to_string()),
            ("detached payload", resigned(head, "")),
            ("no header", resigned("", payload)),
            ("with its scheme", format!("Bearer {token}")),
            ("space in front", format!(" {token}")),
            ("byte order mark", format!("\u{feff}{token}")),
            ("other dots", token.replace('.', "。")),
            ("escaped dots", token.replace('.', "%2e")),
            (
                "space in the header",
                resigned(&format!("{head} "), payload),
            ),
            (
                "line break in the claims",
                resigned(head, &format!("{payload}\r\n")),
            ),
            ("NUL in the header", resigned(&format!("{head}\0"), payload)),
            (
                "padded header",
                resigned(&URL_SAFE.encode(r#"{"alg":"ES256" }"#), payload),
            ),
            ("padded claims", resigned(head, &URL_SAFE.encode(&short))),
            ("other alphabet", resigned(head, &standard)),
            (
                "header with other last bits",
                resigned(&with_other_last_bits(&spaced), payload),
            ),
            (
                "claims with other last bits",
                resigned(head, &with_other_last_bits(&b64(&short))),
            ),
            ("header is no object", resigned(&b64("[]"), payload)),
            ("header is no JSON", resigned(&b64("alg: ES256"), payload)),
        ],
    ));
}

#[test]
fn what_is_too_large_is_not_read() {
    let long = |length: usize| parameters(&format!(r#""kid":"{}""#, "k".repeat(length)));
    assert_refused(rows(
        "size",
        "TooLarge",
        [
            ("token", "a".repeat(64 * 1024 + 1)),
            ("header", long(9 * 1024)),
            ("signature", format!("{}{}", good_token(), "A".repeat(1400))),
        ],
    ));
    assert_eq!(judge(&long(5 * 1024)), "UnknownKey");
    let groups = vec!["g".repeat(100); 300];
    assert_eq!(
        judge(&claim("groups", json!(groups))),
        "good",
        "30 KiB of groups"
    );
}

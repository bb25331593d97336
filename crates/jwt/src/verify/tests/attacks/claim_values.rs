//! Attacks by the claims of a token: what readers understand differently, and names that people read as another.

use super::*;

#[test]
fn claims_are_read_in_one_way() {
    let deep = format!(r#""a":{}{}"#, "[".repeat(5_000), "]".repeat(5_000));
    let attacks = rows(
        "ambiguous claims",
        "DuplicateClaim",
        [
            (
                "two iss",
                more_claims(r#""iss":"https://issuer.example.com""#),
            ),
            ("two groups", more_claims(r#""groups":["system:masters"]"#)),
            (
                "one escaped",
                more_claims(r#""\u0067roups":["system:masters"]"#),
            ),
            ("one null", more_claims(r#""username":null"#)),
            ("in depth", more_claims(r#""a":{"b":{"c":1,"c":2}}"#)),
            ("in a list", more_claims(r#""a":[[{"b":1,"\u0062":2}]]"#)),
        ],
    )
    .chain(rows(
        "no JSON",
        "NotJwt",
        [
            ("NUL in a text", more_claims("\"a\":\"\0\"")),
            ("line break in a text", more_claims("\"a\":\"\n\"")),
            ("half a surrogate pair", more_claims(r#""a":"\ud800""#)),
            ("the other half", more_claims(r#""a":"\udc00\ud800""#)),
            (
                "byte order mark",
                claims(&format!("\u{feff}{}", good_claims())),
            ),
            ("NUL behind", claims(&format!("{}\0", good_claims()))),
            (
                "something behind",
                claims(&format!("{}{{}}", good_claims())),
            ),
            ("single quotes", more_claims("'a':1")),
            ("comment", more_claims(r#"/* "a":1, */ "b":1"#)),
            ("list", claims(&format!("[{}]", good_claims()))),
            ("a token", claims(&good_token())),
            ("a token as text", claims(&json!(good_token()).to_string())),
            ("too deep", more_claims(&deep)),
            ("NaN", expiry("NaN")),
            ("Infinity", expiry("Infinity")),
            ("too large a number", expiry("1e999")),
            ("as many digits as fit", expiry(&"9".repeat(40_000))),
            ("hexadecimal", expiry("0x7fffffff")),
            ("plus sign", expiry("+1800000001")),
            ("leading zero", expiry("01800000001")),
        ],
    ));
    assert_refused(attacks);
    let header = b64(ES256_HEADER);
    let good = good_claims().to_string();
    let utf16: Vec<_> = good.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let not_utf8 = [good.trim_end_matches('}').as_bytes(), b",\"a\":\"\xff\"}"].concat();
    let overlong = [
        good.trim_end_matches('}').as_bytes(),
        b",\"a\":\"\xc0\xaf\"}",
    ]
    .concat();
    for bytes in [utf16, not_utf8, overlong] {
        assert_eq!(judge(&encoded(Es256, &header, &b64(&bytes))), "NotJwt");
    }
}

#[test]
fn names_that_look_alike_are_not_alike() {
    for issuer in [
        "https://issuer.example.com/",
        "https://issuer.example.com.",
        "https://issuer.example.com:443",
        "https://ISSUER.example.com",
        "HTTPS://issuer.example.com",
        "http://issuer.example.com",
        "issuer.example.com",
        "https://issuer.example.com@evil.example.com",
        "https://issuer.example.com\0",
        "https://issuer.example.com\0.evil.example.com",
        "https://issuer.example.com ",
        " https://issuer.example.com",
        "\u{feff}https://issuer.example.com",
        "https://issuer.example.com\u{200b}",
        "https://\u{202e}issuer.example.com",
        "https://issuer.ex\u{430}mple.com",
        "https://iss\u{fc}er.example.com",
        "https://ｉssuer.example.com",
        "https://issuer。example.com",
        "https://issuer%2eexample.com",
        "accounts.google.com",
        "",
    ] {
        let token = claim("iss", json!(issuer));
        assert_eq!(judge(&token), "OtherIssuer", "{issuer:?}");
    }
    for audience in [
        "Cluster-1",
        "cluster-1 ",
        "cluster-1\0",
        "cluster-1\n",
        "cluster-1\u{200b}",
        "\u{441}luster-1",
        "ｃluster-1",
        "cluster‐1",
        "cluster-1,cluster-2",
        "cluster-",
        "*",
        "",
    ] {
        for token in [
            claim("aud", json!(audience)),
            claim("aud", json!([audience])),
        ] {
            assert_eq!(judge(&token), "WrongAudience", "{audience:?}");
        }
    }
    let composed = Expectations {
        audience: "caf\u{e9}".to_owned(),
        ..expectations()
    };
    for (audience, expected) in [("caf\u{e9}", "good"), ("cafe\u{301}", "WrongAudience")] {
        let token = claim("aud", json!(audience));
        let verdict = composed.check(&token, Some(&issuer_keys()), now());
        assert_eq!(outcome(verdict), expected, "{audience:?}");
    }
    // JSON has several spellings of one text.
    let good = good_claims().to_string();
    for (plain, escaped) in [
        ("https://", r"https:\/\/"),
        ("cluster-1", r"\u0063luster\u002d1"),
        ("\"iss\"", r#""\u0069ss""#),
    ] {
        assert_eq!(
            judge(&claims(&good.replace(plain, escaped))),
            "good",
            "{escaped}"
        );
    }
}

#[test]
fn claims_have_the_type_that_they_must_have() {
    let wrong_type = |name: &'static str, value: Value| {
        let token = claim(name, value.clone());
        (format!("{name}: {value}"), token, "WrongClaimType")
    };
    let date = (NOW + 120).to_string();
    assert_refused([
        wrong_type("iss", json!([ISSUER])),
        wrong_type("iss", json!({"a": ISSUER})),
        wrong_type("iss", json!(null)),
        wrong_type("iss", json!(1)),
        wrong_type("aud", json!([AUDIENCE, 1])),
        wrong_type("aud", json!([AUDIENCE, null])),
        wrong_type("aud", json!([[AUDIENCE]])),
        wrong_type("aud", json!({"0": AUDIENCE})),
        wrong_type("aud", json!(null)),
        wrong_type("aud", json!(true)),
        wrong_type("exp", json!(date)),
        wrong_type("exp", json!([NOW + 120])),
        wrong_type("exp", json!({"a": NOW + 120})),
        wrong_type("exp", json!(null)),
        wrong_type("exp", json!(true)),
        wrong_type("nbf", json!("0")),
        wrong_type("nbf", json!(null)),
        wrong_type("nbf", json!([])),
        wrong_type("sub", json!(1)),
        wrong_type("sub", json!(["alice"])),
        wrong_type("nonce", json!(1)),
        wrong_type("nonce", json!({})),
        wrong_type("at_hash", json!(false)),
        wrong_type("iat", json!("yesterday")),
        wrong_type("iat", json!("")),
        wrong_type("iat", json!(null)),
        wrong_type("iat", json!([NOW])),
        wrong_type("iat", json!(true)),
    ]);
    for (name, value) in [
        ("sub", json!(null)),
        ("nonce", json!(null)),
        ("at_hash", json!(null)),
        ("iat", json!(NOW as f64 + 0.5)),
        ("iat", json!(NOW.to_string())),
    ] {
        assert_eq!(
            judge(&claim(name, value.clone())),
            "good",
            "{name}: {value}"
        );
    }
}

#[test]
fn no_number_turns_time_around() {
    for past in ["0", "-0.0", "-1", "-1e308", "1e-300", "1800000000"] {
        assert_eq!(judge(&expiry(past)), "Expired", "{past}");
    }
    // Beyond 64 bits, where integers would wrap.
    for future in ["9223372036854775808", "18446744073709551616", "1e308"] {
        assert_eq!(judge(&expiry(future)), "good", "{future}");
        let late_start = more_claims(&format!(r#""nbf":{future}"#));
        assert_eq!(judge(&late_start), "NotYetValid", "{future}");
        let early_start = more_claims(&format!(r#""nbf":-{future}"#));
        assert_eq!(judge(&early_start), "good", "{future}");
    }
}

use axum::response::IntoResponse;
use haulout_api::credential::TokenCredentialRequestSpec;
use haulout_api::group::ApiGroupSuffix;
use proptest::prelude::*;
use secrecy::ExposeSecret;
use serde::Deserialize;

use super::*;
use crate::kinds::ServedKind;
use crate::negotiate::BodyFormat::{self, Json, Yaml};
use crate::status::ApiError;

fn token_credential_request() -> ServedKind {
    ServedKind::token_credential_request(&ApiGroupSuffix::default())
}

fn decode(
    body: &[u8],
    format: BodyFormat,
    validation: FieldValidation,
) -> Result<Created<TokenCredentialRequestSpec>, ApiError> {
    decode_create(body, format, &token_credential_request(), validation)
}

fn refusal(body: &str, format: BodyFormat, validation: FieldValidation) -> String {
    let error = decode(body.as_bytes(), format, validation).unwrap_err();
    assert_eq!(error.code(), 400);
    assert_eq!(error.reason(), "BadRequest");
    error.to_string()
}

/// What kubectl, the CLI and the Supervisor's clients send.
const WHOLE: &str = r#"{"kind":"TokenCredentialRequest","apiVersion":"login.concierge.pinniped.dev/v1alpha1","metadata":{"creationTimestamp":null,"name":"n","labels":{"a":"b"}},"spec":{"token":"t","authenticator":{"apiGroup":"g","kind":"k","name":"a"}},"status":{}}"#;

#[test]
fn foreign_kinds_and_versions_are_refused() {
    let unregistered = |kind: &str, version: &str, api_version: &str| {
        format!(
            "{kind} in version \"{version}\" cannot be handled as a TokenCredentialRequest: no kind \"{kind}\" is registered for version \"{api_version}\" in scheme \"pkg/runtime/scheme.go:111\""
        )
    };
    let own = "login.concierge.pinniped.dev/v1alpha1";
    let kind = "TokenCredentialRequest";
    let cases = [
        (r#"{"kind":"Nope"}"#, unregistered("Nope", "v1alpha1", own)),
        (r#"{"kind":"tokencredentialrequest"}"#, unregistered("tokencredentialrequest", "v1alpha1", own)),
        (r#"{"kind":"TokenCredentialRequestList"}"#, unregistered("TokenCredentialRequestList", "v1alpha1", own)),
        (r#"{"apiVersion":"v1"}"#, unregistered(kind, "v1", "v1")),
        (r#"{"apiVersion":"/v1alpha1"}"#, unregistered(kind, "v1alpha1", "v1alpha1")),
        (r#"{"apiVersion":"foo/v2"}"#, unregistered(kind, "v2", "foo/v2")),
        (r#"{"apiVersion":"foo/"}"#, unregistered(kind, "", "foo/")),
        (
            r#"{"apiVersion":"login.concierge.pinniped.dev/v1"}"#,
            unregistered(kind, "v1", "login.concierge.pinniped.dev/v1"),
        ),
        (
            r#"{"apiVersion":"login.concierge.other.dev/v1alpha1"}"#,
            unregistered(kind, "v1alpha1", "login.concierge.other.dev/v1alpha1"),
        ),
        (
            r#"{"apiVersion":"a/b/c"}"#,
            "the object provided is unrecognized (must be of type TokenCredentialRequest): unexpected GroupVersion string: a/b/c (22 bytes)".to_owned(),
        ),
    ];
    for (body, expected) in cases {
        assert_eq!(refusal(body, Json, FieldValidation::Ignore), expected);
    }
    let long = format!(r#"{{"kind":"{}"}}"#, "x".repeat(100_000));
    assert!(refusal(&long, Json, FieldValidation::Warn).len() < 1000);
}

/// An answer repeats the name twice, with six bytes for a character that HTML knows.
#[test]
fn of_a_name_only_the_beginning_is_kept() {
    let name_of = |length: usize| {
        let body = format!(r#"{{"metadata":{{"name":"{}"}}}}"#, "<".repeat(length));
        decode(body.as_bytes(), Json, FieldValidation::Warn)
            .unwrap()
            .name
    };
    assert_eq!(name_of(253), "<".repeat(253), "the longest in Kubernetes");
    assert_eq!(name_of(250_000), "<".repeat(253));
}

#[test]
fn what_is_no_object_is_refused_in_the_words_of_kubernetes() {
    let cases = [
        ("", "unexpected end of JSON input (<empty>)"),
        ("{", "unexpected end of JSON input (1 bytes)"),
        (
            r#"{"spec":{"token":"sekrit"#,
            "unexpected end of JSON input (24 bytes)",
        ),
        (
            "[]",
            "json: cannot unmarshal array into Go value of type TokenCredentialRequest (2 bytes)",
        ),
        (
            "5",
            "json: cannot unmarshal number into Go value of type TokenCredentialRequest (1 bytes)",
        ),
        ("{} {}", "trailing characters at line 1 column 4 (5 bytes)"),
        (
            r#"{"kind":5}"#,
            "json: cannot unmarshal number into Go struct field .kind of type string (10 bytes)",
        ),
    ];
    for (body, expected) in cases {
        let head = "the object provided is unrecognized (must be of type TokenCredentialRequest): couldn't get version/kind; json parse error: ";
        assert_eq!(
            refusal(body, Json, FieldValidation::Warn),
            format!("{head}{expected}")
        );
    }
}

#[test]
fn values_of_another_type_are_refused_and_not_repeated() {
    let head = "TokenCredentialRequest in version \"v1alpha1\" cannot be handled as a TokenCredentialRequest: json: cannot unmarshal ";
    let cases = [
        (
            r#"{"spec":{"token":5}}"#,
            "number into Go struct field TokenCredentialRequestSpec.spec.token of type string",
        ),
        (
            r#"{"spec":{"token":{"sekrit":"sekrit"}}}"#,
            "object into Go struct field TokenCredentialRequestSpec.spec.token of type string",
        ),
        (
            r#"{"spec":"sekrit"}"#,
            "string into Go struct field TokenCredentialRequest.spec of type v1alpha1.TokenCredentialRequestSpec",
        ),
        (
            r#"{"spec":["sekrit"]}"#,
            "array into Go struct field TokenCredentialRequest.spec of type v1alpha1.TokenCredentialRequestSpec",
        ),
        (
            r#"{"spec":{"authenticator":{"apiGroup":1.5}}}"#,
            "number into Go struct field AuthenticatorReference.spec.authenticator.apiGroup of type string",
        ),
        (
            r#"{"metadata":true}"#,
            "bool into Go struct field TokenCredentialRequest.metadata of type v1.ObjectMeta",
        ),
        (
            r#"{"metadata":{"name":5}}"#,
            "number into Go struct field ObjectMeta.metadata.name of type string",
        ),
        (
            r#"{"metadata":{"labels":[]}}"#,
            "array into Go struct field ObjectMeta.metadata.labels of type map[string]string",
        ),
        (
            r#"{"status":"sekrit"}"#,
            "string into Go struct field TokenCredentialRequest.status of type v1alpha1.TokenCredentialRequestStatus",
        ),
    ];
    for (body, expected) in cases {
        assert_eq!(
            refusal(body, Json, FieldValidation::Ignore),
            format!("{head}{expected}")
        );
    }
}

#[test]
fn no_refusal_repeats_a_token() {
    let bodies = [
        (Json, "sekrit"),
        (Json, "\"sekrit\""),
        (Json, r#"{"spec":{"token":"sekrit"#),
        (Json, r#"{"spec":{"token":"sekrit",}}"#),
        (Json, r#"{"spec":"sekrit"}"#),
        (Json, r#"{"metadata":"sekrit"}"#),
        (Json, r#"{"spec":{"token":"sekrit\u"}}"#),
        (Yaml, "sekrit"),
        (Yaml, "spec: [sekrit"),
        (Yaml, "spec:\n\ttoken: sekrit\n"),
        (Yaml, "spec: sekrit\n"),
        (Yaml, "spec: {token: sekrit}\n---\nspec: {token: sekrit}\n"),
        (Yaml, "spec: *sekrit\n"),
    ];
    for (format, body) in bodies {
        for validation in [FieldValidation::Ignore, FieldValidation::Strict] {
            let text = refusal(body, format, validation);
            assert!(!text.contains("sekrit"), "{body}: {text}");
        }
    }
}

#[test]
fn faults_of_fields_stand_in_the_order_of_the_body() {
    let cases: [(&str, &[&str]); 5] = [
        (
            r#"{"spec":{"token":"t","zzz":1}}"#,
            &[r#"unknown field "spec.zzz""#],
        ),
        (
            r#"{"spec":{"Token":"t"}}"#,
            &[r#"unknown field "spec.Token""#],
        ),
        (
            r#"{"spec":{"zzz":1,"authenticator":{"yyy":{}}},"foo":1,"metadata":{"bar":{}},"Kind":"q"}"#,
            &[
                r#"unknown field "spec.zzz""#,
                r#"unknown field "spec.authenticator.yyy""#,
                r#"unknown field "foo""#,
                r#"unknown field "metadata.bar""#,
                r#"unknown field "Kind""#,
            ],
        ),
        (
            r#"{"spec":{"token":"a","token":"b","token":"c","zzz":1,"zzz":2}}"#,
            &[
                r#"duplicate field "spec.token""#,
                r#"unknown field "spec.zzz""#,
            ],
        ),
        (
            r#"{"spec":{"zz\"é\n":1}}"#,
            &[r#"unknown field "spec.zz\"é\n""#],
        ),
    ];
    for (body, expected) in cases {
        let created = decode(body.as_bytes(), Json, FieldValidation::Warn).unwrap();
        assert_eq!(created.warnings, expected, "{body}");
        let created = decode(body.as_bytes(), Json, FieldValidation::Ignore).unwrap();
        assert!(created.warnings.is_empty(), "{body}");
        let expected = format!(
            "TokenCredentialRequest in version \"v1alpha1\" cannot be handled as a TokenCredentialRequest: strict decoding error: {}",
            expected.join(", ")
        );
        assert_eq!(refusal(body, Json, FieldValidation::Strict), expected);
    }
}

#[test]
fn the_last_of_a_field_that_stands_twice_counts() {
    let body =
        br#"{"kind":"Nope","kind":"TokenCredentialRequest","spec":{"token":"a","token":"b"}}"#;
    let created = decode(body, Json, FieldValidation::Warn).unwrap();
    assert_eq!(created.spec.token.expose_secret(), "b");
    assert_eq!(created.warnings.len(), 2);
}

#[test]
fn faults_are_few_and_short_whatever_the_body() {
    let many: String = (0..5000)
        .map(|n| format!("\"u{n}\":1,\"token\":\"x\","))
        .collect();
    let body = format!("{{\"spec\":{{{many}\"{}\":1}}}}", "n".repeat(10_000));
    let created = decode(body.as_bytes(), Json, FieldValidation::Warn).unwrap();
    assert_eq!(created.warnings.len(), 16);
    let body = format!("{{\"{}\":1}}", "n".repeat(10_000));
    let created = decode(body.as_bytes(), Json, FieldValidation::Warn).unwrap();
    assert!(created.warnings.iter().all(|warning| warning.len() < 300));
}

#[test]
fn a_whole_request_is_read() {
    for validation in [
        FieldValidation::Ignore,
        FieldValidation::Warn,
        FieldValidation::Strict,
    ] {
        let created = decode(WHOLE.as_bytes(), Json, validation).unwrap();
        assert_eq!(created.name, "n");
        assert_eq!(created.spec.token.expose_secret(), "t");
        let authenticator = &created.spec.authenticator;
        assert_eq!(authenticator.api_group.as_deref(), Some("g"));
        assert_eq!((&*authenticator.kind, &*authenticator.name), ("k", "a"));
        assert!(created.warnings.is_empty());
    }
}

#[test]
fn what_is_missing_or_null_is_the_default() {
    let bodies = [
        "{}",
        "null",
        r#"{"kind":"","apiVersion":""}"#,
        r#"{"kind":null,"apiVersion":null,"metadata":null,"spec":null,"status":null}"#,
        r#"{"apiVersion":"login.concierge.pinniped.dev/"}"#,
        r#"{"apiVersion":"/"}"#,
        r#"{"metadata":{"name":null,"creationTimestamp":null},"spec":{"token":null,"authenticator":{"apiGroup":null,"kind":null}}}"#,
    ];
    for body in bodies {
        let created = decode(body.as_bytes(), Json, FieldValidation::Strict).unwrap();
        assert_eq!(created.name, "");
        assert_eq!(created.spec.token.expose_secret(), "");
        assert_eq!(created.spec.authenticator.api_group, None);
    }
    let created = decode(b"", Yaml, FieldValidation::Strict).unwrap();
    assert_eq!(created.spec.token.expose_secret(), "");
}

#[test]
fn strings_are_read_as_go_reads_them() {
    let cases: [(&[u8], &str); 4] = [
        (br#""a\"\\\/\n\u00e9\ud83e\uddad""#, "a\"\\/\né🦭"),
        (b"\"\xff\"", "\u{fffd}"),
        ("\"é\"".as_bytes(), "é"),
        (b" \"spaced\" ", "spaced"),
    ];
    for (text, expected) in cases {
        let body = [b"{\"spec\":{\"token\":", text, b"}}"].concat();
        let created = decode(&body, Json, FieldValidation::Strict).unwrap();
        assert_eq!(created.spec.token.expose_secret(), expected);
    }
    let half = decode(
        br#"{"spec":{"token":"\ud800"}}"#,
        Json,
        FieldValidation::Strict,
    )
    .unwrap();
    assert!(half.spec.token.expose_secret().starts_with('\u{fffd}'));
}

#[test]
fn yaml_is_read_like_json() {
    let body = "apiVersion: login.concierge.pinniped.dev/v1alpha1\nkind: TokenCredentialRequest\n\
                spec:\n  token: t\n  authenticator: {kind: k, name: a}\n  zzz: 1\n";
    let created = decode(body.as_bytes(), Yaml, FieldValidation::Warn).unwrap();
    assert_eq!(created.spec.token.expose_secret(), "t");
    assert_eq!(created.spec.authenticator.name, "a");
    assert_eq!(created.warnings, [r#"unknown field "spec.zzz""#]);

    let twice = b"spec:\n  token: a\n  token: b\n";
    let created = decode(twice, Yaml, FieldValidation::Warn).unwrap();
    assert_eq!(created.spec.token.expose_secret(), "b");
    assert_eq!(
        created.warnings,
        [r#"line 3: key "token" already set in map"#]
    );

    let created = decode(WHOLE.as_bytes(), Yaml, FieldValidation::Strict).unwrap();
    assert_eq!(created.spec.token.expose_secret(), "t");

    let wrong = refusal("spec:\n  token: 5\n", Yaml, FieldValidation::Warn);
    assert!(wrong.ends_with("cannot unmarshal number into Go struct field TokenCredentialRequestSpec.spec.token of type string"), "{wrong}");
    let broken = refusal("spec:\n  - [\n", Yaml, FieldValidation::Warn);
    assert!(broken.starts_with("the object provided is unrecognized (must be of type TokenCredentialRequest): yaml: line "), "{broken}");
}

#[test]
fn yaml_has_no_anchors_and_aliases() {
    let body = "metadata: {name: %s}\nspec: {token: t}\n";
    decode(
        body.replace("%s", "name").as_bytes(),
        Yaml,
        FieldValidation::Strict,
    )
    .unwrap();
    refusal(
        &body.replace("%s", "&a name"),
        Yaml,
        FieldValidation::Ignore,
    );
    refusal(
        "spec: {token: &a t, authenticator: {name: *a}}\n",
        Yaml,
        FieldValidation::Ignore,
    );
}

#[test]
fn yaml_has_few_lines() {
    let with_lines =
        |line: &str, count: usize| format!("spec: {{token: t}}\n{}", line.repeat(count));
    for line in ["#\n", "\n"] {
        decode(
            with_lines(line, 3999).as_bytes(),
            Yaml,
            FieldValidation::Strict,
        )
        .unwrap();
    }
    for line in ["#\n", "\n", "\r"] {
        let text = refusal(&with_lines(line, 4000), Yaml, FieldValidation::Ignore);
        assert!(text.contains("yaml: more than 4000 lines"), "{text}");
    }
}

#[test]
fn yaml_is_small_and_shallow() {
    let labels = |count: usize| {
        let labels: String = (0..count).map(|n| format!("l{n}: v, ")).collect();
        format!("metadata: {{labels: {{{labels}}}}}\nspec: {{token: t}}\n")
    };
    decode(labels(900).as_bytes(), Yaml, FieldValidation::Strict).unwrap();
    refusal(&labels(1000), Yaml, FieldValidation::Ignore);

    let flow = |depth: usize| {
        format!(
            "status: {{a: {}{}}}\n",
            "[".repeat(depth),
            "]".repeat(depth)
        )
    };
    decode(flow(20).as_bytes(), Yaml, FieldValidation::Ignore).unwrap();
    refusal(&flow(40), Yaml, FieldValidation::Ignore);
    let block = |depth: usize| format!("status:\n  a:\n    {}x\n", "- ".repeat(depth));
    decode(block(20).as_bytes(), Yaml, FieldValidation::Ignore).unwrap();
    refusal(&block(40), Yaml, FieldValidation::Ignore);
}

#[test]
fn any_kind_can_be_read() {
    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct Spec {
        numbers: Vec<i64>,
        flag: bool,
        inner: Option<Inner>,
    }
    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct Inner {
        name: String,
    }

    let kind = ServedKind::who_am_i_request(&ApiGroupSuffix::default());
    let read =
        |body: &str| decode_create::<Spec>(body.as_bytes(), Json, &kind, FieldValidation::Strict);
    let created = read(r#"{"spec":{"numbers":[1,2],"flag":true,"inner":{"name":"x"}}}"#).unwrap();
    let inner = Some(Inner {
        name: "x".to_owned(),
    });
    assert_eq!(
        created.spec,
        Spec {
            numbers: vec![1, 2],
            flag: true,
            inner
        }
    );
    assert!(read(r#"{"spec":{"inner":{"nam":"x"}}}"#).is_err());
    assert!(
        read(r#"{"spec":{"flag":"sekrit"}}"#)
            .unwrap_err()
            .to_string()
            .contains("spec.flag")
    );
    assert!(
        !read(r#"{"spec":{"flag":"sekrit"}}"#)
            .unwrap_err()
            .to_string()
            .contains("sekrit")
    );
}

proptest! {
    #[test]
    fn no_body_panics(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        for format in [Json, Yaml] {
            drop(decode(&body, format, FieldValidation::Warn));
        }
    }

    #[test]
    fn no_shape_of_json_panics(body in "[\\[\\]{}\":,0-9a-z\\\\ \n&*-]{0,60}") {
        for format in [Json, Yaml] {
            drop(decode(body.as_bytes(), format, FieldValidation::Strict));
        }
    }

    #[test]
    fn every_token_arrives_as_it_was_sent(token in "\\PC{0,80}", name in "\\PC{0,20}") {
        let body = serde_json::json!({"metadata": {"name": name}, "spec": {"token": token}});
        let created = decode(body.to_string().as_bytes(), Json, FieldValidation::Strict).unwrap();
        prop_assert_eq!(created.spec.token.expose_secret(), token.as_str());
        prop_assert_eq!(created.name, name);
    }
}

#[test]
fn warnings_are_quoted() {
    let mut response = ().into_response();
    let warnings = [r#"unknown field "spec.zz\"é\n""#, "bad \n header", "second"];
    add_warnings(&mut response, &warnings.map(ToOwned::to_owned));
    let headers: Vec<_> = response
        .headers()
        .get_all(WARNING)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    let first = r#"299 - "unknown field \"spec.zz\\\"é\\n\"""#;
    assert_eq!(headers, [first.as_bytes(), b"299 - \"second\""]);
}

use super::*;

#[test]
fn options_with_unknown_values_are_refused() {
    let cases = [
        (
            "dryRun=all",
            422,
            "CreateOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: [\"all\"]: supported values: \"All\"",
        ),
        (
            "dryRun=",
            422,
            "CreateOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: [\"\"]: supported values: \"All\"",
        ),
        (
            "dryRun=All&dryRun=x",
            422,
            "CreateOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: [\"All\",\"x\"]: supported values: \"All\"",
        ),
        (
            "fieldValidation=warn",
            422,
            "CreateOptions.meta.k8s.io \"\" is invalid: fieldValidation: Unsupported value: \"warn\": supported values: \"\", \"Ignore\", \"Strict\", \"Warn\"",
        ),
        (
            "dryRun=x&fieldValidation=y",
            422,
            "CreateOptions.meta.k8s.io \"\" is invalid: [dryRun: Unsupported value: [\"x\"]: supported values: \"All\", fieldValidation: Unsupported value: \"y\": supported values: \"\", \"Ignore\", \"Strict\", \"Warn\"]",
        ),
        (
            "fieldManager=a%01b",
            422,
            "CreateOptions.meta.k8s.io \"\" is invalid: fieldManager: Invalid value: \"a\\x01b\": invalid character U+0001 (at position 1)",
        ),
        (
            "timeout=abc",
            400,
            "invalid timeout specified in the request URL - time: invalid duration \"abc\"",
        ),
        (
            "timeout=5",
            400,
            "invalid timeout specified in the request URL - time: missing unit in duration \"5\"",
        ),
    ];
    for (query, code, text) in cases {
        let error = CreateOptions::from_query(Some(query)).unwrap_err();
        assert_eq!(
            (error.code().as_u16(), error.to_string().as_str()),
            (code, text),
            "{query}"
        );
    }
    let long = format!("fieldManager={}", "a".repeat(129));
    let error = CreateOptions::from_query(Some(&long)).unwrap_err();
    assert!(error.to_string().contains("may not be more than 128 bytes"));
    let huge = format!("fieldValidation={0}&dryRun={0}", "\"".repeat(60_000));
    let error = CreateOptions::from_query(Some(&huge)).unwrap_err();
    assert!(error.to_string().len() < 4000);
}

#[test]
fn options_are_read() {
    let default = CreateOptions::default();
    for query in [
        None,
        Some(""),
        Some("%zz=1&foo=bar&pretty=true"),
        Some("timeout=&fieldValidation=&fieldManager=kubectl-create"),
        Some("timeout=-5s&fieldValidation=Warn&fieldValidation=Strict"),
    ] {
        assert_eq!(
            CreateOptions::from_query(query),
            Ok(default.clone()),
            "{query:?}"
        );
    }
    let options = CreateOptions::from_query(Some("dryRun=All&fieldValidation=Strict&timeout=1m5s"));
    let expected = CreateOptions {
        dry_run: true,
        field_validation: FieldValidation::Strict,
        timeout: Some(Duration::from_secs(65)),
    };
    assert_eq!(options, Ok(expected));
    let ignored = CreateOptions::from_query(Some("fieldValidation=Ignore")).unwrap();
    assert_eq!(ignored.field_validation, FieldValidation::Ignore);
}

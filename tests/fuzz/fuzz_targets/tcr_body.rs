//! The body of a `TokenCredentialRequest`, which needs no credentials at all.

#![no_main]

use std::sync::LazyLock;

use haulout_api::credential::{AuthenticatorReference, TokenCredentialRequestSpec};
use haulout_api::group::ApiGroupSuffix;
use haulout_serve::kinds::ServedKind;
use haulout_serve::negotiate::BodyFormat;
use haulout_serve::request::{Created, FieldValidation, decode_create};
use haulout_serve::status::ApiError;
use libfuzzer_sys::fuzz_target;
use secrecy::ExposeSecret as _;
use serde_json::json;

type Decoded = Result<Created<TokenCredentialRequestSpec>, ApiError>;

static KIND: LazyLock<ServedKind> =
    LazyLock::new(|| ServedKind::token_credential_request(&ApiGroupSuffix::default()));

fuzz_target!(|input: &[u8]| {
    let Some((first, body)) = input.split_first() else {
        return;
    };
    // `j` and `y`, in seeds.
    let format = match first % 2 {
        0 => BodyFormat::Json,
        _ => BodyFormat::Yaml,
    };
    let [ignoring, warning, strict] = [
        FieldValidation::Ignore,
        FieldValidation::Warn,
        FieldValidation::Strict,
    ]
    .map(|validation| decode_create(body, format, &KIND, validation));
    let warnings = warning.as_ref().map_or(0, |created| created.warnings.len());
    assert!(warnings <= 16);
    assert_eq!(values(&ignoring), values(&warning));
    match &strict {
        Ok(created) => {
            assert!(created.warnings.is_empty() && warnings == 0);
            assert_eq!(values(&strict), values(&warning));
        }
        Err(_) => assert!(warnings > 0 || warning.is_err()),
    }
    for decoded in [ignoring, warning, strict] {
        judge(&decoded);
    }
});

/// A refusal is short; what was read is read again, without a fault, from the JSON that we would write.
fn judge(decoded: &Decoded) {
    let written = match decoded {
        Err(error) => {
            assert_eq!(error.code(), 400);
            assert!(error.to_string().len() < 64 * 1024);
            return;
        }
        Ok(Created { name, spec, .. }) => json!({
            "apiVersion": KIND.api_version,
            "kind": KIND.kind,
            "metadata": {"name": name},
            "spec": {"token": spec.token.expose_secret(), "authenticator": spec.authenticator},
        }),
    };
    let body = written.to_string();
    let strict = FieldValidation::Strict;
    let again = decode_create(body.as_bytes(), BodyFormat::Json, &KIND, strict);
    assert_eq!(values(&again), values(decoded));
}

/// Name, token and authenticator.
fn values(decoded: &Decoded) -> Option<(&str, &str, &AuthenticatorReference)> {
    let Created { name, spec, .. } = decoded.as_ref().ok()?;
    Some((name, spec.token.expose_secret(), &spec.authenticator))
}

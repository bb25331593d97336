//! The body of a create request.

use std::borrow::Cow;

use serde::de::DeserializeOwned;

use super::fields::{Faults, Field, Object, Path, TypeFault, type_of};
use super::{FieldValidation, yaml};
use crate::go_quote::{GoQuoted, clip};
use crate::kinds::ServedKind;
use crate::negotiate::BodyFormat;
use crate::status::ApiError;

/// How much of a foreign name an answer repeats, in bytes.
const QUOTE_LIMIT: usize = 253;

const ROOT: &[&str] = &["apiVersion", "kind", "metadata", "spec", "status"];

const METADATA: &[&str] = &[
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// What a client asked to create.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Created<S> {
    /// The beginning of `metadata.name`, as much as an answer repeats; nothing else of the metadata
    /// is looked at.
    pub name: String,
    /// `spec`, or its default where there is none.
    pub spec: S,
    /// What is wrong with the body but was let pass, for [`super::add_warnings`].
    pub warnings: Vec<String>,
}

/// Reads an object of `kind`. Kind and version may be missing, because the route says them, but
/// must not be others. Of a field that stands twice the last value counts; fields of `S` must have
/// defaults.
///
/// # Errors
/// Code 400. No text repeats a value of the body but its kind and version: where Kubernetes shows the
/// first bytes of a body, which may belong to a token, it says how many there are.
pub fn decode_create<S: DeserializeOwned + Default>(
    body: &[u8],
    format: BodyFormat,
    kind: &ServedKind,
    validation: FieldValidation,
) -> Result<Created<S>, ApiError> {
    let mut faults = Faults::default();
    let json = match format {
        // Most bodies are good, which the plain check finds out in a tenth of the time.
        BodyFormat::Json => match std::str::from_utf8(body) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => String::from_utf8_lossy(body),
        },
        BodyFormat::Yaml => {
            Cow::Owned(yaml::to_json(body, &mut faults).map_err(|e| unrecognized(kind, &e, body))?)
        }
    };
    let head_error = |error: &str| {
        let text = format!("couldn't get version/kind; json parse error: {error}");
        unrecognized(kind, &text, body)
    };
    let mut root = Object::split(&json, ROOT).map_err(|error| {
        if error.is_eof() {
            head_error("unexpected end of JSON input")
        } else {
            head_error(&error.to_string())
        }
    })?;
    if !matches!(type_of(&json), "object" | "null") {
        let (found, wanted) = (type_of(&json), kind.kind);
        let text = format!("json: cannot unmarshal {found} into Go value of type {wanted}");
        return Err(head_error(&text));
    }
    let head = |name| {
        head_text(&root, name, &mut Faults::default()).map_err(|e| head_error(&e.to_string()))
    };
    judge_kind(&head("apiVersion")?, &head("kind")?, kind, body)?;

    let (name, spec) = read_fields(&mut root, kind, &mut faults)
        .map_err(|fault| cannot_be_handled(kind.kind, version(&kind.api_version), kind, &fault))?;
    let warnings = match validation {
        FieldValidation::Ignore => Vec::new(),
        FieldValidation::Warn => faults.into_texts(),
        FieldValidation::Strict => {
            let faults = faults.into_texts();
            if !faults.is_empty() {
                let text = format!("strict decoding error: {}", faults.join(", "));
                return Err(cannot_be_handled(
                    kind.kind,
                    version(&kind.api_version),
                    kind,
                    &text,
                ));
            }
            faults
        }
    };
    Ok(Created {
        name,
        spec,
        warnings,
    })
}

/// Name and spec, the rest of the object judged for its fields only.
fn read_fields<S: DeserializeOwned + Default>(
    root: &mut Object<'_>,
    kind: &ServedKind,
    faults: &mut Faults,
) -> Result<(String, S), TypeFault> {
    let mut object_name = String::new();
    let mut spec = S::default();
    while let Some((name, raw)) = root.next(None, faults) {
        let path = Path { parent: None, name };
        let field = Field {
            raw,
            owner: kind.kind,
            path,
            faults,
        };
        match name {
            "metadata" => object_name = read_name(field)?,
            "spec" => spec = S::deserialize(field)?,
            "status" => field.must_be("object", &format!("v1alpha1.{}Status", kind.kind))?,
            _ => {}
        }
    }
    Ok((object_name, spec))
}

fn read_name(metadata: Field<'_, '_>) -> Result<String, TypeFault> {
    const TYPE: &str = "v1.ObjectMeta";
    metadata.must_be("object", TYPE)?;
    let mut object = Object::split(metadata.raw, METADATA).map_err(|_| metadata.mismatch(TYPE))?;
    let Field { path, faults, .. } = metadata;
    let mut object_name = String::new();
    while let Some((name, raw)) = object.next(Some(&path), faults) {
        let path = Path {
            parent: Some(&path),
            name,
        };
        let field = Field {
            raw,
            owner: "ObjectMeta",
            path,
            faults,
        };
        match name {
            "name" => object_name = clip(&field.text()?, QUOTE_LIMIT).to_owned(),
            "annotations" | "labels" => field.must_be("object", "map[string]string")?,
            "finalizers" | "managedFields" | "ownerReferences" => field.must_be("array", "[]")?,
            "deletionGracePeriodSeconds" | "generation" => field.must_be("number", "int64")?,
            _ => field.must_be("string", "string")?,
        }
    }
    Ok(object_name)
}

/// `kind` or `apiVersion`, empty where it is missing.
fn head_text<'de>(
    root: &Object<'de>,
    name: &'static str,
    faults: &mut Faults,
) -> Result<Cow<'de, str>, TypeFault> {
    let Some(raw) = root.value(name) else {
        return Ok(Cow::Borrowed(""));
    };
    Field {
        raw,
        owner: "",
        path: Path { parent: None, name },
        faults,
    }
    .text()
}

/// As `gvkWithDefaults` and the registry of kinds (`k8s.io/apimachinery` `pkg/runtime`).
fn judge_kind(
    api_version: &str,
    given_kind: &str,
    expected: &ServedKind,
    body: &[u8],
) -> Result<(), ApiError> {
    let (group, version) = match api_version.split_once('/') {
        None => ("", api_version),
        Some((_, version)) if version.contains('/') => {
            let text = format!(
                "unexpected GroupVersion string: {}",
                clip(api_version, QUOTE_LIMIT)
            );
            return Err(unrecognized(expected, &text, body));
        }
        Some(parts) => parts,
    };
    let kind = if given_kind.is_empty() {
        expected.kind
    } else {
        given_kind
    };
    let expected_version = self::version(&expected.api_version);
    let is_default = version.is_empty() && (group.is_empty() || group == expected.group);
    let is_expected = group == expected.group && version == expected_version;
    if kind == expected.kind && (is_default || is_expected) {
        return Ok(());
    }

    let (version, registered) = match (is_default, group) {
        (true, _) => (
            expected_version,
            Cow::Borrowed(expected.api_version.as_str()),
        ),
        (false, "") => (version, Cow::Borrowed(version)),
        (false, _) => (version, Cow::Borrowed(api_version)),
    };
    let text = format!(
        "no kind {} is registered for version {} in scheme \"pkg/runtime/scheme.go:111\"",
        GoQuoted(clip(kind, QUOTE_LIMIT)),
        GoQuoted(clip(&registered, QUOTE_LIMIT)),
    );
    Err(cannot_be_handled(
        clip(kind, QUOTE_LIMIT),
        clip(version, QUOTE_LIMIT),
        expected,
        &text,
    ))
}

/// The version in `<group>/<version>`.
fn version(api_version: &str) -> &str {
    api_version.rsplit('/').next().unwrap_or_default()
}

fn cannot_be_handled(
    kind: &str,
    version: &str,
    expected: &ServedKind,
    fault: &(impl std::fmt::Display + ?Sized),
) -> ApiError {
    let (version, expected) = (GoQuoted(version), expected.kind);
    ApiError::bad_request(format!(
        "{kind} in version {version} cannot be handled as a {expected}: {fault}"
    ))
}

fn unrecognized(expected: &ServedKind, fault: &str, body: &[u8]) -> ApiError {
    let size = match body.len() {
        0 => "<empty>".to_owned(),
        size => format!("{size} bytes"),
    };
    let expected = expected.kind;
    ApiError::bad_request(format!(
        "the object provided is unrecognized (must be of type {expected}): {fault} ({size})"
    ))
}

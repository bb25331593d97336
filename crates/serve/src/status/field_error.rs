//! Values of fields that are refused.

use std::fmt;

use crate::go_quote::GoQuoted;

/// A field with a value that is refused (`k8s.io/apimachinery` `pkg/util/validation/field`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    pub(super) reason: &'static str,
    pub(super) field: String,
    pub(super) body: String,
}

impl FieldError {
    /// A value that must be there is missing.
    pub fn required(field: &str, detail: &str) -> Self {
        Self::new(
            "FieldValueRequired",
            field,
            format!("Required value: {detail}"),
        )
    }

    /// A value that is none of those supported; `value` as JSON. Without `supported` nothing is
    /// said about what would be.
    pub fn not_supported(field: &str, value: &str, supported: &[&str]) -> Self {
        let mut body = format!("Unsupported value: {value}");
        for (index, value) in supported.iter().enumerate() {
            body.push_str(if index == 0 {
                ": supported values: "
            } else {
                ", "
            });
            body.push_str(&GoQuoted(value).to_string());
        }
        Self::new("FieldValueNotSupported", field, body)
    }

    /// A value of the wrong form.
    pub fn invalid(field: &str, value: &str, detail: &str) -> Self {
        let body = format!("Invalid value: {}: {detail}", GoQuoted(value));
        Self::new("FieldValueInvalid", field, body)
    }

    /// A text of more than `limit` bytes.
    pub fn too_long(field: &str, limit: usize) -> Self {
        let body = format!("Too long: may not be more than {limit} bytes");
        Self::new("FieldValueTooLong", field, body)
    }

    fn new(reason: &'static str, field: &str, body: String) -> Self {
        Self {
            reason,
            field: field.to_owned(),
            body,
        }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.body)
    }
}

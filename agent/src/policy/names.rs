//! Names as policies write them. All comparisons are of bytes: letters that only look alike, or
//! differ in case, are other names, as they are to Kubernetes.

use std::str::FromStr;

use serde::Deserialize;

/// An exact name, or a prefix up to a colon, written with `*` behind it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct NamePattern(String);

/// Why a text is no pattern.
#[derive(Debug, thiserror::Error)]
pub enum PatternError {
    /// The text is empty.
    #[error("a name is empty")]
    Empty,
    /// There is a `*` that is not the end of `:*`.
    #[error("the name '{0}' has a '*' that is not the end of ':*'")]
    Wildcard(String),
}

impl NamePattern {
    pub(super) fn covers(&self, name: &str) -> bool {
        covers(&self.0, name)
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for NamePattern {
    type Error = PatternError;

    fn try_from(text: String) -> Result<Self, PatternError> {
        let fixed = match text.strip_suffix(":*") {
            Some(prefix) => prefix,
            None => &text,
        };
        if fixed.is_empty() {
            return Err(if text.is_empty() {
                PatternError::Empty
            } else {
                PatternError::Wildcard(text)
            });
        }
        if fixed.contains('*') {
            return Err(PatternError::Wildcard(text));
        }
        Ok(Self(text))
    }
}

impl FromStr for NamePattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        text.to_owned().try_into()
    }
}

/// Whether `name` is `pattern`, or begins with what stands before its final `*`.
pub(super) fn covers(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == pattern,
    }
}

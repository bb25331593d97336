//! Secrets that come in environment variables.

use std::fmt;

use secrecy::SecretString;

use crate::Environment;

/// Why a variable holds no secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VariableError {
    #[error("{flag} variable {name} is not set; set it, or leave out {flag}")]
    NotSet { flag: &'static str, name: Name },
    #[error("{flag} variable {name} is empty; set it, or leave out {flag}")]
    Empty { flag: &'static str, name: Name },
    #[error("{flag} variable {name} is not UTF-8 text; set it right, or leave out {flag}")]
    NotText { flag: &'static str, name: Name },
}

/// The name that the flag has. What is no name of a variable may be the secret itself, so it is not repeated.
#[derive(Debug)]
pub(crate) enum Name {
    Given(String),
    NoName,
}

impl Name {
    fn new(given: &str) -> Self {
        if is_name(given) {
            Self::Given(given.to_owned())
        } else {
            Self::NoName
        }
    }
}

/// Whether it can be the name of a variable.
pub(crate) fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(name) => write!(f, "\"{name}\""),
            Self::NoName => f.write_str("(what was given is no name of a variable)"),
        }
    }
}

/// The secret in the variable that `flag` names.
pub(crate) fn secret_of(
    flag: &'static str,
    variable: &str,
    environment: Environment<'_>,
) -> Result<SecretString, VariableError> {
    let name = || Name::new(variable);
    let value =
        environment(variable).ok_or_else(|| VariableError::NotSet { flag, name: name() })?;
    let value = value.into_string();
    let value = value.map_err(|_| VariableError::NotText { flag, name: name() })?;
    if value.is_empty() {
        return Err(VariableError::Empty { flag, name: name() });
    }
    Ok(value.into())
}

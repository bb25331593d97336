//! Names of objects that go into commands.

use std::fmt;

use haulout_api::group::is_dns1123_subdomain;

/// The name of a namespace, Service, Deployment or Secret. It has no character that means something to a shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name(String);

/// A name that no object can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what} is named {name:?}, which is no name of Kubernetes (RFC 1123); find out who wrote it"
)]
pub(crate) struct NameError {
    what: &'static str,
    name: String,
}

impl Name {
    /// Takes an RFC 1123 subdomain; the error says that it is of `what`.
    pub(super) fn parse(what: &'static str, name: impl Into<String>) -> Result<Self, NameError> {
        let name = name.into();
        if is_dns1123_subdomain(&name) {
            Ok(Self(name))
        } else {
            Err(NameError { what, name })
        }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_something_to_a_shell_is_no_name() {
        for name in [
            "",
            "it's",
            "a;b",
            "$(id)",
            "`id`",
            "a b",
            "a\nb",
            "a|b",
            "-a",
            "a/b",
            "a\u{2028}b",
        ] {
            let error = Name::parse("the Secret", name).unwrap_err();
            assert!(
                error.to_string().starts_with("the Secret is named \""),
                "{error}"
            );
        }
        for name in ["pinniped-concierge", "a.b"] {
            assert_eq!(Name::parse("x", name).unwrap().as_str(), name);
        }
    }
}

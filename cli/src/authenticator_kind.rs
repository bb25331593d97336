//! The kinds of authenticators.

use std::fmt;

/// One of them. Its text is the name that Kubernetes has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AuthenticatorKind {
    Jwt,
    Webhook,
}

impl AuthenticatorKind {
    pub(crate) const ALL: [Self; 2] = [Self::Jwt, Self::Webhook];

    /// Takes what `--concierge-authenticator-type` has, in capitals or not.
    pub(crate) fn of_type(type_: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|kind| kind.type_().eq_ignore_ascii_case(type_))
    }

    /// As the flags have it.
    pub(crate) fn type_(self) -> &'static str {
        match self {
            Self::Jwt => "jwt",
            Self::Webhook => "webhook",
        }
    }

    /// As Kubernetes has it.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Jwt => "JWTAuthenticator",
            Self::Webhook => "WebhookAuthenticator",
        }
    }
}

impl fmt::Display for AuthenticatorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_written_in_capitals_or_not() {
        for (type_, expected) in [
            ("jwt", Some(AuthenticatorKind::Jwt)),
            ("JWT", Some(AuthenticatorKind::Jwt)),
            ("WebHook", Some(AuthenticatorKind::Webhook)),
            ("", None),
            ("oidc", None),
            ("JWTAuthenticator", None),
        ] {
            assert_eq!(AuthenticatorKind::of_type(type_), expected, "{type_}");
        }
    }
}

//! API group names and their configurable suffix.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Suffix of every API group unless another is configured.
pub const DEFAULT_SUFFIX: &str = "pinniped.dev";

/// The one version that every group has.
pub const VERSION: &str = "v1alpha1";

/// Why an API group suffix was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SuffixError {
    /// The suffix has no dot, so group names could collide with built-in ones.
    #[error("\"{0}\" has no dot; use a DNS name that you own, such as \"pinniped.example.com\"")]
    NoDot(String),
    /// The suffix is not an RFC 1123 subdomain.
    #[error(
        "\"{0}\" is not an RFC 1123 subdomain: use lower case letters, digits, \"-\" and \".\", \
         begin and end every label with a letter or digit, at most 63 characters a label and 253 in all"
    )]
    NotSubdomain(String),
}

/// A validated API group suffix, for example `pinniped.dev`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ApiGroupSuffix(String);

impl ApiGroupSuffix {
    /// Takes an RFC 1123 subdomain with at least one dot.
    ///
    /// # Errors
    /// [`SuffixError`] names what is wrong with the text.
    pub fn parse(suffix: impl Into<String>) -> Result<Self, SuffixError> {
        let suffix = suffix.into();
        if !is_dns1123_subdomain(&suffix) {
            return Err(SuffixError::NotSubdomain(suffix));
        }
        if !suffix.contains('.') {
            return Err(SuffixError::NoDot(suffix));
        }
        Ok(Self(suffix))
    }

    /// The suffix without a leading dot.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Group of `TokenCredentialRequest`.
    pub fn login_group(&self) -> String {
        self.group("login")
    }

    /// Group of `WhoAmIRequest`.
    pub fn identity_group(&self) -> String {
        self.group("identity")
    }

    /// Group of `JWTAuthenticator` and `WebhookAuthenticator`.
    pub fn authentication_group(&self) -> String {
        self.group("authentication")
    }

    /// Group of `CredentialIssuer`.
    pub fn config_group(&self) -> String {
        self.group("config")
    }

    /// Maps the `apiGroup` that a client sent to the group with the default suffix, or `None` where no authenticator can
    /// match.
    ///
    /// With the default suffix a given group is compared as it is. With another suffix only a group that ends in it is
    /// mapped. An absent group never matches (Pinniped `internal/groupsuffix`, behaviour of the Concierge).
    pub fn unsuffixed_group(&self, given: Option<&str>) -> Option<String> {
        let given = given?;
        if self.0 == DEFAULT_SUFFIX {
            return Some(given.to_owned());
        }
        let prefix = given.strip_suffix(self.0.as_str())?.strip_suffix('.')?;
        Some(format!("{prefix}.{DEFAULT_SUFFIX}"))
    }

    fn group(&self, first_label: &str) -> String {
        format!("{first_label}.concierge.{}", self.0)
    }
}

impl Default for ApiGroupSuffix {
    fn default() -> Self {
        Self(DEFAULT_SUFFIX.to_owned())
    }
}

impl fmt::Display for ApiGroupSuffix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for ApiGroupSuffix {
    type Error = SuffixError;

    fn try_from(suffix: String) -> Result<Self, SuffixError> {
        Self::parse(suffix)
    }
}

impl From<ApiGroupSuffix> for String {
    fn from(suffix: ApiGroupSuffix) -> Self {
        suffix.0
    }
}

/// Whether `text` is an RFC 1123 subdomain as Kubernetes judges it (`IsDNS1123Subdomain`).
pub fn is_dns1123_subdomain(text: &str) -> bool {
    fn is_label(label: &str) -> bool {
        let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let bytes = label.as_bytes();
        matches!((bytes.first(), bytes.last()), (Some(&first), Some(&last)) if alphanumeric(first) && alphanumeric(last))
            && bytes.iter().all(|&b| alphanumeric(b) || b == b'-')
    }
    text.len() <= 253 && text.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn suffix_must_be_a_subdomain_with_a_dot() {
        for good in ["pinniped.dev", "a.b", "1.x-y.z9"] {
            assert!(ApiGroupSuffix::parse(good).is_ok(), "{good}");
        }
        assert_eq!(
            ApiGroupSuffix::parse("nodot"),
            Err(SuffixError::NoDot("nodot".into()))
        );
        for bad in [
            "", ".", ".a.b", "a..b", "a.b.", "A.b", "a_b.c", "-a.b", "a-.b", "a b.c",
        ] {
            assert_eq!(
                ApiGroupSuffix::parse(bad),
                Err(SuffixError::NotSubdomain(bad.into())),
                "{bad}"
            );
        }
        let long = format!("{}.b", "a".repeat(252));
        assert!(ApiGroupSuffix::parse(long).is_err());
    }

    #[test]
    fn given_group_maps_back_to_the_default_suffix() {
        let default = ApiGroupSuffix::default();
        let custom = ApiGroupSuffix::parse("walrus.example.com").unwrap();
        let internal = "authentication.concierge.pinniped.dev";
        let cases = [
            (&default, Some(internal), Some(internal)),
            (&default, Some("other.group"), Some("other.group")),
            (&default, None, None),
            (
                &custom,
                Some("authentication.concierge.walrus.example.com"),
                Some(internal),
            ),
            (&custom, Some(internal), None),
            (&custom, Some("xwalrus.example.com"), None),
            (&custom, Some("walrus.example.com"), None),
            (&custom, None, None),
        ];
        for (suffix, given, expected) in cases {
            assert_eq!(
                suffix.unsuffixed_group(given).as_deref(),
                expected,
                "{suffix} {given:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn own_groups_map_back_whatever_the_suffix(suffix in "[a-z0-9]{1,9}(\\.[a-z0-9]([a-z0-9-]{0,9}[a-z0-9])?){1,4}") {
            let suffix = ApiGroupSuffix::parse(suffix).unwrap();
            prop_assert_eq!(
                suffix.unsuffixed_group(Some(&suffix.authentication_group())),
                Some(ApiGroupSuffix::default().authentication_group())
            );
        }

        #[test]
        fn arbitrary_groups_do_not_panic(suffix in "[a-z]{1,3}\\.[a-z]{1,3}", given in ".{0,40}") {
            let suffix = ApiGroupSuffix::parse(suffix).unwrap();
            let mapped = suffix.unsuffixed_group(Some(&given));
            prop_assert_eq!(mapped.is_some(), given.ends_with(&format!(".{suffix}")));
        }
    }
}

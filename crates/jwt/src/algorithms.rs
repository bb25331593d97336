//! The signature algorithms that one authenticator accepts.

use std::fmt;

use haulout_api::authenticator::SigningAlgorithm;

/// What Pinniped's Concierge accepts, whatever the issuer offers.
const DEFAULT: [SigningAlgorithm; 2] = [SigningAlgorithm::Rs256, SigningAlgorithm::Es256];

/// The accepted algorithms, each once. `none` and HMAC cannot be among them, since [`SigningAlgorithm`] has no such value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedAlgorithms(Vec<SigningAlgorithm>);

impl AcceptedAlgorithms {
    /// Those that are listed, or `RS256` and `ES256` when none is.
    pub fn new(listed: &[SigningAlgorithm]) -> Self {
        let mut accepted = Vec::new();
        for algorithm in listed {
            if !accepted.contains(algorithm) {
                accepted.push(*algorithm);
            }
        }
        match accepted.is_empty() {
            true => Self::default(),
            false => Self(accepted),
        }
    }

    /// Their names, in the order of the list.
    pub fn names(&self) -> Vec<&'static str> {
        self.0.iter().map(|algorithm| algorithm.name()).collect()
    }

    /// The accepted one of exactly this name.
    pub(crate) fn named(&self, name: &str) -> Option<SigningAlgorithm> {
        self.0
            .iter()
            .copied()
            .find(|algorithm| algorithm.name() == name)
    }

    pub(crate) fn contains(&self, algorithm: SigningAlgorithm) -> bool {
        self.0.contains(&algorithm)
    }
}

impl Default for AcceptedAlgorithms {
    fn default() -> Self {
        Self(DEFAULT.to_vec())
    }
}

/// As Go prints a list of strings, for example `["RS256" "ES256"]`.
impl fmt::Display for AcceptedAlgorithms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[\"{}\"]", self.names().join("\" \""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_list_means_the_default_and_a_repeated_entry_nothing() {
        use SigningAlgorithm::{EdDsa, Ps256};
        for (listed, accepted) in [
            (&[][..], r#"["RS256" "ES256"]"#),
            (&[EdDsa], r#"["EdDSA"]"#),
            (&[Ps256, EdDsa, Ps256, Ps256], r#"["PS256" "EdDSA"]"#),
        ] {
            assert_eq!(AcceptedAlgorithms::new(listed).to_string(), accepted);
        }
    }

    #[test]
    fn names_are_compared_as_they_are() {
        let accepted = AcceptedAlgorithms::new(&[SigningAlgorithm::EdDsa]);
        assert_eq!(accepted.named("EdDSA"), Some(SigningAlgorithm::EdDsa));
        for other in ["EDDSA", "eddsa", "EdDSA ", "Ed25519", "ES256", "none", ""] {
            assert_eq!(accepted.named(other), None, "{other}");
        }
    }
}

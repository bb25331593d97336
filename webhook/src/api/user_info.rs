//! What an authenticator may say about a user, judged before a certificate is asked for.

use std::collections::BTreeMap;
use std::fmt;

use haulout_api::group::is_dns1123_subdomain;
use haulout_api::identity::UserInfo;

/// The one extra key of Kubernetes' own that authenticators set: it names the credential (`JTI=…`).
const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";

/// Domains that Kubernetes keeps for itself, their subdomains included.
const RESERVED_DOMAINS: [&str; 2] = ["k8s.io", "kubernetes.io"];

/// Why a user cannot be put into a certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UnsupportedUserInfo {
    /// The certificate would have no common name.
    #[error(
        "authenticator returned an empty username; check the claim or expression that it comes from"
    )]
    EmptyUsername,
    /// A certificate has no place from which the API server reads a UID.
    #[error("authenticator returned a UID, which a client certificate cannot carry")]
    Uid,
    /// At least one key cannot become an organizational unit `key=value`.
    #[error("authenticator returned illegal userInfo extra key(s): {}", Aggregate(.0))]
    ExtraKeys(Vec<ExtraKeyError>),
}

/// One fault of one extra key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("userInfo extra key {key:?}: {fault}")]
pub(crate) struct ExtraKeyError {
    key: String,
    fault: ExtraKeyFault,
}

/// What is wrong with an extra key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ExtraKeyFault {
    /// The key is the empty string.
    #[error("Required value")]
    Empty,
    /// The key is not `<domain>/<path>`.
    #[error("Invalid value: must be a domain-prefixed path, such as \"example.com/department\"")]
    NotDomainPrefixed,
    /// What stands before the first slash is no RFC 1123 subdomain.
    #[error("Invalid value: the part before the slash must be a lower case RFC 1123 subdomain")]
    Domain,
    /// What stands after the first slash has a character that a path must not have.
    #[error(
        "Invalid value: the part after the slash must consist of letters, digits and /-._~%!$&'()*+,;=:"
    )]
    Path,
    /// The domain belongs to Kubernetes.
    #[error("Invalid value: k8s.io, kubernetes.io and their subdomains are reserved")]
    Reserved,
    /// `=` ends the key in the organizational unit.
    #[error("Invalid value: must not contain \"=\"")]
    EqualsSign,
}

/// Refuses a user whom a certificate cannot describe: no name, a UID, or extra keys that are not
/// domain-prefixed paths (Pinniped `internal/registry/credentialrequest`). Group names and extra
/// values are not judged here; the policy beside the key does.
pub(crate) fn validate(user: &UserInfo) -> Result<(), UnsupportedUserInfo> {
    if user.username.is_empty() {
        return Err(UnsupportedUserInfo::EmptyUsername);
    }
    if !user.uid.is_empty() {
        return Err(UnsupportedUserInfo::Uid);
    }
    validate_extra(&user.extra)
}

fn validate_extra(extra: &BTreeMap<String, Vec<String>>) -> Result<(), UnsupportedUserInfo> {
    let mut errors = Vec::new();
    for key in extra.keys() {
        let mut fault = |fault| {
            errors.push(ExtraKeyError {
                key: key.clone(),
                fault,
            })
        };
        if key == CREDENTIAL_ID {
            continue;
        }
        if key.is_empty() {
            fault(ExtraKeyFault::Empty);
            continue;
        }
        match key.split_once('/') {
            Some((domain, path)) if !domain.is_empty() && !path.is_empty() => {
                if !is_dns1123_subdomain(domain) {
                    fault(ExtraKeyFault::Domain);
                }
                if !path.bytes().all(is_path_byte) {
                    fault(ExtraKeyFault::Path);
                }
                if RESERVED_DOMAINS
                    .iter()
                    .any(|reserved| is_same_or_below(domain, reserved))
                {
                    fault(ExtraKeyFault::Reserved);
                }
            }
            _ => fault(ExtraKeyFault::NotDomainPrefixed),
        }
        if key.contains('=') {
            fault(ExtraKeyFault::EqualsSign);
        }
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(UnsupportedUserInfo::ExtraKeys(errors))
    }
}

fn is_same_or_below(domain: &str, parent: &str) -> bool {
    domain
        .strip_suffix(parent)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&byte)
}

/// Several errors in one line as Go's aggregate prints them: alone as they are, else in brackets.
struct Aggregate<'a>(&'a [ExtraKeyError]);

impl fmt::Display for Aggregate<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [only] = self.0 {
            return only.fmt(f);
        }
        for (index, error) in self.0.iter().enumerate() {
            write!(f, "{}{error}", if index == 0 { "[" } else { ", " })?;
        }
        f.write_str("]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(keys: &[&str]) -> UserInfo {
        UserInfo {
            username: "alice".into(),
            extra: keys
                .iter()
                .map(|key| ((*key).into(), vec![String::new()]))
                .collect(),
            ..UserInfo::default()
        }
    }

    #[test]
    fn a_name_is_needed_and_a_uid_is_refused() {
        assert_eq!(validate(&user(&[])), Ok(()));
        let nameless = UserInfo {
            username: String::new(),
            ..user(&[])
        };
        assert_eq!(validate(&nameless), Err(UnsupportedUserInfo::EmptyUsername));
        let with_uid = UserInfo {
            uid: "1".into(),
            ..user(&[])
        };
        assert_eq!(validate(&with_uid), Err(UnsupportedUserInfo::Uid));
    }

    #[test]
    fn groups_and_extra_values_are_not_judged() {
        let mut user = user(&["example.com/empty"]);
        user.groups = vec![
            "system:masters".into(),
            String::new(),
            " a,b+c=d\\e ☃".into(),
        ];
        assert_eq!(validate(&user), Ok(()));
    }

    #[test]
    fn each_extra_key_rule_holds() {
        use ExtraKeyFault::*;
        let long = format!("{}.com/x", "a".repeat(250));
        let cases: [(&str, &[ExtraKeyFault]); 25] = [
            (CREDENTIAL_ID, &[]),
            ("example.com/department", &[]),
            ("example.com/A/b-._~%!$&'()*+,;:", &[]),
            ("localhost/x", &[]),
            ("notk8s.io/x", &[]),
            ("k8s.io.example.com/x", &[]),
            ("", &[Empty]),
            ("department", &[NotDomainPrefixed]),
            ("/department", &[NotDomainPrefixed]),
            ("example.com/", &[NotDomainPrefixed]),
            ("/", &[NotDomainPrefixed]),
            ("Example.com/x", &[Domain]),
            ("exam_ple.com/x", &[Domain]),
            ("example..com/x", &[Domain]),
            (&long, &[Domain]),
            ("🦭.com/x", &[Domain]),
            ("example.com/🦭", &[Path]),
            ("example.com/a b", &[Path]),
            ("example.com/a?b", &[Path]),
            ("k8s.io/x", &[Reserved]),
            ("sub.k8s.io/x", &[Reserved]),
            ("kubernetes.io/x", &[Reserved]),
            ("authentication.kubernetes.io/other", &[Reserved]),
            ("example.com/a=b", &[EqualsSign]),
            ("a=b", &[NotDomainPrefixed, EqualsSign]),
        ];
        for (key, expected) in cases {
            let faults: Vec<_> = match validate(&user(&[key])) {
                Ok(()) => Vec::new(),
                Err(UnsupportedUserInfo::ExtraKeys(errors)) => {
                    assert!(errors.iter().all(|error| error.key == key));
                    errors.into_iter().map(|error| error.fault).collect()
                }
                Err(other) => panic!("{key}: {other}"),
            };
            assert_eq!(faults, expected, "{key}");
        }
    }

    #[test]
    fn errors_of_several_keys_come_together_in_key_order() {
        let one = validate(&user(&["", "example.com/fine"]))
            .unwrap_err()
            .to_string();
        assert_eq!(
            one,
            "authenticator returned illegal userInfo extra key(s): userInfo extra key \"\": Required value"
        );
        let two = validate(&user(&["k8s.io/z", "example.com/a=b", ""]))
            .unwrap_err()
            .to_string();
        assert_eq!(
            two,
            "authenticator returned illegal userInfo extra key(s): [userInfo extra key \"\": Required value, \
             userInfo extra key \"example.com/a=b\": Invalid value: must not contain \"=\", \
             userInfo extra key \"k8s.io/z\": Invalid value: k8s.io, kubernetes.io and their subdomains are reserved]"
        );
    }
}

//! What an authenticator may say about a user, judged before a certificate is asked for.

use std::collections::BTreeMap;
use std::fmt;

use haulout_api::extra_key::{self, CREDENTIAL_ID, ExtraKeyFault};
use haulout_api::identity::UserInfo;

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
    let errors_of = |key: &String| {
        let error = |fault| ExtraKeyError {
            key: key.clone(),
            fault,
        };
        let faults = extra_key::faults(key).into_iter();
        faults.map(error).collect::<Vec<_>>()
    };
    let errors: Vec<ExtraKeyError> = extra
        .keys()
        .filter(|key| key.as_str() != CREDENTIAL_ID)
        .flat_map(errors_of)
        .collect();
    if errors.is_empty() {
        Ok(())
    } else {
        Err(UnsupportedUserInfo::ExtraKeys(errors))
    }
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

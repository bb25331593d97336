//! What the agent may sign: a file beside the key, which the webhook cannot write.

mod judge;
mod names;

use serde::Deserialize;
use serde_json::Value;

pub(crate) use self::judge::is_audit_id;
pub use self::judge::{Refusal, judge};
pub use self::names::{NamePattern, PatternError};

/// No policy can allow a longer life; certificates here live minutes.
const LONGEST_LIFETIME: u32 = 24 * 60 * 60;

/// Why a policy file does not count; nothing is signed then.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The file is no YAML, or has a field that is unknown or of the wrong kind.
    #[error("failed to read the policy")]
    Parse(#[source] Box<serde_saphyr::Error>),
    /// The file holds nothing, or nothing but comments.
    #[error("the policy is empty; write {{}} to take the defaults")]
    Empty,
    /// A field has no value, which could be meant as all or as none.
    #[error(
        "a field of the policy has no value; leave the field out, or write [] for an empty list"
    )]
    NoValue,
    /// A number is outside of what makes sense.
    #[error("{field} is {value}, but must be from {least} to {most}")]
    OutOfRange {
        /// Path of the field.
        field: &'static str,
        /// What the file says.
        value: u32,
        /// The smallest value that is taken.
        least: u32,
        /// The largest value that is taken.
        most: u32,
    },
}

/// A valid policy. The file is camelCase YAML; every field is optional, an unknown one is an error.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Policy {
    /// The longest life of a certificate from now on, in seconds: 1 to 86400.
    pub max_lifetime_seconds: u32,
    /// Users and groups under `system:` and `kubeadm:` that are signed nevertheless, unless no
    /// policy can allow them: exact names, or prefixes that end in `:*`.
    pub allowed_reserved_names: Vec<NamePattern>,
    /// Narrows what is signed at all.
    pub allow: Allow,
    /// Common names by which a front proxy is known (`--requestheader-allowed-names`); never signed.
    pub requestheader_allowed_names: Vec<String>,
    /// Sizes of subjects.
    pub limits: Limits,
    /// Certificates per second in the long run; 0 sets no limit.
    pub rate_per_second: u32,
    /// Certificates that may be signed at once after a pause.
    pub burst: u32,
    /// The audit log.
    pub audit: Audit,
}

/// Names that are signed; a list that is absent allows every name of its kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Allow {
    /// The users, exact or as prefixes that end in `:*`.
    pub users: Option<Vec<NamePattern>>,
    /// The groups, likewise. A user with any other group is refused.
    pub groups: Option<Vec<NamePattern>>,
}

/// How large a subject may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Limits {
    /// Bytes of the username and of each group.
    pub name_bytes: u32,
    /// Groups of a user.
    pub groups: u32,
    /// Bytes of the whole subject, about as encoded: 13 more than its text for each value.
    pub subject_bytes: u32,
}

/// What the audit log tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Audit {
    /// Whether audit lines name users and groups.
    pub log_usernames_and_groups: Switch,
}

/// A setting that is on or off, in Pinniped's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Switch {
    /// On.
    Enabled,
    /// Off.
    #[default]
    Disabled,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            max_lifetime_seconds: 3600,
            allowed_reserved_names: Vec::new(),
            allow: Allow::default(),
            requestheader_allowed_names: Vec::new(),
            limits: Limits::default(),
            rate_per_second: 2000,
            burst: 4000,
            audit: Audit::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            name_bytes: 512,
            groups: 500,
            subject_bytes: 32_768,
        }
    }
}

impl Policy {
    /// Reads and checks a policy file. A file without a field or `{}` is refused, so that one that is
    /// just being written does not stand for the defaults; so is a field without a value.
    pub fn from_yaml(yaml: &[u8]) -> Result<Self, PolicyError> {
        let unreadable = |error| PolicyError::Parse(Box::new(error));
        if yaml.trim_ascii().is_empty() {
            return Err(PolicyError::Empty);
        }
        let document: Value = serde_saphyr::from_slice(yaml).map_err(unreadable)?;
        if document.is_null() {
            return Err(PolicyError::Empty);
        }
        if has_null(&document) {
            return Err(PolicyError::NoValue);
        }
        let policy: Self = serde_saphyr::from_slice(yaml).map_err(unreadable)?;
        policy.check()?;
        Ok(policy)
    }

    fn check(&self) -> Result<(), PolicyError> {
        let any = u32::MAX;
        let least_burst = u32::from(self.rate_per_second > 0);
        for (field, value, least, most) in [
            (
                "maxLifetimeSeconds",
                self.max_lifetime_seconds,
                1,
                LONGEST_LIFETIME,
            ),
            ("limits.nameBytes", self.limits.name_bytes, 1, any),
            ("limits.subjectBytes", self.limits.subject_bytes, 1, any),
            ("burst", self.burst, least_burst, any),
        ] {
            if !(least..=most).contains(&value) {
                return Err(PolicyError::OutOfRange {
                    field,
                    value,
                    least,
                    most,
                });
            }
        }
        Ok(())
    }

    /// Entries of `allowedReservedNames` that no policy can allow, to be pointed out.
    pub fn idle_entries(&self) -> impl Iterator<Item = &str> {
        self.allowed_reserved_names
            .iter()
            .map(NamePattern::as_str)
            .filter(|entry| judge::is_never_signed(entry))
    }
}

fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().any(has_null),
        Value::Object(fields) => fields.values().any(has_null),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_mapping_is_the_defaults() {
        assert_eq!(Policy::from_yaml(b"{}").unwrap(), Policy::default());
    }

    #[test]
    fn every_field_is_read() {
        let policy = Policy::from_yaml(
            br#"
maxLifetimeSeconds: 600
allowedReservedNames: ["system:monitoring", "kubeadm:*"]
allow:
  users: ["oidc:*", "bob"]
  groups: []
requestheaderAllowedNames: [my-proxy]
limits: {nameBytes: 100, groups: 10, subjectBytes: 2000}
ratePerSecond: 5
burst: 7
audit: {logUsernamesAndGroups: enabled}
"#,
        )
        .unwrap();
        let patterns = |names: &[&str]| -> Vec<NamePattern> {
            names.iter().map(|name| name.parse().unwrap()).collect()
        };
        let expected = Policy {
            max_lifetime_seconds: 600,
            allowed_reserved_names: patterns(&["system:monitoring", "kubeadm:*"]),
            allow: Allow {
                users: Some(patterns(&["oidc:*", "bob"])),
                groups: Some(Vec::new()),
            },
            requestheader_allowed_names: vec!["my-proxy".to_owned()],
            limits: Limits {
                name_bytes: 100,
                groups: 10,
                subject_bytes: 2000,
            },
            rate_per_second: 5,
            burst: 7,
            audit: Audit {
                log_usernames_and_groups: Switch::Enabled,
            },
        };
        assert_eq!(policy, expected);
    }

    #[test]
    fn what_is_not_a_policy_is_refused() {
        for (yaml, part) in [
            ("", "empty"),
            (" \n", "empty"),
            ("# maxLifetimeSeconds: 60", "empty"),
            ("---\n# later\n", "empty"),
            ("null", "empty"),
            ("~", "empty"),
            ("- a", ""),
            ("allow:", "no value"),
            ("allow: {users: null}", "no value"),
            ("allow:\n  groups:\n", "no value"),
            ("allow:\n  groups: ~\n", "no value"),
            ("allow: {groups: [null]}", "no value"),
            ("maxLifetimeSecond: 5", "maxLifetimeSecond"),
            ("limits: {nameByte: 5}", "nameByte"),
            ("allow: {user: []}", "user"),
            (
                "maxLifetimeSeconds: 0",
                "maxLifetimeSeconds is 0, but must be from 1 to 86400",
            ),
            ("maxLifetimeSeconds: 86401", "maxLifetimeSeconds is 86401"),
            ("maxLifetimeSeconds: -1", ""),
            ("maxLifetimeSeconds: 5\nmaxLifetimeSeconds: 50", ""),
            ("burst: 0", "burst is 0"),
            ("limits: {nameBytes: 0}", "limits.nameBytes is 0"),
            ("allowedReservedNames: ['*']", "'*'"),
            ("allow: {users: ['oidc*']}", "oidc*"),
            ("allow: {groups: ['a:*:b']}", "a:*:b"),
            ("allow: {groups: ['']}", "empty"),
            ("audit: {logUsernamesAndGroups: yes}", ""),
            ("\0", ""),
        ] {
            let error = Policy::from_yaml(yaml.as_bytes()).unwrap_err();
            let text = crate::watched::chain(&error);
            assert!(text.contains(part), "{yaml:?}: {text}");
        }
    }

    #[test]
    fn no_rate_needs_no_burst() {
        assert!(Policy::from_yaml(b"{ratePerSecond: 0, burst: 0}").is_ok());
    }

    #[test]
    fn entries_that_change_nothing_are_told() {
        let yaml =
            b"allowedReservedNames: ['system:masters', 'system:x', 'system:node:*', 'system:*']";
        let policy = Policy::from_yaml(yaml).unwrap();
        let idle: Vec<&str> = policy.idle_entries().collect();
        assert_eq!(idle, ["system:masters", "system:node:*"]);
    }
}

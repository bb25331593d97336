//! What the agent may sign: a file beside the key, which the webhook cannot write.

mod judge;
mod names;
#[cfg(test)]
mod tests;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub(crate) use self::judge::is_audit_id;
pub use self::judge::{Refusal, judge};
pub use self::names::{NamePattern, PatternError};

/// No policy can allow a longer life; certificates here live minutes.
const LONGEST_LIFETIME: u32 = 24 * 60 * 60;

/// How much of a policy may be repeated by aliases, in parser events. Without a bound near the size of
/// a policy, 400 bytes of nested aliases keep the agent from signing for as long as it reads them.
const REPEATED_EVENTS: usize = 10_000;

const PEM_BEGIN: &[u8] = b"-----BEGIN";

/// Why a policy file does not count; nothing is signed then.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The file is no YAML, or has a field that is unknown or of the wrong kind.
    #[error("failed to read the policy: {0}")]
    Parse(String),
    /// The file holds a key or a certificate.
    #[error("the policy holds a PEM block; see that --policy does not name a key's file")]
    Pem,
    /// The file holds nothing, or nothing but comments.
    #[error("the policy is empty; write {{}} to take the defaults")]
    Empty,
    /// A field has no value, which could be meant as all or as none.
    #[error("{0} has no value; leave it out, or write [] for an empty list")]
    NoValue(String),
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
        if yaml.trim_ascii().is_empty() {
            return Err(PolicyError::Empty);
        }
        // Faults are shown to many; a key that came here by mistake must be in none.
        if yaml.windows(PEM_BEGIN.len()).any(|text| text == PEM_BEGIN) {
            return Err(PolicyError::Pem);
        }
        let document: Value = parse(yaml)?;
        if document.is_null() {
            return Err(PolicyError::Empty);
        }
        if let Some(path) = null_path(&document, "") {
            return Err(PolicyError::NoValue(path));
        }
        let policy: Self = parse(yaml)?;
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

/// Reads YAML. The fault goes to logs, checks and the webhook, all of which take one line: it comes without the picture of the
/// text that the library draws, in which a key could stand.
fn parse<T: DeserializeOwned>(yaml: &[u8]) -> Result<T, PolicyError> {
    let options = serde_saphyr::options! {
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: REPEATED_EVENTS,
        },
    };
    serde_saphyr::from_slice_with_options(yaml, options)
        .map_err(|error| PolicyError::Parse(error.without_snippet().to_string()))
}

/// Path of the first null at or below `value`, which is at `path`, such as `allow.groups[0]`.
fn null_path(value: &Value, path: &str) -> Option<String> {
    match value {
        Value::Null => Some(path.to_owned()),
        Value::Array(items) => (0..)
            .zip(items)
            .find_map(|(index, item)| null_path(item, &format!("{path}[{index}]"))),
        Value::Object(fields) => fields.iter().find_map(|(name, value)| match path {
            "" => null_path(value, name),
            _ => null_path(value, &format!("{path}.{name}")),
        }),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

//! The decision: may this request be signed under this policy? Pure, and the only place that says so.

#[cfg(test)]
mod tests;

use haulout_api::signing::{
    CANARY_LIFETIME_SECONDS, CANARY_USERNAME, CertificateRequest, SigningFailureReason,
};

use super::Policy;
use super::names::{NamePattern, covers};

/// Users that no policy can allow: nodes and components of the control plane, whose rights are no
/// user's, and the names by which API servers know a front proxy.
const NEVER_USERS: [&str; 9] = [
    "system:node:*",
    "system:apiserver",
    "system:kube-*",
    "system:aggregator",
    "system:serviceaccount:kube-system:*",
    "front-proxy-client",
    "aggregator",
    "kube-aggregator",
    "system:auth-proxy",
];

/// Groups that no policy can allow: they grant everything, or the rights of nodes and of the
/// control plane's service accounts.
const NEVER_GROUPS: [&str; 5] = [
    "system:masters",
    "system:nodes",
    "system:bootstrappers",
    "system:bootstrappers:*",
    "system:serviceaccounts:kube-system",
];

/// Our own names; nobody but the canary has one.
const OWN_NAMES: &str = "haulout:*";

/// Names that are refused unless the policy lists them.
const RESERVED_NAMES: [&str; 2] = ["system:*", "kubeadm:*"];

/// The group that Kubernetes gives to everybody who logs in.
const AUTHENTICATED: &str = "system:authenticated";

/// Longest identifier of a request in the audit log.
const AUDIT_ID_LENGTH: usize = 64;

/// What one value of the subject takes beside its text: headers and attribute type.
const ATTRIBUTE_OVERHEAD: usize = 13;

/// Where a reader finds the names, which the texts below must not hold.
const SEE_NEVER_SIGNED: &str = "see \"What the agent never signs\" in SECURITY.md";
const SEE_AUDIT: &str = "to see the names in the audit log, set audit.logUsernamesAndGroups: enabled in the policy or, with Helm, in the values";

/// Why a request is not signed. The texts name rules and limits, never the user or a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The request carries evidence, which this version cannot judge.
    #[error("the request carries evidence, which this version of the agent cannot verify")]
    Evidence,
    /// The audit ID is empty, too long, or has characters that would not be safe in a log.
    #[error("the audit ID is not 1 to 64 characters of [A-Za-z0-9._-]")]
    AuditId,
    /// There is no user.
    #[error("the username is empty")]
    NoUsername,
    /// A group has no name.
    #[error("a group is empty")]
    EmptyGroup,
    /// A key of `extra` cannot be told from its value, or is missing.
    #[error("a key of extra is empty or holds an equals sign")]
    ExtraKey,
    /// The lifetime is zero or over the policy's cap.
    #[error("the lifetime must be 1 to {0} s (maxLifetimeSeconds of the agent's policy)")]
    Lifetime(u32),
    /// The canary's certificate would outlive its use.
    #[error("the lifetime of the canary must be 1 to {CANARY_LIFETIME_SECONDS} s")]
    CanaryLifetime,
    /// The username or a group is too long.
    #[error(
        "the username or a group is longer than {0} bytes (limits.nameBytes of the agent's policy)"
    )]
    NameTooLong(u32),
    /// There are too many groups.
    #[error("the user has more than {0} groups (limits.groups of the agent's policy)")]
    TooManyGroups(u32),
    /// All names together are too large.
    #[error("the subject is larger than {0} bytes (limits.subjectBytes of the agent's policy)")]
    SubjectTooLarge(u32),
    /// The username or a group has a character that does not survive an HTTP header.
    #[error("the username or a group has a control character")]
    ControlCharacter,
    /// The user is one that no policy can allow.
    #[error("the username is one that is never signed; {SEE_NEVER_SIGNED}")]
    ForbiddenUser,
    /// A group is one that no policy can allow.
    #[error("a group is one that is never signed; {SEE_NEVER_SIGNED}")]
    ForbiddenGroup,
    /// The canary proves that signing works, and is nothing else.
    #[error("the canary has groups or extra values")]
    CanaryWithRights,
    /// The user is reserved and not listed.
    #[error(
        "the username is reserved (system:, kubeadm:) and not among allowedReservedNames of the agent's policy; {SEE_AUDIT}"
    )]
    ReservedUser,
    /// A group is reserved and not listed.
    #[error(
        "a group is reserved (system:, kubeadm:) and not among allowedReservedNames of the agent's policy; {SEE_AUDIT}"
    )]
    ReservedGroup,
    /// The policy lists who is signed, and this user is not among them.
    #[error("the username is not covered by allow.users of the agent's policy; {SEE_AUDIT}")]
    UnlistedUser,
    /// The policy lists which groups are signed, and one is not among them.
    #[error("a group is not covered by allow.groups of the agent's policy; {SEE_AUDIT}")]
    UnlistedGroup,
}

impl Refusal {
    /// The class that the caller is told.
    pub fn reason(self) -> SigningFailureReason {
        match self {
            Self::Evidence
            | Self::AuditId
            | Self::NoUsername
            | Self::EmptyGroup
            | Self::ExtraKey => SigningFailureReason::InvalidRequest,
            Self::Lifetime(_)
            | Self::CanaryLifetime
            | Self::NameTooLong(_)
            | Self::TooManyGroups(_)
            | Self::SubjectTooLarge(_)
            | Self::ControlCharacter
            | Self::ForbiddenUser
            | Self::ForbiddenGroup
            | Self::CanaryWithRights
            | Self::ReservedUser
            | Self::ReservedGroup
            | Self::UnlistedUser
            | Self::UnlistedGroup => SigningFailureReason::RefusedByPolicy,
        }
    }
}

/// Judges the whole request; one name that is refused refuses it, and nothing is stripped.
///
/// Names that are reserved or never signed are so with spaces around them too: where the API server
/// hands a name on in a header, as to an extension API server, Go trims it on some paths. Other
/// names may have such spaces.
pub fn judge(request: &CertificateRequest, policy: &Policy) -> Result<(), Refusal> {
    judge_shape(request)?;
    judge_sizes(request, policy)?;
    if !(1..=policy.max_lifetime_seconds).contains(&request.lifetime_seconds) {
        return Err(Refusal::Lifetime(policy.max_lifetime_seconds));
    }
    if request.username == CANARY_USERNAME {
        return judge_canary(request);
    }
    if names(request).any(|name| name.contains(char::is_control)) {
        return Err(Refusal::ControlCharacter);
    }
    judge_user(&request.username, policy)?;
    request
        .groups
        .iter()
        .try_for_each(|group| judge_group(group, policy))
}

/// Whether a name, or all that a pattern covers, is never signed as a user or never as a group.
pub(super) fn is_never_signed(entry: &str) -> bool {
    [&NEVER_USERS[..], &NEVER_GROUPS, &[OWN_NAMES]]
        .iter()
        .any(|never| any_covers(never, entry))
}

fn judge_shape(request: &CertificateRequest) -> Result<(), Refusal> {
    if request.evidence.is_some() {
        return Err(Refusal::Evidence);
    }
    if !is_audit_id(&request.audit_id) {
        return Err(Refusal::AuditId);
    }
    if request.username.is_empty() {
        return Err(Refusal::NoUsername);
    }
    if request.groups.iter().any(String::is_empty) {
        return Err(Refusal::EmptyGroup);
    }
    if request
        .extra
        .keys()
        .any(|key| key.is_empty() || key.contains('='))
    {
        return Err(Refusal::ExtraKey);
    }
    Ok(())
}

/// Whether foreign text may stand in the log as an identifier.
pub(crate) fn is_audit_id(text: &str) -> bool {
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=AUDIT_ID_LENGTH).contains(&text.len()) && text.bytes().all(is_safe)
}

fn judge_sizes(request: &CertificateRequest, policy: &Policy) -> Result<(), Refusal> {
    let limits = policy.limits;
    if request.groups.len() > limits.groups as usize {
        return Err(Refusal::TooManyGroups(limits.groups));
    }
    if names(request).any(|name| name.len() > limits.name_bytes as usize) {
        return Err(Refusal::NameTooLong(limits.name_bytes));
    }
    let units = request
        .extra
        .iter()
        .flat_map(|(key, values)| values.iter().map(|value| key.len() + 1 + value.len()));
    let subject: usize = names(request)
        .map(String::len)
        .chain(units)
        .map(|text| text + ATTRIBUTE_OVERHEAD)
        .sum();
    if subject > limits.subject_bytes as usize {
        return Err(Refusal::SubjectTooLarge(limits.subject_bytes));
    }
    Ok(())
}

fn names(request: &CertificateRequest) -> impl Iterator<Item = &String> {
    request.groups.iter().chain([&request.username])
}

fn judge_canary(request: &CertificateRequest) -> Result<(), Refusal> {
    if !(request.groups.is_empty() && request.extra.is_empty()) {
        return Err(Refusal::CanaryWithRights);
    }
    if request.lifetime_seconds > CANARY_LIFETIME_SECONDS {
        return Err(Refusal::CanaryLifetime);
    }
    Ok(())
}

fn judge_user(user: &str, policy: &Policy) -> Result<(), Refusal> {
    let trimmed = user.trim();
    let is_front_proxy = || {
        policy
            .requestheader_allowed_names
            .iter()
            .any(|name| name.trim() == trimmed)
    };
    if any_covers(&NEVER_USERS, trimmed) || covers(OWN_NAMES, trimmed) || is_front_proxy() {
        return Err(Refusal::ForbiddenUser);
    }
    if is_reserved(user, policy) {
        return Err(Refusal::ReservedUser);
    }
    if !is_listed(policy.allow.users.as_deref(), user) {
        return Err(Refusal::UnlistedUser);
    }
    Ok(())
}

fn judge_group(group: &str, policy: &Policy) -> Result<(), Refusal> {
    if group == AUTHENTICATED {
        return Ok(());
    }
    let trimmed = group.trim();
    if any_covers(&NEVER_GROUPS, trimmed) || covers(OWN_NAMES, trimmed) {
        return Err(Refusal::ForbiddenGroup);
    }
    if is_reserved(group, policy) {
        return Err(Refusal::ReservedGroup);
    }
    if !is_listed(policy.allow.groups.as_deref(), group) {
        return Err(Refusal::UnlistedGroup);
    }
    Ok(())
}

/// Whether the name is kept back, and not listed as it stands.
fn is_reserved(name: &str, policy: &Policy) -> bool {
    any_covers(&RESERVED_NAMES, name.trim())
        && !policy
            .allowed_reserved_names
            .iter()
            .any(|pattern| pattern.covers(name))
}

fn is_listed(list: Option<&[NamePattern]>, name: &str) -> bool {
    list.is_none_or(|patterns| patterns.iter().any(|pattern| pattern.covers(name)))
}

fn any_covers(patterns: &[&str], name: &str) -> bool {
    patterns.iter().any(|pattern| covers(pattern, name))
}

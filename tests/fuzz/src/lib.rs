//! What `SECURITY.md` promises that the agent never signs, written down a second time: the code that
//! is under test keeps a table of its own.

/// Users that no policy can allow.
const USERS: [&str; 10] = [
    "aggregator",
    "front-proxy-client",
    "haulout:*",
    "kube-aggregator",
    "system:aggregator",
    "system:apiserver",
    "system:auth-proxy",
    "system:kube-*",
    "system:node:*",
    "system:serviceaccount:kube-system:*",
];

/// Groups that no policy can allow.
const GROUPS: [&str; 6] = [
    "haulout:*",
    "system:bootstrappers",
    "system:bootstrappers:*",
    "system:masters",
    "system:nodes",
    "system:serviceaccounts:kube-system",
];

/// Whether this user may be in no certificate, also with spaces around it. The canary is judged by
/// what else its request holds.
pub fn is_forbidden_user(name: &str) -> bool {
    is_among(&USERS, name.trim()) && name != haulout_api::signing::CANARY_USERNAME
}

/// Whether this group may be in no certificate, also with spaces around it.
pub fn is_forbidden_group(name: &str) -> bool {
    is_among(&GROUPS, name.trim())
}

/// Whether a policy has to list this name before it is signed.
pub fn is_reserved(name: &str) -> bool {
    is_among(&["kubeadm:*", "system:*"], name.trim())
}

/// A user of each kind that is forbidden, as it is and with spaces around it.
pub fn forbidden_users() -> impl Iterator<Item = String> {
    USERS.into_iter().flat_map(examples)
}

/// A group of each kind that is forbidden, likewise.
pub fn forbidden_groups() -> impl Iterator<Item = String> {
    GROUPS.into_iter().flat_map(examples)
}

fn examples(pattern: &str) -> [String; 3] {
    let name = pattern.replace('*', "x");
    [format!(" {name}"), format!("{name} "), name]
}

fn is_among(patterns: &[&str], name: &str) -> bool {
    patterns
        .iter()
        .any(|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == *pattern,
        })
}

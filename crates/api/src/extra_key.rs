//! Keys of a user's extra values: what an authenticator may set, and a certificate carry.

use crate::group::is_dns1123_subdomain;

/// The one extra key of Kubernetes' own that authenticators set: it names the credential (`JTI=…`).
pub const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";

/// Domains that Kubernetes keeps for itself, their subdomains included.
const RESERVED_DOMAINS: [&str; 2] = ["k8s.io", "kubernetes.io"];

/// What is wrong with an extra key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExtraKeyFault {
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

/// What is wrong with `key`, which is not [`CREDENTIAL_ID`]; empty for a good one. [`ExtraKeyFault::EqualsSign`] is last.
pub fn faults(key: &str) -> Vec<ExtraKeyFault> {
    let mut faults = Vec::new();
    match key.split_once('/') {
        _ if key.is_empty() => return vec![ExtraKeyFault::Empty],
        Some((domain, path)) if !domain.is_empty() && !path.is_empty() => {
            if !is_dns1123_subdomain(domain) {
                faults.push(ExtraKeyFault::Domain);
            }
            if !path.bytes().all(is_path_byte) {
                faults.push(ExtraKeyFault::Path);
            }
            if RESERVED_DOMAINS
                .iter()
                .any(|reserved| is_same_or_below(domain, reserved))
            {
                faults.push(ExtraKeyFault::Reserved);
            }
        }
        _ => faults.push(ExtraKeyFault::NotDomainPrefixed),
    }
    if key.contains('=') {
        faults.push(ExtraKeyFault::EqualsSign);
    }
    faults
}

fn is_same_or_below(domain: &str, parent: &str) -> bool {
    domain
        .strip_suffix(parent)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&byte)
}

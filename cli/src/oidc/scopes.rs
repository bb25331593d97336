//! The scopes that a login asks for.

use super::provider::Provider;

/// What is asked for where nobody says otherwise, in the order of Pinniped's CLI.
pub(crate) const DEFAULT_SCOPES: [&str; 5] = [
    "offline_access",
    "openid",
    "pinniped:request-audience",
    "username",
    "groups",
];
/// What other issuers have in place of `username` and `groups`.
const USUAL_SCOPES: [&str; 2] = ["email", "profile"];
/// What an issuer that lists none can be asked for.
const CERTAIN_SCOPES: [&str; 2] = ["offline_access", "openid"];

/// Those of our scopes that this issuer offers, and where it is no Supervisor, the usual ones in place of a Supervisor's.
pub(crate) fn offered_scopes(mut scopes: Vec<String>, provider: &Provider) -> Vec<String> {
    let is_supported = |scope: &str| match &provider.scopes_supported {
        Some(supported) => supported.iter().any(|supported| supported == scope),
        // A Supervisor knows all of ours. Of another issuer no more is certain; some refuse a login for a scope they lack.
        None => provider.is_supervisor() || CERTAIN_SCOPES.contains(&scope),
    };
    scopes.retain(|scope| is_supported(scope));
    if !provider.is_supervisor() {
        let usual = USUAL_SCOPES.into_iter().filter(|scope| is_supported(scope));
        scopes.extend(usual.map(str::to_owned));
    }
    scopes
}

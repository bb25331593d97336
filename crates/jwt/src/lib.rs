//! OIDC tokens: what an issuer says of itself ([`discovery`]), the keys that it signs with ([`keys`]), the one strict
//! check of a token ([`verify`]), and what its claims mean to Kubernetes ([`claims`]).
//!
//! Nothing here reads a clock: the time is an argument. Network calls all go through [`client::IssuerClient`], which
//! bounds them.

pub mod claims;
pub mod client;
pub mod discovery;
mod json;
pub mod keys;
pub mod verify;

/// Text from outside as it may stand in a message: escaped, and cut to a length that cannot flood a log or a status.
fn foreign(text: &str) -> String {
    const MAX_CHARS: usize = 300;
    let mut quoted: String = text.escape_debug().take(MAX_CHARS).collect();
    let rest = text.escape_debug().skip(MAX_CHARS).count();
    if rest > 0 {
        quoted.push_str(&format!(" [truncated {rest} chars]"));
    }
    quoted
}

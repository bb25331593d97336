//! What becomes of a session, and how it is told. No I/O.

use haulout_https::CallFault;
use rustls::CertificateError;

use crate::oidc::OidcError;
use crate::session_cache::Which;
use crate::transport::TransportFault;

/// What becomes of a session.
#[derive(Debug)]
pub(super) enum Fate {
    /// Its issuer has ended it.
    Revoked,
    NothingToRevoke,
    /// Its issuer ends no sessions.
    NotOffered,
    /// It is forgotten, and may go on at its issuer.
    Unrevoked(Box<OidcError>),
    /// It is kept: whoever names what the login had can have it revoked.
    Refused(Box<OidcError>),
    /// It is kept: this logout trusts others to be its issuer, and they must not get its tokens.
    OfOtherRoots,
    /// The same, but whoever logs out wants it gone.
    Forgotten,
}

impl Fate {
    /// That of a session which its issuer did not revoke.
    pub(super) fn of_error(error: OidcError, may_name_more: bool) -> Self {
        match may_name_more && wants_more(&error) {
            true => Self::Refused(Box::new(error)),
            false => Self::Unrevoked(Box::new(error)),
        }
    }

    pub(super) fn is_kept(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::OfOtherRoots)
    }

    /// What is told as the result.
    pub(super) fn line(&self, issuer: &str) -> String {
        match self {
            Self::Revoked => format!("Logged out of {issuer}, which has revoked the session."),
            Self::NothingToRevoke => format!("Logged out of {issuer}."),
            Self::NotOffered => format!(
                "Logged out of {issuer}, which cannot revoke sessions; it ends there by itself."
            ),
            Self::Unrevoked(_) | Self::Forgotten => {
                format!("Logged out of {issuer} here alone.")
            }
            Self::Refused(_) | Self::OfOtherRoots => {
                format!("Kept the session of {issuer}, which is not revoked.")
            }
        }
    }

    /// What is warned of.
    pub(super) fn warning(&self, issuer: &str) -> Option<String> {
        match self {
            Self::Unrevoked(error) | Self::Refused(error) => {
                let why = crate::chain(error);
                Some(format!("{issuer} did not revoke the session: {why}"))
            }
            Self::OfOtherRoots | Self::Forgotten => Some(format!(
                "the session of {issuer} was not sent there: its login has other CA certificates than this logout, which would let \
                 others pose as its issuer"
            )),
            Self::Revoked | Self::NothingToRevoke | Self::NotOffered => None,
        }
    }
}

/// Whether the issuer is there, and may revoke where another CA, or the client's secret, is named.
fn wants_more(error: &OidcError) -> bool {
    match error {
        OidcError::Refused { code, .. } => {
            matches!(code.as_str(), "invalid_client" | "unauthorized_client")
        }
        OidcError::Call { cause, .. } => match &cause.fault {
            CallFault::Transport(error) => matches!(
                TransportFault::of(error),
                TransportFault::Certificate(
                    CertificateError::UnknownIssuer | CertificateError::Other(_)
                )
            ),
            CallFault::TimedOut(_) | CallFault::TooLong(_) => false,
        },
        _ => false,
    }
}

/// What is told where no session was meant, of a cache that has those of `others`.
pub(super) fn no_session(which: Which<'_>, place: &str, others: &[&str]) -> String {
    let meant = match which {
        Which::OfIssuer(issuer) => format!(" of {issuer}"),
        Which::OfLogin(key) => format!(" that the kubeconfig's login at {} would use", key.issuer),
        Which::All => String::new(),
    };
    match others {
        [] => "No session".to_owned(),
        others => format!(
            "No session{meant} in {place}, which has others, of {}",
            others.join(", ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oidc::error::Step;
    use crate::session_cache::SessionKey;

    #[test]
    fn a_session_is_kept_while_a_flag_would_have_it_revoked() {
        let refused = |code: &str| OidcError::Refused {
            step: Step::Revocation,
            url: "https://i.example.com/revoke".to_owned(),
            code: code.to_owned(),
            description: String::new(),
            audit_id: None,
        };
        let of_code = |code| Fate::of_error(refused(code), true);
        for (fate, is_kept, line) in [
            (Fate::Revoked, false, "Logged out of i, which has revoked"),
            (Fate::NotOffered, false, "Logged out of i, which cannot"),
            (Fate::NothingToRevoke, false, "Logged out of i."),
            (of_code("invalid_client"), true, "Kept"),
            (of_code("unauthorized_client"), true, "Kept"),
            // There is nothing left to name.
            (
                Fate::of_error(refused("invalid_client"), false),
                false,
                "Logged out of i here alone.",
            ),
            (Fate::Forgotten, false, "Logged out of i here alone."),
            (
                of_code("server_error"),
                false,
                "Logged out of i here alone.",
            ),
            (
                Fate::of_error(OidcError::NoHeader, true),
                false,
                "Logged out of i here alone.",
            ),
            (Fate::OfOtherRoots, true, "Kept the session of i"),
        ] {
            assert_eq!(fate.is_kept(), is_kept, "{fate:?}");
            assert!(fate.line("i").starts_with(line), "{fate:?}");
            let is_bad = is_kept || line.contains("alone");
            assert_eq!(fate.warning("i").is_some(), is_bad, "{fate:?}");
        }
    }

    #[test]
    fn where_nothing_was_meant_it_is_said_what_is_there() {
        let others = ["https://a", "https://b"];
        let key = SessionKey {
            client_id: String::new(),
            issuer: "https://a".to_owned(),
            redirect_uri: String::new(),
            scopes: Vec::new(),
            upstream_provider_name: String::new(),
        };
        for (which, others, expected) in [
            (Which::All, &[][..], "No session"),
            (Which::OfIssuer("https://c"), &[], "No session"),
            (
                Which::OfIssuer("https://c"),
                &others,
                "No session of https://c in /s.yaml, which has others, of https://a, https://b",
            ),
            (
                Which::OfLogin(&key),
                &others[..1],
                "No session that the kubeconfig's login at https://a would use in /s.yaml, which has others, of https://a",
            ),
        ] {
            assert_eq!(no_session(which, "/s.yaml", others), expected);
        }
    }
}

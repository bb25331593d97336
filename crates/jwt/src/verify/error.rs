//! Why tokens are refused.

use crate::algorithms::AcceptedAlgorithms;

/// Why a token is refused.
///
/// The texts follow Kubernetes' OIDC authenticator; text from the token is escaped and cut, and the token itself is in
/// none of them.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is no JSON Web Token in compact form.
    #[error(
        "not a JWT: expected three parts in base64url, of which the first two are JSON objects"
    )]
    NotJwt,
    /// It is another issuer's.
    #[error("issued by \"{found}\", while this authenticator has \"{expected}\"")]
    OtherIssuer {
        /// The configured issuer.
        expected: String,
        /// The token's issuer.
        found: String,
    },
    /// The token or one of its parts is longer than any that an issuer makes.
    #[error("oidc: verify token: {part} is longer than {limit} bytes")]
    TooLarge {
        /// What is too long.
        part: &'static str,
        /// The limit.
        limit: usize,
    },
    /// A part holds more values than any that an issuer makes.
    #[error(
        "oidc: verify token: header or payload holds more than {} values",
        crate::json::MAX_VALUES
    )]
    TooManyValues,
    /// A header parameter has the wrong type or stands twice, or `alg` is missing.
    #[error(
        "oidc: verify token: header is malformed: a parameter has the wrong type or stands twice, or \"alg\" is missing"
    )]
    Header,
    /// It is signed with another algorithm than the accepted ones, or not at all.
    #[error(
        "oidc: verify token: oidc: id token signed with unsupported algorithm, expected {expected} got \"{found}\""
    )]
    UnsupportedAlgorithm {
        /// The accepted algorithms.
        expected: AcceptedAlgorithms,
        /// The token's algorithm.
        found: String,
    },
    /// The header has `crit`: something must be understood that is not (RFC 7515, 4.1.11). Or it says by `b64` that the
    /// payload is not encoded, which no JSON Web Token may (RFC 7797, 7).
    #[error("oidc: verify token: header has critical parameters, none of which are supported")]
    Critical,
    /// The header's `typ` names another kind of token than one that identifies a user (RFC 8725, 3.11).
    #[error("oidc: verify token: token is of type \"{0}\", which does not identify a user")]
    Type(String),
    /// The payload is itself a token (RFC 7519, 5.2).
    #[error("oidc: verify token: nested tokens are not supported")]
    Nested,
    /// A claim stands twice.
    #[error("oidc: verify token: a claim stands twice")]
    DuplicateClaim,
    /// A required claim is absent.
    #[error("oidc: verify token: claim \"{0}\" is missing")]
    MissingClaim(&'static str),
    /// A registered claim has the wrong type.
    #[error("oidc: verify token: claim \"{0}\" has the wrong type")]
    ClaimType(&'static str),
    /// It is meant for others, for example for another cluster.
    #[error("oidc: verify token: oidc: expected audience \"{expected}\" got {found}")]
    Audience {
        /// The configured audience.
        expected: String,
        /// The token's audiences.
        found: String,
    },
    /// It is no longer valid.
    #[error("oidc: verify token: oidc: token is expired (Token Expiry: {expiry}; it is now {now})")]
    Expired {
        /// Its end.
        expiry: String,
        /// This machine's time.
        now: String,
    },
    /// It is not valid yet.
    #[error(
        "oidc: verify token: oidc: current time {now} is before the nbf (not before) time: {start}"
    )]
    NotYetValid {
        /// Its beginning.
        start: String,
        /// This machine's time.
        now: String,
    },
    /// The issuer publishes no key that the token can have been signed with.
    #[error("oidc: verify token: failed to verify signature: the issuer has no key for it{}", of_key(.0))]
    UnknownKey(Option<String>),
    /// No key of the issuer made the signature.
    #[error("oidc: verify token: failed to verify signature: failed to verify id token signature{}", of_key(.0))]
    Signature(Option<String>),
    /// The issuer's keys could not be confirmed for so long that none is trusted.
    #[error(
        "oidc: verify token: the keys of the issuer are out of date because it cannot be reached"
    )]
    KeysOutdated,
    /// The time of this machine cannot be compared with dates in tokens.
    #[error("oidc: verify token: the clock of this machine is before 1970; set it")]
    ClockUnset,
}

impl TokenError {
    /// One word for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotJwt => "NotJwt",
            Self::OtherIssuer { .. } => "OtherIssuer",
            Self::TooLarge { .. } | Self::TooManyValues => "TooLarge",
            Self::Header => "MalformedHeader",
            Self::UnsupportedAlgorithm { .. } => "UnsupportedAlgorithm",
            Self::Critical => "CriticalHeader",
            Self::Type(_) => "UnsupportedType",
            Self::Nested => "NestedToken",
            Self::DuplicateClaim => "DuplicateClaim",
            Self::MissingClaim(_) => "MissingClaim",
            Self::ClaimType(_) => "WrongClaimType",
            Self::Audience { .. } => "WrongAudience",
            Self::Expired { .. } => "Expired",
            Self::NotYetValid { .. } => "NotYetValid",
            Self::UnknownKey(_) => "UnknownKey",
            Self::Signature(_) => "WrongSignature",
            Self::KeysOutdated => "KeysOutdated",
            Self::ClockUnset => "ClockUnset",
        }
    }

    /// Whether the token is none that this issuer could have made, which is no error but simply no login
    /// (Kubernetes' OIDC authenticator leaves such tokens to others).
    pub fn is_foreign(&self) -> bool {
        matches!(self, Self::NotJwt | Self::OtherIssuer { .. })
    }

    /// Whether the token may be good under keys that are not at hand: published since, or out of reach.
    pub fn may_pass_with_newer_keys(&self) -> bool {
        matches!(
            self,
            Self::UnknownKey(_) | Self::Signature(None) | Self::KeysOutdated
        )
    }
}

fn of_key(id: &Option<String>) -> String {
    id.as_ref()
        .map_or_else(String::new, |id| format!(" (key \"{id}\")"))
}

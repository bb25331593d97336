//! What to do with the tokens at hand. No I/O.

use std::fmt;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::session_cache::{AccessToken, IdToken, RefreshToken, Tokens};

/// An ID token with less left than this is refreshed: kubectl may use it for a while.
const ID_TOKEN_MARGIN: Duration = Duration::from_secs(600);
/// The same where nothing can be refreshed, and the user would have to log in.
const LAST_ID_TOKEN_MARGIN: Duration = Duration::from_secs(60);
/// An access token is used at once.
const ACCESS_TOKEN_MARGIN: Duration = Duration::from_secs(10);

/// What comes next.
#[derive(Debug)]
pub(crate) enum Step {
    /// This ID token is what is wanted.
    Use(IdToken),
    /// The issuer exchanges this token for one of the wanted audience.
    Exchange(AccessToken),
    /// The issuer gives new tokens for this one.
    Refresh(RefreshToken),
    /// The user has to log in.
    LogIn,
}

impl Step {
    /// The next step with these tokens at `now`; `audience` is that of the wanted token, where it differs from the client.
    pub(crate) fn next(tokens: Tokens, audience: Option<&str>, now: SystemTime) -> Self {
        let Tokens {
            access,
            id,
            refresh,
        } = tokens;
        let margin = match refresh {
            Some(_) => ID_TOKEN_MARGIN,
            None => LAST_ID_TOKEN_MARGIN,
        };
        let id = id.filter(|id| audience.is_none_or(|audience| is_for(id, audience)));
        if let Some(id) = id.filter(|id| lasts(id.expiry_timestamp.as_ref(), margin, now)) {
            return Self::Use(id);
        }
        let access = access.filter(|_| audience.is_some());
        let lasting = access.filter(|access| {
            let expiry = access.expiry_timestamp.as_ref();
            lasts(expiry, ACCESS_TOKEN_MARGIN, now)
        });
        match (lasting, refresh) {
            (Some(access), _) => Self::Exchange(access),
            (None, Some(refresh)) => Self::Refresh(refresh),
            (None, None) => Self::LogIn,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Use(_) => "use the ID token",
            Self::Exchange(_) => "have the issuer exchange the access token for one of the cluster's audience",
            Self::Refresh(_) => "refresh: no token is good for long enough",
            Self::LogIn => "log in: there is neither a token that is good for long enough nor one to refresh it with",
        })
    }
}

impl Step {
    /// The next step with tokens that have just come: an ID token is used, however short its life.
    pub(crate) fn of_fresh(tokens: Tokens, audience: Option<&str>) -> Self {
        let Tokens { access, id, .. } = tokens;
        let wanted = id.filter(|id| audience.is_none_or(|audience| is_for(id, audience)));
        match (wanted, access) {
            (Some(id), _) => Self::Use(id),
            (None, Some(access)) if audience.is_some() => Self::Exchange(access),
            (None, _) => Self::LogIn,
        }
    }
}

/// Whether the token is for this audience and no other. One that is for others too is exchanged for one that is not.
fn is_for(id: &IdToken, audience: &str) -> bool {
    let audiences = audiences(id);
    audiences.contains(&audience) && audiences.iter().all(|one| *one == audience)
}

/// Whom the token is for beside this audience.
pub(super) fn other_audiences<'a>(id: &'a IdToken, audience: &str) -> Vec<&'a str> {
    let mut others = audiences(id);
    others.retain(|one| *one != audience);
    others
}

fn audiences(id: &IdToken) -> Vec<&str> {
    match id.claims.get("aud") {
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
        Some(one) => one.as_str().into_iter().collect(),
        None => Vec::new(),
    }
}

type Expiry<'a> = Option<&'a k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>;

fn lasts(expiry: Expiry<'_>, margin: Duration, now: SystemTime) -> bool {
    expiry.is_some_and(|expiry| SystemTime::from(expiry.0) > now + margin)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::session_cache::timestamp;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn after(seconds: u64) -> Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time> {
        timestamp(NOW + Duration::from_secs(seconds)).ok()
    }

    fn id(seconds: u64) -> Option<IdToken> {
        let claims = [("aud".to_owned(), json!(["client"]))];
        Some(IdToken {
            token: "id".to_owned(),
            expiry_timestamp: after(seconds),
            claims: claims.into_iter().collect(),
        })
    }

    fn access(seconds: u64) -> Option<AccessToken> {
        Some(AccessToken {
            token: "access".to_owned(),
            type_: "Bearer".to_owned(),
            expiry_timestamp: after(seconds),
        })
    }

    fn refresh() -> Option<RefreshToken> {
        Some(RefreshToken {
            token: "refresh".to_owned(),
        })
    }

    fn next(
        tokens: (Option<AccessToken>, Option<IdToken>, Option<RefreshToken>),
        audience: Option<&str>,
    ) -> &'static str {
        let (access, id, refresh) = tokens;
        let tokens = Tokens {
            access,
            id,
            refresh,
        };
        match Step::next(tokens, audience, NOW) {
            Step::Use(_) => "use",
            Step::Exchange(_) => "exchange",
            Step::Refresh(_) => "refresh",
            Step::LogIn => "log in",
        }
    }

    #[test]
    fn an_id_token_is_used_while_it_lasts() {
        for (tokens, expected) in [
            ((access(600), id(601), refresh()), "use"),
            ((access(600), id(600), refresh()), "refresh"),
            ((access(600), id(61), None), "use"),
            ((access(600), id(60), None), "log in"),
            ((access(600), None, None), "log in"),
            ((None, None, refresh()), "refresh"),
            ((None, None, None), "log in"),
        ] {
            let what = format!(
                "{tokens:?}",
                tokens = (tokens.0.is_some(), tokens.1.is_some())
            );
            assert_eq!(next(tokens, None), expected, "{what}");
        }
    }

    #[test]
    fn another_audience_is_exchanged_for() {
        for (tokens, audience, expected) in [
            ((access(11), id(601), refresh()), "cluster", "exchange"),
            ((access(10), id(601), refresh()), "cluster", "refresh"),
            ((access(10), id(601), None), "cluster", "log in"),
            ((None, id(601), refresh()), "cluster", "refresh"),
            ((access(11), id(601), refresh()), "client", "use"),
            ((access(11), id(600), refresh()), "client", "exchange"),
        ] {
            assert_eq!(next(tokens, Some(audience)), expected);
        }
    }
}

//! The one strict check of a token: signed by a key of the issuer as we accept it, for our audience, and valid now.

mod compact;
mod error;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use haulout_api::authenticator::SigningAlgorithm;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Map, Number, Value};

use crate::algorithms::AcceptedAlgorithms;
use crate::foreign;
use crate::keys::{FetchError, KeyCache, KeySet};
use compact::CompactToken;

pub use error::TokenError;

/// How far ahead `nbf` may lie (go-oidc 2.5, which Kubernetes uses). `exp` has no leeway, and `iat` is not judged.
const NOT_BEFORE_LEEWAY: Duration = Duration::from_secs(60);

/// Most keys that one token is tried with: a forged token without `kid` must not cost as much as the set is long.
const MAX_CANDIDATES: usize = 8;

/// The one issuer whose tokens may leave out the scheme (go-oidc and Kubernetes accept both forms, for Google alone).
const GOOGLE: &str = "https://accounts.google.com";
const GOOGLE_WITHOUT_SCHEME: &str = "accounts.google.com";

/// The claims of a token. `Debug` shows none of them.
#[derive(Clone, PartialEq, Eq)]
pub struct Claims(Map<String, Value>);

impl Claims {
    /// The claim of this name; it may be JSON's `null`.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// All of them, by name.
    pub(crate) fn as_map(&self) -> &Map<String, Value> {
        &self.0
    }
}

impl From<Claims> for Map<String, Value> {
    fn from(claims: Claims) -> Self {
        claims.0
    }
}

impl From<Map<String, Value>> for Claims {
    fn from(claims: Map<String, Value>) -> Self {
        Self(claims)
    }
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Claims")
    }
}

/// Verifies the tokens of one issuer for one audience.
#[derive(Debug)]
pub struct Verifier {
    expectations: Expectations,
    keys: Arc<KeyCache>,
}

impl Verifier {
    /// A verifier whose keys come from `keys`.
    pub fn new(expectations: Expectations, keys: Arc<KeyCache>) -> Self {
        Self { expectations, keys }
    }

    /// Why the latest call for the issuer's keys failed, or `None` if it did not.
    pub fn last_fetch_error(&self) -> Option<Arc<FetchError>> {
        self.keys.last_error()
    }

    /// The claims of `token`, if it is good at `now`. Waits only when the issuer's keys must be fetched for it.
    ///
    /// # Errors
    /// [`TokenError`] says why it is not.
    pub async fn verify(&self, token: &str, now: SystemTime) -> Result<Claims, TokenError> {
        let check = |keys: Option<&KeySet>| self.expectations.check(token, keys, now);
        let seen = self.keys.current(now);
        match check(seen.as_deref()) {
            Err(error) if error.may_pass_with_newer_keys() => {
                match self.keys.newer(seen.as_ref(), now).await {
                    Some(newer) => check(Some(&newer)),
                    None => Err(error),
                }
            }
            verdict => verdict,
        }
    }
}

/// What a token must say, apart from being signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectations {
    /// The one accepted `iss`, compared byte for byte; only Google's may leave out its scheme.
    pub issuer: String,
    /// Must be among `aud`.
    pub audience: String,
    /// One of these must have made the signature.
    pub algorithms: AcceptedAlgorithms,
}

impl Expectations {
    /// The claims of `token`, if it is good at `now` under `keys`; without keys every token that needs one is refused.
    ///
    /// The cheapest checks come first, so that a signature is computed only for tokens that say the right things. The
    /// claims need no second look after it: the signature is over the very bytes that they were read from.
    ///
    /// # Errors
    /// [`TokenError`], the first that applies.
    pub fn check(
        &self,
        token: &str,
        keys: Option<&KeySet>,
        now: SystemTime,
    ) -> Result<Claims, TokenError> {
        let token = CompactToken::parse(token, &self.algorithms)?;
        self.check_issuer(&token.claims)?;
        self.check_audience(&token.claims)?;
        check_time(&token.claims, now)?;
        check_types(&token.claims)?;
        check_signature(&token, keys.ok_or(TokenError::KeysOutdated)?)?;
        Ok(Claims(token.claims))
    }

    fn check_issuer(&self, claims: &Map<String, Value>) -> Result<(), TokenError> {
        match claims.get("iss") {
            Some(Value::String(issuer)) if *issuer == self.issuer => Ok(()),
            Some(Value::String(issuer))
                if self.issuer == GOOGLE && *issuer == GOOGLE_WITHOUT_SCHEME =>
            {
                Ok(())
            }
            Some(Value::String(issuer)) => Err(TokenError::OtherIssuer {
                expected: self.issuer.clone(),
                found: foreign(issuer),
            }),
            Some(_) => Err(TokenError::ClaimType("iss")),
            None => Err(TokenError::MissingClaim("iss")),
        }
    }

    fn check_audience(&self, claims: &Map<String, Value>) -> Result<(), TokenError> {
        let audience = claims.get("aud").ok_or(TokenError::MissingClaim("aud"))?;
        let listed = match audience {
            Value::String(one) => *one == self.audience,
            Value::Array(many) if many.iter().all(Value::is_string) => {
                many.iter().any(|one| one == self.audience.as_str())
            }
            _ => return Err(TokenError::ClaimType("aud")),
        };
        match listed {
            true => Ok(()),
            false => Err(TokenError::Audience {
                expected: self.audience.clone(),
                found: foreign(&audience.to_string()),
            }),
        }
    }
}

fn check_time(claims: &Map<String, Value>, now: SystemTime) -> Result<(), TokenError> {
    let now = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_err(|_before_1970| TokenError::ClockUnset)?
        .as_secs_f64();
    let expiry = numeric_date(claims, "exp")?.ok_or(TokenError::MissingClaim("exp"))?;
    if now >= expiry {
        return Err(TokenError::Expired {
            expiry: date(expiry),
            now: date(now),
        });
    }
    match numeric_date(claims, "nbf")? {
        Some(start) if now + NOT_BEFORE_LEEWAY.as_secs_f64() < start => {
            Err(TokenError::NotYetValid {
                start: date(start),
                now: date(now),
            })
        }
        _ => Ok(()),
    }
}

/// For people (RFC 3339), as far as there is such a date.
fn date(seconds: f64) -> String {
    // A number that is too large becomes the largest, of which there is no date.
    let date = Timestamp::from_second(seconds as i64);
    date.map_or_else(
        |_| format!("{seconds} in seconds since 1970"),
        |date| date.to_string(),
    )
}

/// Refuses what go-oidc cannot read, though nothing here depends on it. It reads `null` as no text, but not as no date,
/// and takes a date in quotes.
fn check_types(claims: &Map<String, Value>) -> Result<(), TokenError> {
    for name in ["sub", "nonce", "at_hash"] {
        if !matches!(
            claims.get(name),
            None | Some(Value::Null | Value::String(_))
        ) {
            return Err(TokenError::ClaimType(name));
        }
    }
    match claims.get("iat") {
        None | Some(Value::Number(_)) => Ok(()),
        Some(Value::String(date)) if serde_json::from_str::<Number>(date).is_ok() => Ok(()),
        Some(_) => Err(TokenError::ClaimType("iat")),
    }
}

/// Seconds since 1970, with or without a fraction (RFC 7519, 2, `NumericDate`).
fn numeric_date(
    claims: &Map<String, Value>,
    name: &'static str,
) -> Result<Option<f64>, TokenError> {
    match claims.get(name) {
        None => Ok(None),
        Some(value) => value.as_f64().map(Some).ok_or(TokenError::ClaimType(name)),
    }
}

fn check_signature(token: &CompactToken<'_>, keys: &KeySet) -> Result<(), TokenError> {
    let algorithm = match token.algorithm {
        SigningAlgorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
        SigningAlgorithm::Rs384 => jsonwebtoken::Algorithm::RS384,
        SigningAlgorithm::Rs512 => jsonwebtoken::Algorithm::RS512,
        SigningAlgorithm::Ps256 => jsonwebtoken::Algorithm::PS256,
        SigningAlgorithm::Es256 => jsonwebtoken::Algorithm::ES256,
        SigningAlgorithm::Es384 => jsonwebtoken::Algorithm::ES384,
        SigningAlgorithm::EdDsa => jsonwebtoken::Algorithm::EdDSA,
    };
    let key_id = token.key_id.as_deref();
    let mut refusal: fn(Option<String>) -> TokenError = TokenError::UnknownKey;
    for candidate in keys
        .candidates(token.algorithm, key_id)
        .take(MAX_CANDIDATES)
    {
        let verified = jsonwebtoken::crypto::verify(
            token.signature,
            token.message.as_bytes(),
            &candidate.key,
            algorithm,
        );
        if verified.is_ok_and(|verified| verified) {
            return Ok(());
        }
        refusal = TokenError::Signature;
    }
    Err(refusal(key_id.map(foreign)))
}

#[cfg(test)]
mod tests;

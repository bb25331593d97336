//! What a token says of itself. Nothing here verifies it: that is for who lets its holder in.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use haulout_api::authenticator::JwtAuthenticatorSpec;
use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;

/// Claims that decide who accepts a token. They name nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claims {
    pub(super) issuer: String,
    pub(super) audiences: Vec<String>,
    pub(super) expires: Option<Timestamp>,
    pub(super) not_before: Option<Timestamp>,
}

/// Why no claims can be read. The text repeats nothing of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ClaimsError {
    #[error("it is no JWT: it has not three parts with a dot between")]
    NotThreeParts,
    #[error("it is no JWT: its second part is not JSON in base64url")]
    NotJson,
    #[error("it has no claim iss that is a text")]
    NoIssuer,
}

#[derive(Deserialize)]
struct Payload {
    iss: Option<String>,
    #[serde(default)]
    aud: Option<Audiences>,
    exp: Option<f64>,
    nbf: Option<f64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audiences {
    One(String),
    Many(Vec<String>),
}

impl Claims {
    pub(super) fn read(token: &str) -> Result<Self, ClaimsError> {
        let parts: Vec<_> = token.split('.').collect();
        let [_, payload, _] = parts.as_slice() else {
            return Err(ClaimsError::NotThreeParts);
        };
        let json = URL_SAFE_NO_PAD
            .decode(payload)
            .map_err(|_| ClaimsError::NotJson)?;
        let payload: Payload = serde_json::from_slice(&json).map_err(|_| ClaimsError::NotJson)?;
        // A fraction of a second decides nothing here, and what is out of range becomes the nearest.
        let time = |seconds: f64| Timestamp::from_second(seconds as i64).ok();
        Ok(Self {
            issuer: payload.iss.ok_or(ClaimsError::NoIssuer)?,
            audiences: match payload.aud {
                Some(Audiences::One(audience)) => vec![audience],
                Some(Audiences::Many(audiences)) => audiences,
                None => Vec::new(),
            },
            expires: payload.exp.and_then(time),
            not_before: payload.nbf.and_then(time),
        })
    }

    /// Whether an authenticator may take a token that says this.
    pub(super) fn fit(&self, spec: &JwtAuthenticatorSpec) -> bool {
        self.issuer == spec.issuer && self.audiences.contains(&spec.audience)
    }
}

impl fmt::Display for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            issuer, audiences, ..
        } = self;
        write!(
            f,
            "issuer {issuer}, {}",
            match audiences.as_slice() {
                [] => "no audience".to_owned(),
                [audience] => format!("audience {audience}"),
                many => format!("audiences {}", many.join(", ")),
            }
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn token(payload: &str) -> String {
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(payload))
    }

    #[test]
    fn what_decides_is_read() {
        let claims = json!({
            "iss": "https://i", "aud": "a", "exp": 100.5, "nbf": 50, "sub": "secret",
        });
        let claims = Claims::read(&token(&claims.to_string())).unwrap();
        assert_eq!(claims.to_string(), "issuer https://i, audience a");
        assert_eq!(claims.expires, Timestamp::from_second(100).ok());
        assert_eq!(claims.not_before, Timestamp::from_second(50).ok());

        for (audiences, text) in [
            (json!(["a", "b"]), "audiences a, b"),
            (json!([]), "no audience"),
            (json!(null), "no audience"),
        ] {
            let claims = json!({ "iss": "i", "aud": audiences }).to_string();
            let claims = Claims::read(&token(&claims)).unwrap();
            assert_eq!(claims.to_string(), format!("issuer i, {text}"));
        }
    }

    #[test]
    fn what_is_no_token_is_told_without_repeating_it() {
        let cases = [
            ("secret".to_owned(), ClaimsError::NotThreeParts),
            ("a.b.c.d".to_owned(), ClaimsError::NotThreeParts),
            ("a.*.c".to_owned(), ClaimsError::NotJson),
            (token("[]"), ClaimsError::NotJson),
            (token("{\"iss\": 1}"), ClaimsError::NotJson),
            (token("{}"), ClaimsError::NoIssuer),
        ];
        for (token, expected) in cases {
            assert_eq!(Claims::read(&token), Err(expected));
        }
    }
}

//! The compact form of a signed token (RFC 7515, 7.1), taken apart but not yet believed.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use haulout_api::authenticator::SigningAlgorithm;
use serde_json::{Map, Value};

use super::TokenError;
use crate::algorithms::AcceptedAlgorithms;
use crate::foreign;
use crate::json::{self, ObjectError};

/// Most bytes of a token. Those with hundreds of groups have 20 KiB.
const TOKEN_LIMIT: usize = 64 * 1024;

/// Most bytes of the encoded header. Those with a certificate chain have 6 KiB.
const HEADER_LIMIT: usize = 8 * 1024;

/// Most bytes of the encoded signature: that of an RSA key of 8192 bits.
const SIGNATURE_LIMIT: usize = 1366;

/// A token whose form is right, and which claims to be signed as we accept it.
pub(super) struct CompactToken<'a> {
    /// What the signature is over.
    pub(super) message: &'a str,
    /// Encoded as in the token.
    pub(super) signature: &'a str,
    pub(super) algorithm: SigningAlgorithm,
    pub(super) key_id: Option<String>,
    pub(super) claims: Map<String, Value>,
}

impl<'a> CompactToken<'a> {
    pub(super) fn parse(token: &'a str, accepted: &AcceptedAlgorithms) -> Result<Self, TokenError> {
        limit("token", token, TOKEN_LIMIT)?;
        let (message, signature) = token.rsplit_once('.').ok_or(TokenError::NotJwt)?;
        let (header, payload) = message.split_once('.').ok_or(TokenError::NotJwt)?;
        if payload.contains('.') {
            return Err(TokenError::NotJwt);
        }
        limit("header", header, HEADER_LIMIT)?;
        limit("signature", signature, SIGNATURE_LIMIT)?;
        let header = Header(object(header, TokenError::Header)?);
        let (algorithm, key_id) = header.judge(accepted)?;
        let claims = object(payload, TokenError::DuplicateClaim)?;
        Ok(Self {
            message,
            signature,
            algorithm,
            key_id,
            claims,
        })
    }
}

/// The header's parameters. Keys and certificates that a token brings along (`jwk`, `jku`, `x5c`, `x5u`) are not looked at.
struct Header(Map<String, Value>);

impl Header {
    fn judge(
        &self,
        accepted: &AcceptedAlgorithms,
    ) -> Result<(SigningAlgorithm, Option<String>), TokenError> {
        let name = self.text("alg")?.ok_or(TokenError::Header)?;
        let algorithm = accepted
            .named(name)
            .ok_or_else(|| TokenError::UnsupportedAlgorithm {
                expected: accepted.clone(),
                found: foreign(name),
            })?;
        if self.0.contains_key("crit") || self.0.get("b64").is_some_and(|b64| *b64 != true) {
            return Err(TokenError::Critical);
        }
        if let Some(name) = self.text("typ")?.filter(|name| is_other_type(name)) {
            return Err(TokenError::Type(foreign(name)));
        }
        if self
            .text("cty")?
            .is_some_and(|cty| media_subtype(cty) == "jwt")
        {
            return Err(TokenError::Nested);
        }
        // An empty id names no key (go-jose treats it so).
        let key_id = self.text("kid")?.filter(|id| !id.is_empty());
        Ok((algorithm, key_id.map(str::to_owned)))
    }

    /// The parameter of this name; `null` counts as absent.
    fn text(&self, name: &str) -> Result<Option<&str>, TokenError> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(TokenError::Header),
        }
    }
}

/// Whether a `typ` declares a token that is no ID token and no access token (RFC 9068), such as `logout+jwt`.
fn is_other_type(name: &str) -> bool {
    let subtype = media_subtype(name);
    subtype.ends_with("+jwt") && subtype != "at+jwt"
}

/// Media types in headers may leave out `application/`, and case does not count (RFC 7515, 4.1.9).
fn media_subtype(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    lower
        .strip_prefix("application/")
        .map_or_else(|| lower.clone(), str::to_owned)
}

/// The JSON object in `part`; `duplicate` is what a name that stands twice in it comes to.
fn object(part: &str, duplicate: TokenError) -> Result<Map<String, Value>, TokenError> {
    json::parse_object(&decode(part)?).map_err(|error| match error {
        ObjectError::Malformed => TokenError::NotJwt,
        ObjectError::Duplicate => duplicate,
        ObjectError::TooManyValues => TokenError::TooManyValues,
    })
}

/// Strict: no padding, no other alphabet, no bits left over; there is one encoding for each content.
fn decode(part: &str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::NotJwt)
}

fn limit(part: &'static str, text: &str, limit: usize) -> Result<(), TokenError> {
    match text.len() <= limit {
        true => Ok(()),
        false => Err(TokenError::TooLarge { part, limit }),
    }
}

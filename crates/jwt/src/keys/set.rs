//! A JSON Web Key set (RFC 7517), reduced to the keys that can verify what we accept.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use haulout_api::authenticator::SigningAlgorithm;
use jsonwebtoken::DecodingKey;
use serde::Deserialize;
use serde_json::Value;

use crate::algorithms::AcceptedAlgorithms;

/// Most keys that a set may hold: a token without `kid` is tried against each of its algorithm.
const MAX_KEYS: usize = 64;

/// Sizes of RSA moduli in bits, as the crypto library verifies them.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// The usable keys of an issuer at one moment.
#[derive(Clone, Default)]
pub struct KeySet {
    keys: Vec<VerificationKey>,
}

/// One public key, parsed, bound to the algorithms that it may be used with.
#[derive(Clone)]
pub(crate) struct VerificationKey {
    id: Option<String>,
    algorithms: Vec<SigningAlgorithm>,
    pub(crate) key: DecodingKey,
}

/// Why bytes are no JWK set.
#[derive(Debug, thiserror::Error)]
pub enum KeySetError {
    /// They are no JSON object with a list `keys`.
    #[error("oidc: failed to decode keys")]
    Malformed(#[source] serde_json::Error),
    /// There are too many keys to try.
    #[error("oidc: the set holds {0} keys, more than {MAX_KEYS}")]
    TooMany(usize),
}

impl KeySet {
    /// Reads a JWK set and keeps the keys that are meant for, and able to do, verification with any [`SigningAlgorithm`].
    ///
    /// Others are left out one by one: those for encryption (`use`, `key_ops`), of another type, curve or algorithm,
    /// too small, or malformed. `x5c`, `x5u` and `jku` give no trust.
    ///
    /// # Errors
    /// [`KeySetError`] when it is no set, or one that is unreasonably large.
    pub fn parse(json: &[u8]) -> Result<Self, KeySetError> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        let set: Set = serde_json::from_slice(json).map_err(KeySetError::Malformed)?;
        if set.keys.len() > MAX_KEYS {
            return Err(KeySetError::TooMany(set.keys.len()));
        }
        let jwks = set
            .keys
            .into_iter()
            .filter_map(|key| Jwk::deserialize(key).ok());
        Ok(Self {
            keys: jwks.filter_map(|jwk| jwk.into_verification_key()).collect(),
        })
    }

    /// Whether any key can verify with an accepted algorithm.
    pub fn serves(&self, accepted: &AcceptedAlgorithms) -> bool {
        self.keys
            .iter()
            .flat_map(|key| &key.algorithms)
            .any(|algorithm| accepted.contains(*algorithm))
    }

    /// The keys that can have made a signature: of this algorithm and, where the token names one, with this id.
    pub(crate) fn candidates(
        &self,
        algorithm: SigningAlgorithm,
        id: Option<&str>,
    ) -> impl Iterator<Item = &VerificationKey> {
        self.keys.iter().filter(move |key| {
            key.algorithms.contains(&algorithm) && (id.is_none() || key.id.as_deref() == id)
        })
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids = self.keys.iter().map(|key| (&key.id, &key.algorithms));
        f.debug_list().entries(ids).finish()
    }
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    r#use: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

impl Jwk {
    fn into_verification_key(self) -> Option<VerificationKey> {
        use SigningAlgorithm::{EdDsa, Es256, Es384, Ps256, Rs256, Rs384, Rs512};

        let (mut algorithms, key) = match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => (vec![Rs256, Rs384, Rs512, Ps256], self.rsa_key()?),
            ("EC", Some("P-256")) => (vec![Es256], self.ec_key(32)?),
            ("EC", Some("P-384")) => (vec![Es384], self.ec_key(48)?),
            ("OKP", Some("Ed25519")) => (vec![EdDsa], self.ed25519_key()?),
            _ => return None,
        };
        algorithms.retain(|algorithm| self.alg.as_ref().is_none_or(|alg| *alg == algorithm.name()));
        let usable = self.r#use.is_none_or(|r#use| r#use == "sig")
            && self
                .key_ops
                .is_none_or(|ops| ops.iter().any(|op| op == "verify"));
        (usable && !algorithms.is_empty()).then_some(VerificationKey {
            id: self.kid,
            algorithms,
            key,
        })
    }

    fn rsa_key(&self) -> Option<DecodingKey> {
        let modulus = decode(self.n.as_deref()?)?;
        let exponent = decode(self.e.as_deref()?)?;
        let modulus = modulus.get(modulus.iter().position(|&byte| byte != 0)?..)?;
        let bits = modulus.len() * 8 - modulus.first()?.leading_zeros() as usize;
        RSA_BITS
            .contains(&bits)
            .then(|| DecodingKey::from_rsa_raw_components(modulus, &exponent))
    }

    fn ec_key(&self, coordinate: usize) -> Option<DecodingKey> {
        let (x, y) = (decode(self.x.as_deref()?)?, decode(self.y.as_deref()?)?);
        let whole = x.len() == coordinate && y.len() == coordinate;
        // An uncompressed point (SEC 1, 2.3.3), which is what the crypto library takes.
        whole.then(|| DecodingKey::from_ec_der(&[&[4], x.as_slice(), &y].concat()))
    }

    fn ed25519_key(&self) -> Option<DecodingKey> {
        let x = decode(self.x.as_deref()?)?;
        (x.len() == 32).then(|| DecodingKey::from_ed_der(&x))
    }
}

fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use SigningAlgorithm::{EdDsa, Es256, Es384, Ps256, Rs256, Rs384, Rs512};

    /// What the one key of a set may be used for; nothing when it was left out.
    fn usable(key: &Value) -> Vec<SigningAlgorithm> {
        let set = KeySet::parse(json!({"keys": [key]}).to_string().as_bytes()).unwrap();
        set.keys
            .into_iter()
            .flat_map(|key| key.algorithms)
            .collect()
    }

    fn with(base: &Value, changes: Value) -> Value {
        let mut key = base.clone();
        match changes {
            Value::Object(changes) => key.as_object_mut().unwrap().extend(changes),
            other => panic!("{other} is no object"),
        }
        key
    }

    fn ec() -> Value {
        let coordinate = URL_SAFE_NO_PAD.encode([7; 32]);
        json!({"kty": "EC", "crv": "P-256", "kid": "e", "x": coordinate, "y": coordinate})
    }

    fn ec384() -> Value {
        let coordinate = URL_SAFE_NO_PAD.encode([7; 48]);
        json!({"kty": "EC", "crv": "P-384", "x": coordinate, "y": coordinate})
    }

    fn ed() -> Value {
        json!({"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode([7; 32])})
    }

    fn rsa(bytes: usize) -> Value {
        json!({"kty": "RSA", "kid": "r", "n": URL_SAFE_NO_PAD.encode(vec![0x80; bytes]), "e": "AQAB"})
    }

    #[test]
    fn keys_for_verification_are_kept() {
        for changes in [
            json!({}),
            json!({"use": "sig", "alg": "ES256"}),
            json!({"key_ops": ["verify"], "x5c": ["x"], "unknown": 1}),
            json!({"key_ops": null, "use": null}),
            json!({"kid": null}),
        ] {
            assert_eq!(usable(&with(&ec(), changes)), [Es256]);
        }
        for key in [rsa(256), rsa(512)] {
            assert_eq!(usable(&key), [Rs256, Rs384, Rs512, Ps256]);
        }
        for (key, name, algorithm) in [
            (rsa(256), "RS256", Rs256),
            (rsa(256), "RS384", Rs384),
            (rsa(256), "RS512", Rs512),
            (rsa(256), "PS256", Ps256),
            (ec384(), "ES384", Es384),
            (ed(), "EdDSA", EdDsa),
        ] {
            assert_eq!(usable(&with(&key, json!({"alg": name}))), [algorithm]);
        }
        assert_eq!(usable(&ec384()), [Es384]);
        assert_eq!(usable(&ed()), [EdDsa]);
    }

    #[test]
    fn keys_for_anything_else_are_left_out() {
        for (base, changes) in [
            (ec(), json!({"use": "enc"})),
            (ec(), json!({"key_ops": ["sign"]})),
            (ec(), json!({"key_ops": "verify"})),
            (ec(), json!({"alg": "ES384"})),
            (ec(), json!({"alg": "RS256"})),
            (ec(), json!({"crv": "P-384"})),
            (ec(), json!({"crv": null})),
            (ec(), json!({"kty": "OKP"})),
            (ec(), json!({"crv": "P-521"})),
            (ec(), json!({"crv": "secp256k1"})),
            (ec384(), json!({"crv": "P-256"})),
            (ec384(), json!({"alg": "ES256"})),
            (ed(), json!({"crv": "X25519"})),
            (ed(), json!({"kty": "EC"})),
            (ed(), json!({"alg": "ES256"})),
            (ed(), json!({"x": URL_SAFE_NO_PAD.encode([7; 44])})),
            (ec(), json!({"kid": 5})),
            (ec(), json!({"x": "AAAA"})),
            (ec(), json!({"y": "not base64!"})),
            (ec(), json!({"y": null})),
            (rsa(256), json!({"use": "enc"})),
            (rsa(256), json!({"alg": "PS512"})),
            (rsa(256), json!({"alg": "RSA-OAEP"})),
            (rsa(256), json!({"alg": "rs256"})),
            (rsa(256), json!({"alg": "HS256"})),
            (rsa(256), json!({"alg": "none"})),
            (rsa(256), json!({"n": null})),
            (rsa(256), json!({"n": ""})),
            (rsa(256), json!({"kty": "oct", "k": "AAAA"})),
            (rsa(128), json!({})),
            (rsa(1025), json!({})),
        ] {
            let key = with(&base, changes);
            assert_eq!(usable(&key), vec![], "{key}");
        }
        assert_eq!(usable(&json!("text")), vec![]);
        // 2047 bits behind a leading zero byte.
        let mut short = vec![0x40; 257];
        short[0] = 0;
        let key = with(&rsa(256), json!({"n": URL_SAFE_NO_PAD.encode(short)}));
        assert_eq!(usable(&key), vec![]);
    }

    #[test]
    fn one_bad_key_does_not_spoil_the_set() {
        let set = json!({"keys": [{"kty": "new"}, 5, ec()]}).to_string();
        assert_eq!(KeySet::parse(set.as_bytes()).unwrap().keys.len(), 1);
    }

    #[test]
    fn sets_that_are_none_or_too_large_are_refused() {
        for text in ["", "{}", "[]", r#"{"keys": 1}"#, r#"{"keys": null}"#] {
            assert!(
                matches!(
                    KeySet::parse(text.as_bytes()),
                    Err(KeySetError::Malformed(_))
                ),
                "{text}"
            );
        }
        let set = json!({"keys": vec![ec(); MAX_KEYS + 1]}).to_string();
        assert!(matches!(
            KeySet::parse(set.as_bytes()),
            Err(KeySetError::TooMany(65))
        ));
        assert!(KeySet::parse(br#"{"keys": []}"#).unwrap().keys.is_empty());
    }

    #[test]
    fn candidates_have_the_algorithm_and_the_named_id() {
        let keys = json!({"keys": [ec(), with(&ec(), json!({"kid": "f"})), with(&rsa(256), json!({"kid": "e"})), with(&ec(), json!({"kid": null}))]});
        let set = KeySet::parse(keys.to_string().as_bytes()).unwrap();
        let count = |algorithm, id| set.candidates(algorithm, id).count();
        assert_eq!(count(Es256, Some("e")), 1);
        assert_eq!(count(Rs256, Some("e")), 1);
        assert_eq!(count(Rs256, Some("f")), 0);
        assert_eq!(count(Es256, None), 3);
        assert_eq!(count(Rs256, None), 1);
    }
}

//! Keys of the test issuer: signing, and their public half as JWK.

use anyhow::anyhow;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
    RSA_PKCS1_SHA256,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// How the issuer signs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "camelCase")]
pub enum SigningKind {
    /// ES256 and no `kid` in the header, as the Pinniped Supervisor signs.
    #[default]
    Es256WithoutKeyId,
    /// RS256 and a `kid`, as most other issuers sign.
    Rs256WithKeyId,
    /// ES384 and a `kid`, which is accepted where it is listed only.
    Es384WithKeyId,
}

pub(crate) struct SigningKey {
    key: Pair,
    algorithm: &'static str,
    id: Option<String>,
}

enum Pair {
    Ec(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

impl SigningKey {
    /// Makes a key; `number` becomes part of its id.
    pub(crate) fn generate(kind: SigningKind, number: u32) -> anyhow::Result<Self> {
        let id = Some(format!("key-{number}"));
        Ok(match kind {
            SigningKind::Es256WithoutKeyId => Self {
                key: Pair::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?),
                algorithm: "ES256",
                id: None,
            },
            SigningKind::Rs256WithKeyId => Self {
                key: Pair::Rsa(RsaKeyPair::generate(KeySize::Rsa2048)?),
                algorithm: "RS256",
                id,
            },
            SigningKind::Es384WithKeyId => Self {
                key: Pair::Ec(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING)?),
                algorithm: "ES384",
                id,
            },
        })
    }

    pub(crate) fn sign(&self, claims: &Value) -> anyhow::Result<String> {
        let header = self.with_id(json!({"alg": self.algorithm, "typ": "JWT"}));
        let message = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
        let random = SystemRandom::new();
        let signature = match &self.key {
            Pair::Ec(key) => key.sign(&random, message.as_bytes())?.as_ref().to_vec(),
            Pair::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(
                    &RSA_PKCS1_SHA256,
                    &random,
                    message.as_bytes(),
                    &mut signature,
                )?;
                signature
            }
        };
        Ok(format!("{message}.{}", b64(signature)))
    }

    pub(crate) fn jwk(&self) -> anyhow::Result<Value> {
        let jwk = match &self.key {
            Pair::Ec(key) => {
                let (x, y) = key
                    .public_key()
                    .as_ref()
                    .get(1..)
                    .map(|point| point.split_at(point.len() / 2))
                    .ok_or_else(|| anyhow!("the public key is no point"))?;
                let curve = if x.len() == 32 { "P-256" } else { "P-384" };
                json!({"kty": "EC", "crv": curve, "alg": self.algorithm, "use": "sig", "x": b64(x), "y": b64(y)})
            }
            Pair::Rsa(key) => {
                let public = key.public_key();
                json!({
                    "kty": "RSA",
                    "alg": self.algorithm,
                    "use": "sig",
                    "n": b64(public.modulus().big_endian_without_leading_zero()),
                    "e": b64(public.exponent().big_endian_without_leading_zero()),
                })
            }
        };
        Ok(self.with_id(jwk))
    }

    fn with_id(&self, mut value: Value) -> Value {
        if let (Some(id), Some(object)) = (&self.id, value.as_object_mut()) {
            object.insert("kid".to_owned(), json!(id));
        }
        value
    }
}

fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

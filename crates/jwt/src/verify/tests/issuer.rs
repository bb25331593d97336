//! The keys of an issuer, and tokens signed with them.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384,
    RSA_PKCS1_SHA512, RSA_PSS_SHA256, RsaEncoding,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::*;

pub(super) const NOW: u64 = 1_800_000_000;
pub(super) const ISSUER: &str = "https://issuer.example.com";
pub(super) const AUDIENCE: &str = "cluster-1";

pub(super) static EC: LazyLock<EcdsaKeyPair> =
    LazyLock::new(|| ec_key(&ECDSA_P256_SHA256_FIXED_SIGNING));
pub(super) static OTHER_EC: LazyLock<EcdsaKeyPair> =
    LazyLock::new(|| ec_key(&ECDSA_P256_SHA256_FIXED_SIGNING));
pub(super) static EC384: LazyLock<EcdsaKeyPair> =
    LazyLock::new(|| ec_key(&ECDSA_P384_SHA384_FIXED_SIGNING));
pub(super) static ED: LazyLock<Ed25519KeyPair> =
    LazyLock::new(|| Ed25519KeyPair::generate().unwrap());
pub(super) static RSA: LazyLock<RsaKeyPair> =
    LazyLock::new(|| RsaKeyPair::generate(KeySize::Rsa2048).unwrap());

fn ec_key(algorithm: &'static EcdsaSigningAlgorithm) -> EcdsaKeyPair {
    EcdsaKeyPair::generate(algorithm).unwrap()
}

pub(super) fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(super) fn ec_signature(key: &EcdsaKeyPair, message: &str) -> Vec<u8> {
    let signature = key.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
    signature.as_ref().to_vec()
}

fn rsa_signature(padding: &'static dyn RsaEncoding, message: &str) -> Vec<u8> {
    let mut signature = vec![0; RSA.public_modulus_len()];
    let random = SystemRandom::new();
    RSA.sign(padding, &random, message.as_bytes(), &mut signature)
        .unwrap();
    signature
}

/// What the issuer's key for `algorithm` makes of `message`.
pub(super) fn signature(algorithm: SigningAlgorithm, message: &str) -> Vec<u8> {
    match algorithm {
        SigningAlgorithm::Rs256 => rsa_signature(&RSA_PKCS1_SHA256, message),
        SigningAlgorithm::Rs384 => rsa_signature(&RSA_PKCS1_SHA384, message),
        SigningAlgorithm::Rs512 => rsa_signature(&RSA_PKCS1_SHA512, message),
        SigningAlgorithm::Ps256 => rsa_signature(&RSA_PSS_SHA256, message),
        SigningAlgorithm::Es256 => ec_signature(&EC, message),
        SigningAlgorithm::Es384 => ec_signature(&EC384, message),
        SigningAlgorithm::EdDsa => ED.sign(message.as_bytes()).as_ref().to_vec(),
    }
}

pub(super) fn ec_jwk(key: &EcdsaKeyPair, id: Option<&str>) -> Value {
    let point = key.public_key().as_ref().get(1..).unwrap();
    let (x, y) = point.split_at(point.len() / 2);
    let curve = if x.len() == 32 { "P-256" } else { "P-384" };
    json!({"kty": "EC", "crv": curve, "kid": id, "x": b64(x), "y": b64(y)})
}

pub(super) fn ed_jwk(id: Option<&str>) -> Value {
    json!({"kty": "OKP", "crv": "Ed25519", "kid": id, "x": b64(ED.public_key())})
}

pub(super) fn rsa_jwk(id: Option<&str>) -> Value {
    let key = RSA.public_key();
    json!({
        "kty": "RSA",
        "kid": id,
        "n": b64(key.modulus().big_endian_without_leading_zero()),
        "e": b64(key.exponent().big_endian_without_leading_zero()),
    })
}

pub(super) fn key_set(keys: &[Value]) -> KeySet {
    KeySet::parse(json!({"keys": keys}).to_string().as_bytes()).unwrap()
}

/// A key of each type; the first has no id.
pub(super) fn issuer_keys() -> KeySet {
    key_set(&[
        ec_jwk(&EC, None),
        rsa_jwk(Some("rsa-1")),
        ec_jwk(&EC384, Some("ec384-1")),
        ed_jwk(Some("ed-1")),
    ])
}

pub(super) fn good_claims() -> Value {
    json!({"iss": ISSUER, "aud": AUDIENCE, "exp": NOW + 120, "username": "alice", "groups": ["a"]})
}

pub(super) fn es256_header() -> Value {
    json!({"alg": "ES256", "typ": "JWT"})
}

/// A token of these parts, signed as the header should say.
pub(super) fn signed(algorithm: SigningAlgorithm, header: &str, claims: &str) -> String {
    encoded(algorithm, &b64(header), &b64(claims))
}

/// The same of parts that are encoded already, in whatever way.
pub(super) fn encoded(algorithm: SigningAlgorithm, header: &str, payload: &str) -> String {
    let message = format!("{header}.{payload}");
    let signature = signature(algorithm, &message);
    format!("{message}.{}", b64(signature))
}

pub(super) fn es256(header: &str, claims: &str) -> String {
    signed(SigningAlgorithm::Es256, header, claims)
}

pub(super) fn good_token() -> String {
    es256(&es256_header().to_string(), &good_claims().to_string())
}

//! Private keys: made here for leaves, or read for a CA. They wipe themselves and have no `Debug`
//! that shows them.

use std::fmt;

use aws_lc_rs::encoding::{AsBigEndian as _, EcPrivateKeyBin};
use aws_lc_rs::error::{KeyRejected, Unspecified};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, RSA_PKCS1_SHA256,
};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use zeroize::Zeroizing;

use crate::pem;

/// What every uncompressed P-256 public key begins with as a `SubjectPublicKeyInfo`.
const P256_SPKI_HEAD: &[u8] = b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00\x04";
const P256_SPKI_LENGTH: usize = 91;

/// What stands before the private scalar of a P-256 key, and between it and the public point, as a PKCS#8 `PrivateKeyInfo`
/// around an `ECPrivateKey` (RFC 5208, RFC 5915), as OpenSSL and Go write it. The library writes the same, but computes the
/// public point once more for it.
const P256_PKCS8_HEAD: &[u8] = b"\x30\x81\x87\x02\x01\x00\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x04\x6d\x30\x6b\x02\x01\x01\x04\x20";
const P256_PKCS8_MIDDLE: &[u8] = b"\xa1\x44\x03\x42\x00";
const P256_PKCS8_LENGTH: usize = 138;

/// Why a private key cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The library failed to make a key.
    #[error("failed to generate a key")]
    Generate,
    /// The text holds an encrypted key, and there is nobody to ask for the passphrase.
    #[error("the key is encrypted; store it without a passphrase")]
    Encrypted,
    /// The text holds no PEM block of a private key, or a broken one.
    #[error("failed to read a PEM private key (PRIVATE KEY, RSA PRIVATE KEY or EC PRIVATE KEY)")]
    Pem,
    /// The key is not one that the API server's peers can verify, or not a valid one.
    #[error("failed to load the key; it must be RSA of 2048 to 8192 bits, P-256, P-384 or Ed25519")]
    Unsupported,
}

/// A P-256 key pair for a leaf certificate.
pub struct KeyPair {
    pkcs8: Zeroizing<[u8; P256_PKCS8_LENGTH]>,
    spki: [u8; P256_SPKI_LENGTH],
}

impl KeyPair {
    /// Makes a new key.
    pub fn generate_p256() -> Result<Self, KeyError> {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)
            .map_err(|_unspecified| KeyError::Generate)?;
        let scalar: EcPrivateKeyBin<'_> = key
            .private_key()
            .as_be_bytes()
            .map_err(|_unspecified| KeyError::Generate)?;
        let point = key.public_key().as_ref();
        let (_uncompressed, coordinates) = point.split_first().ok_or(KeyError::Generate)?;
        let mut pair = Self {
            pkcs8: Zeroizing::new([0; P256_PKCS8_LENGTH]),
            spki: [0; P256_SPKI_LENGTH],
        };
        let parts = [P256_PKCS8_HEAD, scalar.as_ref(), P256_PKCS8_MIDDLE, point];
        fill(&mut *pair.pkcs8, parts)?;
        fill(&mut pair.spki, [P256_SPKI_HEAD, coordinates])?;
        Ok(pair)
    }

    /// The private key as a PEM `PRIVATE KEY` block (PKCS#8).
    pub fn pkcs8_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(pem::encode(pem::PRIVATE_KEY, &*self.pkcs8))
    }

    /// The public key as a DER `SubjectPublicKeyInfo`.
    pub fn spki_der(&self) -> Vec<u8> {
        self.spki.to_vec()
    }

    pub(crate) fn to_signing_key(&self) -> Result<SigningKey, KeyError> {
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &*self.pkcs8)
            .map(SigningKey::Ecdsa)
            .map_err(|_rejected| KeyError::Generate)
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyPair")
    }
}

/// Writes the parts behind one another, which must fill the place exactly.
fn fill<const N: usize>(mut place: &mut [u8], parts: [&[u8]; N]) -> Result<(), KeyError> {
    for part in parts {
        let (here, behind) = place
            .split_at_mut_checked(part.len())
            .ok_or(KeyError::Generate)?;
        here.copy_from_slice(part);
        place = behind;
    }
    match place {
        [] => Ok(()),
        _ => Err(KeyError::Generate),
    }
}

/// Whether the bytes are exactly one uncompressed P-256 `SubjectPublicKeyInfo`, so that copying them
/// into a certificate cannot smuggle anything else in.
pub(crate) fn is_p256_spki(der: &[u8]) -> bool {
    der.len() == P256_SPKI_LENGTH && der.starts_with(P256_SPKI_HEAD)
}

/// The key of a CA, ready to sign.
pub(crate) enum SigningKey {
    Rsa(RsaKeyPair),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// `AlgorithmIdentifier`s of the signatures that Go chooses for each kind of key.
const SHA256_WITH_RSA: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b\x05\x00";
const ECDSA_WITH_SHA256: &[u8] = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02";
const ECDSA_WITH_SHA384: &[u8] = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03";
const ED25519: &[u8] = b"\x30\x05\x06\x03\x2b\x65\x70";

impl SigningKey {
    /// Reads the first private key of a PEM text: PKCS#1, SEC1 (also behind an `EC PARAMETERS`
    /// block) or PKCS#8.
    pub(crate) fn from_pem(pem: &[u8]) -> Result<Self, KeyError> {
        // Both forms say so: the label of PKCS#8, and a header inside the older blocks.
        if pem.windows(9).any(|word| word == b"ENCRYPTED") {
            return Err(KeyError::Encrypted);
        }
        let der = PrivateKeyDer::from_pem_slice(pem).map_err(|_not_shown| KeyError::Pem)?;
        let der = Zeroizing::new(der);
        match &*der {
            PrivateKeyDer::Pkcs1(key) => rsa(RsaKeyPair::from_der, key.secret_pkcs1_der()),
            PrivateKeyDer::Sec1(key) => ecdsa(key.secret_sec1_der()),
            PrivateKeyDer::Pkcs8(key) => {
                let key = key.secret_pkcs8_der();
                rsa(RsaKeyPair::from_pkcs8, key)
                    .or_else(|_| ecdsa(key))
                    .or_else(|_| ed25519(key))
            }
            _ => Err(KeyError::Unsupported),
        }
    }

    /// The content of the `subjectPublicKey` BIT STRING that belongs to this key.
    pub(crate) fn public_key(&self) -> &[u8] {
        match self {
            Self::Rsa(key) => key.public_key().as_ref(),
            Self::Ecdsa(key) => key.public_key().as_ref(),
            Self::Ed25519(key) => key.public_key().as_ref(),
        }
    }

    /// The complete `AlgorithmIdentifier` of this key's signatures.
    pub(crate) fn algorithm_identifier(&self) -> &'static [u8] {
        match self {
            Self::Rsa(_) => SHA256_WITH_RSA,
            Self::Ecdsa(key) if *key.algorithm() == ECDSA_P384_SHA384_ASN1_SIGNING => {
                ECDSA_WITH_SHA384
            }
            Self::Ecdsa(_) => ECDSA_WITH_SHA256,
            Self::Ed25519(_) => ED25519,
        }
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)?;
                Ok(signature)
            }
            Self::Ecdsa(key) => Ok(key.sign(&random, message)?.as_ref().to_vec()),
            Self::Ed25519(key) => Ok(key.try_sign(message)?.as_ref().to_vec()),
        }
    }
}

fn rsa(
    load: fn(&[u8]) -> Result<RsaKeyPair, KeyRejected>,
    der: &[u8],
) -> Result<SigningKey, KeyError> {
    load(der)
        .map(SigningKey::Rsa)
        .map_err(|_rejected| KeyError::Unsupported)
}

fn ecdsa(der: &[u8]) -> Result<SigningKey, KeyError> {
    EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_ASN1_SIGNING, der)
        .or_else(|_| EcdsaKeyPair::from_private_key_der(&ECDSA_P384_SHA384_ASN1_SIGNING, der))
        .map(SigningKey::Ecdsa)
        .map_err(|_rejected| KeyError::Unsupported)
}

/// Without the public key inside, as OpenSSL and Go write it; the certificate is compared anyway.
fn ed25519(der: &[u8]) -> Result<SigningKey, KeyError> {
    Ed25519KeyPair::from_pkcs8_maybe_unchecked(der)
        .map(SigningKey::Ed25519)
        .map_err(|_rejected| KeyError::Unsupported)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_key() {
        let key = KeyPair::generate_p256().unwrap();
        assert_eq!(format!("{key:?}"), "KeyPair");
    }

    #[test]
    fn generated_pair_belongs_together() {
        let key = KeyPair::generate_p256().unwrap();
        let read = SigningKey::from_pem(key.pkcs8_pem().as_bytes()).unwrap();
        assert!(is_p256_spki(&key.spki_der()));
        assert!(key.spki_der().ends_with(read.public_key()));
    }

    #[test]
    fn a_generated_key_is_written_as_the_library_writes_it() {
        for _ in 0..64 {
            let key = KeyPair::generate_p256().unwrap();
            let read = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &*key.pkcs8);
            assert_eq!(read.unwrap().to_pkcs8v1().unwrap().as_ref(), &*key.pkcs8);
        }
    }

    #[test]
    fn only_one_complete_p256_key_is_copied_into_certificates() {
        let spki = KeyPair::generate_p256().unwrap().spki_der();
        assert!(!is_p256_spki(&[&spki[..], &[0]].concat()));
        assert!(!is_p256_spki(&spki[..90]));
        assert!(!is_p256_spki(&[]));
        let mut compressed = spki.clone();
        compressed[26] = 2;
        assert!(!is_p256_spki(&compressed));
        let mut other_curve = spki;
        other_curve[22] = 6;
        assert!(!is_p256_spki(&other_curve));
    }
}

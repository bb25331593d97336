//! The part of a login that no program can avoid: its cryptography, measured on this machine in this run.

use std::time::Duration;

use anyhow::{Context as _, Result};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING,
    EcdsaKeyPair, KeyPair as _, RsaKeyPair,
};
use rustix::time::{ClockId, clock_gettime};

/// CPU time of one operation each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Floor {
    /// Verify an ES256 signature.
    pub(crate) verify_es256: Duration,
    /// Generate a P-256 key.
    pub(crate) generate_p256: Duration,
    /// Sign with a P-256 CA.
    pub(crate) sign_p256: Duration,
    /// Sign with an RSA-2048 CA.
    pub(crate) sign_rsa2048: Duration,
}

impl Floor {
    /// Runs each operation until a quarter of a second of CPU time is spent on it.
    pub(crate) fn measure() -> Result<Self> {
        let message = [0x5a_u8; 600];
        let rng = SystemRandom::new();

        let token_key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
        let token_signature = token_key.sign(&rng, &message)?;
        let public = signature::ParsedPublicKey::new(
            &ECDSA_P256_SHA256_FIXED,
            token_key.public_key().as_ref(),
        )
        .context("failed to parse the floor's own public key")?;

        let ca = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)?;
        let rsa = RsaKeyPair::generate(KeySize::Rsa2048)?;
        let mut rsa_signature = vec![0_u8; rsa.public_modulus_len()];

        Ok(Self {
            verify_es256: time(|| public.verify_sig(&message, token_signature.as_ref()))?,
            generate_p256: time(|| {
                EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map(drop)
            })?,
            sign_p256: time(|| ca.sign(&rng, &message).map(drop))?,
            sign_rsa2048: time(|| {
                rsa.sign(
                    &signature::RSA_PKCS1_SHA256,
                    &rng,
                    &message,
                    &mut rsa_signature,
                )
            })?,
        })
    }

    /// Floor of a login with an ES256 token under a P-256 CA.
    pub(crate) fn login_p256(&self) -> Duration {
        self.verify_es256 + self.generate_p256 + self.sign_p256
    }

    /// Floor of a login with an ES256 token under an RSA-2048 CA.
    pub(crate) fn login_rsa2048(&self) -> Duration {
        self.verify_es256 + self.generate_p256 + self.sign_rsa2048
    }
}

fn time<E: std::error::Error + Send + Sync + 'static>(
    mut operation: impl FnMut() -> Result<(), E>,
) -> Result<Duration> {
    const BUDGET: Duration = Duration::from_millis(250);
    for _ in 0..20 {
        operation()?;
    }
    let start = thread_cpu();
    let mut rounds = 0_u32;
    loop {
        for _ in 0..20 {
            operation()?;
        }
        rounds += 20;
        let spent = thread_cpu().saturating_sub(start);
        if spent >= BUDGET {
            return Ok(spent / rounds);
        }
    }
}

fn thread_cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(now).unwrap_or_default()
}

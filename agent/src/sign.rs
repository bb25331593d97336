//! From a request to a certificate: policy, rate, then the key.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use haulout_api::signing::{CertificateRequest, SigningFailure, SigningFailureReason};
use haulout_operate::clock::Clock;
use haulout_operate::error::chain;
use haulout_operate::rate::{Rate, TokenBucket};
use haulout_pki::authority::{IssueError, IssuedCertificate, SigningAuthority};
use haulout_pki::profile::{ClientSubject, Validity};

use crate::key_source::KeySource;
use crate::policy::{self, Policy};
use crate::watched::Watched;

/// How far back certificates begin, for API servers whose clock is behind; as in Pinniped.
const BACKDATED: Duration = Duration::from_secs(300);

/// How long a request may wait for its turn to be signed; by then its caller asks another agent.
pub(crate) const LONGEST_QUEUE: Duration = Duration::from_millis(50);

/// Signs what the policy allows.
pub(crate) struct Signer {
    pub(crate) keys: KeySource,
    pub(crate) policy: Watched<Policy, 1>,
    pub(crate) clock: Clock,
    longest_queue: Duration,
    bucket: Mutex<TokenBucket>,
}

impl Signer {
    /// A request that waits for as long as `longest_queue` to be signed is refused.
    pub(crate) fn new(
        keys: KeySource,
        policy: Watched<Policy, 1>,
        clock: Clock,
        longest_queue: Duration,
    ) -> Self {
        Self {
            keys,
            policy,
            clock,
            longest_queue,
            bucket: Mutex::default(),
        }
    }

    /// Signs one certificate, or says why not.
    ///
    /// An elliptic key signs here and now: that is less work than to hand it over. An RSA key
    /// takes most of a millisecond or more and signs on the runtime's blocking threads, so that
    /// connections are served meanwhile; what waits there too long is refused, not signed late.
    pub(crate) async fn sign(
        &self,
        request: &CertificateRequest,
    ) -> Result<IssuedCertificate, SigningFailure> {
        let policy = self.policy.value().ok_or_else(|| {
            let fault = self.policy.fault().unwrap_or_default();
            failure(
                SigningFailureReason::PolicyUnavailable,
                format!("the agent has no valid policy and signs nothing: {fault}"),
            )
        })?;
        policy::judge(request, &policy)
            .map_err(|refusal| failure(refusal.reason(), refusal.to_string()))?;
        let public_key = BASE64_STANDARD
            .decode(&request.public_key)
            .map_err(|_| invalid("the public key is not base64"))?;
        let now = self.clock.now();
        if !self.take_token(&policy, now) {
            return Err(rate_limited("over ratePerSecond of the agent's policy"));
        }
        let authority = self.keys.authority(now).map_err(|reason| {
            failure(
                SigningFailureReason::KeyUnavailable,
                format!("the agent has no usable signing key: {reason}"),
            )
        })?;
        let validity = Validity {
            not_before: now - BACKDATED,
            not_after: now + Duration::from_secs(request.lifetime_seconds.into()),
        };
        let subject = client_subject(request);
        if !authority.signs_slowly() {
            return issue(&authority, &subject, &public_key, validity);
        }
        let (arrived, longest_queue) = (Instant::now(), self.longest_queue);
        let late = move || {
            if arrived.elapsed() >= longest_queue {
                return Err(rate_limited("too many requests wait to be signed"));
            }
            issue(&authority, &subject, &public_key, validity)
        };
        tokio::task::spawn_blocking(late)
            .await
            .unwrap_or_else(|error| Err(failure(SigningFailureReason::Internal, error.to_string())))
    }

    /// Takes a token of the policy's rate, if there is one.
    fn take_token(&self, policy: &Policy, now: SystemTime) -> bool {
        let Some(rate) = Rate::new(policy.rate_per_second, policy.burst) else {
            return true;
        };
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let after = bucket.take(rate, now);
        *bucket = after.unwrap_or(*bucket);
        after.is_some()
    }
}

/// Whom the certificate of a request speaks for, once the policy allows it: the user, every group,
/// and one `key=value` for each extra value.
pub fn client_subject(request: &CertificateRequest) -> ClientSubject {
    let units = |(key, values): (&String, &Vec<String>)| -> Vec<String> {
        values
            .iter()
            .map(|value| format!("{key}={value}"))
            .collect()
    };
    ClientSubject {
        username: request.username.clone(),
        groups: request.groups.clone(),
        organizational_units: request.extra.iter().flat_map(units).collect(),
    }
}

fn issue(
    authority: &Arc<SigningAuthority>,
    subject: &ClientSubject,
    public_key: &[u8],
    validity: Validity,
) -> Result<IssuedCertificate, SigningFailure> {
    authority
        .issue_client_certificate(subject, public_key, validity)
        .map_err(|error| {
            let reason = match error {
                IssueError::PublicKey => SigningFailureReason::InvalidRequest,
                _ => SigningFailureReason::Internal,
            };
            failure(reason, chain(&error))
        })
}

pub(crate) fn failure(reason: SigningFailureReason, message: impl Into<String>) -> SigningFailure {
    SigningFailure {
        reason,
        message: message.into(),
    }
}

pub(crate) fn invalid(message: &str) -> SigningFailure {
    failure(SigningFailureReason::InvalidRequest, message)
}

fn rate_limited(message: &str) -> SigningFailure {
    failure(SigningFailureReason::RateLimited, message)
}

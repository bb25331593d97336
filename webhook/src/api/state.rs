//! What the handlers share.

use std::sync::Arc;

use haulout_api::group::ApiGroupSuffix;
use haulout_operate::clock::Clock;
use haulout_serve::front_proxy::FrontProxy;
use haulout_serve::health::{HealthRegistry, Metrics};

use crate::audit::LoginAudit;
use crate::authenticators::registry::AuthenticatorRegistry;
use crate::limits::LoginLimits;
use crate::metrics::LoginMetrics;
use crate::signer::Signer;
use crate::signing_ca::SigningCaGuard;

/// What door A is made of.
#[derive(Debug)]
pub struct ApiState<R> {
    /// All that a login takes.
    pub logins: Logins,
    /// Whom to believe about callers.
    pub front_proxy: Arc<FrontProxy>,
    /// Who says what callers may do.
    pub reviewer: R,
    /// The checks of `/healthz`, `/livez` and `/readyz`.
    pub health: Arc<HealthRegistry>,
    /// What `/metrics` shows.
    pub metrics: Metrics,
}

/// All that a login takes; each door has its own, and what they hold is the same.
#[derive(Clone, Debug)]
pub struct Logins {
    /// Suffix of the API groups that clients use.
    pub suffix: ApiGroupSuffix,
    /// How many are let in, with those who ask who they are.
    pub limits: Arc<LoginLimits>,
    /// Authenticators in force.
    pub authenticators: Arc<AuthenticatorRegistry>,
    /// Where certificates come from.
    pub signer: Signer,
    /// What holds back certificates that a wrong key has signed.
    pub signing_ca: Arc<SigningCaGuard>,
    /// Where events go.
    pub audit: LoginAudit,
    /// What is counted.
    pub metrics: LoginMetrics,
    /// The time at which tokens, front proxies and limits are judged.
    pub clock: Clock,
    /// Wanted lifetime of certificates in seconds, from the configuration.
    pub lifetime_seconds: u32,
}

//! `JWTAuthenticator` objects: tokens of one OpenID Connect issuer for one audience.

mod findings;
mod judge;

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::SystemTime;

use haulout_api::authenticator::{JWTAuthenticator, JwtAuthenticatorSpec, TlsSpec};
use haulout_api::group::ApiGroupSuffix;
use haulout_https::TrustRoots;
use haulout_jwt::claims::ClaimRules;
use haulout_operate::clock::Clock;
use kube::Client;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use self::findings::unreadable;
use self::judge::{Known, Source, judge};
use super::Readiness;
use super::authenticator::findings::Findings;
use super::authenticator::{self, AuthenticatorKind, Context, Judgement};
use crate::authenticators::trust::TrustError;
use crate::authenticators::{JWT_KIND, TokenAuthenticator};

/// Runs the controller until `end`, which should be the end of serving: what is in force then stays in the registry, but
/// nothing is kept up to date any more, neither objects nor keys. `readiness` is reported once what was there at the start
/// is judged.
pub async fn run(
    client: Client,
    suffix: ApiGroupSuffix,
    context: Context,
    readiness: Readiness,
    end: CancellationToken,
) {
    let kind = Jwt::new(context.clock.clone(), context.tracker.clone());
    authenticator::run(kind, client, suffix, context, readiness, end).await;
}

/// The kind `JWTAuthenticator`.
pub(super) struct Jwt {
    clock: Clock,
    /// Runs one task for each issuer, which keeps its keys fresh.
    tracker: TaskTracker,
    /// The issuers whose keys are kept, for objects that have them in common.
    sources: Mutex<Vec<Weak<Source>>>,
    /// Held while the expressions of one object are compiled.
    compiling: Semaphore,
}

impl Jwt {
    /// The kind, whose keys are kept fresh on `tracker`.
    fn new(clock: Clock, tracker: TaskTracker) -> Self {
        Self {
            clock,
            tracker,
            sources: Mutex::default(),
            compiling: Semaphore::new(1),
        }
    }

    /// The issuer of these keys that another object, or an earlier judgement, has reached and still uses.
    fn source(&self, issuer: &str, roots: &TrustRoots, jwks_uri: &Url) -> Option<Arc<Source>> {
        let sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let mut used = sources.iter().filter_map(Weak::upgrade);
        used.find(|source| source.is(issuer, roots, jwks_uri))
    }

    /// Offers `source` to other objects, and gives the one to use: another of the same keys may have come first.
    fn share(&self, source: Source) -> Arc<Source> {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        sources.retain(|source| source.strong_count() > 0);
        let mut earlier = sources.iter().filter_map(Weak::upgrade);
        if let Some(earlier) = earlier.find(|earlier| earlier.is_same(&source)) {
            return earlier;
        }
        let source = Arc::new(source);
        sources.push(Arc::downgrade(&source));
        source
    }

    /// What the claims and rules of `spec` come to, or what is wrong with them. Expressions take too long to be compiled
    /// where requests are served: one object at a time, on another thread.
    async fn compile(&self, spec: &JwtAuthenticatorSpec) -> Result<Arc<ClaimRules>, String> {
        const FAILED: &str = "compilation failed unexpectedly; please report it with the object";
        let Ok(_permit) = self.compiling.acquire().await else {
            return Err(FAILED.to_owned());
        };
        let spec = spec.clone();
        let compile = move || ClaimRules::compile(&spec).map_err(|errors| errors.to_string());
        match tokio::task::spawn_blocking(compile).await {
            Ok(rules) => rules.map(Arc::new),
            Err(error) => {
                tracing::error!(%error, "failed to compile the rules of a JWTAuthenticator");
                Err(FAILED.to_owned())
            }
        }
    }
}

impl AuthenticatorKind for Jwt {
    const KIND: &'static str = JWT_KIND;
    type Object = JWTAuthenticator;
    type Spec = JwtAuthenticatorSpec;
    type Kept = Known;

    fn tls(spec: &JwtAuthenticatorSpec) -> Option<&TlsSpec> {
        spec.tls.as_ref()
    }

    async fn prepare(&self, spec: &JwtAuthenticatorSpec, kept: Option<&Known>) -> Arc<Known> {
        Arc::new(Known::of(self, spec, kept).await)
    }

    fn provisional(kept: &Known) -> Option<Arc<dyn TokenAuthenticator>> {
        kept.authenticator.clone()
    }

    async fn judge(
        &self,
        spec: &JwtAuthenticatorSpec,
        roots: Result<TrustRoots, TrustError>,
        kept: &Known,
        now: SystemTime,
    ) -> Judgement<Known> {
        judge(self, spec, roots, kept, now).await
    }

    fn unreadable(error: &serde_json::Error) -> Findings {
        unreadable(error).into()
    }
}

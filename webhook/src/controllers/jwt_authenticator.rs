//! `JWTAuthenticator` objects: tokens of one OpenID Connect issuer for one audience.

mod findings;
mod judge;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use haulout_api::authenticator::{JWTAuthenticator, JwtAuthenticatorSpec, TlsSpec};
use haulout_api::group::ApiGroupSuffix;
use haulout_https::{ClientError, TrustRoots};
use haulout_jwt::client::IssuerClient;
use haulout_operate::clock::Clock;
use kube::Client;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::findings::unreadable;
use self::judge::{Source, judge, provisional};
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
    clients: Mutex<Vec<(TrustRoots, IssuerClient)>>,
}

impl Jwt {
    /// The kind, whose keys are kept fresh on `tracker`.
    fn new(clock: Clock, tracker: TaskTracker) -> Self {
        Self {
            clock,
            tracker,
            clients: Mutex::default(),
        }
    }

    /// A client that trusts `roots`: the same one for as many issuers as have the same roots, since each holds all of
    /// them in memory.
    fn client(&self, roots: &TrustRoots) -> Result<IssuerClient, ClientError> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, client)) = clients.iter().find(|(known, _)| known == roots) {
            return Ok(client.clone());
        }
        let client = IssuerClient::new(roots)?;
        clients.push((roots.clone(), client.clone()));
        let surplus = clients.len().saturating_sub(MAX_CLIENTS);
        clients.drain(..surplus);
        Ok(client)
    }
}

/// Most clients that wait for a further issuer with their roots.
const MAX_CLIENTS: usize = 16;

impl AuthenticatorKind for Jwt {
    const KIND: &'static str = JWT_KIND;
    type Object = JWTAuthenticator;
    type Spec = JwtAuthenticatorSpec;
    type Kept = Source;

    fn tls(spec: &JwtAuthenticatorSpec) -> Option<&TlsSpec> {
        spec.tls.as_ref()
    }

    async fn judge(
        &self,
        spec: &JwtAuthenticatorSpec,
        roots: Result<TrustRoots, TrustError>,
        kept: Option<&Arc<Source>>,
        now: SystemTime,
    ) -> Judgement<Source> {
        judge(self, spec, roots, kept, now).await
    }

    fn provisional(
        &self,
        spec: &JwtAuthenticatorSpec,
        kept: Option<&Arc<Source>>,
    ) -> Option<Arc<dyn TokenAuthenticator>> {
        provisional(spec, kept)
    }

    fn unreadable(error: &serde_json::Error) -> Findings {
        unreadable(error).into()
    }
}

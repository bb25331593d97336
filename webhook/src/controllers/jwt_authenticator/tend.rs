//! Tends one `JWTAuthenticator` from its appearance to its end, apart from all others.

use std::sync::Arc;
use std::time::Duration;

use haulout_api::authenticator::{AuthenticatorPhase, JwtAuthenticatorSpec};
use haulout_operate::controller::pause_after;
use haulout_operate::error::{Complaint, chain};
use haulout_operate::leader::Leadership;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::api::DynamicObject;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::first_list::Unjudged;
use super::judge::{Judgement, judge, provisional};
use super::{Context, findings, status};
use crate::authenticators::metrics::CountedAuthenticator;
use crate::authenticators::registry::AuthenticatorRegistry;
use crate::authenticators::{AuthenticatorKey, JWT_KIND, TokenAuthenticator};

/// Time after which an object without fault is judged again, so that its status tells of today.
const HEALTH_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// Pause after a status that could not be written.
const STATUS_RETRY: Duration = Duration::from_secs(5);

/// Tends the object of `key`, whose versions come through `objects`, until that ends or the answer is dropped. Either
/// takes the object out of force, unless it comes with the `end` of the whole controller. What is `unjudged` is dropped
/// with the first judgement.
pub(super) async fn tend(
    context: Arc<Context>,
    key: AuthenticatorKey,
    mut objects: watch::Receiver<DynamicObject>,
    end: CancellationToken,
    unjudged: Option<Unjudged>,
) {
    let registry = Arc::clone(&context.registry);
    let mut tended = Tended::new(&context, Place { registry, key, end }, unjudged);
    loop {
        let object = objects.borrow_and_update().clone();
        let spec = spec_of(&object);
        if tended.is_due(spec) {
            tended.anticipate(spec);
            tokio::select! {
                // A later specification ends the judgement of this one, which may hang for long.
                edited = objects.wait_for(|later| spec_of(later) != spec) => if edited.is_err() { return },
                judgement = tended.judge(&context, spec) => tended.accept(spec.clone(), judgement),
            }
            // The object may have changed in other things meanwhile.
            continue;
        }
        let leads = context.leadership.is_leader();
        let is_written = !leads || tended.write_status(&context, &object).await;
        let status_retry = (!is_written).then(|| Instant::now() + STATUS_RETRY);
        tokio::select! {
            changed = objects.changed() => if changed.is_err() { return },
            () = gained(context.leadership.clone(), leads) => {}
            () = sleep_until(tended.next.into_iter().chain(status_retry).min()) => {}
        }
    }
}

fn spec_of(object: &DynamicObject) -> &Value {
    object.data.get("spec").unwrap_or(&Value::Null)
}

/// Where one object stands.
struct Tended {
    place: Place,
    counted: CountedAuthenticator,
    judgement: Judgement,
    /// The specification that was judged.
    judged: Option<Value>,
    /// How often in a row a fault was found that may pass.
    failures: u32,
    /// When to judge again although nothing has changed.
    next: Option<Instant>,
    /// Of a status that cannot be written.
    complaint: Complaint,
    unjudged: Option<Unjudged>,
}

impl Tended {
    fn new(context: &Context, place: Place, unjudged: Option<Unjudged>) -> Self {
        Self {
            place,
            counted: context.metrics.count(JWT_KIND),
            judgement: Judgement::default(),
            judged: None,
            failures: 0,
            next: None,
            complaint: Complaint::default(),
            unjudged,
        }
    }

    fn is_due(&self, spec: &Value) -> bool {
        self.judged.as_ref() != Some(spec) || self.next.is_some_and(|next| next <= Instant::now())
    }

    /// Puts in force what an edit says by itself. Its issuer may take long to answer, and who takes
    /// rights away should not have to wait for that.
    fn anticipate(&mut self, spec: &Value) {
        if self.judged.as_ref() == Some(spec) {
            return;
        }
        // An edit back to what was judged is one like any other.
        self.judged = None;
        let source = self.judgement.source.as_ref();
        let known = JwtAuthenticatorSpec::deserialize(spec)
            .ok()
            .and_then(|spec| provisional(&spec, source));
        self.place.put(known.as_ref());
    }

    async fn judge(&self, context: &Context, spec: &Value) -> Judgement {
        match JwtAuthenticatorSpec::deserialize(spec) {
            Ok(spec) => {
                let source = self.judgement.source.as_ref();
                judge(context, &spec, source, context.clock.now()).await
            }
            Err(error) => Judgement {
                findings: findings::unreadable(&error),
                ..Judgement::default()
            },
        }
    }

    /// Puts a judgement in force, whether or not its status can be written.
    fn accept(&mut self, spec: Value, judgement: Judgement) {
        self.place.put(judgement.authenticator.as_ref());
        if judgement.findings != self.judgement.findings {
            report(&self.place.key.name, &judgement);
        }
        self.counted.set_phase(judgement.findings.phase());
        self.failures = if judgement.may_heal {
            self.failures + 1
        } else {
            0
        };
        self.next = pause(&judgement, self.failures).map(|pause| Instant::now() + pause);
        self.judged = Some(spec);
        self.judgement = judgement;
        self.unjudged = None;
    }

    /// Writes what was found; false when that must be tried again.
    async fn write_status(&mut self, context: &Context, object: &DynamicObject) -> bool {
        let now = Timestamp::try_from(context.clock.now()).unwrap_or_default();
        let Some(next) = status::plan(object, &self.judgement.findings, &Time(now)) else {
            return true;
        };
        match status::write(&context.objects, object, &next).await {
            Ok(()) => {
                self.complaint.settle();
                true
            }
            Err(error) => {
                let text = chain(&error);
                if !error.is_outdated() && self.complaint.is_new(&text) {
                    let name = &self.place.key.name;
                    tracing::warn!(
                        authenticator = name,
                        error = text,
                        "failed to report on a JWTAuthenticator"
                    );
                }
                false
            }
        }
    }
}

/// The object's place in the registry, emptied when the object ends before the controller does.
struct Place {
    registry: Arc<AuthenticatorRegistry>,
    key: AuthenticatorKey,
    end: CancellationToken,
}

impl Place {
    fn put(&self, authenticator: Option<&Arc<dyn TokenAuthenticator>>) {
        match authenticator {
            Some(authenticator) => self.registry.insert(&self.key, authenticator),
            None => self.registry.remove(&self.key),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.end.is_cancelled() {
            self.registry.remove(&self.key);
        }
    }
}

/// When to judge again: never while only an edit can help.
fn pause(judgement: &Judgement, failures: u32) -> Option<Duration> {
    match judgement.findings.phase() {
        AuthenticatorPhase::Ready => Some(HEALTH_INTERVAL),
        _ if judgement.may_heal => Some(pause_after(failures)),
        AuthenticatorPhase::Pending | AuthenticatorPhase::Error => None,
    }
}

fn report(name: &str, judgement: &Judgement) {
    let in_force = judgement.authenticator.is_some();
    match judgement.findings.first_fault() {
        None => tracing::info!(authenticator = name, "JWTAuthenticator is ready"),
        Some(fault) => {
            tracing::warn!(
                authenticator = name,
                in_force,
                fault,
                "JWTAuthenticator is not ready"
            );
        }
    }
}

/// Ends when this process begins to lead; `leads` is whether it did when last asked.
async fn gained(mut leadership: Leadership, mut leads: bool) {
    loop {
        let now = leadership.is_leader();
        if now && !leads {
            return;
        }
        leads = now;
        leadership.changed().await;
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_that_may_pass_are_looked_at_again_ever_later() {
        let network = Judgement {
            may_heal: true,
            ..Judgement::default()
        };
        let pauses: Vec<u64> = [1, 2, 3, 6, 7, 8, 1000, u32::MAX]
            .map(|n| pause(&network, n).unwrap().as_secs())
            .into();
        assert_eq!(pauses, [1, 2, 4, 32, 60, 60, 60, 60]);
        assert_eq!(
            pause(&Judgement::default(), 0),
            None,
            "an edit comes by itself"
        );
    }

    #[tokio::test]
    async fn leadership_is_gained_only_after_it_was_not_there() {
        use futures_util::FutureExt;
        assert!(
            gained(Leadership::fixed(true), false)
                .now_or_never()
                .is_some()
        );
        assert!(
            gained(Leadership::fixed(true), true)
                .now_or_never()
                .is_none()
        );
        assert!(
            gained(Leadership::fixed(false), false)
                .now_or_never()
                .is_none()
        );
    }
}

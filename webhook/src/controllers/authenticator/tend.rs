//! Tends one authenticator object from its appearance to its end, apart from all others.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use haulout_api::authenticator::AuthenticatorPhase;
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

use super::findings::Findings;
use super::first_list::Unjudged;
use super::{AuthenticatorKind, Controller, Judgement, status};
use crate::authenticators::metrics::CountedAuthenticator;
use crate::authenticators::registry::AuthenticatorRegistry;
use crate::authenticators::trust;
use crate::authenticators::{AuthenticatorKey, TokenAuthenticator};
use crate::controllers::trust_sources::Followed;

/// Time after which an object without fault is judged again, so that its status tells of today.
const HEALTH_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// Over how long the judgements of many objects are spread, which all began at once.
const SPREAD: Duration = Duration::from_secs(60);

/// Pause after a status that could not be written.
const STATUS_RETRY: Duration = Duration::from_secs(5);

/// Tends the object of `key`, whose versions come through `objects`, until that ends or the answer is dropped. Either
/// takes the object out of force, unless it comes with the end of the whole controller. What is `unjudged` is dropped
/// with the first judgement.
pub(super) async fn tend<K: AuthenticatorKind>(
    controller: Arc<Controller<K>>,
    key: AuthenticatorKey,
    mut objects: watch::Receiver<DynamicObject>,
    unjudged: Option<Unjudged>,
) {
    let leadership = &controller.context.leadership;
    let mut tended = Tended::new(&controller, key, unjudged);
    loop {
        let object = objects.borrow_and_update().clone();
        let spec = spec_of(&object);
        if tended.is_due(spec) {
            tokio::select! {
                // A later specification ends the judgement of this one, which may hang for long.
                edited = objects.wait_for(|later| spec_of(later) != spec) => if edited.is_err() { return },
                (judgement, source) = tended.judge(spec) => tended.accept(judgement, source),
            }
            // The object may have changed in other things meanwhile.
            continue;
        }
        let leads = leadership.is_leader();
        let is_written = !leads || tended.write_status(&object).await;
        let status_retry = (!is_written).then(|| Instant::now() + STATUS_RETRY);
        let next = tended.next.into_iter().chain(status_retry).min();
        tokio::select! {
            changed = objects.changed() => if changed.is_err() { return },
            () = gained(leadership.clone(), leads) => {}
            () = sleep_until(next) => {}
            () = source_change(&mut tended.source) => tended.next = Some(Instant::now()),
        }
    }
}

fn spec_of(object: &DynamicObject) -> &Value {
    object.data.get("spec").unwrap_or(&Value::Null)
}

/// Where one object stands.
struct Tended<'a, K: AuthenticatorKind> {
    controller: &'a Controller<K>,
    place: Place,
    counted: CountedAuthenticator,
    findings: Findings,
    /// What the judgement left for the next one.
    kept: Option<Arc<K::Kept>>,
    /// Where the CA bundle came from.
    source: Option<Followed>,
    /// The specification that `kept` is about.
    prepared: Option<Value>,
    /// Whether that was judged.
    is_judged: bool,
    /// How often in a row a fault was found that may pass.
    failures: u32,
    /// When to judge again although the specification has not changed.
    next: Option<Instant>,
    /// Of a status that cannot be written.
    complaint: Complaint,
    unjudged: Option<Unjudged>,
}

impl<'a, K: AuthenticatorKind> Tended<'a, K> {
    fn new(
        controller: &'a Controller<K>,
        key: AuthenticatorKey,
        unjudged: Option<Unjudged>,
    ) -> Self {
        let place = Place {
            registry: Arc::clone(&controller.context.registry),
            key,
            end: controller.end.clone(),
        };
        Self {
            controller,
            place,
            counted: controller.context.metrics.count(K::KIND),
            findings: Findings::new(K::KIND, []),
            kept: None,
            source: None,
            prepared: None,
            is_judged: false,
            failures: 0,
            next: None,
            complaint: Complaint::default(),
            unjudged,
        }
    }

    fn is_due(&self, spec: &Value) -> bool {
        let is_judged = self.is_judged && self.prepared.as_ref() == Some(spec);
        !is_judged || self.next.is_some_and(|next| next <= Instant::now())
    }

    async fn judge(&mut self, spec: &Value) -> (Judgement<K::Kept>, Option<Followed>) {
        let typed = match K::Spec::deserialize(spec) {
            Ok(typed) => typed,
            Err(error) => {
                self.begin(spec, None);
                let judgement = Judgement {
                    findings: K::unreadable(&error),
                    authenticator: None,
                    kept: None,
                    may_heal: false,
                };
                return (judgement, None);
            }
        };
        let Controller { kind, context, .. } = self.controller;
        let kept = match &self.kept {
            Some(kept) if self.prepared.as_ref() == Some(spec) => Arc::clone(kept),
            kept => {
                let kept = kind.prepare(&typed, kept.as_deref()).await;
                self.begin(spec, Some((&typed, &kept)));
                kept
            }
        };
        let (roots, source) = context.trust.read(K::tls(&typed)).await;
        let judgement = kind.judge(&typed, roots, &kept, context.clock.now()).await;
        (judgement, source)
    }

    /// Puts in force what an edit says by itself. Its peer may take long to answer, and who takes
    /// rights away should not have to wait for that.
    fn begin(&mut self, spec: &Value, prepared: Option<(&K::Spec, &Arc<K::Kept>)>) {
        let provisional = prepared
            .filter(|(typed, _)| trust::locate(K::tls(typed)).is_ok())
            .and_then(|(_, kept)| K::provisional(kept));
        self.place.put(provisional.as_ref());
        self.prepared = Some(spec.clone());
        self.kept = prepared.map(|(_, kept)| Arc::clone(kept));
        // An edit back to what was judged is one like any other.
        self.is_judged = false;
        self.failures = 0;
    }

    /// Puts a judgement in force, whether or not its status can be written.
    fn accept(&mut self, judgement: Judgement<K::Kept>, source: Option<Followed>) {
        let Judgement {
            findings,
            authenticator,
            kept,
            may_heal,
        } = judgement;
        self.place.put(authenticator.as_ref());
        if findings != self.findings {
            report(&self.place.key, &findings, authenticator.is_some());
        }
        let fault = findings.first_fault().map(|(_, message)| message);
        let fault = fault.filter(|_| authenticator.is_none());
        self.place.registry.explain(&self.place.key, fault);
        self.counted.set_phase(findings.phase());
        self.failures = if may_heal { self.failures + 1 } else { 0 };
        // A bundle that is found nowhere may come, and the watch that would tell be broken.
        let may_change = findings.phase() == AuthenticatorPhase::Ready || source.is_some();
        self.next = pause(&self.place.key.name, may_change, self.failures)
            .map(|pause| Instant::now() + pause);
        self.findings = findings;
        self.kept = kept;
        self.source = source;
        self.is_judged = true;
        self.unjudged = None;
    }

    /// Writes what was found; false when that must be tried again.
    async fn write_status(&mut self, object: &DynamicObject) -> bool {
        let Controller {
            context, objects, ..
        } = self.controller;
        let now = Timestamp::try_from(context.clock.now()).unwrap_or_default();
        let Some(next) = status::plan(object, &self.findings, &Time(now)) else {
            return true;
        };
        match status::write(objects, object, &next).await {
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
                        "failed to report on a {}",
                        K::KIND
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
            self.registry.explain(&self.key, None);
        }
    }
}

/// When to judge the object of this name again, after so many failures in a row that may pass: never while only an edit
/// can change anything.
fn pause(name: &str, may_change: bool, failures: u32) -> Option<Duration> {
    match failures {
        0 => may_change.then(|| HEALTH_INTERVAL + share_of(SPREAD, name)),
        failures => Some(pause_after(failures)),
    }
}

/// A part of `span` that is always the same for one name, and another for most others.
fn share_of(span: Duration, name: &str) -> Duration {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    Duration::from_millis(hasher.finish() % haulout_serve::throttle::millis(span).max(1))
}

fn report(key: &AuthenticatorKey, findings: &Findings, in_force: bool) {
    let AuthenticatorKey { kind, name, .. } = key;
    match findings.first_fault() {
        None => tracing::info!(authenticator = name, "{kind} is ready"),
        Some((reason, fault)) => {
            tracing::warn!(
                authenticator = name,
                in_force,
                reason,
                fault,
                "{kind} is not ready"
            );
        }
    }
}

/// Ends when the source of a CA bundle is not any more what was read.
async fn source_change(source: &mut Option<Followed>) {
    match source {
        Some(source) => source.changed().await,
        None => std::future::pending().await,
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
        let pause = |failures| pause("a", false, failures);
        let pauses: Vec<u64> = [1, 2, 3, 6, 7, 8, 1000, u32::MAX]
            .map(|failures| pause(failures).unwrap().as_secs())
            .into();
        assert_eq!(pauses, [1, 2, 4, 32, 60, 60, 60, 60]);
        assert_eq!(pause(0), None, "an edit comes by itself");
    }

    #[test]
    fn good_objects_are_looked_at_again_but_not_all_at_once() {
        let pauses: Vec<Duration> = (0..100)
            .map(|n| pause(&format!("tenant-{n}"), true, 0).unwrap())
            .collect();
        let within = HEALTH_INTERVAL..HEALTH_INTERVAL + SPREAD;
        assert!(pauses.iter().all(|pause| within.contains(pause)));
        let early = pauses
            .iter()
            .filter(|pause| **pause < HEALTH_INTERVAL + SPREAD / 2);
        assert!((20..80).contains(&early.count()));
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

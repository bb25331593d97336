//! Judges one `JWTAuthenticator`: the checks in their order, with the calls to its issuer that they need.

use std::sync::Arc;
use std::time::SystemTime;

use haulout_api::authenticator::JwtAuthenticatorSpec;
use haulout_https::TrustRoots;
use haulout_jwt::algorithms::AcceptedAlgorithms;
use haulout_jwt::claims::ClaimRules;
use haulout_jwt::client::IssuerClient;
use haulout_jwt::discovery::discover;
use haulout_jwt::keys::{KeyCache, MAX_AGE};
use haulout_jwt::verify::{Expectations, Verifier};
use tokio_util::sync::{CancellationToken, DropGuard};
use url::Url;

use super::Jwt;
use super::findings::{self, Findings, JWKS_URL_IS_VALID};
use crate::authenticators::TokenAuthenticator;
use crate::authenticators::jwt::JwtAuthenticator;
use crate::authenticators::trust::TrustError;
use crate::controllers::authenticator::Judgement;
use crate::controllers::authenticator::findings as common;

/// What is known of an object before and between its judgements.
pub(in crate::controllers) struct Known {
    /// What its claims and rules come to, or what is wrong with them.
    rules: Result<Arc<ClaimRules>, String>,
    reached: Option<Reached>,
    /// What is in force.
    pub(super) authenticator: Option<Arc<dyn TokenAuthenticator>>,
}

/// An issuer that was reached, and when it was last found to be as it is.
#[derive(Clone)]
struct Reached {
    source: Arc<Source>,
    at: SystemTime,
}

/// An issuer and its keys, which expire by themselves.
pub(super) struct Source {
    issuer: String,
    roots: TrustRoots,
    keys: Arc<KeyCache>,
    _keeper: DropGuard,
}

impl Source {
    pub(super) fn is(&self, issuer: &str, roots: &TrustRoots, jwks_uri: &Url) -> bool {
        self.issuer == issuer && self.roots == *roots && self.keys.jwks_uri() == jwks_uri
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.is(&other.issuer, &other.roots, other.keys.jwks_uri())
    }
}

impl Known {
    /// What can be told of `spec` before its issuer is asked: keys at hand serve it as it says now, also while another CA is
    /// tried, but not as another issuer's. They are kept for an edit back.
    pub(super) async fn of(kind: &Jwt, spec: &JwtAuthenticatorSpec, known: Option<&Self>) -> Self {
        let rules = kind.compile(spec).await;
        let reached = known.and_then(|known| known.reached.clone());
        let authenticator = authenticator(spec, &rules, reached.as_ref());
        Self {
            rules,
            reached,
            authenticator,
        }
    }

    /// The same after a judgement. What is in force stays the very same while nothing about it has changed: logins in
    /// progress are held to it.
    fn with(&self, spec: &JwtAuthenticatorSpec, reached: Option<Reached>) -> Self {
        let source = |reached: &Option<Reached>| reached.as_ref().map(|r| Arc::as_ptr(&r.source));
        let authenticator = match source(&reached) == source(&self.reached) {
            true => self.authenticator.clone(),
            false => authenticator(spec, &self.rules, reached.as_ref()),
        };
        Self {
            rules: self.rules.clone(),
            reached,
            authenticator,
        }
    }
}

/// What is in force. A mistake in the object takes it out of force also while its issuer is away, an outage alone does not.
fn authenticator(
    spec: &JwtAuthenticatorSpec,
    rules: &Result<Arc<ClaimRules>, String>,
    reached: Option<&Reached>,
) -> Option<Arc<dyn TokenAuthenticator>> {
    let Reached { source, .. } = reached.filter(|reached| reached.source.issuer == spec.issuer)?;
    let rules = rules.as_ref().ok()?;
    let expectations = Expectations {
        issuer: spec.issuer.clone(),
        audience: spec.audience.clone(),
        algorithms: AcceptedAlgorithms::new(&spec.signing_algorithms),
    };
    Some(Arc::new(JwtAuthenticator::new(
        Verifier::new(expectations, Arc::clone(&source.keys)),
        Arc::clone(rules),
        spec.certificate_lifetime_seconds,
    )))
}

/// Judges `spec` at `now`, whose `spec.tls` comes to `roots`.
pub(super) async fn judge(
    kind: &Jwt,
    spec: &JwtAuthenticatorSpec,
    roots: Result<TrustRoots, TrustError>,
    known: &Known,
    now: SystemTime,
) -> Judgement<Known> {
    // What could not be confirmed for so long is not believed any more, wherever its keys come from.
    let reached = known.reached.clone().filter(|reached| {
        let unconfirmed = now.duration_since(reached.at).unwrap_or_default();
        reached.source.issuer == spec.issuer && unconfirmed < MAX_AGE
    });
    let mut findings = Findings::default();
    let issuer = findings.issuer.insert(findings::issuer(&spec.issuer));
    let is_issuer_valid = issuer.is_ok();
    findings.tls = Some(common::tls(&roots));
    let roots = match roots {
        Ok(roots) if is_issuer_valid => roots,
        Err(error) if is_issuer_valid && error.may_heal() => {
            return settle(spec, findings, known, reached, true);
        }
        _ => return settle(spec, findings, known, None, false),
    };
    let reached = reached.filter(|reached| reached.source.roots == roots);
    let client = match IssuerClient::new(&roots) {
        Ok(client) => client,
        Err(error) => {
            findings.tls = Some(common::unusable_roots(&error));
            return settle(spec, findings, known, None, false);
        }
    };
    let found = reach(kind, &mut findings, spec, roots, client, now).await;
    let reached = found.map(|source| Reached { source, at: now }).or(reached);
    let may_heal = !matches!(findings.jwks_fetch, Some(Ok(_)));
    settle(spec, findings, known, reached, may_heal)
}

/// The judgement, once the issuer was reached or not.
fn settle(
    spec: &JwtAuthenticatorSpec,
    mut findings: Findings,
    known: &Known,
    reached: Option<Reached>,
    may_heal: bool,
) -> Judgement<Known> {
    if matches!(findings.jwks_fetch, Some(Ok(_))) {
        let fault = known.rules.as_ref().err();
        findings.authenticator = Some(findings::authenticator(fault.map(String::as_str)));
    }
    let known = known.with(spec, reached);
    Judgement {
        findings: findings.into(),
        authenticator: known.authenticator.clone(),
        kept: Some(Arc::new(known)),
        may_heal,
    }
}

/// Finds the issuer's keys; `None` where that fails. Objects of one issuer share them, and so the calls for them.
async fn reach(
    kind: &Jwt,
    findings: &mut Findings,
    spec: &JwtAuthenticatorSpec,
    roots: TrustRoots,
    client: IssuerClient,
    now: SystemTime,
) -> Option<Arc<Source>> {
    let discovered = discover(&client, &spec.issuer).await;
    findings.discovery = Some(findings::discovery(&discovered));
    let jwks_uri = match findings::jwks_url(&discovered.ok()?.jwks_uri) {
        Ok(url) => url,
        Err(fault) => {
            findings.jwks_url = Some(Err(fault));
            return None;
        }
    };
    findings.jwks_url = Some(Ok(JWKS_URL_IS_VALID.to_owned()));
    let accepted = AcceptedAlgorithms::new(&spec.signing_algorithms);
    let source = match kind.source(&spec.issuer, &roots, &jwks_uri) {
        Some(source) => source,
        None => match KeyCache::fetch(client, jwks_uri, now).await {
            Ok(keys) => {
                let keys = Arc::new(keys);
                kind.share(Source {
                    issuer: spec.issuer.clone(),
                    roots,
                    _keeper: keep_fresh(kind, &keys),
                    keys,
                })
            }
            Err(error) => {
                findings.jwks_fetch = Some(findings::jwks_fetch(Some(&error), None));
                return None;
            }
        },
    };
    let usable = source
        .keys
        .current(now)
        .is_some_and(|keys| keys.serves(&accepted));
    let error = source.keys.last_error();
    let missing = (!usable).then_some(&accepted);
    findings.jwks_fetch = Some(findings::jwks_fetch(error.as_deref(), missing));
    Some(source)
}

/// Refreshes `keys` until the answer is dropped.
fn keep_fresh(kind: &Jwt, keys: &Arc<KeyCache>) -> DropGuard {
    let stop = CancellationToken::new();
    let (keys, clock, stopped) = (Arc::clone(keys), kind.clock.clone(), stop.clone());
    kind.tracker.spawn(async move {
        stopped
            .run_until_cancelled(keys.keep_fresh(|| clock.now()))
            .await;
    });
    stop.drop_guard()
}

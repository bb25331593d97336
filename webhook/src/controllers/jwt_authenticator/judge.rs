//! Judges one `JWTAuthenticator`: the checks in their order, with the calls to its issuer that they need.

use std::sync::Arc;
use std::time::SystemTime;

use haulout_api::authenticator::JwtAuthenticatorSpec;
use haulout_https::TrustRoots;
use haulout_jwt::algorithms::AcceptedAlgorithms;
use haulout_jwt::claims::ClaimRules;
use haulout_jwt::client::IssuerClient;
use haulout_jwt::discovery::discover;
use haulout_jwt::keys::KeyCache;
use haulout_jwt::verify::{Expectations, Verifier};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Jwt;
use super::findings::{self, Findings, JWKS_URL_IS_VALID};
use crate::authenticators::TokenAuthenticator;
use crate::authenticators::jwt::JwtAuthenticator;
use crate::authenticators::trust::{self, TrustError};
use crate::controllers::authenticator::Judgement;
use crate::controllers::authenticator::findings as common;

/// An issuer that was reached once. It survives outages: its keys expire by themselves.
pub(in crate::controllers) struct Source {
    issuer: String,
    roots: TrustRoots,
    client: IssuerClient,
    keys: Arc<KeyCache>,
    _keeper: DropGuard,
}

/// Judges `spec` at `now`, whose `spec.tls` comes to `roots`.
pub(super) async fn judge(
    kind: &Jwt,
    spec: &JwtAuthenticatorSpec,
    roots: Result<TrustRoots, TrustError>,
    source: Option<&Arc<Source>>,
    now: SystemTime,
) -> Judgement<Source> {
    let source = source.filter(|source| source.issuer == spec.issuer);
    let mut findings = Findings::default();
    let issuer = findings.issuer.insert(findings::issuer(&spec.issuer));
    let is_issuer_valid = issuer.is_ok();
    findings.tls = Some(common::tls(&roots));
    let roots = match roots {
        Ok(roots) if is_issuer_valid => roots,
        Err(error) if is_issuer_valid && error.may_heal() => {
            return settle(spec, findings, source.cloned(), true);
        }
        _ => return settle(spec, findings, None, false),
    };
    let source = source.filter(|source| source.roots == roots).cloned();
    let client = match &source {
        Some(source) => source.client.clone(),
        None => match kind.client(&roots) {
            Ok(client) => client,
            Err(error) => {
                findings.tls = Some(common::unusable_roots(&error));
                return settle(spec, findings, None, false);
            }
        },
    };
    let source = reach(kind, &mut findings, spec, roots, client, source, now).await;
    let may_heal = !matches!(findings.jwks_fetch, Some(Ok(_)));
    settle(spec, findings, source, may_heal)
}

/// The judgement, once the issuer was reached or not.
fn settle(
    spec: &JwtAuthenticatorSpec,
    mut findings: Findings,
    source: Option<Arc<Source>>,
    may_heal: bool,
) -> Judgement<Source> {
    let rules = ClaimRules::compile(spec);
    if matches!(findings.jwks_fetch, Some(Ok(_))) {
        findings.authenticator = Some(findings::authenticator(rules.as_ref()));
    }
    // A mistake in the object takes it out of force also while its issuer is away, an outage alone does not.
    let authenticator = match (&source, rules) {
        (Some(source), Ok(rules)) => Some(authenticator(spec, source, rules)),
        _ => None,
    };
    Judgement {
        findings: findings.into(),
        authenticator,
        kept: source,
        may_heal,
    }
}

/// What `spec` comes to before its issuer is asked: with keys of the same issuer at hand the object is in force as it says
/// now, also while another CA is tried. A mistake in it and another issuer take it out of force.
pub(super) fn provisional(
    spec: &JwtAuthenticatorSpec,
    source: Option<&Arc<Source>>,
) -> Option<Arc<dyn TokenAuthenticator>> {
    let source = source.filter(|source| source.issuer == spec.issuer)?;
    trust::locate(spec.tls.as_ref()).ok()?;
    let rules = ClaimRules::compile(spec).ok()?;
    Some(authenticator(spec, source, rules))
}

/// Finds the issuer's keys. Where that fails, an issuer that was reached before stands.
async fn reach(
    kind: &Jwt,
    findings: &mut Findings,
    spec: &JwtAuthenticatorSpec,
    roots: TrustRoots,
    client: IssuerClient,
    source: Option<Arc<Source>>,
    now: SystemTime,
) -> Option<Arc<Source>> {
    let discovered = discover(&client, &spec.issuer).await;
    findings.discovery = Some(findings::discovery(&discovered));
    let Ok(provider) = discovered else {
        return source;
    };
    let jwks_uri = match findings::jwks_url(&provider.jwks_uri) {
        Ok(url) => url,
        Err(fault) => {
            findings.jwks_url = Some(Err(fault));
            return source;
        }
    };
    findings.jwks_url = Some(Ok(JWKS_URL_IS_VALID.to_owned()));
    let source = match source {
        Some(source) if *source.keys.jwks_uri() == jwks_uri => source,
        earlier => match KeyCache::fetch(client.clone(), jwks_uri, now).await {
            Ok(keys) => {
                let keys = Arc::new(keys);
                Arc::new(Source {
                    issuer: spec.issuer.clone(),
                    roots,
                    client,
                    _keeper: keep_fresh(kind, &keys),
                    keys,
                })
            }
            Err(error) => {
                findings.jwks_fetch = Some(findings::jwks_fetch(Some(&error), None));
                return earlier;
            }
        },
    };
    let accepted = AcceptedAlgorithms::new(&spec.signing_algorithms);
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

fn authenticator(
    spec: &JwtAuthenticatorSpec,
    source: &Source,
    rules: ClaimRules,
) -> Arc<dyn TokenAuthenticator> {
    let expectations = Expectations {
        issuer: spec.issuer.clone(),
        audience: spec.audience.clone(),
        algorithms: AcceptedAlgorithms::new(&spec.signing_algorithms),
    };
    let verifier = Verifier::new(expectations, Arc::clone(&source.keys));
    Arc::new(JwtAuthenticator::new(
        verifier,
        rules,
        spec.certificate_lifetime_seconds,
    ))
}

//! Judges one `JWTAuthenticator`: the checks in their order, with the calls to its issuer that they need.

use std::sync::Arc;
use std::time::SystemTime;

use haulout_api::authenticator::{JwtAuthenticatorSpec, TlsSpec};
use haulout_jwt::claims::ClaimMapping;
use haulout_jwt::client::IssuerClient;
use haulout_jwt::discovery::discover;
use haulout_jwt::keys::KeyCache;
use haulout_jwt::verify::{Expectations, Verifier};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Context;
use super::findings::{self, Findings, JWKS_URL_IS_VALID};
use crate::authenticators::TokenAuthenticator;
use crate::authenticators::jwt::JwtAuthenticator;
use crate::authenticators::trust;

/// What a judgement comes to.
#[derive(Default)]
pub(super) struct Judgement {
    pub(super) findings: Findings,
    /// To be in force from now on; `None` takes the object out of force.
    pub(super) authenticator: Option<Arc<dyn TokenAuthenticator>>,
    /// The issuer as it was last reached, for the next judgement.
    pub(super) source: Option<Arc<Source>>,
    /// Whether the fault may pass without anyone editing the object.
    pub(super) may_heal: bool,
}

/// An issuer that was reached once. It survives outages: its keys expire by themselves.
pub(super) struct Source {
    issuer: String,
    tls: Option<TlsSpec>,
    client: IssuerClient,
    keys: Arc<KeyCache>,
    _keeper: DropGuard,
}

impl Source {
    fn serves(&self, spec: &JwtAuthenticatorSpec) -> bool {
        self.issuer == spec.issuer && self.tls == spec.tls
    }
}

/// Judges `spec` at `now`. Issuers that hang are given up after a bounded time.
pub(super) async fn judge(
    context: &Context,
    spec: &JwtAuthenticatorSpec,
    source: Option<&Arc<Source>>,
    now: SystemTime,
) -> Judgement {
    let source = source.filter(|source| source.serves(spec)).cloned();
    let mut judgement = Judgement::default();
    let findings = &mut judgement.findings;
    let issuer = findings.issuer.insert(findings::issuer(&spec.issuer));
    let trust = trust::roots(spec.tls.as_ref());
    findings.tls = Some(findings::tls(trust.as_ref()));
    let (Ok(_), Ok(roots)) = (issuer, trust) else {
        return judgement;
    };
    let client = match &source {
        Some(source) => source.client.clone(),
        None => match IssuerClient::new(&roots) {
            Ok(client) => client,
            Err(error) => {
                findings.tls = Some(findings::unusable_roots(&error));
                return judgement;
            }
        },
    };
    let source = reach(context, findings, spec, client, source, now).await;
    judgement.may_heal = !matches!(findings.jwks_fetch, Some(Ok(_)));
    let configured = findings::authenticator(spec);
    // A mistake in the object takes it out of force also while its issuer is away, an outage alone does not.
    judgement.authenticator = match (&source, &configured) {
        (Some(source), Ok(_)) => Some(authenticator(spec, source)),
        _ => None,
    };
    if !judgement.may_heal {
        findings.authenticator = Some(configured);
    }
    judgement.source = source;
    judgement
}

/// What `spec` comes to before its issuer is asked: with keys of the same issuer at hand the object is in force as it says
/// now, also while another CA is tried. A mistake in it and another issuer take it out of force.
pub(super) fn provisional(
    spec: &JwtAuthenticatorSpec,
    source: Option<&Arc<Source>>,
) -> Option<Arc<dyn TokenAuthenticator>> {
    let source = source.filter(|source| source.issuer == spec.issuer)?;
    trust::roots(spec.tls.as_ref()).ok()?;
    findings::authenticator(spec).ok()?;
    Some(authenticator(spec, source))
}

/// Finds the issuer's keys. Where that fails, an issuer that was reached before stands.
async fn reach(
    context: &Context,
    findings: &mut Findings,
    spec: &JwtAuthenticatorSpec,
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
                    tls: spec.tls.clone(),
                    client,
                    _keeper: keep_fresh(context, &keys),
                    keys,
                })
            }
            Err(error) => {
                findings.jwks_fetch = Some(findings::jwks_fetch(Some(&error), false));
                return earlier;
            }
        },
    };
    let usable = source
        .keys
        .current(now)
        .is_some_and(|keys| !keys.is_empty());
    let error = source.keys.last_error();
    findings.jwks_fetch = Some(findings::jwks_fetch(error.as_deref(), usable));
    Some(source)
}

/// Refreshes `keys` until the answer is dropped.
fn keep_fresh(context: &Context, keys: &Arc<KeyCache>) -> DropGuard {
    let stop = CancellationToken::new();
    let (keys, clock, stopped) = (Arc::clone(keys), context.clock.clone(), stop.clone());
    context.tracker.spawn(async move {
        stopped
            .run_until_cancelled(keys.keep_fresh(|| clock.now()))
            .await;
    });
    stop.drop_guard()
}

fn authenticator(spec: &JwtAuthenticatorSpec, source: &Source) -> Arc<dyn TokenAuthenticator> {
    let expectations = Expectations {
        issuer: spec.issuer.clone(),
        audience: spec.audience.clone(),
    };
    let mapping = match &spec.claims {
        Some(claims) => ClaimMapping::new(&claims.username, &claims.groups),
        None => ClaimMapping::new("", ""),
    };
    let verifier = Verifier::new(expectations, Arc::clone(&source.keys));
    Arc::new(JwtAuthenticator::new(verifier, mapping))
}

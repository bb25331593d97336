//! `WebhookAuthenticator` objects: tokens that a TokenReview server knows.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::SystemTime;

use haulout_api::authenticator::{TlsSpec, WebhookAuthenticator, WebhookAuthenticatorSpec};
use haulout_api::group::ApiGroupSuffix;
use haulout_https::{ProxyRules, TrustRoots};
use kube::Client;
use tokio_util::sync::CancellationToken;

use super::Readiness;
use super::authenticator::findings::{Fault, Finding, Findings, tls, unusable_roots};
use super::authenticator::{self, AuthenticatorKind, Context, Judgement};
use crate::authenticators::token_review::{
    DialError, ENDPOINT_IS_VALID, Endpoint, EndpointError, TokenReviewAuthenticator,
    TokenReviewClient,
};
use crate::authenticators::trust::TrustError;
use crate::authenticators::{TokenAuthenticator, WEBHOOK_KIND};

/// Runs the controller until `end`, which should be the end of serving: what is in force then stays in the registry, but
/// is not kept up to date any more. `readiness` is reported once what was there at the start is judged.
pub async fn run(
    client: Client,
    suffix: ApiGroupSuffix,
    context: Context,
    readiness: Readiness,
    end: CancellationToken,
) {
    let kind = Webhook {
        proxies: ProxyRules::from_env(),
    };
    authenticator::run(kind, client, suffix, context, readiness, end).await;
}

/// The kind `WebhookAuthenticator`.
struct Webhook {
    proxies: ProxyRules,
}

/// What is known of an object before and between its judgements.
struct Known {
    /// Its server, once that was reached.
    server: Option<Arc<Server>>,
    /// One of another endpoint that was reached before an edit, for an edit back.
    other: Option<Arc<Server>>,
}

/// A server that was reached once. It stays in force through outages: each login asks it anyway.
struct Server {
    spec: WebhookAuthenticatorSpec,
    roots: TrustRoots,
    client: TokenReviewClient,
    authenticator: Arc<dyn TokenAuthenticator>,
}

impl Server {
    fn new(spec: &WebhookAuthenticatorSpec, roots: TrustRoots, client: TokenReviewClient) -> Self {
        Self {
            authenticator: Arc::new(TokenReviewAuthenticator::new(client.clone(), spec)),
            spec: spec.clone(),
            roots,
            client,
        }
    }

    /// The same server, asked as `spec` says. What is unchanged keeps its memory of refused tokens.
    fn asked_as(self: &Arc<Self>, spec: &WebhookAuthenticatorSpec) -> Arc<Self> {
        match self.spec == *spec {
            true => Arc::clone(self),
            false => Arc::new(Self::new(spec, self.roots.clone(), self.client.clone())),
        }
    }
}

/// Outcomes in the order of the checks; `None` where an earlier one stood in the way. Types, reasons and messages are those
/// of Pinniped's Concierge (`internal/controller/authenticator/webhookcachefiller`), which clients match.
#[derive(Default)]
struct Checks {
    tls: Option<Finding>,
    endpoint: Option<Finding>,
    connection: Option<Finding>,
    authenticator: Option<Finding>,
}

impl From<Checks> for Findings {
    fn from(checks: Checks) -> Self {
        Self::new(
            WEBHOOK_KIND,
            [
                ("TLSConfigurationValid", checks.tls),
                ("EndpointURLValid", checks.endpoint),
                ("WebhookConnectionValid", checks.connection),
                ("AuthenticatorValid", checks.authenticator),
            ],
        )
    }
}

impl AuthenticatorKind for Webhook {
    const KIND: &'static str = WEBHOOK_KIND;
    type Object = WebhookAuthenticator;
    type Spec = WebhookAuthenticatorSpec;
    type Kept = Known;

    fn tls(spec: &WebhookAuthenticatorSpec) -> Option<&TlsSpec> {
        spec.tls.as_ref()
    }

    async fn prepare(&self, spec: &WebhookAuthenticatorSpec, kept: Option<&Known>) -> Arc<Known> {
        let servers = kept
            .into_iter()
            .flat_map(|kept| [&kept.server, &kept.other]);
        let mut servers = servers.flatten();
        let is_asked = |server: &&Arc<Server>| server.spec.endpoint == spec.endpoint;
        let server = servers.clone().find(is_asked);
        Arc::new(Known {
            server: server.map(|server| server.asked_as(spec)),
            other: servers.find(|server| !is_asked(server)).cloned(),
        })
    }

    fn provisional(kept: &Known) -> Option<Arc<dyn TokenAuthenticator>> {
        let server = kept.server.as_ref()?;
        Some(Arc::clone(&server.authenticator))
    }

    async fn judge(
        &self,
        spec: &WebhookAuthenticatorSpec,
        roots: Result<TrustRoots, TrustError>,
        kept: &Known,
        _now: SystemTime,
    ) -> Judgement<Known> {
        let known = kept.server.clone();
        let parsed = Endpoint::parse(&spec.endpoint, &self.proxies);
        let mut checks = Checks {
            tls: Some(tls(&roots)),
            endpoint: Some(endpoint(&parsed)),
            ..Checks::default()
        };
        let (roots, parsed) = match (roots, parsed) {
            (Ok(roots), Ok(parsed)) => (roots, parsed),
            (Err(error), Ok(_)) if error.may_heal() => return judgement(checks, known, true),
            _ => return judgement(checks, None, false),
        };
        let known = known.filter(|server| server.roots == roots);
        let server = match &known {
            Some(server) => Arc::clone(server),
            None => match TokenReviewClient::new(parsed, &roots) {
                Ok(client) => Arc::new(Server::new(spec, roots, client)),
                Err(error) => {
                    checks.tls = Some(unusable_roots(&error));
                    return judgement(checks, None, false);
                }
            },
        };
        let dialed = server.client.dial().await;
        checks.connection = Some(connection(&dialed));
        if dialed.is_err() {
            // A server that was never reached is not put in force.
            return judgement(checks, known, true);
        }
        checks.authenticator = Some(Ok("authenticator initialized".to_owned()));
        judgement(checks, Some(server), false)
    }

    fn unreadable(error: &serde_json::Error) -> Findings {
        let message = format!("could not initialize webhook authenticator: spec: {error}");
        Checks {
            authenticator: Some(Err(Fault::new("UnableToInstantiateWebhook", message))),
            ..Checks::default()
        }
        .into()
    }
}

fn judgement(checks: Checks, server: Option<Arc<Server>>, may_heal: bool) -> Judgement<Known> {
    Judgement {
        findings: checks.into(),
        authenticator: server
            .as_ref()
            .map(|server| Arc::clone(&server.authenticator)),
        kept: Some(Arc::new(Known {
            server,
            other: None,
        })),
        may_heal,
    }
}

fn endpoint(parsed: &Result<Endpoint, EndpointError>) -> Finding {
    match parsed {
        Ok(_) => Ok(ENDPOINT_IS_VALID.to_owned()),
        Err(error) => Err(Fault::new(error.reason(), error.to_string())),
    }
}

fn connection(dialed: &Result<&'static str, DialError>) -> Finding {
    match dialed {
        Ok(message) => Ok((*message).to_owned()),
        Err(error) => Err(Fault::new("UnableToDialServer", error.to_string())),
    }
}

//! The doors: the aggregated API and the direct endpoint, from a request to its answer.
//!
//! In this order at door A, the aggregated API: an id for every log, a guard against panics, errors in the client's form, who
//! calls, may they, the handler. Admission plugins and priority-and-fairness of our own there are
//! none; the API server's stand before us.

mod access_review;
mod admission;
mod create;
mod credential_request;
mod direct;
mod login;
pub mod state;
#[cfg(test)]
mod tests;
mod user_info;
mod who_am_i;

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::post;
use haulout_serve::authorize::{AccessReviewer, Authorizer};
use haulout_serve::encoding::EncodeError;
use haulout_serve::health::Reasons;
use haulout_serve::kinds::ServedKind;
use haulout_serve::request::{BodyLimits, BodyReader};
use haulout_serve::source::Source;
use haulout_serve::status::{render_errors, with_fallbacks};
use haulout_serve::{audit_id, discovery, health, openapi};

pub use self::access_review::SubjectAccessReviewer;
use self::admission::{Gate, admit, guard};
pub use self::direct::{direct_router, listener_limits};
use self::state::{ApiState, Logins};

/// Everything that is served at door A. Its requests carry the extensions of
/// [`haulout_serve::listener`]; without them the caller is anonymous.
///
/// # Errors
/// A document of discovery that cannot be written; no configuration leads there.
pub fn router<R: AccessReviewer + 'static>(state: ApiState<R>) -> Result<Router, EncodeError> {
    let ApiState {
        logins,
        front_proxy,
        reviewer,
        health,
        metrics,
    } = state;
    let gate = Gate::new(front_proxy, Authorizer::new(reviewer), logins.clock.clone());
    let kinds = [
        ServedKind::token_credential_request(&logins.suffix),
        ServedKind::who_am_i_request(&logins.suffix),
    ];
    let described = discovery::router(&kinds)?.merge(openapi::router(&kinds)?);
    let [kind, who_am_i] = kinds;
    let bodies = Arc::new(BodyReader::new(BodyLimits::default()));
    let who_am_i = who_am_i::Endpoint {
        kind: who_am_i,
        bodies: Arc::clone(&bodies),
        limits: Arc::clone(&logins.limits),
        clock: logins.clock.clone(),
    };
    let logins = credential_request::Endpoint {
        kind,
        bodies,
        logins,
    };

    let login_routes = Router::new()
        .route(
            &logins.kind.path(),
            post(credential_request::create).get(credential_request::list),
        )
        .with_state(Arc::new(logins));
    let identity_routes = Router::new()
        .route(
            &who_am_i.kind.path(),
            post(who_am_i::create).get(who_am_i::list),
        )
        .with_state(Arc::new(who_am_i));
    let routes = described
        .merge(login_routes)
        .merge(identity_routes)
        .merge(health::router(&health, Reasons::ForVouchedCallers))
        .merge(health::version_router())
        .merge(metrics.router());
    let router = with_fallbacks(routes)
        .layer(from_fn_with_state(Arc::new(gate), admit::<R>))
        .layer(from_fn(render_errors))
        .layer(from_fn(guard))
        .layer(from_fn(audit_id::assign));
    Ok(router)
}

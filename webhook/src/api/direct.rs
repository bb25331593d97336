//! Door B: the direct endpoint, which anybody may call and which only logs in.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use haulout_serve::forwarded::forwarded_for;
use haulout_serve::listener::{ListenerLimits, PeerAddress};
use haulout_serve::request::BodyLimits;
use haulout_serve::status::ApiError;
use http::header::UPGRADE;

use super::*;
use crate::audit::ClientAddress;
use crate::trusted_proxies::TrustedProxies;

/// What connections at door B may use: every peer is a stranger, and none sends an identity.
pub fn listener_limits() -> ListenerLimits {
    ListenerLimits {
        max_header_bytes: 32 * 1024,
        max_headers: 100,
        ..ListenerLimits::default()
    }
}

/// Half of door A's room, so that both leave some memory. A late body keeps nobody's connection from
/// others; behind a proxy that is not trusted, everybody is one source.
const BODIES: BodyLimits = BodyLimits {
    room: 32 * 1024 * 1024,
    room_per_source: 4 * 1024 * 1024,
    late_per_source: 64,
};

/// Everything that is served at door B: a login, and nothing else. Nobody is asked whether the caller
/// may, since switching it on is the permission; nothing that a caller says of himself means
/// anything, but for the address that a proxy among `proxies` tells.
pub fn direct_router(logins: Logins, proxies: TrustedProxies) -> Router {
    let endpoint = credential_request::Endpoint {
        kind: ServedKind::token_credential_request(&logins.suffix),
        bodies: Arc::new(BodyReader::new(BODIES)),
        logins: Logins {
            metrics: logins.metrics.of_direct_endpoint(),
            ..logins
        },
    };
    let routes = Router::new()
        .route(&endpoint.kind.path(), post(credential_request::create))
        .with_state(Arc::new(endpoint));
    with_fallbacks(routes)
        .layer(from_fn_with_state(Arc::new(proxies), admit_anybody))
        .layer(from_fn(render_errors))
        .layer(from_fn(guard))
        .layer(from_fn(audit_id::assign_own))
}

/// Middleware: finds out where a request comes from. Who wants another protocol is refused, as his
/// bytes would pass by every check.
async fn admit_anybody(
    State(proxies): State<Arc<TrustedProxies>>,
    mut request: Request,
    next: Next,
) -> Response {
    if request.headers().contains_key(UPGRADE) {
        return ApiError::bad_request("this endpoint upgrades no connection").into_response();
    }
    if let Some(PeerAddress(peer)) = request.extensions().get() {
        let client = proxies.client(peer.ip(), forwarded_for(request.headers()));
        request.extensions_mut().insert(Source::from(client));
        request.extensions_mut().insert(ClientAddress(client));
    }
    next.run(request).await
}

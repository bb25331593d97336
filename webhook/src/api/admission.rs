//! What stands before every handler of door A: a guard against panics, who calls, and may they.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use haulout_operate::clock::Clock;
use haulout_operate::error::chain;
use haulout_serve::authorize::{AccessReviewer, Attributes, Authorizer};
use haulout_serve::front_proxy::FrontProxy;
use haulout_serve::listener::PeerCertificates;
use haulout_serve::panic::panic_text;
use haulout_serve::source::Source;
use haulout_serve::status::ApiError;
use haulout_serve::throttle::Throttle;

/// How often the log tells of refused client certificates, which anybody can send.
const REFUSAL_INTERVAL: Duration = Duration::from_secs(10);

/// Who may come in at door A.
#[derive(Debug)]
pub(super) struct Gate<R> {
    front_proxy: Arc<FrontProxy>,
    authorizer: Authorizer<R>,
    clock: Clock,
    refusals: Throttle,
}

impl<R: AccessReviewer> Gate<R> {
    pub(super) fn new(
        front_proxy: Arc<FrontProxy>,
        authorizer: Authorizer<R>,
        clock: Clock,
    ) -> Self {
        Self {
            front_proxy,
            authorizer,
            clock,
            refusals: Throttle::new(REFUSAL_INTERVAL),
        }
    }

    /// Finds out who calls, which handlers then find as extension
    /// [`Caller`](haulout_serve::front_proxy::Caller), and whether they may. `Impersonate-*`
    /// headers mean nothing here: the API server has acted on them already.
    async fn admit(&self, request: &mut Request) -> Result<(), ApiError> {
        let now = self.clock.now();
        let nobody = PeerCertificates(Arc::default());
        let peer = request.extensions().get().unwrap_or(&nobody);
        let caller = match self.front_proxy.authenticate(peer, request.headers(), now) {
            Ok(caller) => caller,
            Err(error) => {
                if self.refusals.lets_pass() {
                    tracing::warn!(error = chain(&error), "refused a client certificate");
                }
                return Err(ApiError::unauthorized());
            }
        };
        if !caller.is_vouched_for {
            refuse_unserved(request)?;
        }
        let attributes = Attributes::of_request(request.method(), request.uri());
        self.authorizer
            .authorize(&caller.user, attributes, now)
            .await?;
        let source = Source::of_caller(&caller, request.extensions().get().copied());
        request.extensions_mut().insert(source);
        request.extensions_mut().insert(caller);
        Ok(())
    }
}

/// Refuses what is served to nobody, before the API server is asked about it: callers that come
/// without the front proxy could make up paths and methods without end.
fn refuse_unserved(request: &Request) -> Result<(), ApiError> {
    const METHODS: [Method; 7] = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
    ];
    if request.extensions().get::<MatchedPath>().is_none() {
        return Err(ApiError::not_found());
    }
    if !METHODS.contains(request.method()) {
        return Err(ApiError::method_not_allowed());
    }
    Ok(())
}

/// Middleware: 401, 403, or the handler with a known caller.
pub(super) async fn admit<R: AccessReviewer + 'static>(
    State(gate): State<Arc<Gate<R>>>,
    mut request: Request,
    next: Next,
) -> Response {
    match gate.admit(&mut request).await {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

/// Middleware: a panic below it becomes a 500 and an error in the log.
pub(super) async fn guard(request: Request, next: Next) -> Response {
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(panic) => {
            tracing::error!(panic = panic_text(&*panic), "a request handler panicked");
            ApiError::internal("the request caused a panic; the log of haulout-webhook has it")
                .into_response()
        }
    }
}

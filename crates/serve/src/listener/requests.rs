//! The requests of one connection, each with what is known of its peer.

use std::any::Any;
use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use axum::response::IntoResponse;
use futures_util::FutureExt;
use hyper::body::Incoming;
use tokio_util::task::TaskTracker;
use tower::Service;

use super::places::Standing;
use super::unread::{discard, lend};
use super::{PeerAddress, PeerCertificates};
use crate::panic::panic_text;

/// The requests of one connection: adds what is known of the peer, calls the router.
#[derive(Clone)]
pub(super) struct Requests {
    pub(super) router: Router,
    pub(super) certificates: PeerCertificates,
    pub(super) standing: Standing,
    pub(super) address: PeerAddress,
    pub(super) any: Arc<AtomicBool>,
    pub(super) tasks: TaskTracker,
}

impl Requests {
    pub(super) fn answer(
        &self,
        mut request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<Body>, Infallible>> + Send + 'static {
        self.any.store(true, Ordering::Relaxed);
        request.extensions_mut().insert(self.certificates.clone());
        request.extensions_mut().insert(self.address);
        let (request, unread) = lend(request);
        let (mut router, tasks) = (self.router.clone(), self.tasks.clone());
        // hyper drops the whole connection when a handler panics, and with it everybody's requests.
        AssertUnwindSafe(async move { router.call(request).await })
            .catch_unwind()
            .map(move |caught| {
                if let Some(rest) = unread.take() {
                    tasks.spawn(discard(rest));
                }
                caught.unwrap_or_else(|panic| Ok(answer_to_panic(panic.as_ref())))
            })
    }

    /// Whether there was one.
    pub(super) fn any(&self) -> bool {
        self.any.load(Ordering::Relaxed)
    }
}

/// As the Kubernetes API server does (`WithPanicRecovery`): 500 in plain text, the cause in the
/// log only.
fn answer_to_panic(panic: &(dyn Any + Send)) -> Response<Body> {
    tracing::error!(panic = panic_text(panic), "a request handler panicked");
    (
        StatusCode::INTERNAL_SERVER_ERROR,
        "the server failed on this request; its log says more\n",
    )
        .into_response()
}

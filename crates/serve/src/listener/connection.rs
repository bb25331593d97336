//! One connection, from the TCP accept to its end.

use std::any::Any;
use std::convert::Infallible;
use std::future::{Future, pending};
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use axum::response::IntoResponse;
use futures_util::FutureExt;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

use super::{ListenerLimits, PeerAddress, PeerCertificates};
use crate::tls::ServingStore;

pub(super) enum Transport {
    Tls(Arc<ServingStore>),
    Plain,
}

/// What all connections of one listener share.
pub(super) struct Connections {
    pub(super) transport: Transport,
    pub(super) limits: ListenerLimits,
    pub(super) router: Router,
    pub(super) drain: CancellationToken,
    pub(super) abort: CancellationToken,
    pub(super) tasks: TaskTracker,
}

type ConnectionError = Box<dyn std::error::Error + Send + Sync>;

impl Connections {
    pub(super) async fn run(self: Arc<Self>, stream: TcpStream, address: SocketAddr) {
        match self
            .abort
            .run_until_cancelled(self.serve(stream, address))
            .await
        {
            None | Some(Ok(())) => {}
            Some(Err(error)) => tracing::debug!(%address, error, "connection ended with an error"),
        }
    }

    async fn serve(&self, stream: TcpStream, address: SocketAddr) -> Result<(), ConnectionError> {
        // Answers are small and whole; waiting to fill a segment only delays them.
        stream.set_nodelay(true)?;
        match &self.transport {
            Transport::Plain => {
                Box::pin(self.serve_http1(stream, self.requests(address, &[]))).await
            }
            Transport::Tls(store) => {
                let stream =
                    timeout(self.limits.handshake_timeout, handshake(store, stream)).await??;
                let (_, session) = stream.get_ref();
                let requests = self.requests(address, session.peer_certificates().unwrap_or(&[]));
                if session.alpn_protocol() == Some(b"h2") {
                    Box::pin(self.serve_http2(stream, requests)).await
                } else {
                    Box::pin(self.serve_http1(stream, requests)).await
                }
            }
        }
    }

    fn requests(&self, address: SocketAddr, chain: &[CertificateDer<'static>]) -> Requests {
        Requests {
            router: self.router.clone(),
            certificates: PeerCertificates(Arc::from(chain)),
            address: PeerAddress(address),
            any: Arc::default(),
        }
    }

    async fn serve_http1(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        requests: Requests,
    ) -> Result<(), ConnectionError> {
        let service = service_fn(|request| requests.answer(request));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.header_read_timeout)
            .max_headers(self.limits.max_headers)
            .max_header_size(self.limits.max_header_bytes as usize)
            .serve_connection(TokioIo::new(stream), service);
        self.drive(connection, &requests).await
    }

    async fn serve_http2(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        requests: Requests,
    ) -> Result<(), ConnectionError> {
        let limits = &self.limits;
        let service = service_fn(|request| requests.answer(request));
        let connection = http2::Builder::new(TrackedExecutor(self.tasks.clone()))
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.max_concurrent_streams)
            .max_pending_accept_reset_streams(limits.max_reset_streams)
            .max_local_error_reset_streams(limits.max_reset_streams)
            .max_header_list_size(limits.max_header_bytes)
            .keep_alive_interval(limits.ping_interval)
            .keep_alive_timeout(limits.ping_timeout)
            .serve_connection(TokioIo::new(stream), service);
        self.drive(connection, &requests).await
    }

    /// Runs a connection to its end, which begins gracefully once the listener drains or when no
    /// request has come in time.
    async fn drive<C>(&self, connection: C, requests: &Requests) -> Result<(), ConnectionError>
    where
        C: GracefulConnection<Error = hyper::Error>,
    {
        let patience = self.limits.first_request_timeout;
        let silent = async {
            sleep(patience).await;
            if requests.any() {
                pending::<()>().await;
            }
        };
        let mut connection = pin!(connection);
        tokio::select! {
            biased;
            ended = connection.as_mut() => return Ok(ended?),
            () = self.drain.cancelled() => {
                connection.as_mut().graceful_shutdown();
                return Ok(connection.await?);
            }
            () = silent => connection.as_mut().graceful_shutdown(),
        }
        // A client that is merely slow has its first request answered; a mute one is hung up on.
        match timeout(patience, connection.as_mut()).await {
            Ok(ended) => Ok(ended?),
            Err(_elapsed) if requests.any() => Ok(connection.await?),
            Err(elapsed) => Err(elapsed.into()),
        }
    }
}

async fn handshake(
    store: &ServingStore,
    stream: TcpStream,
) -> Result<TlsStream<TcpStream>, ConnectionError> {
    let config = store
        .current()
        .ok_or("no serving certificate is published yet")?;
    Ok(TlsAcceptor::from(config).accept(stream).await?)
}

/// The requests of one connection: adds what is known of the peer, calls the router.
#[derive(Clone)]
struct Requests {
    router: Router,
    certificates: PeerCertificates,
    address: PeerAddress,
    any: Arc<AtomicBool>,
}

impl Requests {
    fn answer(
        &self,
        mut request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<Body>, Infallible>> + Send + 'static {
        self.any.store(true, Ordering::Relaxed);
        request.extensions_mut().insert(self.certificates.clone());
        request.extensions_mut().insert(self.address);
        let mut router = self.router.clone();
        // hyper drops the whole connection when a handler panics, and with it everybody's requests.
        AssertUnwindSafe(async move { router.call(request).await })
            .catch_unwind()
            .map(|caught| caught.unwrap_or_else(|panic| Ok(answer_to_panic(panic.as_ref()))))
    }

    fn any(&self) -> bool {
        self.any.load(Ordering::Relaxed)
    }
}

/// As the Kubernetes API server does (`WithPanicRecovery`): 500 in plain text, the cause in the
/// log only.
fn answer_to_panic(panic: &(dyn Any + Send)) -> Response<Body> {
    let message = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("of unknown kind");
    tracing::error!(panic = message, "a request handler panicked");
    (
        StatusCode::INTERNAL_SERVER_ERROR,
        "the server failed on this request; its log says more\n",
    )
        .into_response()
}

/// Runs HTTP/2 streams as tasks that the listener waits for.
#[derive(Clone)]
struct TrackedExecutor(TaskTracker);

impl<F> Executor<F> for TrackedExecutor
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        drop(self.0.spawn(stream));
    }
}

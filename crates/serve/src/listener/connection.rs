//! One connection, from the TCP accept to its end.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use axum::Router;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::handshakes::Turn;
use super::places::{Place, Places, Standing};
use super::requests::Requests;
use super::{ListenerLimits, PeerAddress, PeerCertificates, PeerTrust};
use crate::throttle::Throttle;
use crate::tls::ServingStore;
use crate::tracked::TrackedExecutor;

/// Bytes of unread bodies that a trusted peer may send on all its requests together.
const TRUSTED_WINDOW: u32 = 16 * 1024 * 1024;

pub(super) enum Transport {
    Tls {
        store: Arc<ServingStore>,
        trust: PeerTrust,
    },
    Plain,
}

/// What all connections of one listener share.
pub(super) struct Connections {
    pub(super) transport: Transport,
    pub(super) limits: ListenerLimits,
    pub(super) places: Places,
    /// Lets the log tell now and then that there is no place.
    pub(super) full: Throttle,
    pub(super) router: Router,
    pub(super) drain: CancellationToken,
    pub(super) abort: CancellationToken,
    pub(super) tasks: TaskTracker,
}

type ConnectionError = Box<dyn std::error::Error + Send + Sync>;

impl Connections {
    /// Serves one connection, whose handshake has `turn`.
    pub(super) async fn run(self: Arc<Self>, stream: TcpStream, address: SocketAddr, turn: Turn) {
        match self
            .abort
            .run_until_cancelled(self.serve(stream, address, turn))
            .await
        {
            None | Some(Ok(())) => {}
            Some(Err(error)) => tracing::debug!(%address, error, "connection ended with an error"),
        }
    }

    async fn serve(
        &self,
        stream: TcpStream,
        address: SocketAddr,
        turn: Turn,
    ) -> Result<(), ConnectionError> {
        // Answers are small and whole; waiting to fill a segment only delays them.
        stream.set_nodelay(true)?;
        match &self.transport {
            Transport::Plain => {
                drop(turn);
                let requests = self.requests(address, &[]);
                let _place = self.place(&requests)?;
                Box::pin(self.serve_http1(stream, requests)).await
            }
            Transport::Tls { store, .. } => {
                let handshake = timeout(self.limits.handshake_timeout, handshake(store, stream));
                let stream = turn
                    .run(handshake)
                    .await
                    .ok_or("gave up the handshake in favour of newer ones")???;
                let (_, session) = stream.get_ref();
                let requests = self.requests(address, session.peer_certificates().unwrap_or(&[]));
                let _place = self.place(&requests)?;
                if session.alpn_protocol() == Some(b"h2") {
                    Box::pin(self.serve_http2(stream, requests)).await
                } else {
                    Box::pin(self.serve_http1(stream, requests)).await
                }
            }
        }
    }

    fn requests(&self, address: SocketAddr, chain: &[CertificateDer<'static>]) -> Requests {
        let certificates = PeerCertificates(Arc::from(chain));
        Requests {
            router: self.router.clone(),
            standing: self.standing(&certificates),
            certificates,
            address: PeerAddress(address),
            any: Arc::default(),
            tasks: self.tasks.clone(),
        }
    }

    fn standing(&self, certificates: &PeerCertificates) -> Standing {
        match &self.transport {
            Transport::Tls { trust, .. } if trust.trusts(certificates) => Standing::Trusted,
            Transport::Tls { .. } | Transport::Plain => Standing::Stranger,
        }
    }

    fn place(&self, requests: &Requests) -> Result<Place<'_>, ConnectionError> {
        self.places.take(requests.standing).ok_or_else(|| {
            if self.full.lets_pass() {
                let (address, peer) = (requests.address.0, requests.standing);
                tracing::warn!(%address, ?peer, "hung up on a connection, because there are too many");
            }
            "there are too many connections".into()
        })
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
        let mut builder = http2::Builder::new(TrackedExecutor(self.tasks.clone()));
        builder
            .timer(TokioTimer::new())
            .max_header_list_size(limits.max_header_bytes)
            .keep_alive_interval(limits.ping_interval)
            .keep_alive_timeout(limits.ping_timeout);
        match requests.standing {
            // h2 counts the resets that a peer provokes over the whole life of a connection, and
            // this one lives for weeks: any bound is reached some day, and then everybody's requests
            // end. Nor is there much to count against: hyper drops a handler with its stream.
            //
            // Small frames are forgiven up to half the window (`Counts::record_data_frame`), until
            // somebody reads them: on a machine without a moment to spare they pile up.
            Standing::Trusted => builder
                .initial_connection_window_size(TRUSTED_WINDOW)
                .max_concurrent_streams(limits.max_concurrent_streams)
                .max_pending_accept_reset_streams(limits.max_reset_streams)
                .max_local_error_reset_streams(None::<usize>),
            Standing::Stranger => builder
                .max_concurrent_streams(limits.max_stranger_streams)
                .max_pending_accept_reset_streams(limits.max_stranger_streams as usize)
                .max_local_error_reset_streams(limits.max_stranger_streams as usize),
        };
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        self.drive(connection, &requests).await
    }

    /// Runs a connection to its end, which begins gracefully once the listener drains or when the
    /// peer's time is over.
    async fn drive<C>(&self, connection: C, requests: &Requests) -> Result<(), ConnectionError>
    where
        C: GracefulConnection<Error = hyper::Error>,
    {
        let mut connection = pin!(connection);
        tokio::select! {
            biased;
            ended = connection.as_mut() => return Ok(ended?),
            () = self.drain.cancelled() => {
                connection.as_mut().graceful_shutdown();
                return Ok(connection.await?);
            }
            () = self.time_of(requests) => connection.as_mut().graceful_shutdown(),
        }
        // A client that is merely slow has its answers; one that takes none is hung up on.
        Ok(timeout(self.limits.farewell, connection).await??)
    }

    /// Ends with the time of a peer: when no request of a stranger has come, when he has had his
    /// share, and when a trusted peer is no longer that.
    async fn time_of(&self, requests: &Requests) {
        let mut from = Instant::now();
        sleep_until(from + self.limits.first_request_timeout).await;
        // A trusted peer may connect before it has anything to ask.
        if !requests.any() && requests.standing != Standing::Trusted {
            return;
        }
        loop {
            from += self.limits.stranger_lifetime;
            sleep_until(from).await;
            let is_trusted = requests.standing == Standing::Trusted
                && self.standing(&requests.certificates) == Standing::Trusted;
            if !is_trusted {
                return;
            }
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

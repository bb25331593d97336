//! The accept loop: connections in, requests out.
//!
//! Our own rather than axum-server's 0.9, whose source shows four things that do not fit: it
//! spawns detached tasks that outlive a dropped server, drops handshakes in progress when it
//! drains, starts HTTP/2 streams on detached tasks as well, and tells nobody when a panic ends one.
//! The parts that are hard (HTTP/1, HTTP/2, TLS) are hyper and rustls in either case.

mod connection;
mod handshakes;
mod places;
mod requests;
#[cfg(test)]
mod tests;
mod unread;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use futures_util::FutureExt;
use rustls_pki_types::CertificateDer;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::connection::{Connections, Transport};
use self::handshakes::Handshakes;
use self::places::Places;
use crate::throttle::Throttle;
use crate::tls::ServingStore;

/// How long the loop rests after an error that is not one connection's own, such as no free file
/// descriptor: long enough not to spin, short enough that nobody notices.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How many connections are accepted before everything else has its turn.
const ACCEPTS_IN_A_ROW: u32 = 16;

/// How often the log tells of connections beyond the limit.
const FULL_WARNING_INTERVAL: Duration = Duration::from_secs(10);

/// Request extension: the chain (leaf first) whose key the client proved to hold, empty when it
/// showed none. Shared by all requests of a connection. Proof of possession only; see
/// [`ClientTrust`](crate::client_trust::ClientTrust).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCertificates(pub Arc<[CertificateDer<'static>]>);

/// Request extension: the address at the other end of the TCP connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddress(pub SocketAddr);

/// Which peers others come through, such as the front proxy: those that `is_trusted` says yes to,
/// by the certificates that they hold. All others are strangers.
///
/// It decides no request, only how much of the listener a connection may use. It is asked after
/// each handshake and then from time to time, so it has to be quick.
#[derive(Clone)]
pub struct PeerTrust(Arc<dyn Fn(&PeerCertificates) -> bool + Send + Sync>);

impl PeerTrust {
    /// Asks `is_trusted`.
    pub fn new(is_trusted: impl Fn(&PeerCertificates) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(is_trusted))
    }

    /// Trusts nobody: all are strangers.
    pub fn nobody() -> Self {
        Self::new(|_| false)
    }

    /// Whether such a peer is trusted now.
    pub fn trusts(&self, peer: &PeerCertificates) -> bool {
        (self.0)(peer)
    }
}

impl fmt::Debug for PeerTrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PeerTrust")
    }
}

/// What connections may use. The default fits door A. A trusted peer there is the aggregator, whose
/// connections carry everybody's logins: no idle timeout, no age limit, and room for many clients
/// that hang up at once.
#[derive(Clone, Debug)]
pub struct ListenerLimits {
    /// Connections at a time, handshakes apart; more are hung up on at once.
    pub max_connections: usize,
    /// How many of them may be strangers', so that those cannot keep the trusted out.
    pub max_strangers: usize,
    /// TLS handshakes in progress; beyond these, the one that began longest ago is given up.
    pub max_handshakes: usize,
    /// From TCP accept to the end of the TLS handshake.
    pub handshake_timeout: Duration,
    /// From the handshake to the head of the first request.
    pub first_request_timeout: Duration,
    /// How long a stranger may use a connection, and how often a peer is looked at that is not one.
    pub stranger_lifetime: Duration,
    /// How long what is in flight may take when a connection's time is over.
    pub farewell: Duration,
    /// For each HTTP/1 request head, the idle time before it included.
    pub header_read_timeout: Duration,
    /// Requests at a time on one HTTP/2 connection.
    pub max_concurrent_streams: u32,
    /// The same for a stranger's connection, and the resets that it may cause.
    pub max_stranger_streams: u32,
    /// HTTP/2 streams that a trusted peer may have reset before they were looked at; with more at a
    /// time the connection is closed for abuse. Each hung-up login at the API server is such a reset
    /// on the shared connection.
    pub max_reset_streams: usize,
    /// All header names and values of a request, in bytes (HTTP/2 adds 32 for each). The
    /// aggregator sends one header per group of the user.
    pub max_header_bytes: u32,
    /// HTTP/1 header lines per request; HTTP/2 counts bytes only.
    pub max_headers: usize,
    /// Interval of HTTP/2 pings, by which a peer that vanished is noticed.
    pub ping_interval: Duration,
    /// How long the answer to a ping may take.
    pub ping_timeout: Duration,
}

impl Default for ListenerLimits {
    fn default() -> Self {
        Self {
            max_connections: 1024,
            max_strangers: 768,
            max_handshakes: 512,
            handshake_timeout: Duration::from_secs(5),
            first_request_timeout: Duration::from_secs(5),
            stranger_lifetime: Duration::from_secs(30),
            farewell: Duration::from_secs(10),
            header_read_timeout: Duration::from_secs(30),
            max_concurrent_streams: 1000,
            // RFC 9113, 6.5.2, wants no fewer.
            max_stranger_streams: 100,
            max_reset_streams: 4000,
            max_header_bytes: 256 * 1024,
            max_headers: 1024,
            ping_interval: Duration::from_secs(30),
            ping_timeout: Duration::from_secs(20),
        }
    }
}

/// Serves `router` over TLS until `drain` is cancelled, then ends gracefully: no new connections,
/// HTTP/2 clients are told by GOAWAY with the highest stream id, a ping and a final GOAWAY, and
/// what is in flight has `grace` to end. Connections still open then are dropped.
///
/// Peers that `trust` is not given to are strangers: they get a part of the places, a part of the
/// streams, and a connection for [`ListenerLimits::stranger_lifetime`]. What they may *do* is the
/// router's business.
///
/// A client that connects before `store` has a certificate is hung up on. Errors of accept are
/// logged and survived. When this function returns, or its future is dropped, no task of its own
/// is left.
pub async fn serve_tls(
    listener: TcpListener,
    store: Arc<ServingStore>,
    trust: PeerTrust,
    limits: ListenerLimits,
    router: Router,
    drain: CancellationToken,
    grace: Duration,
) {
    serve(
        listener,
        Transport::Tls { store, trust },
        limits,
        router,
        drain,
        grace,
    )
    .await;
}

/// As [`serve_tls`], in plain HTTP/1.1, for probes and scrapers, who are all strangers.
pub async fn serve_plain(
    listener: TcpListener,
    limits: ListenerLimits,
    router: Router,
    drain: CancellationToken,
    grace: Duration,
) {
    serve(listener, Transport::Plain, limits, router, drain, grace).await;
}

async fn serve(
    listener: TcpListener,
    transport: Transport,
    limits: ListenerLimits,
    router: Router,
    drain: CancellationToken,
    grace: Duration,
) {
    let tasks = TaskTracker::new();
    let abort = CancellationToken::new();
    let _abort_when_dropped = abort.clone().drop_guard();
    let mut handshakes = Handshakes::new(limits.max_handshakes);
    let connections = Arc::new(Connections {
        transport,
        places: Places::new(&limits),
        full: Throttle::new(FULL_WARNING_INTERVAL),
        limits,
        // Lets axum prepare its routes once instead of per request.
        router: router.with_state(()),
        drain: drain.clone(),
        abort: abort.clone(),
        tasks: tasks.clone(),
    });
    let mut start = |(stream, address): (TcpStream, SocketAddr)| {
        let turn = handshakes.begin();
        tasks.spawn(Arc::clone(&connections).run(stream, address, turn));
    };

    let mut in_a_row = 0;
    while let Some(accepted) = drain.run_until_cancelled(accept(&listener)).await {
        start(accepted);
        // A flood of connections must not keep those from their turn that are there already.
        in_a_row = (in_a_row + 1) % ACCEPTS_IN_A_ROW;
        if in_a_row == 0 {
            tokio::task::yield_now().await;
        }
    }
    // Closing the listener would reset what the kernel has accepted in our name.
    while let Some(Ok(accepted)) = listener.accept().now_or_never() {
        start(accepted);
    }
    drop(listener);

    tasks.close();
    if tokio::time::timeout(grace, tasks.wait()).await.is_err() {
        tracing::warn!(
            connections = tasks.len(),
            "dropping connections that did not end in time"
        );
        abort.cancel();
        tasks.wait().await;
    }
}

/// The next connection, however many errors come before it.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    let mut failing = false;
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                if !failing {
                    tracing::warn!(%error, "failed to accept connections, trying on");
                    failing = true;
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}

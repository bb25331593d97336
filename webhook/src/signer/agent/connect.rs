//! How a connection to an agent comes about: TCP, mutual TLS, HTTP/2.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use haulout_serve::server_trust::ServerChain;
use haulout_serve::tls::IdentityError;
use haulout_serve::tracked::TrackedExecutor;
use http_body_util::Full;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls_pki_types::{InvalidDnsNameError, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::SERVER_NAME;

/// For the TCP connection and the TLS handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How often an HTTP/2 ping asks whether the peer is there, and how long the answer may take.
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("failed to connect")]
    Tcp(#[source] io::Error),
    #[error("{SERVER_NAME} is no DNS name")]
    Name(#[source] InvalidDnsNameError),
    #[error("failed the TLS handshake; check that both sides have the same CA")]
    Tls(#[source] io::Error),
    #[error("failed to begin HTTP/2")]
    Http(#[source] hyper::Error),
    #[error("no answer within {} s", CONNECT_TIMEOUT.as_secs())]
    Timeout,
    #[error("the agent ended the connection at once; its log says why")]
    ShortLived,
    #[error("the agent's certificate is not trusted any more")]
    Untrusted(#[source] IdentityError),
}

/// An open connection and whom it leads to.
pub(super) struct Connection {
    pub(super) sender: http2::SendRequest<Full<Bytes>>,
    pub(super) chain: ServerChain,
}

/// Connects to the agent at this address. The token is cancelled when the connection has ended.
///
/// # Errors
/// [`ConnectError`]: the step that failed.
pub(super) async fn connect(
    address: &str,
    connector: &TlsConnector,
    tasks: &TaskTracker,
) -> Result<(Connection, CancellationToken), ConnectError> {
    let connect = async {
        let tcp = TcpStream::connect(address)
            .await
            .map_err(ConnectError::Tcp)?;
        // Calls are small and must not wait for each other's acknowledgements.
        tcp.set_nodelay(true).map_err(ConnectError::Tcp)?;
        let name = ServerName::try_from(SERVER_NAME).map_err(ConnectError::Name)?;
        connector
            .connect(name, tcp)
            .await
            .map_err(ConnectError::Tls)
    };
    let tls = tokio::time::timeout(CONNECT_TIMEOUT, connect)
        .await
        .map_err(|_elapsed| ConnectError::Timeout)??;
    let chain = ServerChain::new(tls.get_ref().1.peer_certificates().unwrap_or_default());
    let (sender, connection) = http2::Builder::new(TrackedExecutor(tasks.clone()))
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .keep_alive_while_idle(true)
        .handshake(TokioIo::new(tls))
        .await
        .map_err(ConnectError::Http)?;
    let ended = CancellationToken::new();
    let guard = ended.clone().drop_guard();
    tasks.spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "connection to a signing agent failed");
        }
        drop(guard);
    });
    Ok((Connection { sender, chain }, ended))
}

//! A bounded load over one kept HTTP/2 connection: how long each request took and which failed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::ServerName;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_BODY: usize = 1024 * 1024;

/// Where the load goes.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Address to connect to; on this machine only.
    pub address: SocketAddr,
    /// Name that the server's certificate must hold.
    pub server_name: ServerName<'static>,
    /// Roots, and the client's certificate if it shows one.
    pub tls: Arc<rustls::ClientConfig>,
}

/// A kept HTTP/2 connection.
#[derive(Debug)]
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    _driver: JoinSet<()>,
}

impl Connection {
    /// Connects and shakes hands.
    ///
    /// # Errors
    /// The endpoint is not on this machine, refuses, does not speak HTTP/2, or takes longer than five seconds.
    pub async fn open(endpoint: &Endpoint) -> anyhow::Result<Self> {
        ensure!(
            endpoint.address.ip().is_loopback(),
            "load is for loopback addresses only"
        );
        tokio::time::timeout(CONNECT_TIMEOUT, Self::connect(endpoint))
            .await
            .with_context(|| format!("no handshake with {} within 5 s", endpoint.address))?
    }

    async fn connect(endpoint: &Endpoint) -> anyhow::Result<Self> {
        let tcp = TcpStream::connect(endpoint.address)
            .await
            .with_context(|| format!("failed to connect to {}", endpoint.address))?;
        tcp.set_nodelay(true)?;
        let tls = TlsConnector::from(Arc::clone(&endpoint.tls))
            .connect(endpoint.server_name.clone(), tcp)
            .await
            .context("TLS handshake failed")?;
        ensure!(
            tls.get_ref().1.alpn_protocol() == Some(b"h2"),
            "the server does not offer HTTP/2"
        );
        let (sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(tls)).await?;
        let mut driver = JoinSet::new();
        driver.spawn(async move { drop(connection.await) });
        Ok(Self {
            sender,
            _driver: driver,
        })
    }

    /// Sends one request and reads the whole answer.
    ///
    /// # Errors
    /// The connection broke, or no answer came within ten seconds.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> anyhow::Result<(StatusCode, Bytes)> {
        let mut sender = self.sender.clone();
        tokio::time::timeout(REQUEST_TIMEOUT, async move {
            sender.ready().await?;
            let response = sender.send_request(request).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_BODY)
                .collect()
                .await
                .map_err(|error| anyhow::anyhow!("failed to read the answer: {error}"))?
                .to_bytes();
            Ok((status, body))
        })
        .await
        .context("no answer within 10 s")?
    }
}

/// How much load.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// Requests in all.
    pub requests: usize,
    /// Requests under way at once.
    pub streams: usize,
    /// Requests per second over all streams; as fast as answers come when absent.
    pub rate: Option<f64>,
}

/// What the load saw.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Time from when each good request was due, or from when an idle stream woke for it, until its whole answer was read;
    /// ascending.
    pub latencies: Vec<Duration>,
    /// What each failed request said.
    pub failures: Vec<String>,
    /// From the first request to the last answer.
    pub elapsed: Duration,
}

impl Outcome {
    /// The latency that `quantile` (0 to 1) of the good requests did not exceed.
    pub fn quantile(&self, quantile: f64) -> Option<Duration> {
        let last = self.latencies.len().checked_sub(1)?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index below the length, rounded"
        )]
        let index = (last as f64 * quantile.clamp(0.0, 1.0)).round() as usize;
        self.latencies.get(index).copied()
    }

    /// Good requests per second.
    pub fn throughput(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52 requests")]
        let good = self.latencies.len() as f64;
        good / self.elapsed.as_secs_f64()
    }
}

/// Sends `plan.requests` requests made by `make` (called with the request's number) and judges each answer by `judge`.
pub async fn run<M, J>(connection: &Arc<Connection>, plan: Plan, make: M, judge: J) -> Outcome
where
    M: Fn(usize) -> Request<Full<Bytes>> + Send + Sync + 'static,
    J: Fn(StatusCode, &Bytes) -> Result<(), String> + Send + Sync + 'static,
{
    let (make, judge) = (Arc::new(make), Arc::new(judge));
    let next = Arc::new(AtomicUsize::new(0));
    let start = Instant::now();
    let mut streams = JoinSet::new();
    for _ in 0..plan.streams {
        let (connection, make, judge, next) = (
            Arc::clone(connection),
            Arc::clone(&make),
            Arc::clone(&judge),
            Arc::clone(&next),
        );
        streams.spawn(async move {
            let mut seen = Outcome::default();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= plan.requests {
                    return seen;
                }
                let due = due(start, number, plan.rate);
                let begun = if Instant::now() < due {
                    // The stream is idle: that the timer wakes it up to a millisecond late is not the server's doing.
                    tokio::time::sleep_until(due.into()).await;
                    Instant::now()
                } else {
                    due
                };
                let verdict = match connection.send(make(number)).await {
                    Ok((status, body)) => judge(status, &body),
                    Err(error) => Err(format!("{error:#}")),
                };
                match verdict {
                    Ok(()) => seen.latencies.push(begun.elapsed()),
                    Err(failure) => seen.failures.push(failure),
                }
            }
        });
    }
    let mut all = Outcome::default();
    while let Some(joined) = streams.join_next().await {
        match joined {
            Ok(seen) => {
                all.latencies.extend(seen.latencies);
                all.failures.extend(seen.failures);
            }
            Err(error) => all
                .failures
                .push(format!("a stream of the load ended: {error}")),
        }
    }
    all.elapsed = start.elapsed();
    all.latencies.sort_unstable();
    all
}

/// When request `number` is due: now without a rate, so that latency is the request's own.
fn due(start: Instant, number: usize, rate: Option<f64>) -> Instant {
    rate.map_or_else(Instant::now, |rate| {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52 requests")]
        let offset = number as f64 / rate;
        start + Duration::from_secs_f64(offset)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_ranks_of_the_sorted_latencies() {
        let outcome = Outcome {
            latencies: (1..=101).map(Duration::from_millis).collect(),
            failures: vec![],
            elapsed: Duration::from_secs(1),
        };
        assert_eq!(outcome.quantile(0.0), Some(Duration::from_millis(1)));
        assert_eq!(outcome.quantile(0.5), Some(Duration::from_millis(51)));
        assert_eq!(outcome.quantile(0.99), Some(Duration::from_millis(100)));
        assert_eq!(outcome.quantile(1.0), Some(Duration::from_millis(101)));
        assert_eq!(Outcome::default().quantile(0.5), None);
    }

    #[test]
    fn rate_spaces_requests_evenly() {
        let start = Instant::now();
        assert_eq!(
            due(start, 50, Some(100.0)) - start,
            Duration::from_millis(500)
        );
    }
}

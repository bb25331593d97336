//! One agent: the connection that is kept to it, and what is known of its state.

mod connect;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use haulout_operate::clock::Clock;
use haulout_operate::error::chain;
use haulout_serve::throttle::{Throttle, millis};
use haulout_serve::tls::IdentityError;
use http::{HeaderValue, Request, Uri, header};
use http_body_util::Full;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::connect::{ConnectError, Connection, connect};
use super::credentials::CredentialStore;
use super::fault::LastingFault;
use super::health::Connections;

/// The name that every agent's certificate must have, wherever the agent listens.
pub const SERVER_NAME: &str = "haulout-agent.haulout-agent.svc";

/// [`SERVER_NAME`] with the path of the call.
const CALL: &str = "https://haulout-agent.haulout-agent.svc/v1/certificates";

/// The wait after a first failure to connect; it doubles up to the last.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LAST_BACKOFF: Duration = Duration::from_secs(5);
/// A connection that ended sooner counts as a failure to connect.
const SHORT_LIFE: Duration = Duration::from_secs(1);
/// How long an agent that failed or was slow is asked only after all others.
const SIDELINED: Duration = Duration::from_secs(5);
/// How far the clocks may differ before it is said, and how often it is said.
pub(crate) const CLOCK_DIFFERENCE_LIMIT: f64 = 30.0;
const CLOCK_WARNING_INTERVAL: Duration = Duration::from_secs(60);

pub(super) type ClockDifference = Gauge<f64, AtomicU64>;

/// How long before a connection counts no more, since a certificate ends, another takes its place, and
/// how often that is looked at.
const BEFORE_END: Duration = Duration::from_secs(300);
const LOOK_INTERVAL: Duration = Duration::from_secs(60);

/// One agent and the connection to it.
pub(super) struct Agent {
    address: String,
    credentials: Arc<CredentialStore>,
    clock: Clock,
    connection: ArcSwapOption<Connection>,
    /// Someone needs this agent now: a back-off ends early.
    wanted: Notify,
    fault: LastingFault,
    is_ready: AtomicBool,
    epoch: Instant,
    /// Milliseconds since the epoch.
    sidelined_until: AtomicU64,
    clock_warnings: Throttle,
    clock_difference: ClockDifference,
}

impl Agent {
    pub(super) fn new(
        address: String,
        credentials: Arc<CredentialStore>,
        clock: Clock,
        clock_difference: ClockDifference,
    ) -> Self {
        Self {
            address,
            credentials,
            clock,
            connection: ArcSwapOption::empty(),
            wanted: Notify::new(),
            fault: LastingFault::default(),
            is_ready: AtomicBool::new(true),
            epoch: Instant::now(),
            sidelined_until: AtomicU64::new(0),
            clock_warnings: Throttle::new(CLOCK_WARNING_INTERVAL),
            clock_difference,
        }
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Whether there is a connection, and the agent at its end is trusted now.
    pub(super) fn is_connected(&self) -> bool {
        self.counts_at(self.clock.now())
    }

    fn counts_at(&self, now: SystemTime) -> bool {
        self.connection.load().as_ref().is_some_and(|connection| {
            !connection.sender.is_closed() && self.judge(connection, now).is_ok()
        })
    }

    fn judge(&self, connection: &Connection, now: SystemTime) -> Result<(), IdentityError> {
        self.credentials.trust().verify(&connection.chain, now)
    }

    /// Whether the cluster counts this agent as ready; it may be asked in any case.
    pub(super) fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Relaxed)
    }

    pub(super) fn set_ready(&self, is_ready: bool) {
        self.is_ready.store(is_ready, Ordering::Relaxed);
    }

    pub(super) fn is_sidelined(&self) -> bool {
        self.sidelined_until.load(Ordering::Relaxed) > self.now()
    }

    /// Asks this agent only after all others, for a while.
    pub(super) fn sideline(&self) {
        let until = self.now().saturating_add(millis(SIDELINED));
        self.sidelined_until.store(until, Ordering::Relaxed);
    }

    /// Ends a back-off.
    pub(super) fn want(&self) {
        self.wanted.notify_one();
    }

    /// Why there is no connection, as long as there is none.
    pub(super) fn fault(&self) -> Option<String> {
        self.fault.text()
    }

    /// Sends one call; `None` where there is no connection to an agent that is trusted now.
    pub(super) fn call(
        &self,
        body: Bytes,
    ) -> Option<impl Future<Output = hyper::Result<http::Response<hyper::body::Incoming>>> + use<>>
    {
        let connection = self.connection.load_full()?;
        self.judge(&connection, self.clock.now()).ok()?;
        let mut sender = connection.sender.clone();
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = Uri::from_static(CALL);
        request.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        Some(async move { sender.send_request(request).await })
    }

    /// Notes how the agent's clock differs from ours, and gives it: seconds, positive when it is ahead.
    pub(super) fn observe_clock(&self, agent_millis: i64, ours: SystemTime) -> f64 {
        let difference = clock_difference(agent_millis, ours);
        self.clock_difference.set(difference);
        if difference.abs() > CLOCK_DIFFERENCE_LIMIT && self.clock_warnings.lets_pass() {
            tracing::warn!(
                agent = self.address,
                difference_seconds = difference,
                "the clocks of agent and webhook differ; certificates may not be valid yet or no longer"
            );
        }
        difference
    }

    /// Keeps a connection until `stop`, made anew when it ends, when the credentials change, and before
    /// it counts no more. `connections` are told of each one.
    pub(super) async fn keep_connected(
        self: Arc<Self>,
        connections: Arc<Connections>,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) {
        let mut credentials = self.credentials.connector();
        let keep = async {
            let mut backoff = Duration::ZERO;
            loop {
                let Ok(connector) = credentials
                    .wait_for(Option::is_some)
                    .await
                    .map(|c| c.clone())
                else {
                    return;
                };
                // The wait above has marked the value as seen.
                let Some(connector) = connector else { continue };
                let begun = Instant::now();
                let fault = match connect(&self.address, &connector, &tasks).await {
                    Ok((connection, ended)) => {
                        self.publish(connection, &connections);
                        tokio::select! {
                            () = ended.cancelled() => {}
                            // The next connection takes this one's place.
                            _ = credentials.changed() => { backoff = Duration::ZERO; continue; }
                            () = self.near_its_end() => { backoff = Duration::ZERO; continue; }
                        }
                        if begun.elapsed() >= SHORT_LIFE {
                            tracing::info!(
                                agent = self.address,
                                "connection to the signing agent ended"
                            );
                            backoff = Duration::ZERO;
                            continue;
                        }
                        ConnectError::ShortLived
                    }
                    Err(error) => error,
                };
                self.note(&fault);
                self.end_if_untrusted();
                backoff = (backoff * 2).clamp(FIRST_BACKOFF, LAST_BACKOFF);
                tokio::time::sleep(FIRST_BACKOFF).await;
                // Elapsed or wanted: either way it is time.
                drop(tokio::time::timeout(backoff - FIRST_BACKOFF, self.wanted.notified()).await);
            }
        };
        stop.run_until_cancelled(keep).await;
        // The last handle gone, what is in flight ends and then the connection.
        self.connection.store(None);
    }

    /// Waits until the connection will soon count no more.
    async fn near_its_end(&self) {
        loop {
            tokio::time::sleep(LOOK_INTERVAL).await;
            if !self.counts_at(self.clock.now() + BEFORE_END) {
                return;
            }
        }
    }

    /// Lets go of a connection that nobody may be asked by any more; what is in flight ends first.
    fn end_if_untrusted(&self) {
        let connection = self.connection.load_full();
        let judged = connection.map(|connection| self.judge(&connection, self.clock.now()));
        if let Some(Err(error)) = judged {
            self.note(&ConnectError::Untrusted(error));
            self.connection.store(None);
        }
    }

    fn publish(&self, connection: Connection, connections: &Connections) {
        self.connection.store(Some(Arc::new(connection)));
        self.fault.clear();
        self.sidelined_until.store(0, Ordering::Relaxed);
        connections.note();
        tracing::info!(agent = self.address, "connected to the signing agent");
    }

    /// Keeps the fault for readiness; the log has it once.
    fn note(&self, fault: &ConnectError) {
        let text = chain(fault);
        if self.fault.note(&text) {
            tracing::warn!(
                agent = self.address,
                error = text,
                "no connection to the signing agent"
            );
        }
    }

    fn now(&self) -> u64 {
        millis(self.epoch.elapsed())
    }
}

impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agent")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// Seconds by which `agent_millis`, since the Unix epoch, is ahead of `ours`.
fn clock_difference(agent_millis: i64, ours: SystemTime) -> f64 {
    let ours = match ours.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => since.as_secs_f64(),
        Err(before) => -before.duration().as_secs_f64(),
    };
    agent_millis as f64 / 1000.0 - ours
}

#[cfg(test)]
mod tests {
    use haulout_api::signing::CERTIFICATES_PATH;

    use super::*;

    #[test]
    fn the_call_goes_to_the_documented_name_and_path() {
        assert_eq!(CALL, format!("https://{SERVER_NAME}{CERTIFICATES_PATH}"));
    }

    #[test]
    fn clock_difference_is_signed() {
        let ours = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        assert_eq!(clock_difference(1_031_500, ours), 31.5);
        assert_eq!(clock_difference(999_000, ours), -1.0);
        assert_eq!(
            clock_difference(0, SystemTime::UNIX_EPOCH - Duration::from_secs(2)),
            2.0
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_sidelined_agent_comes_back_after_a_while() {
        let agent = Agent::new(
            "a:1".into(),
            Arc::default(),
            Clock::system(),
            ClockDifference::default(),
        );
        assert!(!agent.is_sidelined());
        agent.sideline();
        assert!(agent.is_sidelined());
        tokio::time::advance(SIDELINED).await;
        assert!(!agent.is_sidelined());
    }
}

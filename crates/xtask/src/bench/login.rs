//! Logins straight at door A's listener, as the API server's aggregator sends them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use bytes::Bytes;
use haulout_tests::load::{self, Connection, Endpoint, Outcome, Plan};
use http::{Request, StatusCode};
use http_body_util::Full;
use rustls_pki_types::ServerName;

use super::process::cpu_time;

const STREAMS: usize = 8;

/// A running webhook and agent, and how to reach them as the aggregator does.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) webhook_pid: u32,
    pub(super) agent_pid: u32,
    pub(super) address: SocketAddr,
    pub(super) server_name: ServerName<'static>,
    /// Trusts the webhook's serving CA and shows the front proxy's certificate.
    pub(super) tls: Arc<rustls::ClientConfig>,
    pub(super) authenticator: String,
}

/// CPU time of each process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cost {
    pub(super) webhook: Duration,
    pub(super) agent: Duration,
    pub(super) generator: Duration,
}

impl Cost {
    pub(super) fn total(&self) -> Duration {
        self.webhook + self.agent
    }
}

impl Target {
    pub(super) async fn connect(&self) -> Result<Arc<Connection>> {
        let endpoint = Endpoint {
            address: self.address,
            server_name: self.server_name.clone(),
            tls: Arc::clone(&self.tls),
        };
        Ok(Arc::new(Connection::open(&endpoint).await?))
    }

    /// Sends `requests` logins with `token` and demands that each gets `expected`.
    pub(super) async fn logins(
        &self,
        connection: &Arc<Connection>,
        token: &str,
        expected: Answer,
        requests: usize,
        rate: Option<f64>,
    ) -> Result<Outcome> {
        let body = Bytes::from(self.body(token));
        let plan = Plan {
            requests,
            streams: STREAMS,
            rate,
        };
        let outcome = load::run(
            connection,
            plan,
            move |_| request(&body),
            move |status, answer| expected.judge(status, answer),
        )
        .await;
        ensure!(
            outcome.failures.is_empty(),
            "{} of {requests} requests went wrong; the first: {}",
            outcome.failures.len(),
            outcome.failures.first().map_or("", String::as_str)
        );
        Ok(outcome)
    }

    /// The same, with the CPU time that each process spent on it.
    pub(super) async fn cost_of_logins(
        &self,
        connection: &Arc<Connection>,
        token: &str,
        expected: Answer,
        requests: usize,
    ) -> Result<(Cost, Outcome)> {
        let before = self.spent()?;
        let outcome = self
            .logins(connection, token, expected, requests, None)
            .await?;
        let after = self.spent()?;
        let count = u32::try_from(requests)?;
        let each = |part: fn(&Cost) -> Duration| part(&after).saturating_sub(part(&before)) / count;
        let cost = Cost {
            webhook: each(|cost| cost.webhook),
            agent: each(|cost| cost.agent),
            generator: each(|cost| cost.generator),
        };
        Ok((cost, outcome))
    }

    /// CPU time of each process so far.
    fn spent(&self) -> Result<Cost> {
        Ok(Cost {
            webhook: cpu_time(self.webhook_pid)?,
            agent: cpu_time(self.agent_pid)?,
            generator: cpu_time(std::process::id())?,
        })
    }

    fn body(&self, token: &str) -> String {
        serde_json::json!({
            "kind": "TokenCredentialRequest",
            "apiVersion": "login.concierge.pinniped.dev/v1alpha1",
            "metadata": {},
            "spec": {
                "token": token,
                "authenticator": {
                    "apiGroup": "authentication.concierge.pinniped.dev",
                    "kind": "JWTAuthenticator",
                    "name": self.authenticator,
                },
            },
            "status": {},
        })
        .to_string()
    }
}

/// What each answer must be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Answer {
    Credential,
    AuthenticationFailed,
}

impl Answer {
    fn judge(self, status: StatusCode, body: &Bytes) -> Result<(), String> {
        let wanted: &[u8] = match self {
            Self::Credential => b"clientCertificateData",
            Self::AuthenticationFailed => b"authentication failed",
        };
        if status == StatusCode::CREATED && body.windows(wanted.len()).any(|w| w == wanted) {
            return Ok(());
        }
        // The answer to a failed login holds no secret, and a credential never gets here with 201.
        Err(format!(
            "{status}: {}",
            String::from_utf8_lossy(body)
                .chars()
                .take(200)
                .collect::<String>()
        ))
    }
}

fn request(body: &Bytes) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(body.clone()));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = http::Uri::from_static(
        "https://haulout-api.haulout-system.svc/apis/login.concierge.pinniped.dev/v1alpha1/tokencredentialrequests",
    );
    let headers = request.headers_mut();
    for (name, value) in [
        ("content-type", "application/json"),
        ("accept", "application/json"),
        ("user-agent", "haulout-bench"),
        ("x-remote-user", "system:anonymous"),
        ("x-remote-group", "system:unauthenticated"),
        ("x-forwarded-for", "127.0.0.1"),
    ] {
        headers.insert(name, http::HeaderValue::from_static(value));
    }
    request
}

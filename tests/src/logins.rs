//! Logins for the load: as the API server's aggregator sends them, straight to door A's listener.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use haulout_pki::bundle::CertificateBundle;
use haulout_serve::tls::{ClientIdentity, client_config};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::Full;
use rustix::time::{ClockId, clock_gettime};
use rustls_pki_types::ServerName;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::cluster::{AUTHENTICATOR, Cluster, HauloutStack};
use crate::load::{self, Connection, Endpoint, Plan};

const API_SERVICE: &str = "v1alpha1.login.concierge.pinniped.dev";
const SERVER_NAME: &str = "haulout-api.haulout-system.svc";
const URL: &str = "https://haulout-api.haulout-system.svc/apis/login.concierge.pinniped.dev/v1alpha1/tokencredentialrequests";

/// The webhook's listener as the aggregator reaches it; every file is read when it is connected to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Door {
    address: SocketAddr,
    /// What the APIService's `caBundle` held, PEM.
    roots: String,
    /// Files of the front proxy's certificate and key.
    certificate: PathBuf,
    key: PathBuf,
}

impl Door {
    /// Door A of `stack`.
    ///
    /// # Errors
    /// The APIService has no `caBundle` yet.
    pub async fn of(cluster: &Cluster, stack: &HauloutStack) -> anyhow::Result<Self> {
        let api_service = cluster
            .kubectl()
            .json(&["get", "apiservice", API_SERVICE])
            .await?;
        let bundle = api_service
            .pointer("/spec/caBundle")
            .and_then(Value::as_str)
            .with_context(|| format!("{API_SERVICE} has no caBundle"))?;
        let pair = cluster.pki().front_proxy_client();
        Ok(Self {
            address: ([127, 0, 0, 1], stack.addresses().webhook).into(),
            roots: String::from_utf8(STANDARD.decode(bundle)?)?,
            certificate: pair.certificate,
            key: pair.key,
        })
    }

    /// What to connect to, and how.
    ///
    /// # Errors
    /// A file cannot be read, or does not hold what it should.
    pub fn endpoint(&self) -> anyhow::Result<Endpoint> {
        let roots = CertificateBundle::parse_pem(self.roots.as_bytes())?;
        let identity = ClientIdentity::new();
        identity.publish(
            &std::fs::read(&self.certificate)?,
            &std::fs::read(&self.key)?,
        )?;
        Ok(Endpoint {
            address: self.address,
            server_name: ServerName::try_from(SERVER_NAME)?,
            tls: client_config(&roots, Some(Arc::new(identity)))?,
        })
    }
}

/// Logins that `haulout-test-load` makes: what it reads on standard input.
#[derive(Serialize, Deserialize)]
pub struct Job {
    /// Where to.
    pub door: Door,
    /// With which token, a secret.
    pub token: String,
    /// What each answer must be.
    pub expected: Answer,
    /// How many, and how fast.
    pub plan: Plan,
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Job")
    }
}

/// How the logins of a [`Job`] went: what `haulout-test-load` prints.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Logins per second.
    pub throughput: f64,
    /// Median time of a login, in seconds.
    pub p50: f64,
    /// Time that one login of a hundred exceeds, in seconds.
    pub p99: f64,
    /// CPU time that the load itself took for a login, in seconds.
    pub own_cpu: f64,
}

impl Job {
    /// Makes the logins.
    ///
    /// # Errors
    /// The door cannot be connected to, or an answer is not the expected one.
    pub async fn run(&self) -> anyhow::Result<Report> {
        let connection = Arc::new(Connection::open(&self.door.endpoint()?).await?);
        let body = Bytes::from(body(&self.token).to_string());
        let expected = self.expected;
        let before = process_cpu();
        let outcome = load::run(
            &connection,
            self.plan,
            move |_| request(&body),
            move |status, answer| expected.judge(status, answer),
        )
        .await;
        let cpu = process_cpu().saturating_sub(before);
        ensure!(
            outcome.failures.is_empty(),
            "{} of {} requests went wrong; the first: {}",
            outcome.failures.len(),
            self.plan.requests,
            outcome.failures.first().map_or("", String::as_str)
        );
        let quantile = |quantile| {
            let latency = outcome.quantile(quantile).context("no request was made")?;
            anyhow::Ok(latency.as_secs_f64())
        };
        Ok(Report {
            throughput: outcome.throughput(),
            p50: quantile(0.5)?,
            p99: quantile(0.99)?,
            own_cpu: cpu.as_secs_f64() / self.plan.requests.max(1) as f64,
        })
    }
}

fn process_cpu() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}

/// Body of a `TokenCredentialRequest` for the stack's authenticator.
pub fn body(token: &str) -> Value {
    json!({
        "kind": "TokenCredentialRequest",
        "apiVersion": "login.concierge.pinniped.dev/v1alpha1",
        "metadata": {},
        "spec": {
            "token": token,
            "authenticator": {
                "apiGroup": "authentication.concierge.pinniped.dev",
                "kind": "JWTAuthenticator",
                "name": AUTHENTICATOR,
            },
        },
        "status": {},
    })
}

/// The request of an anonymous client, as the aggregator passes it on.
pub fn request(body: &Bytes) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(body.clone()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::from_static(URL);
    for (name, value) in [
        ("content-type", "application/json"),
        ("accept", "application/json"),
        ("user-agent", "haulout-load"),
        ("x-remote-user", "system:anonymous"),
        ("x-remote-group", "system:unauthenticated"),
        ("x-forwarded-for", "127.0.0.1"),
    ] {
        request
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    request
}

/// What each answer must be.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Answer {
    /// 201 with a certificate.
    Credential,
    /// 201 with `authentication failed`.
    AuthenticationFailed,
}

impl Answer {
    /// Compares an answer with what it must be.
    ///
    /// # Errors
    /// It differs; the text has its status and beginning.
    pub fn judge(self, status: StatusCode, body: &Bytes) -> Result<(), String> {
        let wanted: &[u8] = match self {
            Self::Credential => b"clientCertificateData",
            Self::AuthenticationFailed => b"authentication failed",
        };
        if status == StatusCode::CREATED && body.windows(wanted.len()).any(|part| part == wanted) {
            return Ok(());
        }
        let shown: String = String::from_utf8_lossy(body).chars().take(200).collect();
        Err(format!("{status}: {shown}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_expected_answer_is_good() {
        let failed = Bytes::from_static(br#"{"status":{"message":"authentication failed"}}"#);
        let good =
            Bytes::from_static(br#"{"status":{"credential":{"clientCertificateData":"x"}}}"#);
        assert!(Answer::Credential.judge(StatusCode::CREATED, &good).is_ok());
        assert!(Answer::Credential.judge(StatusCode::OK, &good).is_err());
        assert!(
            Answer::Credential
                .judge(StatusCode::CREATED, &failed)
                .is_err()
        );
        assert!(
            Answer::AuthenticationFailed
                .judge(StatusCode::CREATED, &failed)
                .is_ok()
        );
        assert!(
            Answer::AuthenticationFailed
                .judge(StatusCode::CREATED, &good)
                .is_err()
        );
    }
}

//! The signing call, for the webhook only: mutual TLS, strict JSON, one audit line for each call.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Json, Router};
use haulout_api::signing::{
    CERTIFICATES_PATH, CertificateRequest, CertificateResponse, SigningFailure,
    SigningFailureReason, WEBHOOK_URI,
};
use haulout_operate::audit::AuditLog;
use haulout_operate::error::chain;
use haulout_pki::authority::IssuedCertificate;
use haulout_serve::client_trust::{ClientTrust, VerifiedClient};
use haulout_serve::listener::{PeerAddress, PeerCertificates, PeerTrust};

use crate::audit::{self, Client};
use crate::metrics::AgentMetrics;
use crate::sign::{Signer, failure, invalid};

/// Largest request body; a subject that a policy may allow is far smaller.
const BODY_LIMIT: usize = 256 * 1024;

/// How long a request body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the line of a caller that is not the webhook stands for all that follow: anybody who
/// reaches the port could fill the log otherwise.
const STRANGERS_INTERVAL: Duration = Duration::from_secs(10);

/// What a call needs.
pub(crate) struct SigningService {
    pub(crate) signer: Signer,
    pub(crate) trust: Arc<ClientTrust>,
    pub(crate) audit: AuditLog,
    pub(crate) strangers: Strangers,
    pub(crate) metrics: AgentMetrics,
}

/// Counts the calls of others than the webhook between the lines that tell of them.
#[derive(Debug, Default)]
pub(crate) struct Strangers(Mutex<Tally>);

#[derive(Debug, Default)]
struct Tally {
    told: Option<SystemTime>,
    untold: u64,
}

impl Strangers {
    /// How many calls, with this one, a line has to tell of at `now`; none while an earlier line
    /// stands for them. A clock set back does not keep lines away.
    fn count(&self, now: SystemTime) -> Option<u64> {
        let mut tally = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tally.untold += 1;
        let since = tally.told.and_then(|told| now.duration_since(told).ok());
        if since.is_some_and(|since| since < STRANGERS_INTERVAL) {
            return None;
        }
        tally.told = Some(now);
        Some(std::mem::take(&mut tally.untold))
    }
}

pub(crate) fn router(service: Arc<SigningService>) -> Router {
    Router::new()
        .route(CERTIFICATES_PATH, post(certificates))
        .with_state(service)
}

/// Trusts the webhook.
pub(crate) fn trust(service: &Arc<SigningService>) -> PeerTrust {
    let service = Arc::clone(service);
    PeerTrust::new(move |peer| {
        let now = service.signer.clock.now();
        service.authenticate(peer, now).is_ok()
    })
}

async fn certificates(
    State(service): State<Arc<SigningService>>,
    Extension(PeerAddress(address)): Extension<PeerAddress>,
    Extension(peer): Extension<PeerCertificates>,
    body: Body,
) -> Response {
    let client = Client {
        address,
        certificate_sha256: None,
    };
    service.answer(client, &peer, body).await
}

impl SigningService {
    async fn answer(&self, mut client: Client, peer: &PeerCertificates, body: Body) -> Response {
        let mut request = None;
        let outcome = match self.authenticate(peer, self.signer.clock.now()) {
            Err(failure) => Err(failure),
            Ok(verified) => {
                client.certificate_sha256 = Some(verified.sha256.clone());
                match read(body).await {
                    Err(failure) => Err(failure),
                    Ok(read) => self.signer.sign(request.insert(read)).await,
                }
            }
        };
        // Before the certificate leaves: none may exist outside without its line.
        let outcome = match self.record(&client, request.as_ref(), &outcome) {
            Ok(()) => outcome,
            Err(error) => {
                tracing::error!(%error, "failed to write an audit event");
                outcome.and_then(|_issued| {
                    let message = "the agent cannot write its audit log and signs nothing";
                    Err(failure(SigningFailureReason::Internal, message))
                })
            }
        };
        self.metrics.count(&outcome);
        match outcome {
            Ok(issued) => Json(response(issued, self.signer.clock.now())).into_response(),
            Err(failure) => refusal(&failure),
        }
    }

    /// Writes the line of a call.
    fn record(
        &self,
        client: &Client,
        request: Option<&CertificateRequest>,
        outcome: &Result<IssuedCertificate, SigningFailure>,
    ) -> io::Result<()> {
        let is_stranger = client.certificate_sha256.is_none();
        let calls = if is_stranger {
            let Some(calls) = self.strangers.count(self.signer.clock.now()) else {
                return Ok(());
            };
            Some(calls)
        } else {
            None
        };
        let policy = self.signer.policy.value();
        let names = policy.map_or_else(Default::default, |p| p.audit.log_usernames_and_groups);
        audit::write(&self.audit, client, calls, request, outcome, names)
    }

    /// The webhook, known by its certificate: from the CA in force, for client authentication, and
    /// with its URI.
    fn authenticate(
        &self,
        peer: &PeerCertificates,
        now: SystemTime,
    ) -> Result<Arc<VerifiedClient>, SigningFailure> {
        let refused = |message| failure(SigningFailureReason::Unauthenticated, message);
        let client = self
            .trust
            .verify(peer, now)
            .map_err(|error| refused(chain(&error)))?;
        if !client.uris.iter().any(|uri| uri == WEBHOOK_URI) {
            let message = format!("the client certificate has no URI {WEBHOOK_URI}");
            return Err(refused(message));
        }
        Ok(client)
    }
}

async fn read(body: Body) -> Result<CertificateRequest, SigningFailure> {
    let bytes = tokio::time::timeout(BODY_TIMEOUT, to_bytes(body, BODY_LIMIT))
        .await
        .map_err(|_elapsed| invalid("the request body took too long"))?
        .map_err(|_too_large_or_lost| {
            invalid("the request body is larger than 256 KiB or was cut short")
        })?;
    serde_json::from_slice(&bytes).map_err(|error| {
        // Where, not what: the library's own text may quote a name.
        let (line, column) = (error.line(), error.column());
        invalid(&format!(
            "the request is not what /v1 describes, at line {line} column {column}"
        ))
    })
}

fn response(issued: IssuedCertificate, now: SystemTime) -> CertificateResponse {
    CertificateResponse {
        certificate: issued.pem,
        not_before: since_epoch(issued.not_before).as_secs() as i64,
        not_after: since_epoch(issued.not_after).as_secs() as i64,
        x509_sha256: issued.x509_sha256,
        agent_time_millis: since_epoch(now).as_millis() as i64,
    }
}

/// A clock before 1970 is shown as 1970.
fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn refusal(failure: &SigningFailure) -> Response {
    let status = StatusCode::from_u16(failure.reason.http_status())
        .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, Json(failure)).into_response();
    if failure.reason == SigningFailureReason::RateLimited {
        let one_second = header::HeaderValue::from_static("1");
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, one_second);
    }
    response
}

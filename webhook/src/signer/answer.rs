//! One call to one agent, and what its answer means.

use std::sync::Arc;

use bytes::Bytes;
use haulout_api::signing::{CertificateResponse, SigningFailure};
use http::StatusCode;
use http_body_util::{BodyExt, Limited};
use hyper::body::Body;

use super::agent::Agent;
use super::error::SignerError;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Far more than the certificate of the largest subject that a policy allows.
const LIMIT: usize = 256 * 1024;

/// Sends `body` to `agent` and reads its answer; the caller sets the time limit.
pub(super) async fn ask(
    agent: Arc<Agent>,
    body: Bytes,
) -> (Arc<Agent>, Result<CertificateResponse, SignerError>) {
    let result = exchange(&agent, body).await;
    (agent, result)
}

async fn exchange(agent: &Agent, body: Bytes) -> Result<CertificateResponse, SignerError> {
    let lost = |source: BoxError| SignerError::Connection {
        agent: agent.address().to_owned(),
        source,
    };
    let call = agent
        .call(body)
        .ok_or_else(|| lost("the connection was closed".into()))?;
    let response = call.await.map_err(|error| lost(error.into()))?;
    let status = response.status();
    let body = whole(response.into_body()).await.map_err(lost)?;
    interpret(agent.address(), status, &body)
}

async fn whole(body: impl Body<Data = Bytes, Error: Into<BoxError>>) -> Result<Bytes, BoxError> {
    Ok(Limited::new(body, LIMIT).collect().await?.to_bytes())
}

/// A certificate, or what the agent or its answer lacks. Nothing is parsed beyond the JSON: the
/// API server will judge the certificate, and the agent is authenticated.
fn interpret(
    agent: &str,
    status: StatusCode,
    body: &[u8],
) -> Result<CertificateResponse, SignerError> {
    let protocol = |fault| SignerError::Protocol {
        agent: agent.to_owned(),
        fault,
    };
    if status == StatusCode::OK {
        let answer: CertificateResponse = serde_json::from_slice(body)
            .map_err(|error| protocol(format!("unreadable certificate, {}", position(&error))))?;
        if !is_plausible(&answer) {
            return Err(protocol("implausible certificate".to_owned()));
        }
        return Ok(answer);
    }
    let failure: SigningFailure = serde_json::from_slice(body).map_err(|error| {
        protocol(format!(
            "HTTP status {status}, unreadable reason, {}",
            position(&error)
        ))
    })?;
    if failure.reason.http_status() != status.as_u16() {
        return Err(protocol(format!(
            "HTTP status {status} with reason {:?}",
            failure.reason
        )));
    }
    Err(SignerError::Refused {
        agent: agent.to_owned(),
        failure,
    })
}

fn is_plausible(answer: &CertificateResponse) -> bool {
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    answer
        .certificate
        .starts_with("-----BEGIN CERTIFICATE-----\n")
        && answer.certificate.ends_with("-----END CERTIFICATE-----\n")
        && answer.not_before < answer.not_after
        && answer.x509_sha256.len() == 64
        && answer.x509_sha256.bytes().all(is_hex)
}

/// Where JSON is wrong, without the library's words, which may quote the answer.
fn position(error: &serde_json::Error) -> String {
    format!("line {} column {}", error.line(), error.column())
}

#[cfg(test)]
mod tests {
    use haulout_api::signing::SigningFailureReason;
    use http_body_util::Full;

    use super::*;

    fn good() -> CertificateResponse {
        CertificateResponse {
            certificate: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".into(),
            not_before: 1,
            not_after: 2,
            x509_sha256: "0a".repeat(32),
            agent_time_millis: 3,
        }
    }

    fn answer(status: StatusCode, body: &[u8]) -> Result<CertificateResponse, SignerError> {
        interpret("a:1", status, body)
    }

    fn is_protocol_fault(status: StatusCode, body: &[u8]) -> bool {
        matches!(answer(status, body), Err(SignerError::Protocol { .. }))
    }

    #[tokio::test]
    async fn an_answer_has_an_end() {
        let answer = |bytes| whole(Full::new(Bytes::from(vec![b'x'; bytes])));
        assert_eq!(answer(LIMIT).await.unwrap().len(), LIMIT);
        assert!(answer(LIMIT + 1).await.is_err());
    }

    #[test]
    fn a_certificate_is_taken_only_whole_and_plausible() {
        let json = |answer: &CertificateResponse| serde_json::to_vec(answer).unwrap();
        assert_eq!(answer(StatusCode::OK, &json(&good())).unwrap(), good());
        let bad = [
            CertificateResponse {
                certificate: "-----BEGIN PRIVATE KEY-----\n".into(),
                ..good()
            },
            CertificateResponse {
                certificate: String::new(),
                ..good()
            },
            CertificateResponse {
                not_after: 1,
                ..good()
            },
            CertificateResponse {
                x509_sha256: "0A".repeat(32),
                ..good()
            },
            CertificateResponse {
                x509_sha256: "0a".into(),
                ..good()
            },
        ];
        for bad in bad {
            assert!(is_protocol_fault(StatusCode::OK, &json(&bad)), "{bad:?}");
        }
        for bad in [&b""[..], b"{}", b"null", b"<html>"] {
            assert!(is_protocol_fault(StatusCode::OK, bad));
        }
    }

    #[test]
    fn a_refusal_counts_only_under_its_own_status() {
        let failure = SigningFailure {
            reason: SigningFailureReason::RefusedByPolicy,
            message: "a group is reserved".into(),
        };
        let body = serde_json::to_vec(&failure).unwrap();
        let error = answer(StatusCode::FORBIDDEN, &body).unwrap_err();
        assert_eq!(error.reason(), "RefusedByPolicy");
        assert!(error.to_string().contains("a group is reserved"));
        assert!(is_protocol_fault(StatusCode::BAD_GATEWAY, &body));
        assert!(is_protocol_fault(StatusCode::NOT_FOUND, b"not found"));
        assert!(is_protocol_fault(
            StatusCode::CREATED,
            &serde_json::to_vec(&good()).unwrap()
        ));
    }
}

//! What comes back.

use haulout_api::credential::{ClusterCredential, KIND, TokenCredentialRequestStatus};
use haulout_https::foreign;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, LOCATION, RETRY_AFTER};
use serde::Deserialize;

use super::{ExchangeError, Parameters};
use crate::audit_id::audit_id;

#[derive(Deserialize)]
struct Answer {
    kind: String,
    #[serde(default)]
    status: TokenCredentialRequestStatus,
}

/// The `message` of a Kubernetes `Status`.
#[derive(Default, Deserialize)]
struct Status {
    #[serde(default)]
    message: String,
}

/// The credential of an answer that went well.
pub(super) fn credential(
    body: &[u8],
    headers: &HeaderMap,
) -> Result<ClusterCredential, ExchangeError> {
    let answer = serde_json::from_slice::<Answer>(body)
        .ok()
        .filter(|answer| answer.kind == KIND)
        .ok_or(ExchangeError::NotAnAnswer)?;
    if let Some(message) = answer.status.message {
        return Err(ExchangeError::Refused {
            message: foreign(&message),
            audit_id: audit_id(headers).map(str::to_owned),
        });
    }
    answer
        .status
        .credential
        .filter(|credential| {
            !credential.token.is_empty()
                || !(credential.client_certificate_data.is_empty()
                    || credential.client_key_data.is_empty())
        })
        .ok_or(ExchangeError::UnknownCause)
}

/// Why an answer that did not go well has none.
pub(super) fn refusal(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    parameters: &Parameters,
) -> ExchangeError {
    let message = foreign(
        &serde_json::from_slice::<Status>(body)
            .unwrap_or_default()
            .message,
    );
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let suffix = parameters.suffix.to_string();
    match status {
        StatusCode::UNAUTHORIZED => ExchangeError::AnonymousPathNotOpen { suffix },
        StatusCode::FORBIDDEN => ExchangeError::Forbidden { message },
        StatusCode::NOT_FOUND => ExchangeError::NotInstalled { suffix },
        StatusCode::TOO_MANY_REQUESTS => ExchangeError::TooManyRequests {
            retry_after: header(RETRY_AFTER).and_then(|value| value.parse().ok()),
        },
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            ExchangeError::Unavailable { status, message }
        }
        status if status.is_redirection() => ExchangeError::Redirected {
            to: header(LOCATION).map(foreign).unwrap_or_default(),
        },
        status => ExchangeError::Status { status, message },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_the_server_cannot_steer_the_terminal() {
        let message = "a\u{1b}[2Jb\r\nc\u{202e}";
        let shown = r"a\u{1b}[2Jb\r\nc\u{202e}";
        let answer = serde_json::json!({"kind": KIND, "status": {"message": message}});
        let refused = credential(answer.to_string().as_bytes(), &HeaderMap::new());
        assert_eq!(
            refused.unwrap_err().to_string(),
            format!("login failed: {shown}")
        );
    }
}

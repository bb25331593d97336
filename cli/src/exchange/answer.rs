//! What comes back.

use haulout_api::credential::{ClusterCredential, KIND, TokenCredentialRequestStatus};
use haulout_https::foreign;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, LOCATION, RETRY_AFTER};
use serde::Deserialize;

use super::{ExchangeError, Parameters};
use crate::audit_id::audit_id;
use crate::console::repeats;

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

/// Stands for what repeats the token that was sent.
const HIDDEN: &str = "(what the server says repeats the token, so it is not shown)";

/// The credential of an answer that went well. A refusal that repeats one of `secrets`, which were sent, is not shown.
pub(super) fn credential(
    body: &[u8],
    headers: &HeaderMap,
    secrets: &[&str],
) -> Result<ClusterCredential, ExchangeError> {
    let answer = serde_json::from_slice::<Answer>(body)
        .ok()
        .filter(|answer| answer.kind == KIND)
        .ok_or(ExchangeError::NotAnAnswer)?;
    if let Some(message) = answer.status.message {
        return Err(ExchangeError::Refused {
            message: shown(&message, secrets),
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

/// A text of the server, as it may be shown.
fn shown(text: &str, secrets: &[&str]) -> String {
    match repeats(text, secrets) {
        true => HIDDEN.to_owned(),
        false => foreign(text),
    }
}

/// Why an answer that did not go well has none. What repeats one of `secrets`, which were sent, is not shown.
pub(super) fn refusal(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    parameters: &Parameters,
    secrets: &[&str],
) -> ExchangeError {
    let said: Status = serde_json::from_slice(body).unwrap_or_default();
    let message = shown(&said.message, secrets);
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
            to: shown(header(LOCATION).unwrap_or_default(), secrets),
        },
        status => ExchangeError::Status { status, message },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::ConciergeFlags;

    #[test]
    fn texts_of_the_server_cannot_steer_the_terminal() {
        let message = "a\u{1b}[2Jb\r\nc\u{202e}";
        let shown = r"a\u{1b}[2Jb\r\nc\u{202e}";
        let answer = serde_json::json!({"kind": KIND, "status": {"message": message}});
        let refused = credential(answer.to_string().as_bytes(), &HeaderMap::new(), &["t0ken"]);
        assert_eq!(
            refused.unwrap_err().to_string(),
            format!("login failed: {shown}")
        );
    }

    #[test]
    fn what_repeats_the_token_is_not_shown() {
        let said = "t0ken is no token";
        let answer = serde_json::json!({"kind": KIND, "status": {"message": said}}).to_string();
        let mut texts = Vec::new();
        let refused = credential(answer.as_bytes(), &HeaderMap::new(), &["t0ken"]);
        texts.push(refused.unwrap_err().to_string());
        let flags = ConciergeFlags {
            enable_concierge: true,
            concierge_authenticator_type: "jwt".to_owned(),
            concierge_authenticator_name: "n".to_owned(),
            concierge_endpoint: "https://k.example.com:6443".to_owned(),
            concierge_ca_bundle_data: String::new(),
            concierge_api_group_suffix: "pinniped.dev".to_owned(),
            concierge_namespace: None,
        };
        let parameters = Parameters::parse(&flags).unwrap();
        let headers = HeaderMap::from_iter([(LOCATION, "https://k/?t0ken".parse().unwrap())]);
        let body = serde_json::json!({"message": said}).to_string();
        for status in [403, 422, 503, 307] {
            let status = StatusCode::from_u16(status).unwrap();
            let error = refusal(status, &headers, body.as_bytes(), &parameters, &["t0ken"]);
            texts.push(error.to_string());
        }
        for text in texts {
            assert!(text.contains(HIDDEN) && !text.contains("t0ken"), "{text}");
        }
    }
}

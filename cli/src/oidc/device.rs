//! The device authorization grant (RFC 8628): the user logs in with a browser of another computer or a phone.

use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

use super::OidcError;
use super::authorization::Attempt;
use super::error::{Step, unreadable};
use super::provider;
use super::seconds::Seconds;
use super::tokens::{TokenAnswer, TokenEndpoint};

/// What the issuer says if it does not say how often to ask (3.2).
const INTERVAL: Duration = Duration::from_secs(5);
/// By how much seldomer to ask when it says `slow_down` (3.5).
const SLOWER: Duration = Duration::from_secs(5);
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);
/// To no more than this is it made longer.
const LONGEST_INTERVAL: Duration = Duration::from_secs(60);
/// How long the code is good where the issuer does not say so, which it has to.
const LIFE: Duration = Duration::from_secs(900);

/// What the user is to open and to type. `Debug` shows no more than that.
#[derive(Deserialize)]
pub(crate) struct DeviceCode {
    device_code: SecretString,
    pub(crate) user_code: String,
    /// Google calls it a URL.
    #[serde(alias = "verification_url")]
    verification_uri: String,
    /// The same with the code in it.
    #[serde(default)]
    verification_uri_complete: Option<String>,
    #[serde(default)]
    expires_in: Seconds,
    #[serde(default)]
    interval: Seconds,
    /// Of the challenge that it was asked for with, if with one.
    #[serde(skip)]
    verifier: Option<SecretString>,
}

impl DeviceCode {
    /// Where the user is to go, with the code in it if the issuer has such a link.
    pub(crate) fn link(&self) -> Result<Url, OidcError> {
        let complete = self.verification_uri_complete.as_deref();
        provider::https(
            "verification_uri",
            complete.unwrap_or(&self.verification_uri),
        )
    }

    /// How often to ask.
    fn interval(&self) -> Duration {
        self.interval.0.unwrap_or(INTERVAL).max(SHORTEST_INTERVAL)
    }
}

impl std::fmt::Debug for DeviceCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeviceCode")
            .field("user_code", &self.user_code)
            .field("verification_uri", &self.verification_uri)
            .finish_non_exhaustive()
    }
}

/// What to do after one question.
#[derive(Debug)]
enum Next {
    /// Ask again after this time, from now on.
    AskAfter(Duration),
    Done(TokenAnswer),
    Failed(OidcError),
}

/// Asks for a code. Keycloak demands PKCE here too of clients that have to use it; others may not know it in this flow.
pub(crate) async fn begin(
    endpoint: &TokenEndpoint<'_>,
    attempt: &Attempt,
) -> Result<DeviceCode, OidcError> {
    let url = endpoint.provider.device_authorization_endpoint.as_ref();
    let url = url.ok_or(OidcError::NoDeviceEndpoint)?;
    check_origins(url, &endpoint.provider.token_endpoint)?;
    let scope = endpoint.client.scopes.join(" ");
    let step = Step::Device;
    let mut verifier = None;
    let answer = match endpoint.post_to(url, step, &[("scope", &scope)]).await {
        Err(OidcError::Refused { code, .. }) if code == "invalid_request" => {
            verifier = Some(attempt.verifier().clone());
            let form = [
                ("scope", &*scope),
                ("code_challenge", &attempt.challenge()),
                ("code_challenge_method", "S256"),
            ];
            endpoint.post_to(url, step, &form).await?
        }
        answer => answer?,
    };
    let code: Result<DeviceCode, _> = serde_json::from_slice(&answer.body);
    let code = code.map_err(|cause| unreadable(step, url, cause))?;
    Ok(DeviceCode { verifier, ..code })
}

/// One that sends users to another issuer's page, and its own device codes to itself, would get tokens that are not for it.
fn check_origins(device: &Url, token: &Url) -> Result<(), OidcError> {
    if device.origin() == token.origin() {
        return Ok(());
    }
    let name = |url: &Url| url.origin().ascii_serialization();
    Err(OidcError::ForeignDeviceEndpoint {
        device: name(device),
        token: name(token),
    })
}

/// Asks until the user has decided, or the code has expired.
pub(crate) async fn wait(
    endpoint: &TokenEndpoint<'_>,
    code: &DeviceCode,
) -> Result<TokenAnswer, OidcError> {
    let mut interval = code.interval();
    let life = code.expires_in.0.unwrap_or(LIFE);
    let asking = async {
        loop {
            tokio::time::sleep(interval).await;
            let answer = endpoint
                .poll_device(&code.device_code, code.verifier.as_ref())
                .await;
            match next(answer, interval) {
                Next::AskAfter(longer) => interval = longer,
                Next::Done(answer) => return Ok(answer),
                Next::Failed(error) => return Err(error),
            }
        }
    };
    let in_time = tokio::time::timeout(life, asking).await;
    in_time.unwrap_or(Err(OidcError::DeviceCodeExpired))
}

fn next(answer: Result<TokenAnswer, OidcError>, interval: Duration) -> Next {
    let error = match answer {
        Ok(answer) => return Next::Done(answer),
        Err(error) => error,
    };
    let slower = |longer: Duration| Next::AskAfter(longer.min(LONGEST_INTERVAL).max(interval));
    match &error {
        OidcError::Refused { code, .. } if code == "authorization_pending" => {
            Next::AskAfter(interval)
        }
        OidcError::Refused { code, .. } if code == "slow_down" => {
            slower(interval.saturating_add(SLOWER))
        }
        OidcError::Refused { code, .. } if code == "expired_token" => {
            Next::Failed(OidcError::DeviceCodeExpired)
        }
        // No answer is no refusal; the issuer wants to be asked less then.
        OidcError::Call { .. } | OidcError::Status { .. } | OidcError::Refused { .. }
            if !error.is_refusal() =>
        {
            slower(interval.saturating_mul(2))
        }
        _ => Next::Failed(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: &str) -> Result<TokenAnswer, OidcError> {
        Err(OidcError::Refused {
            step: Step::Device,
            url: "https://login.example.com/token".to_owned(),
            code: code.to_owned(),
            description: String::new(),
            audit_id: None,
        })
    }

    #[test]
    fn is_asked_again_as_the_issuer_wants_it() {
        let seconds = Duration::from_secs;
        for (code, interval, expected) in [
            ("authorization_pending", 5, Some(5)),
            ("slow_down", 5, Some(10)),
            ("slow_down", 58, Some(60)),
            ("slow_down", 90, Some(90)),
            ("slow_down", u64::MAX, Some(u64::MAX)),
            ("temporarily_unavailable", 5, Some(10)),
            ("access_denied", 5, None),
            ("expired_token", 5, None),
            ("invalid_grant", 5, None),
        ] {
            let again = match next(refused(code), seconds(interval)) {
                Next::AskAfter(interval) => Some(interval),
                Next::Failed(_) => None,
                Next::Done(_) => panic!("{code}"),
            };
            assert_eq!(again, expected.map(seconds), "{code}");
        }
        for (status, expected) in [(503, Some(10)), (429, Some(10)), (400, None)] {
            let answered = Err(OidcError::Status {
                step: Step::Device,
                url: "https://login.example.com/token".to_owned(),
                status: http::StatusCode::from_u16(status).unwrap(),
                audit_id: None,
            });
            let again = match next(answered, seconds(5)) {
                Next::AskAfter(interval) => Some(interval),
                _ => None,
            };
            assert_eq!(again, expected.map(seconds), "{status}");
        }
        let expired = next(refused("expired_token"), seconds(5));
        assert!(matches!(
            expired,
            Next::Failed(OidcError::DeviceCodeExpired)
        ));
        let answer = serde_json::from_str(r#"{"access_token": "a", "expires_in": "60"}"#).unwrap();
        assert!(matches!(next(Ok(answer), seconds(5)), Next::Done(_)));
    }

    #[test]
    fn answers_of_all_kinds_of_issuers_are_read() {
        let long = format!("https://d.example.com/{}", "x".repeat(1000));
        for (more, link, interval) in [
            (r#""verification_uri": "https://d.example.com/""#.to_owned(), Some("https://d.example.com/"), 5),
            (
                r#""verification_url": "https://d.example.com/", "interval": "7", "expires_in": "600""#.to_owned(),
                Some("https://d.example.com/"),
                7,
            ),
            (
                format!(r#""verification_uri": "https://d/", "verification_uri_complete": "{long}", "interval": 0"#),
                Some(long.as_str()),
                1,
            ),
            (r#""verification_uri": "http://d.example.com/""#.to_owned(), None, 5),
            (r#""verification_uri": "visit our page""#.to_owned(), None, 5),
        ] {
            let answer = format!(r#"{{"device_code": "d", "user_code": "u", {more}}}"#);
            let code: DeviceCode = serde_json::from_str(&answer).unwrap();
            let found = code.link().ok();
            assert_eq!(found.as_ref().map(Url::as_str), link, "{answer}");
            assert_eq!(code.interval(), Duration::from_secs(interval), "{answer}");
        }
    }

    #[test]
    fn both_endpoints_are_on_one_server() {
        let device = Url::parse("https://login.example.com/device").unwrap();
        for (token, expected) in [
            ("https://login.example.com/oauth/token", true),
            ("https://login.example.com:8443/token", false),
            ("https://other.example.com/token", false),
        ] {
            let token = Url::parse(token).unwrap();
            assert_eq!(check_origins(&device, &token).is_ok(), expected, "{token}");
        }
    }

    #[test]
    fn secrets_are_not_debug_printed() {
        let code: DeviceCode = serde_json::from_str(
            r#"{"device_code": "very-secret", "user_code": "ABCD-EFGH", "verification_uri": "https://d", "expires_in": 600}"#,
        )
        .unwrap();
        let text = format!("{code:?}");
        assert!(
            text.contains("ABCD-EFGH") && !text.contains("very-secret"),
            "{text}"
        );
    }
}

//! Exchanges a token for a client certificate: one anonymous `TokenCredentialRequest`.

mod clock;
mod error;
mod parameters;

use std::time::{Duration, SystemTime};

use haulout_api::credential::{ClusterCredential, KIND, TokenCredentialRequestStatus, login_path};
use haulout_api::group::{ApiGroupSuffix, VERSION};
use haulout_https::{BodyError, foreign, read_body};
use reqwest::header::{ACCEPT, HeaderMap, LOCATION, RETRY_AFTER};
use reqwest::{Certificate, Client, ClientBuilder, Method, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::audit_id::audit_id;
use crate::ca::CaBundle;
use crate::console::Console;

pub(crate) use error::ExchangeError;
pub(crate) use parameters::{ParameterError, Parameters};

/// For the whole exchange, the second try included.
const TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause before the second try where the server names none: longer than a rotation or restart of the webhook takes.
const PAUSE: Duration = Duration::from_secs(1);
/// A server that asks for more patience than this gets none.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// An answer holds a certificate and a key; one with 300 groups has 30 kB.
pub(crate) const MAX_BYTES: usize = 1 << 20;

/// A `TokenCredentialRequest` that is sent.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Request<'a> {
    kind: &'static str,
    api_version: String,
    metadata: Empty,
    spec: Spec<'a>,
    status: Empty,
}

#[derive(Serialize)]
struct Empty {}

#[derive(Serialize)]
struct Spec<'a> {
    token: &'a str,
    authenticator: Authenticator<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Authenticator<'a> {
    api_group: String,
    kind: &'static str,
    name: &'a str,
}

impl<'a> Request<'a> {
    /// A request to exchange `token` by the authenticator of this kind and name.
    pub(crate) fn new(
        suffix: &ApiGroupSuffix,
        kind: &'static str,
        name: &'a str,
        token: &'a str,
    ) -> Self {
        Self {
            kind: KIND,
            api_version: format!("{}/{VERSION}", suffix.login_group()),
            metadata: Empty {},
            spec: Spec {
                token,
                authenticator: Authenticator {
                    api_group: suffix.authentication_group(),
                    kind,
                    name,
                },
            },
            status: Empty {},
        }
    }
}

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

/// Exchanges `token`. Sends no `Authorization` header, follows no redirect, trusts only the CA of `parameters` if it has one.
///
/// A server that is overloaded or restarting (429, 502, 503, 504) is asked once more.
pub(crate) async fn exchange(
    parameters: &Parameters,
    token: &SecretString,
    now: SystemTime,
    console: &Console<'_>,
) -> Result<ClusterCredential, ExchangeError> {
    let work = async {
        let client = client(parameters)?;
        let attempt = async || attempt(&client, parameters, token, now, console).await;
        match attempt().await {
            Err(error) => {
                let Some(pause) = error.pause_before_retry() else {
                    return Err(error);
                };
                tokio::time::sleep(pause).await;
                attempt().await
            }
            done => done,
        }
    };
    let credential =
        tokio::time::timeout(TIMEOUT, work)
            .await
            .map_err(|_| ExchangeError::TimedOut {
                authority: parameters.authority(),
            })??;
    if SystemTime::from(credential.expiration_timestamp.0) <= now {
        return Err(ExchangeError::ExpiredOnArrival);
    }
    Ok(credential)
}

/// What a login tells where it exchanges nothing.
pub(crate) fn told_off() -> String {
    "without --enable-concierge, the token itself is the credential".to_owned()
}

fn client(parameters: &Parameters) -> Result<Client, ExchangeError> {
    trusting(client_builder(), parameters.ca.as_ref())
        .and_then(|builder| builder.connect_timeout(CONNECT_TIMEOUT).build())
        .map_err(ExchangeError::Client)
}

/// The client of whoever logs in: it trusts this system's roots, and has no limits of time yet.
pub(crate) fn client_builder() -> ClientBuilder {
    Client::builder()
        .user_agent(concat!("haulout/", env!("CARGO_PKG_VERSION")))
        .https_only(true)
        .http1_only() // kube-apiserver closes anonymous HTTP/2 connections after each request
        .tls_version_min(reqwest::tls::Version::TLS_1_3)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
}

/// Trusts these CAs alone, if they are named.
pub(crate) fn trusting(
    builder: ClientBuilder,
    ca: Option<&CaBundle>,
) -> reqwest::Result<ClientBuilder> {
    let Some(ca) = ca else {
        return Ok(builder);
    };
    let certificates = ca.certificates().iter();
    let certificates = certificates.map(|der| Certificate::from_der(der));
    Ok(builder.tls_certs_only(certificates.collect::<reqwest::Result<Vec<_>>>()?))
}

async fn attempt(
    client: &Client,
    parameters: &Parameters,
    token: &SecretString,
    now: SystemTime,
    console: &Console<'_>,
) -> Result<ClusterCredential, ExchangeError> {
    let request = Request::new(
        &parameters.suffix,
        parameters.authenticator_kind,
        &parameters.authenticator_name,
        token.expose_secret(),
    );
    let url = url(&parameters.endpoint, &parameters.suffix);
    let response = client
        .post(url.clone())
        .header(ACCEPT, "application/json")
        .json(&request)
        .send()
        .await
        .map_err(|error| ExchangeError::from_transport(error, parameters))?;
    let status = response.status();
    let headers = response.headers().clone();
    let what = &"exchange the token at the cluster";
    console.debug_answer(what, (&Method::POST, &url), status, audit_id(&headers));
    console.warn(&headers, &[token.expose_secret()]);
    let body = read_body(response, MAX_BYTES)
        .await
        .map_err(|error| match error {
            BodyError::Transport(error) => ExchangeError::from_transport(error, parameters),
            BodyError::TooLong(_) => ExchangeError::TooLong,
        })?;
    if !status.is_success() {
        return Err(refusal(status, &headers, &body, parameters));
    }
    let mut credential = credential(&body, &headers)?;
    if let Some(behind) = clock::behind(&headers, now) {
        console.say(format_args!(
            "Warning: this computer's clock is {} s behind the cluster's; set it right",
            behind.as_secs()
        ));
        let end = &mut credential.expiration_timestamp.0;
        *end = clock::earlier(*end, behind);
    }
    Ok(credential)
}

/// Where logins go, below the path of `endpoint`.
pub(crate) fn url(endpoint: &Url, suffix: &ApiGroupSuffix) -> Url {
    let mut url = endpoint.clone();
    let base = endpoint.path().trim_end_matches('/');
    url.set_path(&format!("{base}{}", login_path(suffix)));
    url
}

fn credential(body: &[u8], headers: &HeaderMap) -> Result<ClusterCredential, ExchangeError> {
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

fn refusal(
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
    fn path_is_appended_to_the_endpoint() {
        let suffix = ApiGroupSuffix::parse("pinniped.dev").unwrap();
        let cases = [
            (
                "https://k.example.com",
                "https://k.example.com/apis/login.concierge.pinniped.dev/v1alpha1/tokencredentialrequests",
            ),
            (
                "https://k:6443/",
                "https://k:6443/apis/login.concierge.pinniped.dev/v1alpha1/tokencredentialrequests",
            ),
            (
                "https://r/k8s/c-1/",
                "https://r/k8s/c-1/apis/login.concierge.pinniped.dev/v1alpha1/tokencredentialrequests",
            ),
        ];
        for (endpoint, expected) in cases {
            assert_eq!(
                url(&Url::parse(endpoint).unwrap(), &suffix).as_str(),
                expected
            );
        }
    }

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

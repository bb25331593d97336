//! Exchanges a token for a client certificate: one anonymous `TokenCredentialRequest`.

mod answer;
mod clock;
mod error;
mod parameters;
mod request;

use std::time::{Duration, SystemTime};

use haulout_api::credential::ClusterCredential;
use haulout_https::{BodyError, read_body};
use reqwest::header::ACCEPT;
use reqwest::{Certificate, Client, ClientBuilder, Method};
use secrecy::{ExposeSecret, SecretString};

use crate::audit_id::audit_id;
use crate::ca::CaBundle;
use crate::console::Console;

use answer::{credential, refusal};
pub(crate) use error::ExchangeError;
pub(crate) use parameters::{ParameterError, Parameters};
pub(crate) use request::{Request, url};

/// For the whole exchange, the second try included.
const TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause before the second try where the server names none: longer than a rotation or restart of the webhook takes.
const PAUSE: Duration = Duration::from_secs(1);
/// A server that asks for more patience than this gets none.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// An answer holds a certificate and a key; one with 300 groups has 30 kB.
pub(crate) const MAX_BYTES: usize = 1 << 20;

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
                authority: error::place(parameters),
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
    if let Some(proxy) = parameters.proxy().map_err(ExchangeError::Proxy)? {
        console.debug(|| format!("exchange the token at the cluster: by way of {proxy}"));
    }
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
    let secrets = [token.expose_secret()];
    console.warn(&headers, &secrets);
    let body = read_body(response, MAX_BYTES)
        .await
        .map_err(|error| match error {
            BodyError::Transport(error) => ExchangeError::from_transport(error, parameters),
            BodyError::TooLong(_) => ExchangeError::TooLong,
        })?;
    if !status.is_success() {
        return Err(refusal(status, &headers, &body, parameters, &secrets));
    }
    let mut credential = credential(&body, &headers, &secrets)?;
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

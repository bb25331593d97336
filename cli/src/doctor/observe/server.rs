//! Requests without credentials, as the credential plugin makes them.

use std::net::SocketAddr;
use std::time::Duration;

use haulout_api::credential::{self, TokenCredentialRequestStatus};
use haulout_api::group::ApiGroupSuffix;
use haulout_https::{BodyError, causes, read_body};
use k8s_openapi::jiff::{Timestamp, fmt::rfc2822};
use kube::Config;
use reqwest::header::{ACCEPT, DATE, HeaderMap};
use reqwest::{Certificate, Client, ClientBuilder, Proxy, RequestBuilder, Url};
use rustls::CertificateError;
use serde::Deserialize;

use crate::audit_id::audit_id;
use crate::authenticator_kind::AuthenticatorKind;
use crate::ca::CaBundle;
use crate::doctor::observations::{Answer, Body, Unreachable};
use crate::exchange::{self, MAX_BYTES, Parameters, Request};
use crate::transport::{NO_TLS, TransportFault};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For one answer; a login waits for an issuer's keys.
const TIMEOUT: Duration = Duration::from_secs(15);

/// A server that logins, or kubectl, go to.
#[derive(Debug)]
pub(super) struct Server {
    client: Client,
    url: Url,
    /// Whether its certificate is checked; a token is for no other.
    is_verified: bool,
}

/// What matters of a body.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reading {
    #[serde(default)]
    kind: String,
    git_version: Option<String>,
    #[serde(default)]
    message: String,
    #[serde(default)]
    status: serde_json::Value,
}

impl Server {
    /// The API server of a kubeconfig, by its CA.
    pub(super) async fn of_kubeconfig(config: &Config) -> Result<Self, Unreachable> {
        let mut url = Url::parse(&config.cluster_url.to_string()).map_err(unusable)?;
        if url.scheme() != "https" {
            let scheme = url.scheme();
            return Err(Unreachable::Unusable(format!("its scheme is {scheme}")));
        }
        let mut builder = builder();
        if let Some(name) = &config.tls_server_name {
            let addresses = addresses(&url).await?;
            url.set_host(Some(name)).map_err(unusable)?;
            builder = builder.resolve_to_addrs(name, &addresses);
        }
        if let Some(proxy) = &config.proxy_url {
            builder = builder.proxy(Proxy::all(proxy.to_string()).map_err(unusable)?);
        }
        if let Some(roots) = &config.root_cert {
            let roots = roots.iter().map(|der| Certificate::from_der(der));
            let roots = roots.collect::<Result<Vec<_>, _>>().map_err(unusable)?;
            builder = builder.tls_certs_only(roots);
        }
        let is_verified = !config.accept_invalid_certs;
        builder = builder.tls_danger_accept_invalid_certs(!is_verified);
        Ok(Self {
            client: builder.build().map_err(unusable)?,
            url,
            is_verified,
        })
    }

    /// A server that clients are told of, by its CA as base64 of PEM, or by this system's roots.
    pub(super) fn advertised(url: &str, ca: Option<&str>) -> Result<Self, Unreachable> {
        let ca = ca.map(CaBundle::from_base64);
        let ca = ca.transpose().map_err(unusable)?;
        Self::trusting(ca.as_ref(), Url::parse(url).map_err(unusable)?)
    }

    /// Where `login static` sends its token, by the CA that it trusts.
    pub(super) fn of_login(parameters: &Parameters) -> Result<Self, Unreachable> {
        Self::trusting(parameters.ca.as_ref(), parameters.endpoint.clone())
    }

    /// A server by its CA, or by this system's roots.
    fn trusting(ca: Option<&CaBundle>, url: Url) -> Result<Self, Unreachable> {
        let client = exchange::trusting(builder(), ca).and_then(ClientBuilder::build);
        Ok(Self {
            client: client.map_err(unusable)?,
            url,
            is_verified: true,
        })
    }

    /// `GET /version`, and the time that the server says it is.
    pub(super) async fn version(&self) -> Result<(Answer, Option<Timestamp>), Unreachable> {
        let mut url = self.url.clone();
        url.set_path(&format!("{}/version", url.path().trim_end_matches('/')));
        let (answer, headers) = ask(self.client.get(url)).await?;
        Ok((answer, date(&headers)))
    }

    /// A login with an empty token: whoever serves logins refuses it (422) before it looks for an authenticator.
    pub(super) async fn log_in_with_nothing(
        &self,
        suffix: &ApiGroupSuffix,
    ) -> Result<Answer, Unreachable> {
        self.log_in(
            &Request::new(suffix, AuthenticatorKind::Jwt, "none", ""),
            suffix,
        )
        .await
    }

    /// A login.
    pub(super) async fn log_in(
        &self,
        request: &Request<'_>,
        suffix: &ApiGroupSuffix,
    ) -> Result<Answer, Unreachable> {
        let url = exchange::url(&self.url, suffix);
        let (answer, _) = ask(self.client.post(url).json(request)).await?;
        Ok(answer)
    }

    /// Whether a token may be sent there.
    pub(super) fn is_verified(&self) -> bool {
        self.is_verified
    }
}

fn builder() -> ClientBuilder {
    exchange::client_builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TIMEOUT)
}

async fn addresses(url: &Url) -> Result<Vec<SocketAddr>, Unreachable> {
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or_default();
    let found = tokio::net::lookup_host((host.trim_matches(['[', ']']), port)).await;
    let other = |error: std::io::Error| Unreachable::Other(error.to_string());
    Ok(found.map_err(other)?.collect())
}

async fn ask(request: RequestBuilder) -> Result<(Answer, HeaderMap), Unreachable> {
    let request = request.header(ACCEPT, "application/json");
    let response = request.send().await.map_err(unreachable)?;
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let bytes = read_body(response, MAX_BYTES)
        .await
        .map_err(|error| match error {
            BodyError::Transport(error) => unreachable(error),
            BodyError::TooLong(_) => Unreachable::Other(error.to_string()),
        })?;
    let answer = Answer {
        status,
        body: body(&bytes),
        audit_id: audit_id(&headers).map(str::to_owned),
    };
    Ok((answer, headers))
}

/// A credential is parsed and dropped.
fn body(bytes: &[u8]) -> Body {
    let Ok(reading) = serde_json::from_slice::<Reading>(bytes) else {
        return Body::Other;
    };
    match reading.kind.as_str() {
        "Status" => Body::Status(reading.message),
        credential::KIND => {
            let status = serde_json::from_value(reading.status).unwrap_or_default();
            match status {
                TokenCredentialRequestStatus {
                    credential: Some(credential),
                    ..
                } => Body::Credential {
                    until: credential.expiration_timestamp.0,
                },
                TokenCredentialRequestStatus { message, .. } => {
                    Body::NoCredential(message.unwrap_or_default())
                }
            }
        }
        _ if reading.git_version.is_some() => Body::Version,
        _ => Body::Other,
    }
}

fn date(headers: &HeaderMap) -> Option<Timestamp> {
    let text = headers.get(DATE)?.to_str().ok()?;
    Some(rfc2822::parse(text).ok()?.timestamp())
}

fn unusable(error: impl std::error::Error + 'static) -> Unreachable {
    Unreachable::Unusable(crate::chain(&error))
}

fn unreachable(error: reqwest::Error) -> Unreachable {
    let out_of_time = |is_early, limit: Option<rustls::pki_types::UnixTime>| {
        let seconds = limit.and_then(|limit| i64::try_from(limit.as_secs()).ok());
        Unreachable::OutOfTime {
            is_early,
            limit: seconds.and_then(|seconds| Timestamp::from_second(seconds).ok()),
        }
    };
    match TransportFault::of(&error) {
        TransportFault::TimedOut => Unreachable::TimedOut,
        TransportFault::ConnectionRefused => Unreachable::ConnectionRefused,
        TransportFault::TlsVersion => Unreachable::TlsVersion,
        TransportFault::Certificate(reason) => match reason {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                Unreachable::OtherAuthority
            }
            CertificateError::Expired => out_of_time(false, None),
            CertificateError::ExpiredContext { not_after, .. } => {
                out_of_time(false, Some(not_after))
            }
            CertificateError::NotValidYet => out_of_time(true, None),
            CertificateError::NotValidYetContext { not_before, .. } => {
                out_of_time(true, Some(not_before))
            }
            // Such as one that is its own CA's.
            CertificateError::Other(_) => Unreachable::OtherAuthority,
            other => Unreachable::Certificate(other.to_string()),
        },
        TransportFault::NoTls => Unreachable::Other(NO_TLS.to_owned()),
        TransportFault::Other => {
            let error = error.without_url();
            let innermost = causes(&error).last().map(ToString::to_string);
            Unreachable::Other(innermost.unwrap_or_default())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn of_bodies_only_what_matters_is_kept() {
        let credential = json!({
            "kind": "TokenCredentialRequest",
            "status": {"credential": {
                "expirationTimestamp": "2026-11-23T19:34:43Z",
                "clientKeyData": "very-secret",
            }},
        });
        let cases = [
            (
                json!({"kind": "Status", "status": "Failure", "message": "m"}),
                Body::Status("m".to_owned()),
            ),
            (
                credential,
                Body::Credential {
                    until: "2026-11-23T19:34:43Z".parse().unwrap(),
                },
            ),
            (
                json!({"kind": "TokenCredentialRequest", "status": {"message": "m"}}),
                Body::NoCredential("m".to_owned()),
            ),
            (
                json!({"kind": "TokenCredentialRequest"}),
                Body::NoCredential(String::new()),
            ),
            (
                json!({"major": "1", "gitVersion": "v1.36.3"}),
                Body::Version,
            ),
            (json!({"major": "1"}), Body::Other),
            (json!({"kind": 1}), Body::Other),
            (json!({"kind": "Other"}), Body::Other),
        ];
        for (wire, expected) in cases {
            assert_eq!(body(wire.to_string().as_bytes()), expected);
        }
        assert_eq!(body(b"<html>"), Body::Other);
    }

    #[test]
    fn time_of_the_server_is_read() {
        let of = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(DATE, value.parse().unwrap());
            date(&headers)
        };
        let expected = "2026-11-26T07:13:30Z".parse().ok();
        assert_eq!(of("Thu, 26 Nov 2026 07:13:30 GMT"), expected);
        assert_eq!(of("today"), None);
        assert_eq!(date(&HeaderMap::new()), None);
    }
}

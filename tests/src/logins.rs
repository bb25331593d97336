//! Logins for the load: as the API server's aggregator sends them, straight to door A's listener.

use std::sync::Arc;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use haulout_pki::bundle::CertificateBundle;
use haulout_serve::tls::{ClientIdentity, client_config};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::Full;
use rustls_pki_types::ServerName;
use serde_json::{Value, json};

use crate::cluster::{AUTHENTICATOR, Cluster, HauloutStack};
use crate::load::Endpoint;

const API_SERVICE: &str = "v1alpha1.login.concierge.pinniped.dev";
const SERVER_NAME: &str = "haulout-api.haulout-system.svc";
const URL: &str = "https://haulout-api.haulout-system.svc/apis/login.concierge.pinniped.dev/v1alpha1/tokencredentialrequests";

/// The webhook's listener as the aggregator reaches it: trusts what the APIService's `caBundle` holds now, and shows the
/// front proxy's certificate.
///
/// # Errors
/// The APIService has no `caBundle`, or a file of the cluster cannot be read.
pub async fn endpoint(cluster: &Cluster, stack: &HauloutStack) -> anyhow::Result<Endpoint> {
    let api_service = cluster
        .kubectl()
        .json(&["get", "apiservice", API_SERVICE])
        .await?;
    let bundle = api_service
        .pointer("/spec/caBundle")
        .and_then(Value::as_str)
        .with_context(|| format!("{API_SERVICE} has no caBundle"))?;
    let roots = CertificateBundle::parse_pem(&STANDARD.decode(bundle)?)?;
    let pair = cluster.pki().front_proxy_client();
    let identity = ClientIdentity::new();
    identity.publish(&std::fs::read(pair.certificate)?, &std::fs::read(pair.key)?)?;
    Ok(Endpoint {
        address: ([127, 0, 0, 1], stack.addresses().webhook).into(),
        server_name: ServerName::try_from(SERVER_NAME)?,
        tls: client_config(&roots, Some(Arc::new(identity)))?,
    })
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
#[derive(Clone, Copy, Debug)]
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

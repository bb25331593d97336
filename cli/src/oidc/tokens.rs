//! The token endpoint: authorization code (RFC 6749, 4.1.3), refresh (6), client credentials (4.4), device code (RFC 8628,
//! 3.4) and the exchange for another audience (RFC 8693).

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use haulout_https::Answer;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;
use url::form_urlencoded::Serializer;

use super::authorization::{Attempt, Client};
use super::error::{Step, refused, unreadable};
use super::provider::Provider;
use super::seconds::Seconds;
use super::{IssuerClient, OidcError};

const ACCESS_TOKEN_TYPE: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT_TYPE: &str = "urn:ietf:params:oauth:token-type:jwt";
/// What of a form must not be shown.
const SECRETS: [&str; 6] = [
    "code",
    "code_verifier",
    "device_code",
    "refresh_token",
    "subject_token",
    "token",
];

/// What the token endpoint gave. `Debug` shows nothing of it.
#[derive(Deserialize)]
pub(crate) struct TokenAnswer {
    pub(crate) access_token: SecretString,
    #[serde(default)]
    pub(crate) token_type: String,
    /// How long the access token is good, if the issuer says so.
    #[serde(default)]
    pub(crate) expires_in: Seconds,
    #[serde(default)]
    pub(crate) id_token: Option<SecretString>,
    #[serde(default)]
    pub(crate) refresh_token: Option<SecretString>,
    #[serde(default)]
    issued_token_type: String,
}

impl std::fmt::Debug for TokenAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenAnswer")
    }
}

/// The token endpoint of an issuer, for one client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TokenEndpoint<'a> {
    pub(crate) issuer: &'a IssuerClient<'a>,
    pub(crate) provider: &'a Provider,
    pub(crate) client: &'a Client,
}

impl TokenEndpoint<'_> {
    /// Redeems the code that came to `redirect_uri`.
    pub(crate) async fn redeem(
        &self,
        code: &SecretString,
        attempt: &Attempt,
        redirect_uri: &str,
    ) -> Result<TokenAnswer, OidcError> {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code.expose_secret()),
            ("code_verifier", attempt.verifier().expose_secret()),
            ("redirect_uri", redirect_uri),
        ];
        self.ask(Step::Code, &form).await
    }

    /// Gets new tokens. The issuer may give a new refresh token too, and then forgets the old one.
    pub(crate) async fn refresh(&self, token: &str) -> Result<TokenAnswer, OidcError> {
        let form = [("grant_type", "refresh_token"), ("refresh_token", token)];
        self.ask(Step::Refresh, &form).await
    }

    /// Gets a token for the client itself.
    pub(crate) async fn client_credentials(&self) -> Result<TokenAnswer, OidcError> {
        let scope = self.client.scopes.join(" ");
        let form = [("grant_type", "client_credentials"), ("scope", &scope)];
        self.ask(Step::ClientCredentials, &form).await
    }

    /// Asks once whether the user has confirmed the device's code.
    pub(crate) async fn poll_device(
        &self,
        device_code: &SecretString,
        verifier: Option<&SecretString>,
    ) -> Result<TokenAnswer, OidcError> {
        let mut form = vec![
            ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
            ("device_code", device_code.expose_secret()),
        ];
        form.extend(verifier.map(|verifier| ("code_verifier", verifier.expose_secret())));
        self.ask(Step::Device, &form).await
    }

    /// Exchanges an access token for an ID token of another audience, unverified.
    pub(crate) async fn exchange(
        &self,
        access_token: &str,
        audience: &str,
    ) -> Result<SecretString, OidcError> {
        let form = [
            (
                "grant_type",
                "urn:ietf:params:oauth:grant-type:token-exchange",
            ),
            ("audience", audience),
            ("subject_token", access_token),
            ("subject_token_type", ACCESS_TOKEN_TYPE),
            ("requested_token_type", JWT_TYPE),
        ];
        let step = Step::Exchange;
        let answer = self.post(step, &form).await?;
        let content_type = answer.headers.get(header::CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok());
        let media_type = content_type.unwrap_or_default().split(';').next();
        if !media_type.is_some_and(|type_| type_.trim().eq_ignore_ascii_case("application/json")) {
            return Err(OidcError::Unexpected {
                step,
                field: "content-type",
                found: content_type.unwrap_or_default().to_owned(),
                expected: "application/json",
            });
        }
        let answer = self.read(step, &answer)?;
        for (field, found, expected) in [
            ("token_type", &answer.token_type, "N_A"),
            ("issued_token_type", &answer.issued_token_type, JWT_TYPE),
        ] {
            if found != expected {
                return Err(OidcError::Unexpected {
                    step,
                    field,
                    found: found.clone(),
                    expected,
                });
            }
        }
        Ok(answer.access_token)
    }

    /// Has the issuer forget a token (RFC 7009), which is a `refresh_token` or an `access_token`; `false` where it has no endpoint
    /// for that.
    pub(crate) async fn revoke(&self, token: &str, kind: &str) -> Result<bool, OidcError> {
        let Some(url) = &self.provider.revocation_endpoint else {
            return Ok(false);
        };
        let form = [("token", token), ("token_type_hint", kind)];
        self.post_to(url, Step::Revocation, &form).await?;
        Ok(true)
    }

    /// Asks another endpoint as this client.
    pub(super) async fn post_to(
        &self,
        url: &Url,
        step: Step,
        form: &[(&str, &str)],
    ) -> Result<Answer, OidcError> {
        let mut body = Serializer::new(String::new());
        body.extend_pairs(form);
        let mut headers = HeaderMap::new();
        match &self.client.secret {
            Some(secret) if self.has_basic_authentication() => {
                headers.insert(header::AUTHORIZATION, basic(&self.client.id, secret));
                if step == Step::Device {
                    // Not every issuer looks at the header there (RFC 8628, 3.1).
                    body.append_pair("client_id", &self.client.id);
                }
            }
            secret => {
                body.append_pair("client_id", &self.client.id);
                if let Some(secret) = secret {
                    body.append_pair("client_secret", secret.expose_secret());
                }
            }
        }
        let client_secret = self
            .client
            .secret
            .iter()
            .map(|secret| secret.expose_secret());
        let secrets = form.iter().filter(|(name, _)| SECRETS.contains(name));
        let secrets: Vec<&str> = secrets
            .map(|(_, value)| *value)
            .chain(client_secret)
            .collect();
        let body = body.finish();
        let answer = self.issuer.post_form(step, url, headers, body, &secrets);
        let answer = answer.await?;
        match answer.status {
            StatusCode::OK => Ok(answer),
            _ => Err(refused(step, url, &answer, &secrets)),
        }
    }

    async fn post(&self, step: Step, form: &[(&str, &str)]) -> Result<Answer, OidcError> {
        self.post_to(&self.provider.token_endpoint, step, form)
            .await
    }

    async fn ask(&self, step: Step, form: &[(&str, &str)]) -> Result<TokenAnswer, OidcError> {
        let answer = self.post(step, form).await?;
        self.read(step, &answer)
    }

    fn read(&self, step: Step, answer: &Answer) -> Result<TokenAnswer, OidcError> {
        let url = &self.provider.token_endpoint;
        serde_json::from_slice(&answer.body).map_err(|cause| unreadable(step, url, cause))
    }

    /// The default of discovery, unless the issuer lists only the other.
    fn has_basic_authentication(&self) -> bool {
        let methods = &self.provider.token_endpoint_auth_methods_supported;
        (methods.as_ref()).is_none_or(|methods| methods.iter().any(|m| m == "client_secret_basic"))
    }
}

/// RFC 6749, 2.3.1: both parts are encoded as in a form first.
fn basic(id: &str, secret: &SecretString) -> HeaderValue {
    let encode =
        |text: &str| -> String { url::form_urlencoded::byte_serialize(text.as_bytes()).collect() };
    let pair = format!("{}:{}", encode(id), encode(secret.expose_secret()));
    let value = format!("Basic {}", BASE64_STANDARD.encode(pair));
    // Base64 is always fit for a header.
    let mut value = HeaderValue::from_str(&value).unwrap_or_else(|_| HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

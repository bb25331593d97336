//! What an issuer offers: OpenID Connect Discovery 1.0, RFC 8414, RFC 8628, and Pinniped's own list of identity providers.

mod authorization_endpoint;

use haulout_jwt::discovery::discovery_url;
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::IssuerClient;
use super::OidcError;
use super::error::{Step, refused, unreadable};

/// The endpoints of an issuer, as far as they are used here; each is an `https` URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Provider {
    pub(crate) issuer: String,
    authorization_endpoint: Option<Url>,
    pub(crate) token_endpoint: Url,
    pub(crate) jwks_uri: Url,
    pub(crate) device_authorization_endpoint: Option<Url>,
    pub(crate) revocation_endpoint: Option<Url>,
    /// Whether the answer to a login can be posted to us by a page of the issuer.
    pub(crate) offers_form_post: bool,
    /// Whether its answer to a login always says who it is (RFC 9207).
    pub(crate) names_itself: bool,
    pub(crate) scopes_supported: Option<Vec<String>>,
    pub(crate) token_endpoint_auth_methods_supported: Option<Vec<String>>,
    /// Where a Pinniped Supervisor lists its identity providers; others have none.
    pub(crate) identity_providers_endpoint: Option<Url>,
}

impl Provider {
    /// Whether it is a Pinniped Supervisor.
    pub(crate) fn is_supervisor(&self) -> bool {
        self.identity_providers_endpoint.is_some()
    }

    /// Whether its page for logins is of another server than both the issuer and where the code of there is redeemed. Nothing but
    /// `iss` in an answer then tells of whom it is.
    pub(crate) fn has_foreign_page(&self) -> bool {
        let page = self.authorization_endpoint.as_ref();
        page.is_some_and(|page| {
            authorization_endpoint::is_foreign(page, &self.issuer, &self.token_endpoint)
        })
    }

    /// The page that users may be sent to, if it has one. Logins without it are none of its concern.
    ///
    /// # Errors
    /// It is of another server, whose answers need not say of whom they are, or sets what a login sets.
    pub(crate) fn page(&self) -> Result<Option<&Url>, OidcError> {
        let Some(page) = &self.authorization_endpoint else {
            return Ok(None);
        };
        authorization_endpoint::check(page, &self.issuer, &self.token_endpoint, self.names_itself)?;
        Ok(Some(page))
    }
}

#[derive(Deserialize)]
struct Document {
    issuer: String,
    #[serde(default)]
    authorization_endpoint: String,
    #[serde(default)]
    token_endpoint: String,
    #[serde(default)]
    jwks_uri: String,
    #[serde(default)]
    device_authorization_endpoint: String,
    #[serde(default)]
    revocation_endpoint: String,
    #[serde(default)]
    response_modes_supported: Option<Value>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
    #[serde(default)]
    scopes_supported: Option<Vec<String>>,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default, rename = "discovery.supervisor.pinniped.dev/v1alpha1")]
    supervisor: Supervisor,
}

#[derive(Default, Deserialize)]
struct Supervisor {
    #[serde(default)]
    pinniped_identity_providers_endpoint: String,
}

/// Asks `issuer` for its discovery document.
pub(crate) async fn discover(
    client: &IssuerClient<'_>,
    issuer: &str,
) -> Result<Provider, OidcError> {
    let url = https("issuer", issuer)?;
    let url = discovery_url(url.as_str().trim_end_matches('/')).map_err(|_| OidcError::NoUrl {
        what: "issuer",
        url: issuer.to_owned(),
    })?;
    let answer = client.get(Step::Discovery, &url).await?;
    if answer.status != StatusCode::OK {
        return Err(refused(Step::Discovery, &url, &answer, &[]));
    }
    let document = serde_json::from_slice(&answer.body);
    read(
        issuer,
        document.map_err(|cause| unreadable(Step::Discovery, &url, cause))?,
    )
}

/// What the document of `issuer` says.
fn read(issuer: &str, document: Document) -> Result<Provider, OidcError> {
    if document.issuer != issuer {
        return Err(OidcError::OtherIssuer {
            asked: issuer.to_owned(),
            found: document.issuer,
        });
    }
    let offers_form_post = match document.response_modes_supported {
        None | Some(Value::Null) => false,
        Some(Value::Array(modes)) => modes.iter().any(|mode| mode == "form_post"),
        Some(_) => return Err(OidcError::ResponseModes),
    };
    let optional = |what, url: &str| (!url.is_empty()).then(|| https(what, url)).transpose();
    let identity_providers_endpoint = optional(
        "pinniped_identity_providers_endpoint",
        &document.supervisor.pinniped_identity_providers_endpoint,
    )?;
    if let Some(url) = &identity_providers_endpoint
        && !is_below(url, issuer)
    {
        return Err(OidcError::ForeignIdentityProviders {
            issuer: issuer.to_owned(),
            url: url.to_string(),
        });
    }
    let authorization_endpoint =
        optional("authorization_endpoint", &document.authorization_endpoint)?;
    let token_endpoint = https("token_endpoint", &document.token_endpoint)?;
    Ok(Provider {
        authorization_endpoint,
        token_endpoint,
        jwks_uri: https("jwks_uri", &document.jwks_uri)?,
        device_authorization_endpoint: optional(
            "device_authorization_endpoint",
            &document.device_authorization_endpoint,
        )?,
        revocation_endpoint: optional("revocation_endpoint", &document.revocation_endpoint)?,
        offers_form_post,
        names_itself: document.authorization_response_iss_parameter_supported,
        scopes_supported: document.scopes_supported,
        token_endpoint_auth_methods_supported: document.token_endpoint_auth_methods_supported,
        identity_providers_endpoint,
        issuer: document.issuer,
    })
}

/// Whether the URL is of this issuer: not of another host or path whose name begins alike.
fn is_below(url: &Url, issuer: &str) -> bool {
    let rest = url.as_str().strip_prefix(issuer.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.starts_with('/'))
}

/// The URL, if what goes there is encrypted.
pub(crate) fn https(what: &'static str, url: &str) -> Result<Url, OidcError> {
    let parsed = Url::parse(url).map_err(|_| OidcError::NoUrl {
        what,
        url: url.to_owned(),
    })?;
    match parsed.scheme() {
        "https" => Ok(parsed),
        scheme => Err(OidcError::NotHttps {
            what,
            scheme: scheme.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ISSUER: &str = "https://login.example.com";

    fn document() -> Value {
        json!({
            "issuer": ISSUER,
            "authorization_endpoint": format!("{ISSUER}/authorize"),
            "token_endpoint": format!("{ISSUER}/token"),
            "jwks_uri": format!("{ISSUER}/keys"),
        })
    }

    fn with(field: &str, value: Value) -> Value {
        let mut document = document();
        document[field] = value;
        document
    }

    fn read_json(document: &Value) -> Result<Provider, OidcError> {
        let url = https("issuer", ISSUER)?;
        let read_document = serde_json::from_value(document.clone());
        read(
            ISSUER,
            read_document.map_err(|cause| unreadable(Step::Discovery, &url, cause))?,
        )
    }

    #[test]
    fn endpoints_are_read() {
        let provider = read_json(&document()).unwrap();
        assert_eq!(provider.token_endpoint.as_str(), format!("{ISSUER}/token"));
        assert!(!provider.offers_form_post);
        assert_eq!(provider.identity_providers_endpoint, None);
        let supervisor = json!({"pinniped_identity_providers_endpoint": format!("{ISSUER}/v1alpha1/pinniped_identity_providers")});
        let supervisor = with("discovery.supervisor.pinniped.dev/v1alpha1", supervisor);
        let supervisor = read_json(&supervisor).unwrap();
        assert!(supervisor.identity_providers_endpoint.is_some());
        let modes = with("response_modes_supported", json!(["query", "form_post"]));
        assert!(read_json(&modes).unwrap().offers_form_post);
    }

    #[test]
    fn c043_a_list_of_identity_providers_elsewhere_is_refused() {
        for url in [
            "https://other.example.com/list",
            "https://login.example.com.evil.example/list",
            "https://login.example.com:8443/list",
        ] {
            let supervisor = json!({"pinniped_identity_providers_endpoint": url});
            let document = with("discovery.supervisor.pinniped.dev/v1alpha1", supervisor);
            let error = read_json(&document).unwrap_err().to_string();
            assert!(error.contains(url), "{error}");
        }
    }

    #[test]
    fn c087_response_modes_that_are_no_list_are_refused() {
        let document = with("response_modes_supported", json!("form_post"));
        let error = read_json(&document).unwrap_err().to_string();
        assert!(error.contains("response_modes_supported"), "{error}");
    }

    /// Device codes, programs and refreshes go on where only the page is wrong.
    #[test]
    fn a_page_that_leads_astray_is_refused_to_those_who_would_be_sent_there() {
        for (page, is_foreign, expected) in [
            (
                "https://other.example.com/a",
                true,
                "https://other.example.com",
            ),
            ("https://login.example.com/a?state=s", false, "\"state\""),
        ] {
            let document = with("authorization_endpoint", json!(page));
            let provider = read_json(&document).unwrap();
            assert_eq!(provider.has_foreign_page(), is_foreign);
            let error = provider.page().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert!(read_json(&document()).unwrap().page().unwrap().is_some());
    }

    #[test]
    fn c040_documents_that_lead_astray_are_refused() {
        let cases = [
            (
                with("issuer", json!("https://other.example.com")),
                "calls itself",
            ),
            (
                with(
                    "authorization_endpoint",
                    json!("http://login.example.com/a"),
                ),
                "authorization_endpoint",
            ),
            (
                with("token_endpoint", json!("http://login.example.com/t")),
                "token_endpoint",
            ),
            (with("token_endpoint", json!("")), "token_endpoint"),
            (
                with("jwks_uri", json!("ftp://login.example.com/k")),
                "jwks_uri",
            ),
            (json!([]), "discovery"),
        ];
        for (document, expected) in cases {
            let error = read_json(&document).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}

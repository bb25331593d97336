//! The server's URL, from the object's `spec.endpoint`.

use std::fmt;

use haulout_https::{ProxyError, ProxyRules};
use url::Url;

/// Message of the condition when nothing is wrong.
pub const ENDPOINT_IS_VALID: &str = "spec.endpoint is a valid URL";

/// Where a TokenReview server is.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// What is called: neither a query nor slashes at its end count.
    pub(super) url: Url,
    /// Whether a proxy stands between, so that the server cannot be reached directly.
    pub(super) is_behind_proxy: bool,
}

/// Why `spec.endpoint` cannot be used: messages of the condition `EndpointURLValid`, with the texts of Pinniped's Concierge
/// where those are known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// It is no URL.
    #[error("spec.endpoint URL is invalid: {0}")]
    Url(url::ParseError),
    /// It is not HTTPS.
    #[error("spec.endpoint URL {0} has invalid scheme, require 'https'")]
    Scheme(String),
    /// Whether a proxy is to be used cannot be told.
    #[error(
        "spec.endpoint URL is valid, but which proxy applies to it cannot be determined: {0}; correct it in the webhook's Deployment"
    )]
    Proxy(ProxyError),
}

impl EndpointError {
    /// Reason of the condition.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Url(_) => "InvalidEndpointURL",
            Self::Scheme(_) => "InvalidEndpointURLScheme",
            Self::Proxy(_) => "InvalidEndpointCannotDetermineProxy",
        }
    }
}

impl Endpoint {
    /// Reads `spec.endpoint`.
    ///
    /// # Errors
    /// [`EndpointError`].
    pub fn parse(endpoint: &str, proxies: &ProxyRules) -> Result<Self, EndpointError> {
        let mut url = Url::parse(endpoint).map_err(EndpointError::Url)?;
        if url.scheme() != "https" {
            return Err(EndpointError::Scheme(endpoint.to_owned()));
        }
        // As Kubernetes' REST client does with the URL of a kubeconfig.
        url.set_query(None);
        url.set_fragment(None);
        let path = url.path().trim_end_matches('/').to_owned();
        url.set_path(&path);
        let is_behind_proxy = proxies.apply_to(&url).map_err(EndpointError::Proxy)?;
        Ok(Self {
            url,
            is_behind_proxy,
        })
    }
}

/// The host alone: the URL may have a password, and its path may be one.
impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("host", &self.url.host_str())
            .field("is_behind_proxy", &self.is_behind_proxy)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn behind(proxy: Option<&'static str>) -> ProxyRules {
        ProxyRules::from_variables(move |name| {
            proxy
                .filter(|_| name == "HTTPS_PROXY")
                .map(ToOwned::to_owned)
        })
    }

    #[test]
    fn urls_are_called_without_query_and_slashes_at_the_end() {
        for (text, url) in [
            ("https://w.example.com", "https://w.example.com/"),
            ("https://w.example.com/", "https://w.example.com/"),
            ("https://w.example.com/a/b/", "https://w.example.com/a/b"),
            ("https://w.example.com/a?b=c#d", "https://w.example.com/a"),
            ("https://w.example.com/a%2f/?", "https://w.example.com/a%2f"),
            ("https://10.0.0.1:8443/a", "https://10.0.0.1:8443/a"),
            ("https://[2001:db8::1]/a", "https://[2001:db8::1]/a"),
            ("https://[::1]:8443", "https://[::1]:8443/"),
            ("HTTPS://w.example.com:443//", "https://w.example.com/"),
        ] {
            let endpoint = Endpoint::parse(text, &behind(None)).unwrap();
            assert_eq!(endpoint.url.as_str(), url);
            assert!(!endpoint.is_behind_proxy);
        }
    }

    #[test]
    fn what_cannot_be_called_has_its_reason() {
        for (text, reason, message) in [
            (
                "",
                "InvalidEndpointURL",
                "spec.endpoint URL is invalid: relative URL without a base",
            ),
            (
                "w.example.com",
                "InvalidEndpointURL",
                "spec.endpoint URL is invalid: relative URL without a base",
            ),
            (
                "https://",
                "InvalidEndpointURL",
                "spec.endpoint URL is invalid: empty host",
            ),
            (
                "https://w:70000",
                "InvalidEndpointURL",
                "spec.endpoint URL is invalid: invalid port number",
            ),
            (
                "https://w:x/",
                "InvalidEndpointURL",
                "spec.endpoint URL is invalid: invalid port number",
            ),
            (
                "https://[::1",
                "InvalidEndpointURL",
                "spec.endpoint URL is invalid: invalid IPv6 address",
            ),
            (
                "http://w/a",
                "InvalidEndpointURLScheme",
                "spec.endpoint URL http://w/a has invalid scheme, require 'https'",
            ),
            (
                "w:443",
                "InvalidEndpointURLScheme",
                "spec.endpoint URL w:443 has invalid scheme, require 'https'",
            ),
        ] {
            let error = Endpoint::parse(text, &behind(None)).unwrap_err();
            assert_eq!(
                (error.reason(), error.to_string().as_str()),
                (reason, message)
            );
        }
    }

    #[test]
    fn a_proxy_is_noticed_or_its_fault_told() {
        let text = "https://w.example.com/a";
        let endpoint = Endpoint::parse(text, &behind(Some("http://proxy:3128"))).unwrap();
        assert!(endpoint.is_behind_proxy);
        let error = Endpoint::parse(text, &behind(Some("socks5://us:hunter2@proxy"))).unwrap_err();
        assert_eq!(error.reason(), "InvalidEndpointCannotDetermineProxy");
        let message = error.to_string();
        assert!(
            message.contains("HTTPS_PROXY") && !message.contains("hunter2"),
            "{message}"
        );
        assert!(message.ends_with("; correct it in the webhook's Deployment"));
    }
}

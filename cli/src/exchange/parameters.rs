//! Where a token is exchanged, checked before anything is sent.

use haulout_api::group::{ApiGroupSuffix, SuffixError};
use haulout_https::{Proxy, ProxyError, ProxyRules};
use reqwest::Url;

use crate::arguments::ConciergeFlags;
use crate::authenticator_kind::AuthenticatorKind;
use crate::ca::{CaBundle, CaFault};

/// What is wrong with the Concierge flags.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ParameterError {
    #[error("endpoint must not be empty")]
    NoEndpoint,
    #[error("invalid endpoint: write it as \"https://host:port\"")]
    Endpoint,
    #[error("invalid endpoint scheme \"{0}\" (must be \"https\")")]
    Scheme(String),
    #[error("invalid CA bundle data")]
    Ca(#[source] CaFault),
    #[error("authenticator name must not be empty")]
    NoAuthenticatorName,
    #[error("invalid authenticator type: \"{0}\", supported values are \"webhook\" and \"jwt\"")]
    AuthenticatorType(String),
    #[error("invalid API group suffix")]
    Suffix(#[source] SuffixError),
}

/// A checked set of Concierge flags.
#[derive(Debug)]
pub(crate) struct Parameters {
    pub(crate) endpoint: Url,
    /// `None` for this system's roots.
    pub(crate) ca: Option<CaBundle>,
    pub(crate) authenticator_kind: AuthenticatorKind,
    pub(crate) authenticator_name: String,
    pub(crate) suffix: ApiGroupSuffix,
}

impl Parameters {
    /// Those of a login; `None` where it is to exchange nothing.
    pub(crate) fn of_login(flags: &ConciergeFlags) -> Result<Option<Self>, ParameterError> {
        let parameters = flags.enable_concierge.then(|| Self::parse(flags));
        parameters.transpose()
    }

    pub(crate) fn parse(flags: &ConciergeFlags) -> Result<Self, ParameterError> {
        if flags.concierge_authenticator_name.is_empty() {
            return Err(ParameterError::NoAuthenticatorName);
        }
        Ok(Self {
            endpoint: endpoint(&flags.concierge_endpoint)?,
            ca: ca(&flags.concierge_ca_bundle_data)?,
            authenticator_kind: authenticator_kind(&flags.concierge_authenticator_type)?,
            authenticator_name: flags.concierge_authenticator_name.clone(),
            suffix: ApiGroupSuffix::parse(flags.concierge_api_group_suffix.as_str())
                .map_err(ParameterError::Suffix)?,
        })
    }

    /// The proxy on the way to the endpoint, by the rules by which the client takes it.
    pub(super) fn proxy(&self) -> Result<Option<Proxy>, ProxyError> {
        ProxyRules::from_env().proxy_to(&self.endpoint)
    }

    /// Host and port of the endpoint, for messages.
    pub(super) fn authority(&self) -> String {
        let port = self.endpoint.port_or_known_default().unwrap_or_default();
        format!("{}:{port}", self.endpoint.host_str().unwrap_or_default())
    }
}

fn endpoint(text: &str) -> Result<Url, ParameterError> {
    if text.is_empty() {
        return Err(ParameterError::NoEndpoint);
    }
    let url = Url::parse(text).map_err(|_| ParameterError::Endpoint)?;
    if url.scheme() != "https" {
        return Err(ParameterError::Scheme(url.scheme().to_owned()));
    }
    // A user in the URL would become an Authorization header, and with one the API server no longer takes us for anonymous.
    let plain = url.username().is_empty() && url.password().is_none();
    if !plain || url.query().is_some() || url.fragment().is_some() {
        return Err(ParameterError::Endpoint);
    }
    Ok(url)
}

fn ca(base64: &str) -> Result<Option<CaBundle>, ParameterError> {
    let ca = (!base64.is_empty()).then(|| CaBundle::from_base64(base64));
    ca.transpose().map_err(ParameterError::Ca)
}

fn authenticator_kind(type_: &str) -> Result<AuthenticatorKind, ParameterError> {
    let kind = AuthenticatorKind::of_type(type_);
    kind.ok_or_else(|| ParameterError::AuthenticatorType(type_.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags() -> ConciergeFlags {
        ConciergeFlags {
            enable_concierge: true,
            concierge_authenticator_type: "JWT".to_owned(),
            concierge_authenticator_name: "n".to_owned(),
            concierge_endpoint: "https://k.example.com:6443".to_owned(),
            concierge_ca_bundle_data: String::new(),
            concierge_api_group_suffix: "pinniped.dev".to_owned(),
            concierge_namespace: None,
        }
    }

    #[test]
    fn good_flags_are_taken() {
        let parameters = Parameters::parse(&flags()).unwrap();
        assert_eq!(parameters.authenticator_kind, AuthenticatorKind::Jwt);
        assert_eq!(parameters.authority(), "k.example.com:6443");
        assert!(parameters.ca.is_none());
    }

    #[test]
    fn c039_each_wrong_flag_has_its_own_text() {
        type Spoil = fn(&mut ConciergeFlags);
        let cases: [(Spoil, &str); 13] = [
            (
                |f| f.concierge_endpoint.clear(),
                "endpoint must not be empty",
            ),
            (
                |f| f.concierge_endpoint = "http://k".to_owned(),
                "invalid endpoint scheme \"http\" (must be \"https\")",
            ),
            (
                |f| f.concierge_endpoint = "k.example.com".to_owned(),
                "invalid endpoint:",
            ),
            (
                |f| f.concierge_endpoint = "https://".to_owned(),
                "invalid endpoint:",
            ),
            (
                |f| f.concierge_endpoint = "https://u:p@k".to_owned(),
                "invalid endpoint:",
            ),
            (
                |f| f.concierge_endpoint = "https://k?a=b".to_owned(),
                "invalid endpoint:",
            ),
            (
                |f| f.concierge_ca_bundle_data = "*".to_owned(),
                "invalid CA bundle data: it is not base64",
            ),
            (
                |f| f.concierge_ca_bundle_data = "Zm9v".to_owned(),
                "invalid CA bundle data: it holds no PEM",
            ),
            (
                |f| f.concierge_authenticator_name.clear(),
                "authenticator name must not be empty",
            ),
            (
                |f| f.concierge_authenticator_type.clear(),
                "invalid authenticator type: \"\", supported",
            ),
            (
                |f| f.concierge_authenticator_type = "oidc".to_owned(),
                "invalid authenticator type: \"oidc\", supported values are \"webhook\" and \"jwt\"",
            ),
            (
                |f| f.concierge_api_group_suffix = "nodot".to_owned(),
                "invalid API group suffix",
            ),
            (
                |f| f.concierge_api_group_suffix.clear(),
                "invalid API group suffix",
            ),
        ];
        for (spoil, text) in cases {
            let mut flags = flags();
            spoil(&mut flags);
            let error = crate::chain(&Parameters::parse(&flags).unwrap_err());
            assert!(error.starts_with(text), "{error}");
        }
    }
}

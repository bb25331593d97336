//! The ConfigMap `kube-system/extension-apiserver-authentication`.

use std::collections::BTreeMap;
use std::sync::Arc;

use haulout_pki::bundle::{BundleError, CertificateBundle};
use http::HeaderName;

/// Which client is the front proxy and how its headers are named. The default trusts nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FrontProxyConfig {
    client_ca: Option<Arc<CertificateBundle>>,
    /// Empty: any.
    allowed_names: Vec<String>,
    pub(super) username_headers: Vec<HeaderName>,
    pub(super) uid_headers: Vec<HeaderName>,
    pub(super) group_headers: Vec<HeaderName>,
    /// In lower case.
    pub(super) extra_header_prefixes: Vec<String>,
}

/// Why the ConfigMap cannot be used; each names the key to look at.
#[derive(Debug, thiserror::Error)]
pub enum FrontProxyConfigError {
    /// A key does not hold a list of strings as JSON.
    #[error("failed to read {key:?} of the ConfigMap: a JSON list of strings is needed")]
    NoList {
        /// The key.
        key: &'static str,
        /// What is wrong with the JSON.
        #[source]
        source: serde_json::Error,
    },
    /// A list names a header that cannot exist.
    #[error("failed to read {key:?} of the ConfigMap: {name:?} is no name of a header")]
    NoHeaderName {
        /// The key.
        key: &'static str,
        /// The name.
        name: String,
    },
    /// The CA is not a bundle of certificates.
    #[error("failed to read \"requestheader-client-ca-file\" of the ConfigMap")]
    ClientCa(#[source] BundleError),
}

impl FrontProxyConfig {
    /// Reads the data of the ConfigMap. Without `requestheader-client-ca-file` no front proxy is
    /// trusted; without allowed names any certificate of that CA is a front proxy's.
    ///
    /// # Errors
    /// [`FrontProxyConfigError`] names the key.
    pub fn from_config_map(data: &BTreeMap<String, String>) -> Result<Self, FrontProxyConfigError> {
        let client_ca = match data.get("requestheader-client-ca-file") {
            Some(pem) if !pem.trim().is_empty() => Some(
                CertificateBundle::parse_pem(pem.as_bytes())
                    .map_err(FrontProxyConfigError::ClientCa)?,
            ),
            _ => None,
        };
        Ok(Self {
            client_ca: client_ca.map(Arc::new),
            allowed_names: list(data, "requestheader-allowed-names")?,
            username_headers: headers(data, "requestheader-username-headers")?,
            uid_headers: headers(data, "requestheader-uid-headers")?,
            group_headers: headers(data, "requestheader-group-headers")?,
            extra_header_prefixes: headers(data, "requestheader-extra-headers-prefix")?
                .iter()
                .map(|prefix| prefix.as_str().to_owned())
                .collect(),
        })
    }

    /// The CAs of front proxies' client certificates.
    pub fn client_ca(&self) -> Option<&Arc<CertificateBundle>> {
        self.client_ca.as_ref()
    }

    pub(super) fn allows(&self, common_name: &str) -> bool {
        self.allowed_names.is_empty() || self.allowed_names.iter().any(|name| name == common_name)
    }
}

fn list(
    data: &BTreeMap<String, String>,
    key: &'static str,
) -> Result<Vec<String>, FrontProxyConfigError> {
    match data.get(key).map(|list| list.trim()) {
        None | Some("") => Ok(Vec::new()),
        Some(list) => serde_json::from_str::<Option<_>>(list)
            .map(Option::unwrap_or_default)
            .map_err(|source| FrontProxyConfigError::NoList { key, source }),
    }
}

/// A list of names of headers, in lower case as [`HeaderName`] keeps them.
fn headers(
    data: &BTreeMap<String, String>,
    key: &'static str,
) -> Result<Vec<HeaderName>, FrontProxyConfigError> {
    list(data, key)?
        .into_iter()
        .map(|name| {
            name.trim()
                .parse()
                .map_err(|_| FrontProxyConfigError::NoHeaderName {
                    key,
                    name: name.clone(),
                })
        })
        .collect()
}

//! Who the caller is: the identity that the API server's aggregator vouches for.
//!
//! Headers count only on a connection whose client certificate chains to the front proxy's CA and
//! bears an allowed name. Everybody else is anonymous, whatever the headers say.

mod config;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use haulout_api::identity::UserInfo;
use haulout_pki::bundle::CertificateBundle;
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;

pub use self::config::{FrontProxyConfig, FrontProxyConfigError};
use crate::client_trust::{ClientTrust, ClientTrustError};
use crate::forwarded::forwarded_for;
use crate::listener::PeerCertificates;

const ANONYMOUS: &str = "system:anonymous";
const AUTHENTICATED: &str = "system:authenticated";
const UNAUTHENTICATED: &str = "system:unauthenticated";

/// Who makes a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The identity, groups in the order in which they came.
    pub user: Arc<UserInfo>,
    /// The client's address as the front proxy saw it.
    pub client_address: Option<IpAddr>,
    /// Whether the front proxy vouches for all of this.
    pub is_vouched_for: bool,
}

/// Why a client that showed a certificate is refused.
#[derive(Debug, thiserror::Error)]
pub enum FrontProxyError {
    /// The certificate does not chain to the front proxy's CA.
    #[error("failed to authenticate the front proxy")]
    Untrusted(#[source] ClientTrustError),
    /// The certificate is not that of a front proxy.
    #[error("common name {0:?} is not among the requestheader-allowed-names of the API server")]
    NameNotAllowed(String),
}

/// The configuration in force and the CA that belongs to it, replaced together.
pub struct FrontProxy {
    in_force: ArcSwap<InForce>,
}

struct InForce {
    config: FrontProxyConfig,
    trust: ClientTrust,
}

impl FrontProxy {
    /// Vouches for nobody, until a configuration is given.
    pub fn new() -> Self {
        Self::with_config(FrontProxyConfig::default())
    }

    fn with_config(config: FrontProxyConfig) -> Self {
        Self {
            in_force: ArcSwap::from_pointee(InForce::new(config)),
        }
    }

    /// Puts `config` in force for every request from now on, open connections included. The same
    /// configuration again changes nothing.
    pub fn replace(&self, config: FrontProxyConfig) {
        if self.in_force.load().config != config {
            self.in_force.store(Arc::new(InForce::new(config)));
        }
    }

    /// Whether `peer` is a front proxy by the configuration in force.
    pub fn trusts(&self, peer: &PeerCertificates, now: SystemTime) -> bool {
        self.in_force.load().judge(peer, now).is_ok()
    }

    /// The front proxy's CAs that are in force; none while none is known.
    pub fn client_ca(&self) -> Option<Arc<CertificateBundle>> {
        self.in_force.load().config.client_ca().cloned()
    }

    /// Who makes a request, decided in the order of `k8s.io/apiserver`
    /// `authentication/request/headerrequest`: a client without a certificate is anonymous; one
    /// with a certificate must be a front proxy; a front proxy that names nobody vouches for nobody.
    ///
    /// # Errors
    /// [`FrontProxyError`] for a certificate that is not a front proxy's, a 401.
    pub fn authenticate(
        &self,
        peer: &PeerCertificates,
        headers: &HeaderMap,
        now: SystemTime,
    ) -> Result<Caller, FrontProxyError> {
        let in_force = self.in_force.load();
        match in_force.judge(peer, now) {
            Ok(()) => {}
            Err(FrontProxyError::Untrusted(ClientTrustError::NoCertificate)) => {
                return Ok(Caller::anonymous());
            }
            Err(error) => return Err(error),
        }
        Ok(match vouched_user(&in_force.config, headers) {
            None => Caller::anonymous(),
            Some(user) => Caller {
                user,
                client_address: client_address(headers),
                is_vouched_for: true,
            },
        })
    }
}

impl Default for FrontProxy {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for FrontProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FrontProxy")
            .field(&self.in_force.load().config)
            .finish()
    }
}

impl InForce {
    fn new(config: FrontProxyConfig) -> Self {
        let trust = ClientTrust::new();
        if let Some(authorities) = config.client_ca() {
            trust.replace(authorities);
        }
        Self { config, trust }
    }

    /// Whether `peer` is a front proxy.
    fn judge(&self, peer: &PeerCertificates, now: SystemTime) -> Result<(), FrontProxyError> {
        let client = self
            .trust
            .verify(peer, now)
            .map_err(FrontProxyError::Untrusted)?;
        let common_name = client.common_name.as_deref().unwrap_or_default();
        if !self.config.allows(common_name) {
            return Err(FrontProxyError::NameNotAllowed(common_name.to_owned()));
        }
        Ok(())
    }
}

impl Caller {
    /// A caller of whom nothing is known.
    pub fn anonymous() -> Self {
        Self {
            user: anonymous_user(),
            client_address: None,
            is_vouched_for: false,
        }
    }
}

fn anonymous_user() -> Arc<UserInfo> {
    static USER: LazyLock<Arc<UserInfo>> = LazyLock::new(|| {
        Arc::new(UserInfo {
            username: ANONYMOUS.to_owned(),
            groups: vec![UNAUTHENTICATED.to_owned()],
            ..UserInfo::default()
        })
    });
    Arc::clone(&USER)
}

/// The identity in the headers of a front proxy, `None` where they name no user. Values that are
/// no UTF-8 are as good as absent.
///
/// The group `system:authenticated` is added unless it or `system:unauthenticated` is there: the
/// aggregator's own calls carry no groups. As in Kubernetes, `system:anonymous` never gets it.
pub fn vouched_user(config: &FrontProxyConfig, headers: &HeaderMap) -> Option<Arc<UserInfo>> {
    let username = first_value(headers, &config.username_headers)?;
    let mut groups: Vec<String> = config
        .group_headers
        .iter()
        .flat_map(|name| headers.get_all(name))
        .filter_map(text)
        .map(ToOwned::to_owned)
        .collect();
    let mut user = UserInfo {
        username: username.to_owned(),
        uid: first_value(headers, &config.uid_headers)
            .unwrap_or_default()
            .to_owned(),
        ..UserInfo::default()
    };
    for prefix in &config.extra_header_prefixes {
        for (name, value) in headers {
            let Some(key) = name.as_str().strip_prefix(prefix.as_str()) else {
                continue;
            };
            // Empty values count here, unlike in the other headers.
            if let Ok(value) = std::str::from_utf8(value.as_bytes()) {
                user.extra
                    .entry(unescaped(key))
                    .or_default()
                    .push(value.to_owned());
            }
        }
    }
    if username == ANONYMOUS && user.uid.is_empty() && user.extra.is_empty() {
        if let [only] = groups.as_slice()
            && only == UNAUTHENTICATED
        {
            return Some(anonymous_user());
        }
    } else if username != ANONYMOUS
        && !groups
            .iter()
            .any(|group| group == AUTHENTICATED || group == UNAUTHENTICATED)
    {
        groups.push(AUTHENTICATED.to_owned());
    }
    user.groups = groups;
    Some(Arc::new(user))
}

/// As `url.PathUnescape`; what is no escape is left as a whole.
fn unescaped(key: &str) -> String {
    let escapes_are_whole = key.split('%').skip(1).all(|tail| {
        tail.as_bytes()
            .get(..2)
            .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    });
    if !escapes_are_whole {
        return key.to_owned();
    }
    percent_decode_str(key)
        .decode_utf8()
        .map_or_else(|_| key.to_owned(), Into::into)
}

/// The value of the first header that has one; of a header that stands twice, the first.
fn first_value<'h>(headers: &'h HeaderMap, names: &[HeaderName]) -> Option<&'h str> {
    names
        .iter()
        .find_map(|name| headers.get(name).and_then(text))
}

fn text(value: &HeaderValue) -> Option<&str> {
    std::str::from_utf8(value.as_bytes())
        .ok()
        .filter(|text| !text.is_empty())
}

/// The last entry of `X-Forwarded-For`, which the front proxy itself adds; what a client sends
/// stands to the left of it.
fn client_address(headers: &HeaderMap) -> Option<IpAddr> {
    forwarded_for(headers).next().flatten()
}

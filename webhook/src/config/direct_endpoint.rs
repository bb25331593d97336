//! Door B: where it listens, how clients reach it, and whose word it takes for who they are.

use std::net::SocketAddr;

use haulout_pki::bundle::CertificateBundle;
use serde::Deserialize;
use url::{Host, Url};

use super::credential_issuer::{certificates, https_url};
use super::validate::{Faults, address, subdomain};
use crate::trusted_proxies::TrustedProxies;

/// In place of certificates: clients know the CA already.
const PUBLIC: &str = "public";

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct DirectEndpointFile {
    listen: String,
    external_url: String,
    certificate_authority_data: String,
    tls_secret_name: String,
    trusted_proxies: Vec<String>,
}

impl Default for DirectEndpointFile {
    fn default() -> Self {
        Self {
            listen: "[::]:8443".to_owned(),
            external_url: String::new(),
            certificate_authority_data: String::new(),
            tls_secret_name: String::new(),
            trusted_proxies: Vec::new(),
        }
    }
}

/// The direct endpoint, which is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectEndpoint {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Its `https` URL as clients reach it.
    pub external_url: String,
    /// Host of this URL: a DNS name, or an address without brackets.
    pub host: String,
    /// The CA that clients are told of.
    pub authority: AdvertisedAuthority,
    /// Secret with its certificate in our own namespace; if not given, our own CA issues one.
    pub tls_secret_name: Option<String>,
    /// Proxies before it that say truly whom they speak for.
    pub trusted_proxies: TrustedProxies,
}

/// The CA of an endpoint, as clients are told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdvertisedAuthority {
    /// That of the certificate that is served.
    OfCertificate,
    /// None: clients know it already.
    Public,
    /// These certificates.
    Given(CertificateBundle),
}

pub(super) fn direct_endpoint(
    file: Option<DirectEndpointFile>,
    faults: &mut Faults,
) -> Option<Option<DirectEndpoint>> {
    let Some(file) = file else {
        return Some(None);
    };
    let listen = faults.take("directEndpoint.listen", || address(&file.listen));
    let external_url = faults.take("directEndpoint.externalUrl", || external(file.external_url));
    let authority = faults.take("directEndpoint.certificateAuthorityData", || {
        match file.certificate_authority_data.as_str() {
            "" => Ok(AdvertisedAuthority::OfCertificate),
            PUBLIC => Ok(AdvertisedAuthority::Public),
            data => certificates(data, "endpoint").map(AdvertisedAuthority::Given),
        }
    });
    let tls_secret_name = faults.take("directEndpoint.tlsSecretName", || {
        let name = file.tls_secret_name;
        (!name.is_empty()).then(|| subdomain(name)).transpose()
    });
    let trusted_proxies = TrustedProxies::parse(&file.trusted_proxies);
    let trusted_proxies = faults.take_either("directEndpoint.trustedProxies", trusted_proxies);
    let (external_url, host) = external_url?;
    Some(Some(DirectEndpoint {
        listen: listen?,
        external_url,
        host,
        authority: authority?,
        tls_secret_name: tls_secret_name?,
        trusted_proxies: trusted_proxies?,
    }))
}

/// The URL and its host.
fn external(text: String) -> Result<(String, String), String> {
    if text.is_empty() {
        return Err(
            "is missing; give the https URL by which clients reach the direct endpoint".to_owned(),
        );
    }
    let text = https_url(text, "an endpoint; write https://HOST or https://HOST:PORT")?;
    let host = match Url::parse(&text).ok().as_ref().and_then(Url::host) {
        Some(Host::Domain(name)) => name.to_owned(),
        Some(Host::Ipv4(address)) => address.to_string(),
        Some(Host::Ipv6(address)) => address.to_string(),
        None => return Err(format!("\"{text}\" names no host")),
    };
    Ok((text, host))
}

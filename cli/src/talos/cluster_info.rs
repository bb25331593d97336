//! What `kube-public/cluster-info` says: the API server's address and CA.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;

use crate::ca::{CaBundle, to_pem};
use crate::local_host::is_local_host;

/// Why clients cannot be told this address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ServerError {
    #[error("is no URL of the form https://HOST:PORT")]
    NotHttps,
    #[error(
        "is an address of the node itself, as KubePrism's is; clients elsewhere need that of the control plane"
    )]
    Loopback,
}

/// Why there are no CA certificates.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no PEM of one or more CA certificates")]
pub(crate) struct CertificateError;

/// Takes the URL of an API server.
pub(crate) fn parse_server(text: &str) -> Result<String, ServerError> {
    let url = Url::parse(text).map_err(|_| ServerError::NotHttps)?;
    let is_plain = url.username().is_empty() && url.password().is_none();
    let host = url.host_str().unwrap_or_default();
    if url.scheme() != "https" || !is_plain || url.query().is_some() || url.fragment().is_some() {
        return Err(ServerError::NotHttps);
    }
    if is_local_host(host) {
        return Err(ServerError::Loopback);
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// Takes the certificates of a PEM text, and nothing else that stands in it.
pub(crate) fn parse_certificates(
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let ca = CaBundle::parse(pem).map_err(|_| CertificateError)?;
    let mut store = RootCertStore::empty();
    for certificate in ca.certificates() {
        store
            .add(certificate.clone())
            .map_err(|_| CertificateError)?;
    }
    Ok(ca.certificates().to_vec())
}

/// As `certificate-authority-data` of a kubeconfig, each certificate once.
pub(crate) fn certificate_authority_data(certificates: &[CertificateDer<'_>]) -> String {
    let mut pem = String::new();
    let mut seen: Vec<&CertificateDer<'_>> = Vec::new();
    for certificate in certificates {
        if seen.contains(&certificate) {
            continue;
        }
        seen.push(certificate);
        pem.push_str(&to_pem(certificate));
    }
    STANDARD.encode(pem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_clients_can_reach_is_a_server() {
        for (text, expected) in [
            (
                "https://cp.example.com:6443",
                Ok("https://cp.example.com:6443"),
            ),
            (
                "https://cp.example.com:6443/",
                Ok("https://cp.example.com:6443"),
            ),
            (
                "https://[2001:db8::1]:6443",
                Ok("https://[2001:db8::1]:6443"),
            ),
            ("https://127.0.0.1:7445", Err(ServerError::Loopback)),
            ("https://[::1]:7445", Err(ServerError::Loopback)),
            ("https://localhost:7445", Err(ServerError::Loopback)),
            ("https://0.0.0.0:6443", Err(ServerError::Loopback)),
            ("http://cp.example.com", Err(ServerError::NotHttps)),
            ("https://a:b@cp.example.com", Err(ServerError::NotHttps)),
            ("https://cp.example.com/#x", Err(ServerError::NotHttps)),
            ("cp.example.com:6443", Err(ServerError::NotHttps)),
            ("", Err(ServerError::NotHttps)),
        ] {
            assert_eq!(parse_server(text), expected.map(str::to_owned), "{text}");
        }
    }

    #[test]
    fn of_a_pem_text_only_certificates_are_taken() {
        let ca = include_str!("testdata/ca.crt");
        let with_key =
            format!("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n{ca}{ca}");
        let certificates = parse_certificates(with_key.as_bytes()).unwrap();
        assert_eq!(certificates.len(), 2);
        let data = certificate_authority_data(&certificates);
        assert_eq!(STANDARD.decode(data).unwrap(), ca.as_bytes());
        for text in [
            "",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "-----BEGIN CERTIFICATE-----\n%\n",
        ] {
            assert_eq!(
                parse_certificates(text.as_bytes()),
                Err(CertificateError),
                "{text}"
            );
        }
    }
}

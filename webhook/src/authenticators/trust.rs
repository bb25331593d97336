//! Which certificates a peer of an authenticator may show, from the object's `spec.tls`.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use haulout_api::authenticator::TlsSpec;
use haulout_jwt::client::TrustRoots;
use haulout_pki::bundle::CertificateBundle;

/// Message of the condition when nothing is configured.
pub(crate) const SYSTEM_ROOTS: &str = "spec.tls is valid: no TLS configuration provided: using default root CA bundle from container image";

/// Message of the condition when a bundle is configured.
pub(crate) const CONFIGURED_ROOTS: &str = "spec.tls is valid: using configured CA bundle";

/// Why `spec.tls` cannot be used; texts are those of Pinniped's Concierge, which clients match.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TrustError {
    #[error(
        "spec.tls is invalid: both tls.certificateAuthorityDataSource and tls.certificateAuthorityData provided"
    )]
    Both,
    #[error(
        "spec.tls.certificateAuthorityDataSource is invalid: this version of Haulout does not support it: set spec.tls.certificateAuthorityData instead"
    )]
    SourceUnsupported,
    #[error("spec.tls.certificateAuthorityData is invalid: illegal base64 data at input byte {0}")]
    Base64(usize),
    #[error(
        "spec.tls.certificateAuthorityData is invalid: no base64-encoded PEM certificates found in {0} bytes of data (PEM certificates must begin with \"-----BEGIN CERTIFICATE-----\")"
    )]
    NoCertificates(usize),
}

/// The roots that `tls` names.
pub(crate) fn roots(tls: Option<&TlsSpec>) -> Result<TrustRoots, TrustError> {
    let Some(tls) = tls else {
        return Ok(TrustRoots::System);
    };
    let data = tls.certificate_authority_data.as_str();
    match (&tls.certificate_authority_data_source, data) {
        (Some(_), "") => Err(TrustError::SourceUnsupported),
        (Some(_), _) => Err(TrustError::Both),
        (None, "") => Ok(TrustRoots::System),
        (None, data) => inline_roots(data),
    }
}

fn inline_roots(data: &str) -> Result<TrustRoots, TrustError> {
    let pem = decode(data)?;
    let bundle =
        CertificateBundle::parse_pem(&pem).map_err(|_| TrustError::NoCertificates(pem.len()))?;
    let certificates = bundle.certificates().iter().map(|der| der.to_vec());
    Ok(TrustRoots::Only(certificates.collect()))
}

/// Base64 as Go's `encoding/base64` reads it: line ends between characters do not count, and a fault is reported where
/// Go reports it.
fn decode(data: &str) -> Result<Vec<u8>, TrustError> {
    use base64::DecodeError::{InvalidByte, InvalidLastSymbol, InvalidLength, InvalidPadding};
    let (positions, compact): (Vec<usize>, Vec<u8>) = data
        .bytes()
        .enumerate()
        .filter(|(_, byte)| !matches!(byte, b'\r' | b'\n'))
        .unzip();
    BASE64_STANDARD.decode(&compact).map_err(|error| {
        let compact_position = match error {
            InvalidByte(position, _) | InvalidLastSymbol(position, _) => position,
            // The last group of four is not whole.
            InvalidLength(_) | InvalidPadding => compact.len() / 4 * 4,
        };
        TrustError::Base64(
            positions
                .get(compact_position)
                .copied()
                .unwrap_or(data.len()),
        )
    })
}

#[cfg(test)]
mod tests {
    use haulout_api::authenticator::{
        CertificateAuthorityDataSource, CertificateAuthorityDataSourceKind,
    };
    use haulout_pki::authority::generate_authority;
    use haulout_pki::profile::Validity;
    use std::time::{Duration, SystemTime};

    use super::*;

    fn ca_pem() -> String {
        let not_before = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let validity = Validity {
            not_before,
            not_after: not_before + Duration::from_secs(3600),
        };
        generate_authority("ca", validity).unwrap().certificate_pem
    }

    fn with_data(data: &str) -> TlsSpec {
        TlsSpec {
            certificate_authority_data: data.to_owned(),
            ..TlsSpec::default()
        }
    }

    fn with_source(data: &str) -> TlsSpec {
        TlsSpec {
            certificate_authority_data: data.to_owned(),
            certificate_authority_data_source: Some(CertificateAuthorityDataSource {
                kind: CertificateAuthorityDataSourceKind::Secret,
                name: "n".to_owned(),
                key: "k".to_owned(),
            }),
        }
    }

    #[test]
    fn nothing_configured_means_the_system() {
        for tls in [None, Some(&TlsSpec::default()), Some(&with_data(""))] {
            assert_eq!(roots(tls), Ok(TrustRoots::System));
        }
    }

    #[test]
    fn a_bundle_is_taken_whole() {
        let pem = format!("{}{}", ca_pem(), ca_pem());
        let data = BASE64_STANDARD.encode(&pem);
        let folded = data
            .as_bytes()
            .chunks(64)
            .map(|line| std::str::from_utf8(line).unwrap())
            .collect::<Vec<_>>()
            .join("\r\n");
        for data in [data, folded] {
            match roots(Some(&with_data(&data))) {
                Ok(TrustRoots::Only(certificates)) => assert_eq!(certificates.len(), 2),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn faults_have_the_texts_of_the_reference() {
        let prefix = "spec.tls.certificateAuthorityData is invalid:";
        let no_pem = |bytes| {
            format!(
                "{prefix} no base64-encoded PEM certificates found in {bytes} bytes of data (PEM certificates must begin with \"-----BEGIN CERTIFICATE-----\")"
            )
        };
        let key_only = ca_pem().replace("CERTIFICATE", "PRIVATE KEY");
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (tls, message) in [
            (with_data("invalid base64-encoded data"), format!("{prefix} illegal base64 data at input byte 7")),
            (with_data("Zm9vYg"), format!("{prefix} illegal base64 data at input byte 4")),
            (with_data("Zm9v\nYmF*"), format!("{prefix} illegal base64 data at input byte 8")),
            (with_data(&BASE64_STANDARD.encode("foo")), no_pem(3)),
            (with_data(&BASE64_STANDARD.encode(&key_only)), no_pem(key_only.len())),
            (with_data(&BASE64_STANDARD.encode(broken)), no_pem(broken.len())),
            (with_source("Zm9v"), "spec.tls is invalid: both tls.certificateAuthorityDataSource and tls.certificateAuthorityData provided".to_owned()),
            (with_source(""), "spec.tls.certificateAuthorityDataSource is invalid: this version of Haulout does not support it: set spec.tls.certificateAuthorityData instead".to_owned()),
        ] {
            assert_eq!(roots(Some(&tls)).unwrap_err().to_string(), message);
        }
    }
}

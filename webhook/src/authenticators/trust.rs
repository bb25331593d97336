//! Which certificates a peer of an authenticator may show, from the object's `spec.tls`.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use haulout_api::authenticator::{
    CertificateAuthorityDataSource, CertificateAuthorityDataSourceKind, TlsSpec,
};
use haulout_https::TrustRoots;
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
    #[error("spec.tls.certificateAuthorityData is invalid: illegal base64 data at input byte {0}")]
    Base64(usize),
    #[error(
        "spec.tls.certificateAuthorityData is invalid: no base64-encoded PEM certificates found in {0} bytes of data (PEM certificates must begin with \"-----BEGIN CERTIFICATE-----\")"
    )]
    NoCertificates(usize),
    #[error("spec.tls.certificateAuthorityDataSource is invalid: {}", .fault.text(.object))]
    Source {
        object: SourceObject,
        fault: SourceFault,
    },
}

impl TrustError {
    /// Whether it may pass without anyone changing what is configured.
    pub(crate) fn may_heal(&self) -> bool {
        matches!(
            self,
            Self::Source {
                fault: SourceFault::Unreadable(_),
                ..
            }
        )
    }
}

/// The object that `certificateAuthorityDataSource` names, and the key in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SourceObject {
    pub(crate) namespace: String,
    pub(crate) source: CertificateAuthorityDataSource,
}

/// As the reference writes it: `secret "namespace/name"`.
impl fmt::Display for SourceObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, name) = (self.kind(), &self.source.name);
        write!(f, "{kind} \"{}/{name}\"", self.namespace)
    }
}

impl SourceObject {
    fn kind(&self) -> &'static str {
        match self.source.kind {
            CertificateAuthorityDataSourceKind::Secret => "secret",
            CertificateAuthorityDataSourceKind::ConfigMap => "configmap",
        }
    }
}

/// Why the named key of the named object gives no bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SourceFault {
    NotFound,
    /// The API server did not give it, for this reason.
    Unreadable(String),
    /// A Secret of this type.
    Type(String),
    NoKey,
    EmptyKey,
    /// So many bytes, none of which begin a certificate.
    NotPem(usize),
}

impl SourceFault {
    fn text(&self, object: &SourceObject) -> String {
        let (kind, name, key) = (object.kind(), &object.source.name, &object.source.key);
        match self {
            Self::NotFound => format!("failed to get {object}: {kind} \"{name}\" not found"),
            Self::Unreadable(cause) => format!("failed to get {object}: {cause}"),
            Self::Type(type_) => format!(
                "{object} of type \"{type_}\" cannot be used as a certificate authority data source"
            ),
            Self::NoKey => format!("key \"{key}\" not found in {object}"),
            Self::EmptyKey => format!("key \"{key}\" has empty value in {object}"),
            Self::NotPem(bytes) => format!(
                "key \"{key}\" with {bytes} bytes of data in {object} is not a PEM-encoded certificate (PEM certificates must begin with \"-----BEGIN CERTIFICATE-----\")"
            ),
        }
    }
}

/// What of an object counts as a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SourceData {
    /// Type of a Secret; a ConfigMap has none.
    pub(crate) secret_type: Option<String>,
    /// Value of the named key.
    pub(crate) value: Option<Vec<u8>>,
}

/// Where `spec.tls` says that the roots are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trust<'a> {
    /// In the object itself, or in the system.
    Known(TrustRoots),
    /// In another object, which is yet to be read.
    Source(&'a CertificateAuthorityDataSource),
}

/// The roots that `tls` holds, or the object that it names.
pub(crate) fn locate(tls: Option<&TlsSpec>) -> Result<Trust<'_>, TrustError> {
    let Some(tls) = tls else {
        return Ok(Trust::Known(TrustRoots::System));
    };
    let data = tls.certificate_authority_data.as_str();
    match (&tls.certificate_authority_data_source, data) {
        (Some(source), "") => Ok(Trust::Source(source)),
        (Some(_), _) => Err(TrustError::Both),
        (None, "") => Ok(Trust::Known(TrustRoots::System)),
        (None, data) => inline_roots(data).map(Trust::Known),
    }
}

/// The roots in what was `found` of a source; `None` is an object that does not exist.
pub(crate) fn source_roots(found: Option<SourceData>) -> Result<TrustRoots, SourceFault> {
    let SourceData { secret_type, value } = found.ok_or(SourceFault::NotFound)?;
    let is_allowed =
        |type_: &String| CertificateAuthorityDataSource::SECRET_TYPES.contains(&type_.as_str());
    if let Some(type_) = secret_type.filter(|type_| !is_allowed(type_)) {
        return Err(SourceFault::Type(type_));
    }
    let value = value.ok_or(SourceFault::NoKey)?;
    if value.is_empty() {
        return Err(SourceFault::EmptyKey);
    }
    pem_roots(&value).ok_or(SourceFault::NotPem(value.len()))
}

fn inline_roots(data: &str) -> Result<TrustRoots, TrustError> {
    let pem = decode(data)?;
    pem_roots(&pem).ok_or(TrustError::NoCertificates(pem.len()))
}

fn pem_roots(pem: &[u8]) -> Option<TrustRoots> {
    let bundle = CertificateBundle::parse_pem(pem).ok()?;
    let certificates = bundle.certificates().iter().map(|der| der.to_vec());
    Some(TrustRoots::Only(certificates.collect()))
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
            assert_eq!(locate(tls), Ok(Trust::Known(TrustRoots::System)));
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
            match locate(Some(&with_data(&data))) {
                Ok(Trust::Known(TrustRoots::Only(certificates))) => {
                    assert_eq!(certificates.len(), 2)
                }
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
        ] {
            assert_eq!(locate(Some(&tls)).unwrap_err().to_string(), message);
        }
    }

    fn found(secret_type: Option<&str>, value: Option<&str>) -> Option<SourceData> {
        Some(SourceData {
            secret_type: secret_type.map(str::to_owned),
            value: value.map(|value| value.as_bytes().to_vec()),
        })
    }

    #[test]
    fn a_source_is_named_before_it_is_read() {
        let tls = with_source("");
        let source = tls.certificate_authority_data_source.as_ref().unwrap();
        assert_eq!(locate(Some(&tls)), Ok(Trust::Source(source)));
    }

    #[test]
    fn bundles_come_from_both_types_of_secret_and_from_config_maps() {
        let pem = ca_pem();
        for secret_type in [Some("Opaque"), Some("kubernetes.io/tls"), None] {
            let roots = source_roots(found(secret_type, Some(&pem))).unwrap();
            assert!(matches!(roots, TrustRoots::Only(certificates) if certificates.len() == 1));
        }
    }

    #[test]
    fn faults_of_sources_have_the_texts_of_the_reference() {
        use CertificateAuthorityDataSourceKind::{ConfigMap, Secret};
        let opaque = |value| found(Some("Opaque"), value);
        let token = Some("kubernetes.io/service-account-token");
        let not_pem = "is not a PEM-encoded certificate (PEM certificates must begin with \"-----BEGIN CERTIFICATE-----\")";
        for (kind, found, message) in [
            (Secret, None, "failed to get secret \"ns/n\": secret \"n\" not found".to_owned()),
            (ConfigMap, None, "failed to get configmap \"ns/n\": configmap \"n\" not found".to_owned()),
            (Secret, found(token, Some(&ca_pem())), "secret \"ns/n\" of type \"kubernetes.io/service-account-token\" cannot be used as a certificate authority data source".to_owned()),
            (Secret, found(Some(""), Some(&ca_pem())), "secret \"ns/n\" of type \"\" cannot be used as a certificate authority data source".to_owned()),
            (Secret, opaque(None), "key \"k\" not found in secret \"ns/n\"".to_owned()),
            (ConfigMap, found(None, None), "key \"k\" not found in configmap \"ns/n\"".to_owned()),
            (Secret, opaque(Some("")), "key \"k\" has empty value in secret \"ns/n\"".to_owned()),
            (Secret, opaque(Some("Zm9v")), format!("key \"k\" with 4 bytes of data in secret \"ns/n\" {not_pem}")),
            (ConfigMap, found(None, Some("no PEM")), format!("key \"k\" with 6 bytes of data in configmap \"ns/n\" {not_pem}")),
        ] {
            let error = TrustError::Source {
                object: SourceObject {
                    namespace: "ns".to_owned(),
                    source: CertificateAuthorityDataSource {
                        kind,
                        name: "n".to_owned(),
                        key: "k".to_owned(),
                    },
                },
                fault: source_roots(found).unwrap_err(),
            };
            let prefix = "spec.tls.certificateAuthorityDataSource is invalid:";
            assert_eq!(error.to_string(), format!("{prefix} {message}"));
            assert!(!error.may_heal());
        }
    }
}

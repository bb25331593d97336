//! What the `CredentialIssuer` is to be, and which API server it tells clients of.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use haulout_api::issuer::CredentialIssuerSpec;
use haulout_pki::bundle::CertificateBundle;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::validate::{Faults, subdomain};

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct AdvertiseFile {
    server: String,
    certificate_authority_data: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct CredentialIssuerFile {
    name: String,
    /// Of the API's own shape, and judged by its type.
    spec: Option<Value>,
}

impl Default for CredentialIssuerFile {
    fn default() -> Self {
        Self {
            name: "haulout".to_owned(),
            spec: None,
        }
    }
}

/// The API server as clients reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertise {
    /// Its `https` URL.
    pub server: String,
    /// Its CA certificates as base64 of PEM; if not given, those of ConfigMap `kube-root-ca.crt`.
    pub certificate_authority_data: Option<String>,
}

/// The `CredentialIssuer` of this installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialIssuerSettings {
    /// Name of the object.
    pub name: String,
    /// What its `spec` is kept at; if not given, whoever edits the object decides.
    pub spec: Option<CredentialIssuerSpec>,
}

pub(super) fn advertise(file: AdvertiseFile, faults: &mut Faults) -> Option<Option<Advertise>> {
    const DATA: &str = "advertise.certificateAuthorityData";
    let data = file.certificate_authority_data;
    if file.server.is_empty() {
        return faults.take("advertise.server", || match data.is_empty() {
            true => Ok(None),
            false => Err(
                "is missing beside certificateAuthorityData; give the https URL of the API server"
                    .to_owned(),
            ),
        });
    }
    let server = faults.take("advertise.server", || {
        https_url(
            file.server,
            "an API server; write https://HOST:PORT, as kubeconfigs have it",
        )
    });
    let certificate_authority_data = faults.take(DATA, || match data.is_empty() {
        true => Ok(None),
        false => certificates(&data, "API server").map(|_readable| Some(data)),
    });
    Some(Some(Advertise {
        server: server?,
        certificate_authority_data: certificate_authority_data?,
    }))
}

pub(super) fn credential_issuer(
    file: CredentialIssuerFile,
    faults: &mut Faults,
) -> Option<CredentialIssuerSettings> {
    let name = faults.take("credentialIssuer.name", || subdomain(file.name));
    let spec = faults.take("credentialIssuer.spec", || {
        file.spec.as_ref().map(issuer_spec).transpose()
    });
    Some(CredentialIssuerSettings {
        name: name?,
        spec: spec?,
    })
}

/// A URL that has scheme, host and perhaps port and path; `what` it else is none of, and what to write.
pub(super) fn https_url(text: String, what: &str) -> Result<String, String> {
    let is_good = Url::parse(&text).is_ok_and(|url| {
        url.scheme() == "https"
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    });
    // As clients compare it: a URL's scheme may be written otherwise, the API's schema lets only this pass.
    if is_good && text.starts_with("https://") {
        Ok(text)
    } else {
        Err(format!("\"{text}\" is no URL of {what}"))
    }
}

/// CA certificates of `whom`, from base64 of PEM.
pub(super) fn certificates(data: &str, whom: &str) -> Result<CertificateBundle, String> {
    let pem = BASE64_STANDARD.decode(data).map_err(|_repeats_bytes| {
        "is no base64; give the PEM text in base64 without line breaks, as kubeconfigs have it"
            .to_owned()
    })?;
    CertificateBundle::parse_pem(&pem).map_err(|error| {
        format!(
            "{error}; give the {whom}'s CA certificates, PEM in base64, as kubeconfigs have them"
        )
    })
}

fn issuer_spec(given: &Value) -> Result<CredentialIssuerSpec, String> {
    let spec = CredentialIssuerSpec::deserialize(given).map_err(|error| {
        format!("{error}; `kubectl explain credentialissuer.spec --recursive` shows its fields")
    })?;
    let understood = serde_json::to_value(&spec).map_err(|error| error.to_string())?;
    match unknown_field(given, &understood) {
        None => Ok(spec),
        Some(field) => Err(format!(
            "the field \"{field}\" is not known; `kubectl explain credentialissuer.spec --recursive` shows those that are"
        )),
    }
}

/// The first field of `given` that `understood` lacks. The API's types take no notice of such fields,
/// since objects may come from a newer version; a file with one has a mistake.
fn unknown_field<'a>(given: &'a Value, understood: &Value) -> Option<&'a str> {
    given.as_object()?.iter().find_map(|(name, value)| {
        let is_empty =
            value.is_null() || value == "" || value.as_object().is_some_and(|v| v.is_empty());
        match understood.get(name) {
            Some(understood) => unknown_field(value, understood),
            None => (!is_empty).then_some(name.as_str()),
        }
    })
}

//! Which API server clients are told of. No I/O.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use haulout_api::issuer::TokenCredentialRequestApiInfo;
use haulout_pki::bundle::CertificateBundle;
use kube::config::Kubeconfig;

use crate::config::Advertise;

const CLUSTER_INFO_KEY: &str = "kubeconfig";
const ROOT_CA_KEY: &str = "ca.crt";

/// What there is to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// The source is not read yet.
    Awaited,
    /// Address and CA.
    Known(TokenCredentialRequestApiInfo),
    /// There is no source, or it cannot be looked at; why, and what to do.
    Unknown(String),
    /// There is a source, and it is broken; how, and what to do.
    Broken(String),
}

/// The ConfigMap from which what is not configured comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// `cluster-info` in `kube-public`, which kubeadm makes: address and CA.
    ClusterInfo,
    /// `kube-root-ca.crt` in our own namespace, which the controller-manager makes in each: the CA.
    RootCa,
}

/// A ConfigMap as it is known.
#[derive(Clone, Debug)]
pub(super) enum Sighting {
    Awaited,
    /// Why it cannot be looked at.
    Unreadable(String),
    Absent,
    Present(BTreeMap<String, String>),
}

impl Source {
    /// What is needed beside `advertise`, if anything.
    pub(super) fn beside(advertise: Option<&Advertise>) -> Option<Self> {
        match advertise {
            None => Some(Self::ClusterInfo),
            Some(advertise) if advertise.certificate_authority_data.is_none() => Some(Self::RootCa),
            Some(_) => None,
        }
    }
}

/// What clients are told. `sighting` is of the source that is needed beside `advertise`.
pub(super) fn endpoint(advertise: Option<&Advertise>, sighting: &Sighting) -> Endpoint {
    let Some(advertise) = advertise else {
        return from_cluster_info(sighting);
    };
    let known = |certificate_authority_data| {
        Endpoint::Known(TokenCredentialRequestApiInfo {
            server: advertise.server.clone(),
            certificate_authority_data,
        })
    };
    match &advertise.certificate_authority_data {
        Some(data) => known(data.clone()),
        None => match from_root_ca(sighting) {
            Ok(data) => known(data),
            Err(endpoint) => endpoint,
        },
    }
}

fn from_cluster_info(sighting: &Sighting) -> Endpoint {
    const REMEDY: &str =
        "set advertise.server to the https URL of the API server as clients reach it";
    let data = match sighting {
        Sighting::Awaited => return Endpoint::Awaited,
        Sighting::Unreadable(fault) => {
            return Endpoint::Unknown(format!(
                "failed to get kube-public/cluster-info configmap: {fault}; {REMEDY}"
            ));
        }
        Sighting::Absent => {
            return Endpoint::Unknown(format!(
                "clients find no address of the API server here, since there is no ConfigMap kube-public/cluster-info; {REMEDY}"
            ));
        }
        Sighting::Present(data) => data,
    };
    match read_cluster_info(data) {
        Ok(info) => Endpoint::Known(info),
        Err(fault) => Endpoint::Broken(format!(
            "could not extract Kubernetes API endpoint info from kube-public/cluster-info configmap: {fault}; mend it, or {REMEDY}"
        )),
    }
}

/// The beginnings of these texts are Pinniped's.
fn read_cluster_info(
    data: &BTreeMap<String, String>,
) -> Result<TokenCredentialRequestApiInfo, String> {
    let text = data
        .get(CLUSTER_INFO_KEY)
        .ok_or("missing \"kubeconfig\" key")?;
    let kubeconfig = Kubeconfig::from_yaml(text)
        .map_err(|_repeats_text| "key \"kubeconfig\" does not contain a valid kubeconfig")?;
    let cluster = kubeconfig
        .clusters
        .into_iter()
        .next()
        .ok_or("kubeconfig in key \"kubeconfig\" does not contain any clusters")?
        .cluster
        .unwrap_or_default();
    let server = cluster
        .server
        .filter(|server| server.starts_with("https://") || server.starts_with("http://"))
        .ok_or("the first cluster of the kubeconfig has no server that is a URL")?;
    let certificate_authority_data = cluster
        .certificate_authority_data
        .filter(|data| {
            let pem = BASE64_STANDARD.decode(data).unwrap_or_default();
            CertificateBundle::parse_pem(&pem).is_ok()
        })
        .ok_or("the first cluster of the kubeconfig has no certificate-authority-data that is PEM certificates in base64")?;
    Ok(TokenCredentialRequestApiInfo {
        server,
        certificate_authority_data,
    })
}

fn from_root_ca(sighting: &Sighting) -> Result<String, Endpoint> {
    const REMEDY: &str = "set advertise.certificateAuthorityData to the API server's CA";
    let data = match sighting {
        Sighting::Awaited => return Err(Endpoint::Awaited),
        Sighting::Unreadable(fault) => {
            return Err(Endpoint::Unknown(format!(
                "failed to get ConfigMap kube-root-ca.crt: {fault}; {REMEDY}"
            )));
        }
        Sighting::Absent => {
            return Err(Endpoint::Unknown(format!(
                "clients find no CA of the API server here, since kube-controller-manager has made no ConfigMap \
                 kube-root-ca.crt; {REMEDY}"
            )));
        }
        Sighting::Present(data) => data,
    };
    let pem = data
        .get(ROOT_CA_KEY)
        .map(String::as_bytes)
        .unwrap_or_default();
    match CertificateBundle::parse_pem(pem) {
        Ok(_) => Ok(BASE64_STANDARD.encode(pem)),
        Err(error) => Err(Endpoint::Broken(format!(
            "key \"{ROOT_CA_KEY}\" of ConfigMap kube-root-ca.crt holds no CA: {error}; mend it, or {REMEDY}"
        ))),
    }
}

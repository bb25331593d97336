//! Where the login goes, and where everything else goes.

use kube::config::Cluster;

use super::error::GetKubeconfigError;
use super::source::Source;
use super::strategy::{Address, Door};
use crate::kubeconfig_file::CaBundle;

/// Both addresses, each with its CA.
#[derive(Clone, Debug)]
pub(super) struct Placement {
    /// Where tokens are exchanged.
    pub(super) endpoint: String,
    /// `None` for the roots of the user's system.
    pub(super) ca: Option<CaBundle>,
    /// What kubectl talks to.
    pub(super) cluster: Cluster,
}

impl Placement {
    /// The cluster as the administrator has it.
    pub(super) fn unchanged(source: &Source) -> Self {
        Self {
            endpoint: source.server().to_owned(),
            ca: source.ca.clone(),
            cluster: source.cluster.clone(),
        }
    }

    /// By a door of the CredentialIssuer, but for an `endpoint` and a `ca` that are given.
    pub(super) fn of(
        door: Door,
        source: &Source,
        endpoint: &str,
        ca: Option<CaBundle>,
    ) -> Result<Self, GetKubeconfigError> {
        let (is_login_alone, (found, found_ca)) = match door {
            Door::ApiServer => (false, (source.server().to_owned(), source.ca.clone())),
            Door::Proxy(address) => (false, read(address, ca.is_none())?),
            Door::Direct(address) => (true, read(address, ca.is_none())?),
        };
        let endpoint = match endpoint {
            "" => found,
            given => given.to_owned(),
        };
        let ca = ca.or(found_ca);
        let mut cluster = source.cluster.clone();
        if !is_login_alone {
            cluster.certificate_authority_data = ca.as_ref().map(CaBundle::to_base64);
            if endpoint != source.server() {
                // It is the name of the old server.
                cluster.tls_server_name = None;
                cluster.server = Some(endpoint.clone());
            }
        }
        Ok(Self {
            endpoint,
            ca,
            cluster,
        })
    }
}

fn read(
    address: Address,
    reads_ca: bool,
) -> Result<(String, Option<CaBundle>), GetKubeconfigError> {
    let data = address.certificate_authority_data;
    let ca = (reads_ca && !data.is_empty()).then(|| CaBundle::from_base64(&data));
    let ca = ca.transpose().map_err(GetKubeconfigError::AdvertisedCa)?;
    Ok((address.endpoint, ca))
}

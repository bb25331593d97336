//! Where the login goes, and where everything else goes.

use kube::config::Cluster;

use super::error::GetKubeconfigError;
use super::source::Source;
use super::strategy::{Address, Door};
use crate::ca::CaBundle;

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

    /// What of the cluster's entry kubectl goes by and a login does not.
    pub(super) fn hints(&self) -> Vec<&'static str> {
        let is_through_cluster = self.cluster.server.as_deref() == Some(&*self.endpoint);
        let proxy = self.cluster.proxy_url.is_some().then_some(
            "proxy-url is for kubectl alone; a user's login goes through the proxy that HTTPS_PROXY names",
        );
        let name = (is_through_cluster && self.cluster.tls_server_name.is_some()).then_some(
            "tls-server-name is for kubectl alone; a user's login goes to a host that the certificate is for: give one by \
             --concierge-endpoint",
        );
        proxy.into_iter().chain(name).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    const API: &str = "https://k.example.com:6443";

    /// A bundle of one certificate with this content, and its base64.
    fn ca(content: &str) -> (CaBundle, String) {
        let pem = format!("-----BEGIN CERTIFICATE-----\n{content}\n-----END CERTIFICATE-----\n");
        let ca = CaBundle::parse(pem.as_bytes()).unwrap();
        let data = ca.to_base64();
        (ca, data)
    }

    fn source() -> Source {
        let (ca, data) = ca("QVBJ");
        Source {
            context_name: "ctx".to_owned(),
            cluster_name: "cl".to_owned(),
            user_name: "me".to_owned(),
            namespace: None,
            cluster: Cluster {
                server: Some(API.to_owned()),
                certificate_authority_data: Some(data),
                tls_server_name: Some("kubernetes".to_owned()),
                proxy_url: Some("http://proxy".to_owned()),
                ..Cluster::default()
            },
            ca: Some(ca),
            passwords_left_out: Vec::new(),
        }
    }

    fn address(endpoint: &str, certificate_authority_data: String) -> Address {
        Address {
            endpoint: endpoint.to_owned(),
            certificate_authority_data,
        }
    }

    /// Endpoint and CA of the login; server, CA and name of the cluster.
    type Placed<'a> = (&'a str, &'a str, &'a str, &'a str, Option<&'a str>);

    #[test]
    fn the_login_goes_to_the_door_and_the_rest_to_the_cluster() {
        let (api, proxy, given) = (ca("QVBJ").1, ca("cHJveHk=").1, ca("Z2l2ZW4="));
        let at_proxy = || Door::Proxy(address("https://proxy", proxy.clone()));
        let at_direct = |ca: &str| Door::Direct(address("https://direct", ca.to_owned()));
        let name = Some("kubernetes");
        let given_ca = || Some(given.0.clone());
        let cases: [(Door, &str, Option<CaBundle>, Placed<'_>); 8] = [
            (Door::ApiServer, "", None, (API, &api, API, &api, name)),
            (
                Door::ApiServer,
                "https://e",
                None,
                ("https://e", &api, "https://e", &api, None),
            ),
            (
                Door::ApiServer,
                "",
                given_ca(),
                (API, &given.1, API, &given.1, name),
            ),
            (
                at_proxy(),
                "",
                None,
                ("https://proxy", &proxy, "https://proxy", &proxy, None),
            ),
            (
                at_proxy(),
                "https://e",
                given_ca(),
                ("https://e", &given.1, "https://e", &given.1, None),
            ),
            (
                at_direct(&proxy),
                "",
                None,
                ("https://direct", &proxy, API, &api, name),
            ),
            (
                at_direct(""),
                "",
                None,
                ("https://direct", "", API, &api, name),
            ),
            (
                at_direct(""),
                "https://e",
                given_ca(),
                ("https://e", &given.1, API, &api, name),
            ),
        ];
        for (door, endpoint, ca, expected) in cases {
            let what = format!("{door:?} {endpoint} {ca:?}");
            let placed = Placement::of(door, &source(), endpoint, ca).unwrap();
            let ca = placed.ca.map(|ca| ca.to_base64()).unwrap_or_default();
            let cluster = placed.cluster;
            let found = (
                placed.endpoint.as_str(),
                ca.as_str(),
                cluster.server.as_deref().unwrap(),
                cluster.certificate_authority_data.as_deref().unwrap(),
                cluster.tls_server_name.as_deref(),
            );
            assert_eq!(found, expected, "{what}");
        }
    }

    #[test]
    fn a_damaged_ca_is_an_error_unless_another_is_given() {
        let door = || Door::Proxy(address("https://proxy", "Zm9v".to_owned()));
        let error = Placement::of(door(), &source(), "", None).unwrap_err();
        let expected = "autodiscovered Concierge CA bundle is invalid";
        assert!(error.to_string().starts_with(expected), "{error}");
        let given = Some(ca("Z2l2ZW4=").0);
        Placement::of(door(), &source(), "", given).unwrap();
    }

    #[test]
    fn what_a_login_does_not_go_by_is_told() {
        let hints = |door, endpoint| {
            Placement::of(door, &source(), endpoint, None)
                .unwrap()
                .hints()
                .len()
        };
        assert_eq!(hints(Door::ApiServer, ""), 2);
        assert_eq!(hints(Door::ApiServer, "https://other"), 1);
        let direct = Door::Direct(address("https://direct", String::new()));
        assert_eq!(hints(direct, ""), 1);
    }
}

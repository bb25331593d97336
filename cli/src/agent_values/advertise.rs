//! The address that clients are told, where the cluster itself does not say it. No I/O.

use std::fmt;

use http::Uri;

use super::text::quoted;
use crate::cluster::shown_server;
use crate::local_host::is_local_host;

/// What the chart's value `advertise.server` should be. Its text is YAML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Advertise {
    /// Nothing: there is `kube-public/cluster-info`, or nobody knows whether.
    NotNeeded,
    /// The address in the administrator's kubeconfig.
    Server(String),
    /// The administrator's kubeconfig has one that leads elsewhere on another computer.
    Unknown(String),
}

impl Advertise {
    /// `has_cluster_info` is `None` where it could not be looked at; `server` is the API server of the kubeconfig.
    pub(crate) fn decide(has_cluster_info: Option<bool>, server: &Uri) -> Self {
        if has_cluster_info != Some(false) {
            return Self::NotNeeded;
        }
        let url = shown_server(server);
        let host = server.host().unwrap_or_default();
        if is_local_host(host) || host.is_empty() {
            Self::Unknown(url)
        } else {
            Self::Server(url)
        }
    }
}

impl fmt::Display for Advertise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotNeeded => Ok(()),
            Self::Server(url) => write!(
                f,
                "# The cluster has no kube-public/cluster-info, so it does not say where clients find it.\n\
                 # This is where your kubeconfig finds it; put another in its place if other people use another.\n\
                 advertise:\n  server: {}\n",
                quoted(url)
            ),
            Self::Unknown(url) => write!(
                f,
                "# Mind: the cluster has no kube-public/cluster-info, so it does not say where clients find it, and your\n\
                 # kubeconfig has {}, which is this computer alone. Set advertise.server to the address that people use.\n",
                quoted(url)
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kubeconfigs_address_is_named_where_the_cluster_names_none() {
        let public = "https://cluster.example.com:6443";
        let server = |url: &str| Advertise::Server(url.to_owned());
        let unknown = |url: &str| Advertise::Unknown(url.to_owned());
        let cases = [
            (Some(true), public, Advertise::NotNeeded),
            (None, public, Advertise::NotNeeded),
            (Some(false), public, server(public)),
            (
                Some(false),
                "https://cluster.example.com/k8s/",
                server("https://cluster.example.com/k8s"),
            ),
            (
                Some(false),
                "https://[2001:db8::1]:6443",
                server("https://[2001:db8::1]:6443"),
            ),
            // KubePrism, and tunnels.
            (
                Some(false),
                "https://127.0.0.1:7445",
                unknown("https://127.0.0.1:7445"),
            ),
            (
                Some(false),
                "https://[::1]:6443",
                unknown("https://[::1]:6443"),
            ),
            (
                Some(false),
                "https://localhost:6443",
                unknown("https://localhost:6443"),
            ),
        ];
        for (has_cluster_info, url, expected) in cases {
            let found = Advertise::decide(has_cluster_info, &url.parse().unwrap());
            assert_eq!(found, expected, "{has_cluster_info:?}, {url}");
        }
    }

    #[test]
    fn the_text_is_yaml_in_any_case() {
        let text = Advertise::Server("https://cluster.example.com:6443".to_owned()).to_string();
        let values: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
        let expected =
            serde_json::json!({"advertise": {"server": "https://cluster.example.com:6443"}});
        assert_eq!(values, expected);
        let text = Advertise::Unknown("https://127.0.0.1:7445".to_owned()).to_string();
        assert!(text.lines().all(|line| line.starts_with("# ")), "{text}");
        assert_eq!(Advertise::NotNeeded.to_string(), "");
    }
}

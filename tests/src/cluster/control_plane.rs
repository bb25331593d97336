//! Command lines and configuration files of the control plane.

use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::ClusterOptions;
use super::binaries::KubernetesBinaries;
use super::kubeconfig::{Credential, write_kubeconfig};
use super::node::Seat;
use super::pki::{ClusterPki, write};
use super::ports;
use super::process::Launch;
use super::profile::{Anonymous, Profile};

pub(super) const SERVICE_RANGE: &str = "10.96.0.0/16";
const SERVICE_ACCOUNT_ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// Where everything of one cluster is.
#[derive(Debug)]
pub(super) struct ControlPlane<'a> {
    pub(super) folder: &'a Path,
    pub(super) binaries: &'a KubernetesBinaries,
    pub(super) pki: &'a ClusterPki,
    pub(super) options: &'a ClusterOptions,
    ports: Ports,
    /// On the first node if there is one, else on loopback.
    seat: Option<Seat>,
}

#[derive(Clone, Copy, Debug)]
struct Ports {
    etcd: u16,
    etcd_peer: u16,
    api_server: u16,
}

/// What each is everywhere: nobody else is in a node's network.
const PORTS_ON_A_NODE: Ports = Ports {
    etcd: 2379,
    etcd_peer: 2380,
    api_server: 6443,
};

impl<'a> ControlPlane<'a> {
    pub(super) fn new(
        folder: &'a Path,
        binaries: &'a KubernetesBinaries,
        pki: &'a ClusterPki,
        options: &'a ClusterOptions,
        seat: Option<Seat>,
    ) -> anyhow::Result<Self> {
        let ports = if seat.is_some() {
            PORTS_ON_A_NODE
        } else {
            let [etcd, etcd_peer, api_server] = ports::free_ports()?;
            Ports {
                etcd,
                etcd_peer,
                api_server,
            }
        };
        Ok(Self {
            folder,
            binaries,
            pki,
            options,
            ports,
            seat,
        })
    }

    /// URL of kube-apiserver.
    pub(super) fn server(&self) -> String {
        let address = self
            .seat
            .as_ref()
            .map_or(Ipv4Addr::LOCALHOST, Seat::address);
        format!("https://{address}:{}", self.ports.api_server)
    }

    pub(super) fn etcd(&self) -> Launch {
        let client = format!("https://127.0.0.1:{}", self.ports.etcd);
        let peer = format!("http://127.0.0.1:{}", self.ports.etcd_peer);
        let own = self.pki.pair("etcd");
        self.launch("etcd")
            .flag("data-dir", self.folder.join("etcd"))
            .flag("listen-client-urls", &client)
            .flag("advertise-client-urls", &client)
            .flag("listen-peer-urls", &peer)
            .flag("initial-advertise-peer-urls", &peer)
            .flag("initial-cluster", format!("default={peer}"))
            .flag("cert-file", own.certificate)
            .flag("key-file", own.key)
            .flag("client-cert-auth", "true")
            .flag("trusted-ca-file", self.pki.certificate("etcd-ca"))
            // A test's data need not survive a crash of the machine.
            .flag("unsafe-no-fsync", "true")
            .flag("log-level", "warn")
            .0
    }

    pub(super) fn api_server(&self) -> anyhow::Result<Launch> {
        let serving = self.pki.pair("apiserver");
        let etcd = self.pki.pair("etcd-client");
        let front_proxy = self.pki.front_proxy_client();
        let mut launch = self.launch("kube-apiserver");
        launch = match &self.seat {
            None => launch
                .flag("bind-address", "127.0.0.1")
                .flag("advertise-address", "127.0.0.1")
                // The Service `kubernetes` may not have an endpoint on loopback.
                .flag("endpoint-reconciler-type", "none"),
            Some(seat) => {
                let client = self.pki.pair("apiserver-kubelet-client");
                launch
                    .flag("bind-address", "0.0.0.0")
                    .flag("advertise-address", seat.address().to_string())
                    .flag("enable-admission-plugins", "NodeRestriction")
                    .flag("kubelet-client-certificate", client.certificate)
                    .flag("kubelet-client-key", client.key)
                    // Nobody looks names of nodes up.
                    .flag("kubelet-preferred-address-types", "InternalIP")
            }
        };
        launch = launch
            .flag("secure-port", self.ports.api_server.to_string())
            .flag(
                "etcd-servers",
                format!("https://127.0.0.1:{}", self.ports.etcd),
            )
            .flag("etcd-cafile", self.pki.certificate("etcd-ca"))
            .flag("etcd-certfile", etcd.certificate)
            .flag("etcd-keyfile", etcd.key)
            .flag("tls-cert-file", serving.certificate)
            .flag("tls-private-key-file", serving.key)
            .flag("client-ca-file", self.pki.signing_pair().certificate)
            .flag("service-account-issuer", SERVICE_ACCOUNT_ISSUER)
            .flag(
                "service-account-key-file",
                self.pki.service_account_public_key(),
            )
            .flag("service-account-signing-key-file", self.pki.key("sa"))
            .flag("service-cluster-ip-range", SERVICE_RANGE)
            .flag("authorization-mode", "Node,RBAC")
            .flag("allow-privileged", "true")
            .flag(
                "requestheader-client-ca-file",
                self.pki.certificate("front-proxy-ca"),
            )
            .flag("requestheader-allowed-names", "front-proxy-client")
            .flag("requestheader-username-headers", "X-Remote-User")
            .flag("requestheader-group-headers", "X-Remote-Group")
            .flag("requestheader-extra-headers-prefix", "X-Remote-Extra-")
            .flag("proxy-client-cert-file", front_proxy.certificate)
            .flag("proxy-client-key-file", front_proxy.key)
            // As kubeadm and Talos have it: services are reached by their own address, from a node. And only so does the
            // aggregator dial a Service of type ExternalName, which stands for a plain process.
            .flag("enable-aggregator-routing", "false");
        launch = match &self.options.anonymous {
            Anonymous::Everything => launch,
            Anonymous::Off => launch.flag("anonymous-auth", "false"),
            // The flag and the file's own block exclude each other, whatever the flag's value.
            Anonymous::Paths(paths) => {
                launch.flag("authentication-config", self.authentication_file(paths)?)
            }
        };
        if self.options.profile == Profile::Talos {
            launch = launch
                .flag("tls-min-version", "VersionTLS13")
                .flag("profiling", "false")
                .flag("admission-control-config-file", self.admission_file()?);
        }
        for argument in &self.options.api_server_arguments {
            launch.0.arguments.push(argument.into());
        }
        Ok(launch.0)
    }

    pub(super) fn controller_manager(&self) -> anyhow::Result<Launch> {
        let name = "kube-controller-manager";
        let signing = self.pki.signing_pair();
        let controllers = match self.options.profile {
            // What kubeadm sets: the first signs cluster-info, the other removes old bootstrap tokens.
            Profile::Kubeadm => "*,bootstrapsigner,tokencleaner",
            Profile::Talos => "*,tokencleaner",
        };
        Ok(self
            .launch(name)
            .flag("kubeconfig", self.kubeconfig(name)?)
            .flag("secure-port", "0")
            .flag("leader-elect", "false")
            .flag("use-service-account-credentials", "true")
            .flag("controllers", controllers)
            .flag("cluster-signing-cert-file", &signing.certificate)
            .flag("cluster-signing-key-file", signing.key)
            .flag("root-ca-file", signing.certificate)
            .flag("service-account-private-key-file", self.pki.key("sa"))
            .flag("service-cluster-ip-range", SERVICE_RANGE)
            // Its default is a system folder, which it would create.
            .flag("flex-volume-plugin-dir", self.folder.join("volume-plugins"))
            .0)
    }

    pub(super) fn scheduler(&self) -> anyhow::Result<Launch> {
        let name = "kube-scheduler";
        Ok(self
            .launch(name)
            .flag("kubeconfig", self.kubeconfig(name)?)
            .flag("secure-port", "0")
            .flag("leader-elect", "false")
            .0)
    }

    /// Writes the kubeconfig of a component, or of `admin`, and gives its path.
    pub(super) fn kubeconfig(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.folder.join(format!("{name}.kubeconfig"));
        let credential = Credential::Certificate(self.pki.pair(name));
        let ca = self.pki.signing_pair().certificate;
        write_kubeconfig(&path, &self.server(), &ca, &credential)?;
        Ok(path)
    }

    fn authentication_file(&self, paths: &[String]) -> anyhow::Result<PathBuf> {
        let conditions: Vec<_> = paths.iter().map(|path| json!({ "path": path })).collect();
        let file = json!({
            "apiVersion": "apiserver.config.k8s.io/v1beta1",
            "kind": "AuthenticationConfiguration",
            "anonymous": { "enabled": true, "conditions": conditions },
            "jwt": [],
        });
        self.file("authentication-config.json", &file)
    }

    /// Talos' default: `baseline` is enforced everywhere but in `kube-system`.
    fn admission_file(&self) -> anyhow::Result<PathBuf> {
        let file = json!({
            "apiVersion": "apiserver.config.k8s.io/v1",
            "kind": "AdmissionConfiguration",
            "plugins": [{
                "name": "PodSecurity",
                "configuration": {
                    "apiVersion": "pod-security.admission.config.k8s.io/v1",
                    "kind": "PodSecurityConfiguration",
                    "defaults": {
                        "enforce": "baseline",
                        "enforce-version": "latest",
                        "audit": "restricted",
                        "audit-version": "latest",
                        "warn": "restricted",
                        "warn-version": "latest",
                    },
                    "exemptions": {
                        "usernames": [],
                        "runtimeClasses": [],
                        "namespaces": ["kube-system"],
                    },
                },
            }],
        });
        self.file("admission-config.json", &file)
    }

    fn file(&self, name: &str, content: &serde_json::Value) -> anyhow::Result<PathBuf> {
        let path = self.folder.join(name);
        write(&path, &serde_json::to_string_pretty(content)?, 0o600)?;
        Ok(path)
    }

    fn launch(&self, name: &str) -> Flags {
        let launch = Launch {
            name: name.to_owned(),
            program: self.binaries.program(name),
            arguments: Vec::new(),
            environment: Vec::new(),
            user: None,
            detached: self.options.keep_as.is_some(),
            folder: self.folder.to_owned(),
        };
        Flags(match &self.seat {
            None => launch,
            Some(seat) => seat.take(launch),
        })
    }
}

/// `--name=value` upon `--name=value`.
struct Flags(Launch);

impl Flags {
    fn flag(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        let mut argument = OsString::from(format!("--{name}="));
        argument.push(value);
        self.0.arguments.push(argument);
        self
    }
}

//! A cluster that Haulout runs in as pods, and how tests use it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use haulout_operate::clock::Clock;
use haulout_tests::cluster::{
    AUDIENCE, AUTHENTICATOR, Cluster, ClusterOptions, Credential, Images, Installation, Kubectl,
    LOGIN_PATH, NodeAccess, Products, Profile, TOKEN_VARIABLE, exchange_flags,
};
use haulout_tests::issuer::{IssuerOptions, TestIssuer};
use haulout_tests::logins;
use haulout_tests::probe::Target;
use serde_json::{Value, json};

use crate::shell::Shell;

/// Longer than any test.
const TOKEN_LIFETIME: Duration = Duration::from_secs(3600);

/// A cluster with Haulout in pods; fields are dropped in this order.
pub(crate) struct Installed {
    pub(crate) issuer: TestIssuer,
    pub(crate) installation: Installation,
    pub(crate) cluster: Cluster,
}

impl Installed {
    /// Starts a cluster with so many nodes, installs the chart with the profile's preset and further arguments, and an
    /// authenticator; waits until all of it is ready.
    pub(crate) async fn start(profile: Profile, nodes: u8, values: &[&str]) -> Self {
        let cluster = ClusterOptions {
            nodes,
            ..ClusterOptions::new(profile)
        };
        let cluster = Cluster::start(cluster).await.unwrap();
        let installed = Self::into(cluster).await;
        let preset = format!("--set=agent.preset={profile}");
        let values = [&[preset.as_str()], values].concat();
        installed.installation.install(&values).await.unwrap();
        installed.installation.wait_until_ready().await.unwrap();
        installed.add_authenticator().await;
        installed
    }

    /// The same cluster with images and an issuer; nothing is installed yet.
    pub(crate) async fn into(cluster: Cluster) -> Self {
        haulout_tests::ensure_crypto();
        let images = Images::find().unwrap();
        let nodes: Vec<NodeAccess> = cluster
            .nodes()
            .iter()
            .map(|node| node.access().clone())
            .collect();
        Installation::load(&nodes, &images).await.unwrap();
        // It works before kubelet has told of it.
        let running = "--for=jsonpath={.status.phase}=Running";
        let managers = ["pod", "-n", "kube-system", "--all", "--timeout=55s"];
        let wait = [&["wait", running], &managers[..]].concat();
        cluster.kubectl().run(&wait).await.unwrap();
        let installation = Installation::new(cluster.kubectl()).await.unwrap();
        let host = cluster.host_address().unwrap();
        let issuer = TestIssuer::start(IssuerOptions {
            listen: SocketAddr::from((host, 0)),
            ..IssuerOptions::default()
        })
        .await
        .unwrap();
        Self {
            issuer,
            installation,
            cluster,
        }
    }

    pub(crate) fn kubectl(&self) -> &Kubectl {
        self.cluster.kubectl()
    }

    /// Trusts the issuer, and waits until the webhooks do.
    async fn add_authenticator(&self) {
        let ca = STANDARD.encode(self.issuer.ca_certificate_pem());
        let object = json!({
            "apiVersion": "authentication.concierge.pinniped.dev/v1alpha1",
            "kind": "JWTAuthenticator",
            "metadata": { "name": AUTHENTICATOR },
            "spec": {
                "issuer": self.issuer.url(),
                "audience": AUDIENCE,
                "tls": { "certificateAuthorityData": ca },
            },
        });
        self.kubectl().apply(&object.to_string()).await.unwrap();
        let ready = "--for=jsonpath={.status.phase}=Ready";
        let name = format!("jwtauthenticator/{AUTHENTICATOR}");
        let wait = ["wait", ready, &name, "--timeout=55s"];
        self.kubectl().run(wait).await.unwrap();
    }

    /// A token of alice, who is in the group `devs`.
    pub(crate) fn token(&self) -> String {
        let now = Clock::system().now().duration_since(UNIX_EPOCH).unwrap();
        let claims = json!({
            "iss": self.issuer.url(), "sub": "1", "aud": AUDIENCE,
            "username": "alice", "groups": ["devs"],
            "exp": (now + TOKEN_LIFETIME).as_secs(),
        });
        self.issuer.sign(&claims).unwrap()
    }

    /// Where logins go that are made without a plugin.
    pub(crate) fn target(&self) -> Target {
        let ca = std::fs::read(self.cluster.ca_certificate()).unwrap();
        let client = reqwest::Client::builder()
            .tls_certs_only(reqwest::Certificate::from_pem_bundle(&ca).unwrap())
            // The API server closes HTTP/2 connections of anonymous clients after each answer.
            .http1_only()
            .timeout(Duration::from_secs(10))
            .no_proxy()
            .build()
            .unwrap();
        Target {
            client,
            url: format!("{}{LOGIN_PATH}", self.cluster.server()),
            body: logins::body(&self.token()),
        }
    }

    /// Path of a kubeconfig without secrets, whose plugin takes the token from [`TOKEN_VARIABLE`].
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        let token = format!("--token-env={TOKEN_VARIABLE}");
        self.kubeconfig_by("alice", &["static", &token])
    }

    /// One whose user logs in by this way of `haulout login`, and exchanges the token.
    pub(crate) fn kubeconfig_by(&self, user: &str, login: &[&str]) -> PathBuf {
        let exchange = exchange_flags(&self.cluster, AUTHENTICATOR).unwrap();
        let exchange = exchange.each_ref().map(String::as_str);
        let arguments = [&["login"], login, &["--credential-cache="], &exchange].concat();
        let stanza = json!({
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": Products::find().unwrap().program("haulout"),
            "args": arguments,
            "interactiveMode": "Never",
            "provideClusterInfo": false,
        });
        self.cluster
            .kubeconfig(user, &Credential::Exec(stanza))
            .unwrap()
    }

    /// `kubectl` as alice.
    pub(crate) async fn as_alice(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let kubectl = self.kubectl().with_kubeconfig(&self.kubeconfig());
        let token = self.token();
        kubectl
            .run_with(arguments, &[(TOKEN_VARIABLE, &token)])
            .await
    }

    /// The pods of a workload, the oldest first.
    pub(crate) async fn pods(&self, namespace: &str) -> Vec<Value> {
        let list = [
            "get",
            "pods",
            "-n",
            namespace,
            "--sort-by=.metadata.creationTimestamp",
        ];
        let list = self.kubectl().json(&list).await.unwrap();
        list["items"].as_array().unwrap().clone()
    }

    /// A shell of the administrator, with Helm, who pushed the images to where the nodes have them from.
    pub(crate) fn shell(&self) -> Shell {
        let helm = self.installation.helm().folder();
        Shell::new(&self.cluster, &[helm]).with("REGISTRY", "haulout")
    }

    /// Those objects outside of any namespace, and namespaces, that a chart or a Concierge may make, by their names.
    pub(crate) async fn objects_of_cluster(&self, counts: impl Fn(&str) -> bool) -> Vec<String> {
        let kinds = [
            "namespaces,clusterroles,clusterrolebindings,apiservices,crds,priorityclasses",
            "flowschemas,prioritylevelconfigurations",
            "validatingadmissionpolicies,validatingadmissionpolicybindings",
        ];
        let all = ["get", &kinds.join(","), "-o", "name"];
        let names = self.kubectl().run(all).await.unwrap();
        let names = names.lines().filter(|name| counts(name));
        names.map(str::to_owned).collect()
    }
}

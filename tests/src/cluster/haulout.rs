//! Haulout as plain processes beside a cluster: issuer, agent and webhook.

mod files;
mod link;
mod login;
mod objects;
mod products;
mod replica;
mod start;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::ensure;
use haulout_api::group::ApiGroupSuffix;
use serde_json::{Value, json};

pub use self::login::exchange_flags;
use self::objects::{api_services_available, authenticator, authenticator_ready, install};
pub use self::products::{Products, TARGET, target_folder};
pub use self::replica::Replica;
use self::start::Start;
use super::kubectl::Kubectl;
use super::pki::Pair;
use super::poll::wait_for;
use super::process::Process;
use super::{Cluster, ports};

/// Name of the `JWTAuthenticator` for the test issuer.
pub const AUTHENTICATOR: &str = "test-issuer";
/// Audience that it demands.
pub const AUDIENCE: &str = "local-cluster";
/// Environment variable from which [`HauloutStack::exec_stanza`] takes the token.
pub const TOKEN_VARIABLE: &str = "HAULOUT_TOKEN";

const READY_LIMIT: Duration = Duration::from_secs(30);
const CALL_LIMIT: Duration = Duration::from_secs(10);
const PORT_TRIES: usize = 3;

/// What to start.
#[derive(Clone, Debug, Default)]
pub struct StackOptions {
    /// The issuer signs with RS256 and names its key, instead of ES256 without a name.
    pub rs256: bool,
    /// Fields of the webhook's configuration file that differ from [`StackOptions::default`]'s.
    pub webhook: serde_json::Map<String, Value>,
    /// The agent's policy file; all of it.
    pub policy: serde_json::Map<String, Value>,
    /// The APIServices are left as they are, as beside another installation that serves the logins still.
    pub unregistered: bool,
    /// The webhook finds agents by their Service, and its leader keeps the certificates between them in Secrets, as in
    /// an installation; else all of it are files and addresses.
    pub linked: bool,
    /// Suffix of the API groups: in the manifests, in the webhook's configuration, and in logins.
    pub suffix: ApiGroupSuffix,
}

impl StackOptions {
    /// The default, but for limits on how many log in: there are none.
    pub fn unlimited() -> Self {
        let object = |value: Value| value.as_object().cloned().unwrap_or_default();
        Self {
            webhook: object(json!({ "limits": { "perAddressPerSecond": 0, "totalPerSecond": 0 } })),
            policy: object(json!({ "ratePerSecond": 0 })),
            ..Self::default()
        }
    }
}

/// Running processes of Haulout; dropping it ends them. Drop it before its cluster.
#[derive(Debug)]
pub struct HauloutStack {
    webhook: Process,
    agent: Process,
    issuer: Process,
    kubectl: Kubectl,
    products: Products,
    options: StackOptions,
    tls: files::MutualTls,
    agent_files: files::AgentFiles,
    issuer_url: String,
    issuer_ca: PathBuf,
    addresses: Addresses,
    http: reqwest::Client,
}

/// An agent beside the first; dropping it ends it. Drop it before its cluster.
#[derive(Debug)]
pub struct Agent {
    /// The process.
    pub process: Process,
    /// Where it listens; the webhook is the stack's.
    pub addresses: Addresses,
}

/// Where the processes listen, on 127.0.0.1; agents with a Service on every address.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// Door A, with TLS.
    pub webhook: u16,
    /// The webhook's health and metrics, plain.
    pub webhook_metrics: u16,
    /// The agent's signing endpoint, with mutual TLS.
    pub agent: u16,
    /// The agent's health and metrics, plain.
    pub agent_health: u16,
}

impl HauloutStack {
    /// Starts issuer, agent and webhook, installs the manifests, and waits until the API server accepts logins: both
    /// APIServices `Available` (unless they are left alone), the authenticator `Ready`.
    ///
    /// # Errors
    /// A product binary is missing, a process ended, or something did not become ready within half a minute.
    pub async fn start(cluster: &Cluster, options: &StackOptions) -> anyhow::Result<Self> {
        crate::ensure_crypto();
        let mut tries = 1;
        loop {
            match Self::start_once(cluster, options).await {
                Err(error) if tries < PORT_TRIES && ports::is_clash(&error) => tries += 1,
                result => return result,
            }
        }
    }

    async fn start_once(cluster: &Cluster, options: &StackOptions) -> anyhow::Result<Self> {
        let products = Products::find()?;
        let addresses = Addresses::choose()?;
        let start = Start::new(cluster, &products, options)?;
        let (kubectl, suffix) = (cluster.kubectl(), &options.suffix);

        let (mut issuer, issuer_url, issuer_ca) = start.issuer().await?;
        let tls = files::mutual_tls(&start.folder)?;
        let (mut agent, agent_files) = start.agent(&tls, addresses)?;
        let port = (!options.unregistered).then_some(addresses.webhook);
        install(kubectl, port, suffix).await?;
        if options.linked {
            link::install(kubectl, addresses.agent).await?;
        }
        let mut webhook = start.webhook(0, &tls, addresses).await?;
        if options.linked {
            let parts = &mut [&mut agent, &mut webhook];
            wait_for("agents' Secret filled", READY_LIMIT, parts, async || {
                link::mount(kubectl, &agent_files.folder).await
            })
            .await?;
        }
        let authenticator = authenticator(&issuer_url, &issuer_ca, suffix)?;
        kubectl.apply(&authenticator).await?;

        let http = http_client(&issuer_ca)?;
        let parts = &mut [&mut issuer, &mut agent, &mut webhook];
        wait_for("agent ready", READY_LIMIT, parts, async || {
            let url = format!("http://127.0.0.1:{}/readyz", addresses.agent_health);
            Ok(http.get(url).send().await?.error_for_status()?)
        })
        .await?;
        if !options.unregistered {
            wait_for("APIServices available", READY_LIMIT, parts, async || {
                api_services_available(kubectl, suffix).await
            })
            .await?;
        }
        wait_for("authenticator ready", READY_LIMIT, parts, async || {
            authenticator_ready(kubectl).await
        })
        .await?;

        Ok(Self {
            webhook,
            agent,
            issuer,
            kubectl: kubectl.clone(),
            products,
            options: options.clone(),
            tls,
            agent_files,
            issuer_url,
            issuer_ca,
            addresses,
            http,
        })
    }

    /// The webhook's process.
    pub fn webhook(&mut self) -> &mut Process {
        &mut self.webhook
    }

    /// The agent's process.
    pub fn agent(&mut self) -> &mut Process {
        &mut self.agent
    }

    /// The issuer's process.
    pub fn issuer(&mut self) -> &mut Process {
        &mut self.issuer
    }

    /// Where the processes listen.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// The agent's copy of the cluster's CA; what stands there is signed with, a second later.
    pub fn signing_pair(&self) -> &Pair {
        &self.agent_files.signing
    }

    /// Has the agent sign with this CA; with the cluster's own again by [`Cluster::pki`]'s signing pair.
    ///
    /// # Errors
    /// A file cannot be read or written.
    pub fn sign_with(&self, pair: &Pair) -> anyhow::Result<()> {
        let ours = &self.agent_files.signing;
        files::copy_for_agent(&pair.certificate, &ours.certificate, 0o444)?;
        files::copy_for_agent(&pair.key, &ours.key, 0o400)
    }

    /// Path of the agent's policy file.
    pub fn policy(&self) -> &Path {
        &self.agent_files.policy
    }

    /// URL of the issuer.
    pub fn issuer_url(&self) -> &str {
        &self.issuer_url
    }

    /// Path of the CA certificate of the issuer's HTTPS endpoint.
    pub fn issuer_ca(&self) -> &Path {
        &self.issuer_ca
    }

    /// Suffix of the API groups.
    pub fn suffix(&self) -> &ApiGroupSuffix {
        &self.options.suffix
    }

    /// Programs that are running.
    pub fn products(&self) -> &Products {
        &self.products
    }

    /// Does what the kubelet does for the agents of an installation: puts what their Secret holds into their folder.
    ///
    /// # Errors
    /// The Secret is missing or not filled.
    pub async fn mount_agent_secret(&self) -> anyhow::Result<()> {
        link::mount(&self.kubectl, &self.agent_files.folder).await
    }

    /// Tells the webhook by EndpointSlices that there are agents at these ports and no others.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn set_agent_endpoints(&self, ports: &[u16]) -> anyhow::Result<()> {
        link::set_endpoints(&self.kubectl, ports).await
    }

    /// Starts another agent, which shares the files of the first.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_agent(&self, cluster: &Cluster, name: &str) -> anyhow::Result<Agent> {
        let addresses = self.addresses.of_another_agent()?;
        let start = Start::new(cluster, &self.products, &self.options)?;
        let process = start.agent_process(name, &self.agent_files, addresses)?;
        Ok(Agent { process, addresses })
    }

    /// Asks the issuer for a token with these claims; `iss`, `sub`, `iat`, `nbf`, `exp` (two minutes) and `jti` are added
    /// where they are absent.
    ///
    /// # Errors
    /// The issuer did not answer within ten seconds.
    pub async fn token_with(&self, claims: &Value) -> anyhow::Result<String> {
        let url = format!("{}/token", self.issuer_url);
        let answer = self.http.post(url).json(claims).send().await?;
        Ok(answer.error_for_status()?.text().await?)
    }

    /// Asks the issuer for a token that the cluster accepts.
    ///
    /// # Errors
    /// As [`HauloutStack::token_with`].
    pub async fn token(&self, username: &str, groups: &[&str]) -> anyhow::Result<String> {
        let claims = json!({ "username": username, "groups": groups, "aud": AUDIENCE });
        self.token_with(&claims).await
    }

    /// Waits until the webhook is ready, before which a cluster would lead nobody to it, and connected to an agent, and
    /// both APIServices are `Available` again, for example after a restart.
    ///
    /// # Errors
    /// They are not within half a minute, or a process has ended.
    pub async fn wait_until_available(&mut self) -> anyhow::Result<()> {
        let parts = &mut [&mut self.issuer, &mut self.agent, &mut self.webhook];
        let port = self.addresses.webhook_metrics;
        let ready = format!("http://127.0.0.1:{port}/readyz?verbose");
        wait_for("webhook ready", READY_LIMIT, parts, async || {
            let answer = self.http.get(&ready).send().await?.error_for_status()?;
            let checks = answer.text().await?;
            ensure!(checks.contains("[+]agents ok"), "{checks}");
            Ok(())
        })
        .await?;
        wait_for("APIServices available", READY_LIMIT, parts, async || {
            api_services_available(&self.kubectl, &self.options.suffix).await
        })
        .await
    }

    /// Leaves the processes running, for `cargo xtask cluster down` to end with their cluster.
    pub fn keep(self) {
        for process in [self.webhook, self.agent, self.issuer] {
            process.release();
        }
    }
}

fn http_client(issuer_ca: &Path) -> anyhow::Result<reqwest::Client> {
    let ca = reqwest::Certificate::from_pem(&std::fs::read(issuer_ca)?)?;
    Ok(reqwest::Client::builder()
        .tls_certs_only([ca])
        .timeout(CALL_LIMIT)
        .no_proxy()
        .build()?)
}

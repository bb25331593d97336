//! Haulout as plain processes beside a cluster: issuer, agent and webhook.

mod files;
mod products;

use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::process::Command;

pub use self::products::{Products, TARGET, target_folder};
use super::kubeconfig::Credential;
use super::kubectl::Kubectl;
use super::pki::{self, AGENT_USER, Pair};
use super::poll::wait_for;
use super::ports::{self, free_ports};
use super::process::{Launch, Process};
use super::{Cluster, profile};

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
}

/// Running processes of Haulout; dropping it ends them. Drop it before its cluster.
#[derive(Debug)]
pub struct HauloutStack {
    webhook: Process,
    agent: Process,
    issuer: Process,
    kubectl: Kubectl,
    products: Products,
    agent_files: files::AgentFiles,
    issuer_url: String,
    issuer_ca: PathBuf,
    addresses: Addresses,
    http: reqwest::Client,
}

/// Where the processes listen, on 127.0.0.1.
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
    /// APIServices `Available`, the authenticator `Ready`.
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
        let [webhook, webhook_metrics, agent, agent_health] = free_ports()?;
        let addresses = Addresses {
            webhook,
            webhook_metrics,
            agent,
            agent_health,
        };
        let start = Start {
            cluster,
            products: &products,
            addresses,
            folder: cluster.folder().join("haulout"),
        };
        std::fs::create_dir_all(&start.folder)?;
        // The agent runs as another user when we are root, and has its folder below this one.
        std::fs::set_permissions(
            &start.folder,
            std::os::unix::fs::PermissionsExt::from_mode(0o711),
        )?;

        let (mut issuer, issuer_url, issuer_ca) = start.issuer(options.rs256).await?;
        let tls = files::mutual_tls(&start.folder)?;
        let (mut agent, agent_files) = start.agent(&tls, options)?;
        install(cluster.kubectl(), addresses.webhook).await?;
        let mut webhook = start.webhook(&tls, options).await?;
        let authenticator = authenticator(&issuer_url, &issuer_ca)?;
        cluster.kubectl().apply(&authenticator).await?;

        let http = http_client(&issuer_ca)?;
        let parts = &mut [&mut issuer, &mut agent, &mut webhook];
        wait_for("agent ready", READY_LIMIT, parts, async || {
            let url = format!("http://127.0.0.1:{}/readyz", addresses.agent_health);
            Ok(http.get(url).send().await?.error_for_status()?)
        })
        .await?;
        wait_for("APIServices available", READY_LIMIT, parts, async || {
            api_services_available(cluster.kubectl()).await
        })
        .await?;
        wait_for("authenticator ready", READY_LIMIT, parts, async || {
            authenticator_ready(cluster.kubectl()).await
        })
        .await?;

        Ok(Self {
            webhook,
            agent,
            issuer,
            kubectl: cluster.kubectl().clone(),
            products,
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

    /// Programs that are running.
    pub fn products(&self) -> &Products {
        &self.products
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

    /// The `exec` stanza that logs in with the token in [`TOKEN_VARIABLE`] through door A, and keeps the certificate in the
    /// file `cache`, if one is given.
    ///
    /// # Errors
    /// The cluster's CA certificate cannot be read.
    pub fn exec_stanza(&self, cluster: &Cluster, cache: Option<&Path>) -> anyhow::Result<Value> {
        Ok(json!({
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": self.products.program("haulout"),
            "args": login_arguments(cluster, cache)?,
            "interactiveMode": "Never",
            "provideClusterInfo": false,
        }))
    }

    /// Writes a kubeconfig that logs in by [`HauloutStack::exec_stanza`] with a token from a file beside it, so that no
    /// environment variable is needed.
    ///
    /// # Errors
    /// A file cannot be read or written.
    pub fn kubeconfig_with_token_file(
        &self,
        cluster: &Cluster,
        token: &str,
    ) -> anyhow::Result<PathBuf> {
        let token_file = cluster.folder().join("user.token");
        pki::write(&token_file, token, 0o600)?;
        let cache = cluster.folder().join("credentials.yaml");
        let mut arguments = vec![
            "-c".to_owned(),
            format!(r#"{TOKEN_VARIABLE}="$(cat "$0")" exec "$@""#),
            token_file.to_string_lossy().into_owned(),
            self.products
                .program("haulout")
                .to_string_lossy()
                .into_owned(),
        ];
        arguments.extend(login_arguments(cluster, Some(&cache))?);
        let stanza = json!({
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": "/bin/sh",
            "args": arguments,
            "interactiveMode": "Never",
            "provideClusterInfo": false,
        });
        cluster.kubeconfig("user", &Credential::Exec(stanza))
    }

    /// Runs the plugin as kubectl does and gives the `ExecCredential` that it prints.
    ///
    /// # Errors
    /// The plugin failed; the text is its standard error.
    pub async fn login(
        &self,
        cluster: &Cluster,
        token: &str,
        cache: Option<&Path>,
    ) -> anyhow::Result<Value> {
        let output = Command::new(self.products.program("haulout"))
            .args(login_arguments(cluster, cache)?)
            .env(TOKEN_VARIABLE, token)
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(READY_LIMIT, output)
            .await
            .context("haulout login static did not end")??;
        ensure!(
            output.status.success(),
            "haulout login static failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        serde_json::from_slice(&output.stdout).context("haulout login static printed no JSON")
    }

    /// Waits until both APIServices are `Available` again, for example after a restart.
    ///
    /// # Errors
    /// They are not within half a minute, or a process has ended.
    pub async fn wait_until_available(&mut self) -> anyhow::Result<()> {
        let parts = &mut [&mut self.issuer, &mut self.agent, &mut self.webhook];
        wait_for("APIServices available", READY_LIMIT, parts, async || {
            api_services_available(&self.kubectl).await
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

struct Start<'a> {
    cluster: &'a Cluster,
    products: &'a Products,
    addresses: Addresses,
    folder: PathBuf,
}

impl Start<'_> {
    async fn issuer(&self, rs256: bool) -> anyhow::Result<(Process, String, PathBuf)> {
        #[derive(Deserialize)]
        struct Ready {
            issuer: String,
        }
        let ca = self.folder.join("issuer-ca.crt");
        let ready = self.folder.join("issuer.json");
        drop(std::fs::remove_file(&ready));
        let mut launch = self.launch("haulout-test-issuer");
        launch.arguments = vec![
            "--ca-file".into(),
            (&ca).into(),
            "--ready-file".into(),
            (&ready).into(),
        ];
        if rs256 {
            launch
                .arguments
                .extend(["--signing".into(), "rs256".into()]);
        }
        let mut process = Process::start(launch)?;
        let parts = &mut [&mut process];
        let Ready { issuer } = wait_for("issuer ready", READY_LIMIT, parts, async || {
            Ok(serde_json::from_slice(&std::fs::read(&ready)?)?)
        })
        .await?;
        Ok((process, issuer, ca))
    }

    /// As root the agent runs as the user that owns the key on Talos, without capabilities; else as ourselves.
    fn agent(
        &self,
        tls: &files::MutualTls,
        options: &StackOptions,
    ) -> anyhow::Result<(Process, files::AgentFiles)> {
        let files = files::agent_files(
            &self.folder.join("agent"),
            &self.cluster.pki().signing_pair(),
            tls,
            &Value::Object(options.policy.clone()),
        )?;
        let mut launch = self.launch("haulout-agent");
        if pki::is_root() {
            launch.user = Some(AGENT_USER);
            // Our build folder may be one that he cannot enter.
            let own = files.folder.join("haulout-agent");
            drop(std::fs::remove_file(&own));
            std::fs::copy(&launch.program, &own).context("failed to copy haulout-agent")?;
            chown(&own, Some(AGENT_USER), Some(AGENT_USER))?;
            launch.program = own;
        }
        let listen = |port: u16| format!("127.0.0.1:{port}");
        let paths = [
            ("--ca-cert", &files.signing.certificate),
            ("--ca-key", &files.signing.key),
            ("--policy", &files.policy),
            ("--tls-cert", &files.serving.certificate),
            ("--tls-key", &files.serving.key),
            ("--client-ca", &files.client_ca),
        ];
        for (flag, path) in paths {
            launch.arguments.extend([flag.into(), path.into()]);
        }
        launch.arguments.extend([
            "--listen".into(),
            listen(self.addresses.agent).into(),
            "--health-listen".into(),
            listen(self.addresses.agent_health).into(),
        ]);
        Ok((Process::start(launch)?, files))
    }

    /// The webhook runs under the ServiceAccount and the RBAC that an installation gives it.
    async fn webhook(
        &self,
        tls: &files::MutualTls,
        options: &StackOptions,
    ) -> anyhow::Result<Process> {
        let token = self
            .cluster
            .kubectl()
            .run([
                "create",
                "token",
                "haulout-webhook",
                "-n",
                "haulout-system",
                "--duration",
                "24h",
            ])
            .await
            .context("failed to get a token for the webhook's ServiceAccount")?;
        let token_file = self.folder.join("webhook.token");
        pki::write(&token_file, token.trim(), 0o600)?;
        let kubeconfig = self
            .cluster
            .kubeconfig("webhook", &Credential::TokenFile(token_file))?;
        let config = files::webhook_config(&self.folder, self.addresses, tls, &options.webhook)?;
        let mut launch = self.launch("haulout-webhook");
        launch.arguments = vec![
            "--config".into(),
            config.into(),
            "--kubeconfig".into(),
            kubeconfig.into(),
        ];
        Process::start(launch)
    }

    fn launch(&self, name: &str) -> Launch {
        Launch {
            name: name.to_owned(),
            program: self.products.program(name),
            arguments: Vec::new(),
            environment: Vec::new(),
            user: None,
            detached: self.cluster.is_detached(),
            folder: self.cluster.folder().to_owned(),
        }
    }
}

/// Arguments of `haulout` for a login through door A.
fn login_arguments(cluster: &Cluster, cache: Option<&Path>) -> anyhow::Result<Vec<String>> {
    let ca = STANDARD.encode(std::fs::read(cluster.ca_certificate())?);
    let cache = cache.map_or_else(String::new, |cache| cache.to_string_lossy().into_owned());
    Ok(vec![
        "login".to_owned(),
        "static".to_owned(),
        "--enable-concierge".to_owned(),
        "--concierge-authenticator-type=jwt".to_owned(),
        format!("--concierge-authenticator-name={AUTHENTICATOR}"),
        format!("--concierge-endpoint={}", cluster.server()),
        format!("--concierge-ca-bundle-data={ca}"),
        format!("--credential-cache={cache}"),
        format!("--token-env={TOKEN_VARIABLE}"),
    ])
}

/// Installs CRDs, RBAC and the rest of `manifests/`, with a Service that leads to the webhook's process.
async fn install(kubectl: &Kubectl, port: u16) -> anyhow::Result<()> {
    kubectl.apply(&files::manifests(port)?).await?;
    kubectl
        .run([
            "wait",
            "--for=condition=Established",
            "--timeout=30s",
            "crd",
            "--all",
        ])
        .await?;
    Ok(())
}

fn authenticator(issuer: &str, issuer_ca: &Path) -> anyhow::Result<String> {
    let object = json!({
        "apiVersion": "authentication.concierge.pinniped.dev/v1alpha1",
        "kind": "JWTAuthenticator",
        "metadata": { "name": AUTHENTICATOR },
        "spec": {
            "issuer": issuer,
            "audience": AUDIENCE,
            "tls": { "certificateAuthorityData": STANDARD.encode(std::fs::read(issuer_ca)?) },
        },
    });
    Ok(object.to_string())
}

async fn api_services_available(kubectl: &Kubectl) -> anyhow::Result<()> {
    for group in ["login", "identity"] {
        let name = format!("v1alpha1.{group}.concierge.pinniped.dev");
        let object = kubectl.json(&["get", "apiservice", &name]).await?;
        let condition = condition(&object, "Available")?;
        if condition.get("status").and_then(Value::as_str) != Some("True") {
            bail!("{name}: {condition}");
        }
    }
    // The condition lags behind a restart; discovery does not.
    let path = profile::LOGIN_PATH.trim_end_matches("/tokencredentialrequests");
    kubectl.run(["get", "--raw", path]).await.map(drop)
}

async fn authenticator_ready(kubectl: &Kubectl) -> anyhow::Result<()> {
    let object = kubectl
        .json(&["get", "jwtauthenticator", AUTHENTICATOR])
        .await?;
    let status = object.get("status").context("no status yet")?;
    if status.get("phase").and_then(Value::as_str) != Some("Ready") {
        bail!("status: {status}");
    }
    Ok(())
}

fn condition<'a>(object: &'a Value, kind: &str) -> anyhow::Result<&'a Value> {
    object
        .pointer("/status/conditions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .find(|condition| condition.get("type").and_then(Value::as_str) == Some(kind))
        .with_context(|| format!("no condition {kind} yet"))
}

fn http_client(issuer_ca: &Path) -> anyhow::Result<reqwest::Client> {
    let ca = reqwest::Certificate::from_pem(&std::fs::read(issuer_ca)?)?;
    Ok(reqwest::Client::builder()
        .tls_certs_only([ca])
        .timeout(CALL_LIMIT)
        .no_proxy()
        .build()?)
}

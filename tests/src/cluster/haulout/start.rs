//! Command lines of Haulout's processes.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::PathBuf;

use anyhow::Context as _;
use serde::Deserialize;

use super::files::{self, AgentFiles, MutualTls};
use super::{Addresses, Products, READY_LIMIT, StackOptions};
use crate::cluster::kubeconfig::Credential;
use crate::cluster::pki::{self, AGENT_USER};
use crate::cluster::poll::wait_for;
use crate::cluster::process::{Launch, Process};
use crate::cluster::{Cluster, free_ports};

/// What all processes of one stack are started with.
pub(super) struct Start<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) products: &'a Products,
    pub(super) options: &'a StackOptions,
    pub(super) folder: PathBuf,
}

impl<'a> Start<'a> {
    /// Makes the folder of the processes' files.
    pub(super) fn new(
        cluster: &'a Cluster,
        products: &'a Products,
        options: &'a StackOptions,
    ) -> anyhow::Result<Self> {
        let folder = cluster.folder().join("haulout");
        std::fs::create_dir_all(&folder)?;
        // The agent runs as another user when we are root, and has its folder below this one.
        std::fs::set_permissions(&folder, Permissions::from_mode(0o711))?;
        Ok(Self {
            cluster,
            products,
            options,
            folder,
        })
    }

    pub(super) async fn issuer(&self) -> anyhow::Result<(Process, String, PathBuf)> {
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
        if self.options.rs256 {
            launch
                .arguments
                .extend(["--signing".into(), "rs256-with-key-id".into()]);
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
    pub(super) fn agent(
        &self,
        tls: &MutualTls,
        addresses: Addresses,
    ) -> anyhow::Result<(Process, AgentFiles)> {
        let files = files::agent_files(
            &self.folder.join("agent"),
            &self.cluster.pki().signing_pair(),
            tls,
            self.options,
        )?;
        let process = self.agent_process("haulout-agent", &files, addresses)?;
        Ok((process, files))
    }

    /// An agent that reads these files.
    pub(super) fn agent_process(
        &self,
        name: &str,
        files: &AgentFiles,
        addresses: Addresses,
    ) -> anyhow::Result<Process> {
        let mut launch = self.launch("haulout-agent");
        name.clone_into(&mut launch.name);
        if pki::is_root() {
            launch.user = Some(AGENT_USER);
            // Our build folder may be one that he cannot enter.
            let own = files.folder.join(name);
            drop(std::fs::remove_file(&own));
            std::fs::copy(&launch.program, &own).context("failed to copy haulout-agent")?;
            chown(&own, Some(AGENT_USER), Some(AGENT_USER))?;
            launch.program = own;
        }
        // EndpointSlices name no loopback addresses.
        let host = if self.options.linked {
            "0.0.0.0"
        } else {
            "127.0.0.1"
        };
        let listen = |port: u16| format!("{host}:{port}");
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
            listen(addresses.agent).into(),
            "--health-listen".into(),
            listen(addresses.agent_health).into(),
        ]);
        Process::start(launch)
    }

    /// The webhook runs under the ServiceAccount and the RBAC that an installation gives it. Of several the first is
    /// number 0.
    pub(super) async fn webhook(
        &self,
        number: usize,
        tls: &MutualTls,
        addresses: Addresses,
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
        let pod = format!("haulout-webhook-{number}");
        let token_file = self.folder.join(format!("{pod}.token"));
        pki::write(&token_file, token.trim(), 0o600)?;
        let credential = Credential::TokenFile(token_file);
        let kubeconfig = self.cluster.kubeconfig(&pod, &credential)?;
        let config = files::webhook_config(&self.folder, &pod, addresses, tls, self.options)?;
        let mut launch = self.launch("haulout-webhook");
        if number > 0 {
            launch.name = pod;
        }
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

impl Addresses {
    /// Free ports for a first webhook and the agent.
    pub(super) fn choose() -> anyhow::Result<Self> {
        let [webhook, webhook_metrics, agent, agent_health] = free_ports()?;
        Ok(Self {
            webhook,
            webhook_metrics,
            agent,
            agent_health,
        })
    }

    /// Free ports for another agent.
    pub(super) fn of_another_agent(self) -> anyhow::Result<Self> {
        let [agent, agent_health] = free_ports()?;
        Ok(Self {
            agent,
            agent_health,
            ..self
        })
    }

    /// Free ports for another webhook that asks the same agent.
    pub(super) fn of_another_webhook(self) -> anyhow::Result<Self> {
        let [webhook, webhook_metrics] = free_ports()?;
        Ok(Self {
            webhook,
            webhook_metrics,
            ..self
        })
    }
}

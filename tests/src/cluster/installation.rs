//! Haulout in pods: its images on every node, its chart in the cluster.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use super::binaries::HelmVersion;
use super::helm::{CHART, Helm};
use super::kubectl::Kubectl;
use super::node::NodeAccess;

/// Namespace of the release.
pub const NAMESPACE: &str = "haulout-system";
/// Namespace of the agents.
pub const AGENT_NAMESPACE: &str = "haulout-agent";
const RELEASE: &str = "haulout";
/// The images are on the nodes under names without a host, as `cargo xtask image` writes them.
const REGISTRY: &str = "--set=image.registry=haulout";
const API_SERVICES: [&str; 2] = [
    "apiservice/v1alpha1.login.concierge.pinniped.dev",
    "apiservice/v1alpha1.identity.concierge.pinniped.dev",
];

/// Archives of the images, as `cargo xtask image` writes them.
#[derive(Clone, Debug)]
pub struct Images {
    archives: Vec<PathBuf>,
}

impl Images {
    /// Variable that names their folder for tests.
    pub const VARIABLE: &str = "HAULOUT_IMAGES";

    /// Takes them from the folder that `HAULOUT_IMAGES` names.
    ///
    /// # Errors
    /// The variable is not set, or one is missing.
    pub fn find() -> anyhow::Result<Self> {
        let folder = std::env::var_os(Self::VARIABLE)
            .context("HAULOUT_IMAGES is not set: run the tests by `cargo xtask test`")?;
        Self::in_folder(Path::new(&folder))
    }

    /// Takes them from a folder.
    ///
    /// # Errors
    /// One is missing.
    pub fn in_folder(folder: &Path) -> anyhow::Result<Self> {
        let archives = ["haulout-webhook.tar", "haulout-agent.tar"].map(|name| folder.join(name));
        for archive in &archives {
            let path = archive.display();
            ensure!(
                archive.is_file(),
                "there is no {path}: `cargo xtask image` writes it"
            );
        }
        Ok(Self {
            archives: archives.into(),
        })
    }
}

/// A cluster that Haulout is installed into by its chart.
#[derive(Debug)]
pub struct Installation {
    helm: Helm,
    kubectl: Kubectl,
}

impl Installation {
    /// Helm for the cluster of this kubectl; it is built first if it is missing.
    ///
    /// # Errors
    /// `go` is not installed, or the build failed.
    pub async fn new(kubectl: &Kubectl) -> anyhow::Result<Self> {
        let helm = Helm::find_or_build(HelmVersion::chosen()?).await?;
        Ok(Self {
            helm: helm.with_kubeconfig(kubectl.kubeconfig()),
            kubectl: kubectl.clone(),
        })
    }

    /// Helm.
    pub fn helm(&self) -> &Helm {
        &self.helm
    }

    /// Gives every node the images.
    ///
    /// # Errors
    /// A node refuses one.
    pub async fn load(nodes: &[NodeAccess], images: &Images) -> anyhow::Result<()> {
        for node in nodes {
            for archive in &images.archives {
                let told = || format!("{} does not take {}", node.name(), archive.display());
                node.load_image(archive).await.with_context(told)?;
            }
        }
        Ok(())
    }

    /// Installs the chart with the images that were loaded, or upgrades it, with these arguments of Helm for its values.
    ///
    /// # Errors
    /// Helm's text.
    pub async fn install(&self, values: &[&str]) -> anyhow::Result<String> {
        let install = ["upgrade", "--install", RELEASE, CHART];
        let namespace = ["--namespace", NAMESPACE, "--create-namespace"];
        self.helm
            .run(&[&install[..], &namespace, values, &[REGISTRY]].concat())
            .await
    }

    /// Waits until both workloads are ready, the API server accepts what the agents sign, and leads logins here.
    ///
    /// # Errors
    /// Not in time; the text has the pods, the events and the end of the logs.
    pub async fn wait_until_ready(&self) -> anyhow::Result<()> {
        for rollout in [
            ["-n", AGENT_NAMESPACE, "daemonset/haulout-agent"],
            ["-n", NAMESPACE, "deployment/haulout-webhook"],
        ] {
            let status = ["rollout", "status", "--timeout=55s"];
            self.explained([&status[..], &rollout].concat()).await?;
        }
        let accepted = "--for=jsonpath={.status.strategies[0].status}=Success";
        let issuer = "credentialissuers.config.concierge.pinniped.dev/haulout";
        // The webhook that leads makes it, some moments after it has become ready.
        for what in ["--for=create", accepted] {
            self.explained(vec!["wait", what, issuer, "--timeout=55s"])
                .await?;
        }
        // The API server looks again after five seconds once it has found nobody.
        let available = ["wait", "--for=condition=Available", "--timeout=55s"];
        self.explained([&available[..], &API_SERVICES].concat())
            .await
    }

    async fn explained(&self, arguments: Vec<&str>) -> anyhow::Result<()> {
        let Err(error) = self.kubectl.run(&arguments).await else {
            return Ok(());
        };
        Err(error.context(self.evidence().await))
    }

    /// What an administrator would look at.
    pub async fn evidence(&self) -> String {
        let mut text = String::new();
        for look in [
            &["get", "pods", "-A", "-o", "wide"][..],
            &["get", "events", "-n", AGENT_NAMESPACE],
            &["get", "events", "-n", NAMESPACE],
            &[
                "get",
                "credentialissuers.config.concierge.pinniped.dev",
                "-o",
                "yaml",
            ],
            &[
                "logs",
                "-n",
                AGENT_NAMESPACE,
                "daemonset/haulout-agent",
                "--tail=20",
            ],
            &[
                "logs",
                "-n",
                NAMESPACE,
                "deployment/haulout-webhook",
                "--tail=40",
            ],
        ] {
            let answer = self.kubectl.run(look).await;
            let answer = answer.unwrap_or_else(|error| format!("{error:#}"));
            text.push_str(&format!("$ kubectl {}\n{answer}\n", look.join(" ")));
        }
        text
    }
}

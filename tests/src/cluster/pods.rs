//! A cluster's nodes and pods, as tests use them.

use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::Cluster;
use super::node::{Node, Site};

impl Cluster {
    /// Its nodes.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Its nodes, to be looked at, signalled or killed.
    pub fn nodes_mut(&mut self) -> &mut [Node] {
        &mut self.nodes
    }

    /// Address under which pods reach what listens on this computer; none without nodes.
    pub fn host_address(&self) -> Option<Ipv4Addr> {
        self.site.as_ref().map(Site::host_address)
    }

    /// Loads an image from an archive, as `docker save` writes it, into every node.
    ///
    /// # Errors
    /// The archive cannot be read, or a node refuses it.
    pub async fn load_image(&self, archive: &Path) -> anyhow::Result<()> {
        for node in &self.nodes {
            node.access().load_image(archive).await?;
        }
        Ok(())
    }

    /// Processes of a running container, as this computer sees them: they can be looked at below `/proc` and signalled.
    /// The first is the one that the others came from.
    ///
    /// # Errors
    /// There is no such pod, or the container does not run.
    pub async fn container_processes(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
    ) -> anyhow::Result<Vec<u32>> {
        let object = ["get", "pod", "-n", namespace, pod];
        let object = self.kubectl.json(&object).await?;
        let (node, id) = locate(&object, container)
            .with_context(|| format!("{namespace}/{pod} runs no container {container}"))?;
        let node = (self.nodes.iter())
            .find(|candidate| candidate.access().name() == node)
            .with_context(|| format!("{namespace}/{pod} is on {node}, which is gone"))?;
        let processes = node.access().container_processes(id)?;
        ensure!(!processes.is_empty(), "{namespace}/{pod} has just ended");
        Ok(processes)
    }

    /// Kills a container (SIGKILL), as the kernel does when memory is short; kubelet starts it again.
    ///
    /// # Errors
    /// As [`Cluster::container_processes`].
    pub async fn kill_container(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
    ) -> anyhow::Result<()> {
        let processes = self.container_processes(namespace, pod, container).await?;
        let first = processes.first().and_then(|&id| i32::try_from(id).ok());
        let first = first
            .and_then(Pid::from_raw)
            .context("process id out of range")?;
        kill_process(first, Signal::KILL)
            .with_context(|| format!("failed to kill {namespace}/{pod}"))
    }
}

/// Node and id of a running container.
fn locate<'a>(pod: &'a Value, container: &str) -> Option<(&'a str, &'a str)> {
    let node = pod.pointer("/spec/nodeName")?.as_str()?;
    let statuses = pod.pointer("/status/containerStatuses")?.as_array()?;
    let status = statuses
        .iter()
        .find(|status| status.get("name").is_some_and(|name| name == container))?;
    status.pointer("/state/running")?;
    let id = status.get("containerID")?.as_str()?;
    Some((node, id.strip_prefix("containerd://")?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_running_containers_are_located() {
        let pod = json!({
            "spec": { "nodeName": "node-1" },
            "status": { "containerStatuses": [
                { "name": "a", "containerID": "containerd://1", "state": { "running": {} } },
                { "name": "b", "containerID": "containerd://2", "state": { "terminated": {} } },
                { "name": "c", "state": { "waiting": {} } },
            ] },
        });
        assert_eq!(locate(&pod, "a"), Some(("node-1", "1")));
        for other in ["b", "c", "d"] {
            assert_eq!(locate(&pod, other), None, "{other}");
        }
    }
}

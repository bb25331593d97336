//! Another webhook beside the first, as a Deployment with two replicas has it.

use super::start::Start;
use super::{Addresses, HauloutStack, READY_LIMIT};
use crate::cluster::process::Process;
use crate::cluster::{Cluster, wait_for};

/// A webhook with ports of its own; dropping it ends it. Drop it before its cluster.
#[derive(Debug)]
pub struct Replica {
    /// The process.
    pub process: Process,
    /// Where it listens; the agent is the stack's.
    pub addresses: Addresses,
}

impl HauloutStack {
    /// Starts a webhook called `haulout-webhook-1` and waits until it is ready. The APIServices lead to the first one
    /// still.
    ///
    /// # Errors
    /// It ended, or was not ready within half a minute.
    pub async fn start_replica(&self, cluster: &Cluster) -> anyhow::Result<Replica> {
        let addresses = self.addresses.of_another_webhook()?;
        let start = Start::new(cluster, &self.products, &self.options)?;
        let mut process = start.webhook(1, &self.tls, addresses).await?;
        let url = format!("http://127.0.0.1:{}/readyz", addresses.webhook_metrics);
        let parts = &mut [&mut process];
        wait_for("second webhook ready", READY_LIMIT, parts, async || {
            Ok(self.http.get(&url).send().await?.error_for_status()?)
        })
        .await?;
        Ok(Replica { process, addresses })
    }
}

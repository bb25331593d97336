//! What an installation by the chart is called.

/// Namespace of the webhook, and of the release.
pub(crate) const NAMESPACE: &str = "haulout-system";
/// Namespace of the agents.
pub(crate) const AGENT_NAMESPACE: &str = "haulout-agent";
/// Name of the release.
pub(crate) const RELEASE: &str = "haulout";
/// Service of the webhook.
pub(crate) const SERVICE: &str = "haulout-api";
/// Deployment of the webhook.
pub(crate) const WEBHOOK: &str = "haulout-webhook";
/// DaemonSet of the agents.
pub(crate) const AGENT: &str = "haulout-agent";

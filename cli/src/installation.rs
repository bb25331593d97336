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
/// Service of the direct endpoint.
pub(crate) const DIRECT_SERVICE: &str = "haulout-direct";
/// Secret with the webhook's certificate, in its namespace.
pub(crate) const SERVING_SECRET: &str = "haulout-serving";
/// Secret with the agents' certificate, in theirs.
pub(crate) const AGENT_SECRET: &str = "haulout-agent-tls";
/// ClusterRoleBinding of the webhook.
pub(crate) const RIGHTS: &str = "haulout-webhook";
/// The CredentialIssuer, unless it is configured otherwise.
pub(crate) const ISSUER: &str = "haulout";
/// Folder of the chart, in a checkout.
pub(crate) const CHART: &str = "manifests/helm/haulout";

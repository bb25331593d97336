//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

/// How often the files are looked at.
const POLL: Duration = Duration::from_secs(1);

/// Signs client certificates for haulout-webhook with the cluster's key.
///
/// All files are read again every second. The agent starts without them, and answers when they
/// are there.
#[derive(Clone, Debug, Parser)]
#[command(version, name = "haulout-agent")]
pub struct Settings {
    /// The cluster's signing certificate, PEM (kube-controller-manager's --cluster-signing-cert-file).
    #[arg(long, value_name = "FILE")]
    pub ca_cert: PathBuf,
    /// Its key, PEM (kube-controller-manager's --cluster-signing-key-file).
    #[arg(long, value_name = "FILE")]
    pub ca_key: PathBuf,
    /// What may be signed, YAML; without a valid one nothing is.
    #[arg(long, value_name = "FILE")]
    pub policy: PathBuf,
    /// Where the webhook's calls are answered.
    #[arg(long, value_name = "ADDRESS", default_value = "[::]:9443")]
    pub listen: SocketAddr,
    /// The agent's serving certificate, PEM, leaf first.
    #[arg(long, value_name = "FILE")]
    pub tls_cert: PathBuf,
    /// Its key, PEM.
    #[arg(long, value_name = "FILE")]
    pub tls_key: PathBuf,
    /// CAs of the webhook's client certificates, PEM.
    #[arg(long, value_name = "FILE")]
    pub client_ca: PathBuf,
    /// Where /livez, /readyz and /metrics are answered, without TLS.
    #[arg(long, value_name = "ADDRESS", default_value = "[::]:9444")]
    pub health_listen: SocketAddr,
    /// How long the process runs at least before it leaves because the signing key was replaced under
    /// its mount, in seconds. The kubelet delays a further restart of what ran for less than ten minutes.
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub least_life_seconds: u32,
    /// How often the files are looked at; shorter in tests.
    #[arg(skip = POLL)]
    pub poll: Duration,
}

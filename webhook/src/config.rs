//! The configuration file: its shape, its defaults and what is wrong with it.

mod credential_issuer;
mod direct_endpoint;
mod error;
#[cfg(test)]
mod tests;
mod validate;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use haulout_api::group::{ApiGroupSuffix, DEFAULT_SUFFIX};
use haulout_operate::startup::LogSettings;
use serde::Deserialize;

pub use self::credential_issuer::{Advertise, CredentialIssuerSettings};
use self::credential_issuer::{AdvertiseFile, CredentialIssuerFile};
use self::direct_endpoint::DirectEndpointFile;
pub use self::direct_endpoint::{AdvertisedAuthority, DirectEndpoint};
pub use self::error::{ConfigError, Fault};
#[cfg(test)]
pub(crate) use self::validate::MIN_LEAF_SECONDS;
use crate::audit::PersonalInfo;
use crate::limits::Limits;

/// The file as written; every field has a default but those of `agent`. `docs/configuration.md`
/// describes them.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct File {
    api_group_suffix: String,
    listen: String,
    metrics_listen: Option<String>,
    namespace: String,
    pod_name: String,
    labels: BTreeMap<String, String>,
    serving_certificate: ServingCertificateFile,
    agent: AgentFile,
    direct_endpoint: Option<DirectEndpointFile>,
    advertise: AdvertiseFile,
    credential_issuer: CredentialIssuerFile,
    certificates: CertificatesFile,
    limits: LimitsFile,
    audit: AuditFile,
    log: LogSettings,
    leader_election: LeaderElectionFile,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct ServingCertificateFile {
    secret_name: String,
    service: String,
    ca_lifetime_seconds: u64,
    leaf_lifetime_seconds: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct AgentFile {
    service: Option<AgentServiceFile>,
    addresses: Vec<String>,
    tls: Option<AgentTlsFile>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AgentServiceFile {
    namespace: String,
    name: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct AgentTlsFile {
    cert_file: PathBuf,
    key_file: PathBuf,
    ca_file: PathBuf,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct CertificatesFile {
    default_lifetime_seconds: u32,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct LimitsFile {
    per_address_per_second: u32,
    per_address_burst: u32,
    total_per_second: u32,
    total_burst: u32,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct AuditFile {
    log_usernames_and_groups: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct LeaderElectionFile {
    lease_name: String,
}

impl Default for File {
    fn default() -> Self {
        Self {
            api_group_suffix: DEFAULT_SUFFIX.to_owned(),
            listen: "[::]:10250".to_owned(),
            metrics_listen: None,
            namespace: "haulout-system".to_owned(),
            pod_name: String::new(),
            labels: [("name", "haulout"), ("component", "webhook")]
                .map(|(key, value)| (format!("app.kubernetes.io/{key}"), value.to_owned()))
                .into(),
            serving_certificate: ServingCertificateFile::default(),
            agent: AgentFile::default(),
            direct_endpoint: None,
            advertise: AdvertiseFile::default(),
            credential_issuer: CredentialIssuerFile::default(),
            certificates: CertificatesFile::default(),
            limits: LimitsFile::default(),
            audit: AuditFile::default(),
            log: LogSettings::default(),
            leader_election: LeaderElectionFile::default(),
        }
    }
}

impl Default for ServingCertificateFile {
    fn default() -> Self {
        const DAY: u64 = 24 * 60 * 60;
        Self {
            secret_name: "haulout-serving".to_owned(),
            service: "haulout-api".to_owned(),
            ca_lifetime_seconds: 365 * DAY,
            leaf_lifetime_seconds: 7 * DAY,
        }
    }
}

impl Default for CertificatesFile {
    fn default() -> Self {
        Self {
            default_lifetime_seconds: 300,
        }
    }
}

impl Default for LimitsFile {
    fn default() -> Self {
        Self {
            per_address_per_second: 50,
            per_address_burst: 1_000,
            total_per_second: 3_000,
            total_burst: 6_000,
        }
    }
}

impl Default for AuditFile {
    fn default() -> Self {
        Self {
            log_usernames_and_groups: "disabled".to_owned(),
        }
    }
}

impl Default for LeaderElectionFile {
    fn default() -> Self {
        Self {
            lease_name: "haulout-webhook".to_owned(),
        }
    }
}

/// A configuration that was found good.
#[derive(Clone, Debug)]
pub struct Config {
    /// Suffix of the API groups.
    pub suffix: ApiGroupSuffix,
    /// Where door A listens.
    pub listen: SocketAddr,
    /// Where health and metrics are served in plain HTTP, if anywhere.
    pub metrics_listen: Option<SocketAddr>,
    /// Namespace of our own objects.
    pub namespace: String,
    /// Identity in the leader election, unlike that of any other replica; a random one where empty.
    pub pod_name: String,
    /// Labels of every object that we make.
    pub labels: BTreeMap<String, String>,
    /// The serving certificate of door A.
    pub serving_certificate: ServingCertificate,
    /// Where the agents are.
    pub agents: Agents,
    /// Client certificate, key and CA towards the agents, as files. `None` behind a Service alone: then
    /// the leader keeps them in Secrets.
    pub agent_tls: Option<AgentTls>,
    /// Door B, if it is on.
    pub direct_endpoint: Option<DirectEndpoint>,
    /// The API server that clients are told of, if it is configured.
    pub advertise: Option<Advertise>,
    /// The object that tells them.
    pub credential_issuer: CredentialIssuerSettings,
    /// Wanted lifetime of user certificates in seconds.
    pub certificate_lifetime_seconds: u32,
    /// How many logins are let in.
    pub limits: Limits,
    /// Whether audit events name people.
    pub personal_info: PersonalInfo,
    /// How much is logged.
    pub log: LogSettings,
    /// Name of the Lease.
    pub lease_name: String,
}

/// Where the serving certificate is kept and how long its parts live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServingCertificate {
    /// Name of the Secret.
    pub secret_name: String,
    /// Name of the Service by which the API server calls us.
    pub service: String,
    /// Life of the CA in seconds.
    pub ca_lifetime_seconds: u64,
    /// Life of the leaf in seconds.
    pub leaf_lifetime_seconds: u64,
}

/// Where the agents are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Agents {
    /// At these addresses, each `host:port`.
    Addresses(Vec<String>),
    /// At the endpoints of a Service.
    Service {
        /// Namespace of the Service.
        namespace: String,
        /// Name of the Service.
        name: String,
    },
}

/// Files for mutual TLS with the agents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentTls {
    /// Client certificate, PEM.
    pub certificate: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// CA certificates of the agents, PEM.
    pub ca: PathBuf,
}

impl Config {
    /// Reads and judges the file at `path`.
    ///
    /// # Errors
    /// [`ConfigError`]; every fault at once where the file could be parsed.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text, path)
    }

    /// Judges the text of the file at `path`.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        // An empty document is null to YAML; to an administrator it is a file without settings.
        let text = if text.trim().is_empty() { "{}" } else { text };
        let file: File = serde_saphyr::from_str(text).map_err(|error| ConfigError::Parse {
            path: path.to_owned(),
            message: error::describe(&error, text),
        })?;
        validate::validate(file).map_err(|faults| ConfigError::Faults {
            path: path.to_owned(),
            faults,
        })
    }
}

//! From what was written to what can be used; every fault at once.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use haulout_api::group::{ApiGroupSuffix, is_dns1123_subdomain};
use haulout_operate::rate::Rate;

use super::credential_issuer::{advertise, credential_issuer};
use super::direct_endpoint::direct_endpoint;
use super::{
    AgentFile, AgentTls, AgentTlsFile, Agents, Config, Fault, File, LimitsFile, ServingCertificate,
    ServingCertificateFile,
};
use crate::audit::PersonalInfo;
use crate::limits::Limits;

/// The last third of a leaf must outlast the minute for which its successor's CA is announced.
pub(crate) const MIN_LEAF_SECONDS: u64 = 300;
/// A CA is replaced three lives of a leaf before its end.
const MIN_LEAVES_PER_CA: u64 = 4;
const MAX_LIFETIME_SECONDS: u32 = 24 * 60 * 60;

pub(super) fn validate(file: File) -> Result<Config, Vec<Fault>> {
    let mut faults = Faults::default();
    let suffix = faults.take("apiGroupSuffix", || {
        ApiGroupSuffix::parse(file.api_group_suffix).map_err(|error| error.to_string())
    });
    let listen = faults.take("listen", || address(&file.listen));
    let metrics_listen = faults.take("metricsListen", || {
        file.metrics_listen.as_deref().map(address).transpose()
    });
    let namespace = faults.take("namespace", || dns_label(file.namespace));
    let labels = faults.take_all("labels", label_faults(&file.labels), file.labels);
    let serving_certificate = serving_certificate(file.serving_certificate, &mut faults);
    let (agents, agent_tls) = agent(file.agent, &mut faults);
    let direct_endpoint = direct_endpoint(file.direct_endpoint, &mut faults);
    let advertise = advertise(file.advertise, &mut faults);
    let credential_issuer = credential_issuer(file.credential_issuer, &mut faults);
    let lifetime = file.certificates.default_lifetime_seconds;
    let certificate_lifetime_seconds =
        faults.take("certificates.defaultLifetimeSeconds", || match lifetime {
            1..=MAX_LIFETIME_SECONDS => Ok(lifetime),
            _ => Err(format!(
                "{lifetime} is out of range; use 1 to {MAX_LIFETIME_SECONDS} seconds (300 is the default)"
            )),
        });
    let limits = limits(&file.limits, &mut faults);
    let personal_info = faults.take("audit.logUsernamesAndGroups", || {
        match file.audit.log_usernames_and_groups.as_str() {
            "" | "disabled" => Ok(PersonalInfo::Redacted),
            "enabled" => Ok(PersonalInfo::Logged),
            other => Err(format!("\"{other}\" is not known; use enabled or disabled")),
        }
    });
    let lease_name = faults.take("leaderElection.leaseName", || {
        subdomain(file.leader_election.lease_name)
    });

    let config = (|| {
        Some(Config {
            suffix: suffix?,
            listen: listen?,
            metrics_listen: metrics_listen?,
            namespace: namespace?,
            pod_name: file.pod_name,
            labels: labels?,
            serving_certificate: serving_certificate?,
            agents: agents?,
            agent_tls: agent_tls?,
            advertise: advertise?,
            direct_endpoint: direct_endpoint?,
            credential_issuer: credential_issuer?,
            certificate_lifetime_seconds: certificate_lifetime_seconds?,
            limits: limits?,
            personal_info: personal_info?,
            log: file.log,
            lease_name: lease_name?,
        })
    })();
    config.ok_or(faults.0)
}

/// Faults so far.
#[derive(Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    pub(super) fn take<T>(
        &mut self,
        field: &'static str,
        parse: impl FnOnce() -> Result<T, String>,
    ) -> Option<T> {
        parse()
            .map_err(|message| self.0.push(Fault { field, message }))
            .ok()
    }

    /// What there is, or each message as a fault of its own.
    pub(super) fn take_either<T>(
        &mut self,
        field: &'static str,
        parsed: Result<T, Vec<String>>,
    ) -> Option<T> {
        match parsed {
            Ok(value) => Some(value),
            Err(messages) => self.take_all(field, messages, ()).and(None),
        }
    }

    /// Takes `value` unless there are messages, each of them a fault of its own.
    fn take_all<T>(&mut self, field: &'static str, messages: Vec<String>, value: T) -> Option<T> {
        let is_good = messages.is_empty();
        let faults = messages.into_iter();
        self.0
            .extend(faults.map(|message| Fault { field, message }));
        is_good.then_some(value)
    }
}

fn serving_certificate(
    file: ServingCertificateFile,
    faults: &mut Faults,
) -> Option<ServingCertificate> {
    let secret_name = faults.take("servingCertificate.secretName", || {
        subdomain(file.secret_name)
    });
    let service = faults.take("servingCertificate.service", || dns_label(file.service));
    let leaf = file.leaf_lifetime_seconds;
    let leaf_lifetime_seconds = faults.take("servingCertificate.leafLifetimeSeconds", || {
        if leaf >= MIN_LEAF_SECONDS {
            Ok(leaf)
        } else {
            Err(format!(
                "{leaf} is too short; use at least {MIN_LEAF_SECONDS} seconds"
            ))
        }
    });
    let ca = file.ca_lifetime_seconds;
    let ca_lifetime_seconds = faults.take("servingCertificate.caLifetimeSeconds", || {
        let least = leaf.saturating_mul(MIN_LEAVES_PER_CA);
        if ca >= least {
            Ok(ca)
        } else {
            Err(format!(
                "{ca} is too short; use at least {MIN_LEAVES_PER_CA} times leafLifetimeSeconds, that is {least}"
            ))
        }
    });
    Some(ServingCertificate {
        secret_name: secret_name?,
        service: service?,
        ca_lifetime_seconds: ca_lifetime_seconds?,
        leaf_lifetime_seconds: leaf_lifetime_seconds?,
    })
}

/// Where the agents are, and the files for mutual TLS with them. Addresses need files; a Service may
/// have them.
fn agent(file: AgentFile, faults: &mut Faults) -> (Option<Agents>, Option<Option<AgentTls>>) {
    let needs_files = !file.addresses.is_empty();
    let agents = match (file.service, file.addresses) {
        (Some(service), addresses) if addresses.is_empty() => {
            let namespace = faults.take("agent.service.namespace", || dns_label(service.namespace));
            let name = faults.take("agent.service.name", || dns_label(service.name));
            namespace
                .zip(name)
                .map(|(namespace, name)| Agents::Service { namespace, name })
        }
        (None, addresses) if !addresses.is_empty() => {
            let messages = addresses.iter().filter_map(|text| host_and_port_fault(text));
            let messages = messages.collect();
            faults.take_all("agent.addresses", messages, Agents::Addresses(addresses))
        }
        (Some(_), _) => faults.take("agent", || {
            Err("both service and addresses are given; keep one of them".to_owned())
        }),
        (None, _) => faults.take("agent", || {
            Err("no agent is named; set service (namespace and name) or addresses (a list of host:port)".to_owned())
        }),
    };
    let tls = match file.tls {
        None if !needs_files => Some(None),
        given => agent_tls(given.unwrap_or_default(), faults).map(Some),
    };
    (agents, tls)
}

fn agent_tls(file: AgentTlsFile, faults: &mut Faults) -> Option<AgentTls> {
    let AgentTlsFile {
        cert_file,
        key_file,
        ca_file,
    } = file;
    let mut path = |field, path: PathBuf, what: &str| {
        faults.take(field, || {
            if path.as_os_str().is_empty() {
                Err(format!("is missing; give the path of {what} (PEM)"))
            } else {
                Ok(path)
            }
        })
    };
    let certificate = path(
        "agent.tls.certFile",
        cert_file,
        "the client certificate for agents",
    );
    let key = path(
        "agent.tls.keyFile",
        key_file,
        "the client certificate's key",
    );
    let ca = path(
        "agent.tls.caFile",
        ca_file,
        "the CA certificates of the agents",
    );
    Some(AgentTls {
        certificate: certificate?,
        key: key?,
        ca: ca?,
    })
}

fn limits(file: &LimitsFile, faults: &mut Faults) -> Option<Limits> {
    let mut rate = |field, per_second, burst| {
        faults.take(field, || match (per_second, burst) {
            (1.., 0) => Err(
                "0 lets nobody log in; use at least 1, or switch the limit off by 0 per second"
                    .to_owned(),
            ),
            _ => Ok(Rate::new(per_second, burst)),
        })
    };
    let per_address = rate(
        "limits.perAddressBurst",
        file.per_address_per_second,
        file.per_address_burst,
    );
    let total = rate("limits.totalBurst", file.total_per_second, file.total_burst);
    Some(Limits {
        per_address: per_address?,
        total: total?,
    })
}

pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!(
            "\"{text}\" is no address; write ADDRESS:PORT, for example [::]:10250 or 127.0.0.1:8080"
        )
    })
}

fn host_and_port_fault(text: &str) -> Option<String> {
    let valid = text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port != 0)
    });
    (!valid).then(|| format!("\"{text}\" is not HOST:PORT, for example 10.0.0.1:9443"))
}

pub(super) fn subdomain(name: String) -> Result<String, String> {
    if is_dns1123_subdomain(&name) {
        Ok(name)
    } else {
        Err(format!(
            "\"{name}\" is no Kubernetes name; use lower case letters, digits, \"-\" and \".\""
        ))
    }
}

fn dns_label(name: String) -> Result<String, String> {
    if name.len() <= 63 && !name.contains('.') && is_dns1123_subdomain(&name) {
        Ok(name)
    } else {
        Err(format!(
            "\"{name}\" is no DNS label; use at most 63 lower case letters, digits and \"-\""
        ))
    }
}

fn label_faults(labels: &BTreeMap<String, String>) -> Vec<String> {
    let mut messages = Vec::new();
    for (key, value) in labels {
        let (prefix, name) = key
            .split_once('/')
            .map_or((None, key.as_str()), |(p, n)| (Some(p), n));
        if prefix.is_some_and(|prefix| !is_dns1123_subdomain(prefix)) || !is_label_text(name) {
            messages.push(format!("\"{key}\" is no label key; write [DNS-NAME/]NAME"));
        }
        if !value.is_empty() && !is_label_text(value) {
            messages.push(format!(
                "the value \"{value}\" of \"{key}\" is no label value; use at most 63 letters, digits, \"-\", \"_\" and \".\""
            ));
        }
    }
    messages
}

/// The rule for label values and for the name part of keys.
fn is_label_text(text: &str) -> bool {
    let bytes = text.as_bytes();
    let ends = matches!((bytes.first(), bytes.last()), (Some(a), Some(b)) if a.is_ascii_alphanumeric() && b.is_ascii_alphanumeric());
    ends && text.len() <= 63
        && bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

//! Files and manifests that Haulout's processes are started with.

use std::fmt::Write as _;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use haulout_api::group::{ApiGroupSuffix, DEFAULT_SUFFIX};
use haulout_operate::clock::Clock;
use haulout_pki::authority::{IssuedCertificate, SigningAuthority, generate_authority};
use haulout_pki::profile::Validity;
use haulout_pki::secret_key::KeyPair;
use serde_json::{Value, json};

use super::{Addresses, StackOptions, link};
use crate::cluster::pki::{self, AGENT_USER, Pair, write};

/// Name that the webhook expects in the agents' serving certificate.
const AGENT_NAME: &str = "haulout-agent.haulout-agent.svc";
/// URI that the agent expects in the webhook's client certificate.
const WEBHOOK_URI: &str = "haulout:webhook";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What is generated below `manifests/`, as of when this was compiled. The Service stands apart: ours leads to a process.
const MANIFESTS: [(&str, &str); 8] = [
    (
        "webhook/namespace.yaml",
        include_str!("../../../../manifests/webhook/namespace.yaml"),
    ),
    (
        "webhook/service-account.yaml",
        include_str!("../../../../manifests/webhook/service-account.yaml"),
    ),
    (
        "crds/credentialissuers",
        include_str!(
            "../../../../manifests/crds/credentialissuers.config.concierge.pinniped.dev.yaml"
        ),
    ),
    (
        "crds/jwtauthenticators",
        include_str!(
            "../../../../manifests/crds/jwtauthenticators.authentication.concierge.pinniped.dev.yaml"
        ),
    ),
    (
        "crds/webhookauthenticators",
        include_str!(
            "../../../../manifests/crds/webhookauthenticators.authentication.concierge.pinniped.dev.yaml"
        ),
    ),
    (
        "rbac/webhook.yaml",
        include_str!("../../../../manifests/rbac/webhook.yaml"),
    ),
    (
        "rbac/login.yaml",
        include_str!("../../../../manifests/rbac/login.yaml"),
    ),
    (
        "rbac/login-anonymous.yaml",
        include_str!("../../../../manifests/rbac/login-anonymous.yaml"),
    ),
];
const API_SERVICES: &str = include_str!("../../../../manifests/webhook/api-services.yaml");

/// Certificates between webhook and agent.
#[derive(Debug)]
pub(super) struct MutualTls {
    ca: PathBuf,
    agent: Pair,
    webhook: Pair,
}

/// Files of the agent, all readable by the user that it runs as.
#[derive(Debug)]
pub(super) struct AgentFiles {
    pub(super) folder: PathBuf,
    pub(super) signing: Pair,
    pub(super) serving: Pair,
    pub(super) client_ca: PathBuf,
    pub(super) policy: PathBuf,
}

/// Makes a CA, a serving certificate for the agent and a client certificate for the webhook.
pub(super) fn mutual_tls(folder: &Path) -> anyhow::Result<MutualTls> {
    let now = Clock::system().now();
    let life = |length| Validity {
        not_before: now - Duration::from_secs(300),
        not_after: now + length,
    };
    let ca = generate_authority("haulout-signing-ca", life(90 * DAY))?;
    let authority =
        SigningAuthority::from_pem(ca.certificate_pem.as_bytes(), ca.key_pem.as_bytes(), now)?;
    let path = folder.join("signing-ca.crt");
    write(&path, &ca.certificate_pem, 0o644)?;

    let key = KeyPair::generate_p256()?;
    let names = [AGENT_NAME.to_owned()];
    let certificate =
        authority.issue_serving_certificate(&names, &[], &key.spki_der(), life(DAY))?;
    let agent = write_pair(folder, "agent-serving", &certificate, &key)?;
    let key = KeyPair::generate_p256()?;
    let certificate =
        authority.issue_uri_client_certificate(WEBHOOK_URI, &key.spki_der(), life(DAY))?;
    let webhook = write_pair(folder, "webhook-client", &certificate, &key)?;
    Ok(MutualTls {
        ca: path,
        agent,
        webhook,
    })
}

fn write_pair(
    folder: &Path,
    name: &str,
    certificate: &IssuedCertificate,
    key: &KeyPair,
) -> anyhow::Result<Pair> {
    let pair = Pair {
        certificate: folder.join(format!("{name}.crt")),
        key: folder.join(format!("{name}.key")),
    };
    write(&pair.certificate, &certificate.pem, 0o644)?;
    write(&pair.key, &key.pkcs8_pem(), 0o600)?;
    Ok(pair)
}

/// Puts the agent's files into a folder of its own: the CA's key 0400, and as root everything given to the agent's user.
pub(super) fn agent_files(
    folder: &Path,
    signing: &Pair,
    tls: &MutualTls,
    options: &StackOptions,
) -> anyhow::Result<AgentFiles> {
    std::fs::create_dir_all(folder)?;
    let mut files = AgentFiles {
        folder: folder.to_owned(),
        signing: Pair {
            certificate: folder.join("ca.crt"),
            key: folder.join("ca.key"),
        },
        serving: Pair {
            certificate: folder.join("tls.crt"),
            key: folder.join("tls.key"),
        },
        client_ca: folder.join("client-ca.crt"),
        policy: folder.join("policy.yaml"),
    };
    if options.linked {
        files.serving = Pair {
            certificate: link::mounted(folder, "tls.crt"),
            key: link::mounted(folder, "tls.key"),
        };
        files.client_ca = link::mounted(folder, "ca.crt");
    }
    let copies = [
        (&signing.certificate, &files.signing.certificate, 0o444),
        (&signing.key, &files.signing.key, 0o400),
        (&tls.agent.certificate, &files.serving.certificate, 0o444),
        (&tls.agent.key, &files.serving.key, 0o400),
        (&tls.ca, &files.client_ca, 0o444),
    ];
    // The rest comes from the Secret.
    let copies = copies
        .iter()
        .take(if options.linked { 2 } else { copies.len() });
    for &(from, to, mode) in copies {
        copy_for_agent(from, to, mode)?;
    }
    let policy = serde_json::to_string_pretty(&options.policy)?;
    write(&files.policy, &policy, 0o444)?;
    if pki::is_root() {
        chown(folder, Some(AGENT_USER), Some(AGENT_USER))?;
    }
    Ok(files)
}

/// Copies a text file for the agent's user, in place of what is there.
pub(super) fn copy_for_agent(from: &Path, to: &Path, mode: u32) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(from)
        .with_context(|| format!("failed to read {}", from.display()))?;
    write(to, &text, mode)?;
    pki::give_to_agent(to)
}

/// Writes the configuration of the webhook called `pod`; fields of the options replace those of the same name.
pub(super) fn webhook_config(
    folder: &Path,
    pod: &str,
    addresses: Addresses,
    tls: &MutualTls,
    options: &StackOptions,
) -> anyhow::Result<PathBuf> {
    let agent = if options.linked {
        json!({ "service": { "namespace": "haulout-agent", "name": "haulout-agent" } })
    } else {
        json!({
            "addresses": [format!("127.0.0.1:{}", addresses.agent)],
            "tls": {
                "certFile": tls.webhook.certificate,
                "keyFile": tls.webhook.key,
                "caFile": tls.ca,
            },
        })
    };
    let mut config = json!({
        "apiGroupSuffix": options.suffix,
        "listen": format!("127.0.0.1:{}", addresses.webhook),
        "metricsListen": format!("127.0.0.1:{}", addresses.webhook_metrics),
        "podName": pod,
        "agent": agent,
    });
    if let Some(fields) = config.as_object_mut() {
        fields.extend(options.webhook.clone());
    }
    let path = folder.join(format!("{pod}.yaml"));
    write(&path, &serde_json::to_string_pretty(&config)?, 0o600)?;
    Ok(path)
}

/// Everything to install, as YAML documents; the Service leads to this machine, and the APIServices to its `port`: without
/// one there are none. Another suffix of the API groups is put in by the text, as an administrator does it.
pub(super) fn manifests(port: Option<u16>, suffix: &ApiGroupSuffix) -> anyhow::Result<String> {
    let mut text: String = MANIFESTS.iter().map(|(_, manifest)| *manifest).collect();
    let mut add = |object: &Value| writeln!(text, "---\n{object}");
    add(&external_service())?;
    if let Some(port) = port {
        let services: Vec<Value> = serde_saphyr::from_multiple(API_SERVICES)
            .context("manifests/webhook/api-services.yaml")?;
        for mut service in services {
            // The aggregator passes this port on to an ExternalName as it is.
            *service
                .pointer_mut("/spec/service/port")
                .context("an APIService has no port")? = json!(port);
            add(&service)?;
        }
    }
    Ok(text.replace(DEFAULT_SUFFIX, suffix.as_str()))
}

fn external_service() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": "haulout-api", "namespace": "haulout-system" },
        "spec": { "type": "ExternalName", "externalName": "localhost" },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_generated_manifest_is_installed() {
        let root = crate::cluster::workspace_root().join("manifests");
        let mut generated = Vec::new();
        for folder in ["crds", "rbac", "webhook"] {
            for entry in std::fs::read_dir(root.join(folder)).unwrap() {
                generated.push(std::fs::read_to_string(entry.unwrap().path()).unwrap());
            }
        }
        // The Service is replaced, the APIServices are changed.
        let installed = generated
            .iter()
            .filter(|text| MANIFESTS.iter().any(|(_, manifest)| manifest == text))
            .count();
        assert_eq!(installed, MANIFESTS.len());
        assert_eq!(installed + 2, generated.len());
    }

    #[test]
    fn api_services_lead_to_the_process() {
        let text = manifests(Some(12345), &ApiGroupSuffix::default()).unwrap();
        let objects: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        let ports: Vec<&Value> = objects
            .iter()
            .filter(|object| object["kind"] == "APIService")
            .map(|object| &object["spec"]["service"]["port"])
            .collect();
        assert_eq!(ports, [12345, 12345]);
        let service = objects
            .iter()
            .find(|object| object["kind"] == "Service")
            .unwrap();
        assert_eq!(service["spec"]["externalName"], "localhost");
    }
}

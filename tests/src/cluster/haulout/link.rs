//! The link between webhook and agents as in an installation: a Service with EndpointSlices, and a Secret that the
//! webhook's leader fills. What the chart, the endpoint controller and the kubelet would do is done here.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::cluster::kubectl::Kubectl;
use crate::cluster::pki::{self, write};

const NAMESPACE: &str = "haulout-agent";
const SECRET: &str = "haulout-agent-tls";
/// Files of the mounted Secret.
const FILES: [&str; 3] = ["tls.crt", "tls.key", "ca.crt"];

/// Makes the Service, the empty Secret and the endpoint of the first agent.
pub(super) async fn install(kubectl: &Kubectl, port: u16) -> anyhow::Result<()> {
    let metadata = |name: &str| json!({ "name": name, "namespace": NAMESPACE });
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": metadata("haulout-agent"),
        "spec": { "clusterIP": "None", "ports": [{ "name": "https", "port": 9443 }] },
    });
    let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": metadata(SECRET) });
    kubectl.apply(&format!("{service}\n---\n{secret}")).await?;
    set_endpoints(kubectl, &[port]).await
}

/// One slice for each port, since a slice has one port for all of its endpoints.
pub(super) async fn set_endpoints(kubectl: &Kubectl, ports: &[u16]) -> anyhow::Result<()> {
    let address = own_address()?;
    let slices: Vec<Value> = ports
        .iter()
        .map(|port| {
            json!({
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
                "metadata": {
                    "name": format!("haulout-agent-{port}"), "namespace": NAMESPACE,
                    "labels": { "kubernetes.io/service-name": "haulout-agent" },
                },
                "addressType": "IPv4",
                "endpoints": [{ "addresses": [address], "conditions": { "ready": true } }],
                "ports": [{ "name": "https", "port": port }],
            })
        })
        .collect();
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": slices });
    kubectl.apply(&list.to_string()).await?;
    let names = ["get", "endpointslices", "-n", NAMESPACE, "-o", "name"];
    for name in kubectl.run(names).await?.lines() {
        if !ports.iter().any(|port| name.ends_with(&format!("-{port}"))) {
            kubectl.run(["delete", "-n", NAMESPACE, name]).await?;
        }
    }
    Ok(())
}

/// An address of this machine besides loopback, which endpoints may not have. Nothing is sent: the system only chooses
/// from where it would be.
fn own_address() -> anyhow::Result<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket
        .connect((Ipv4Addr::new(203, 0, 113, 1), 9))
        .context("this machine has no IPv4 address besides loopback, which EndpointSlices need")?;
    Ok(socket.local_addr()?.ip())
}

/// Puts what the Secret holds into `folder`, all files at once: into a new folder, to which a link is renamed.
pub(super) async fn mount(kubectl: &Kubectl, folder: &Path) -> anyhow::Result<()> {
    let secret = kubectl
        .json(&["get", "secret", "-n", NAMESPACE, SECRET])
        .await?;
    let version = secret
        .pointer("/metadata/resourceVersion")
        .and_then(Value::as_str);
    let name = format!(
        "..{}",
        version.context("the Secret has no resourceVersion")?
    );
    let target = folder.join(&name);
    if target.exists() {
        return Ok(());
    }
    let data = secret.get("data").unwrap_or(&Value::Null);
    let mut contents = Vec::new();
    for file in FILES {
        let text = data.get(file).and_then(Value::as_str).unwrap_or_default();
        ensure!(!text.is_empty(), "the Secret has no {file} yet");
        contents.push((file, String::from_utf8(STANDARD.decode(text)?)?));
    }
    std::fs::create_dir(&target)?;
    pki::give_to_agent(&target)?;
    for (file, text) in contents {
        let path = target.join(file);
        write(&path, &text, 0o400)?;
        pki::give_to_agent(&path)?;
    }
    let new_link = folder.join("..data_tmp");
    symlink(&name, &new_link)?;
    std::fs::rename(&new_link, folder.join("..data"))?;
    Ok(())
}

/// Where the agent finds a file of the Secret.
pub(super) fn mounted(folder: &Path, file: &str) -> std::path::PathBuf {
    folder.join("..data").join(file)
}

//! kubeconfig files, as JSON, which is YAML too.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::pki::{Pair, write};

/// How the user of a kubeconfig proves who he is.
#[derive(Clone, Debug)]
pub enum Credential {
    /// Not at all: requests are anonymous.
    None,
    /// A client certificate, embedded.
    Certificate(Pair),
    /// A file with a bearer token.
    TokenFile(std::path::PathBuf),
    /// A credential plugin: its `exec` stanza.
    Exec(Value),
}

/// Writes a kubeconfig with one cluster, user and context; readable by its owner only.
///
/// # Errors
/// A file cannot be read or written.
pub fn write_kubeconfig(
    path: &Path,
    server: &str,
    ca_certificate: &Path,
    credential: &Credential,
) -> anyhow::Result<()> {
    let user = match credential {
        Credential::None => json!({}),
        Credential::Certificate(pair) => json!({
            "client-certificate-data": STANDARD.encode(std::fs::read(&pair.certificate)?),
            "client-key-data": STANDARD.encode(std::fs::read(&pair.key)?),
        }),
        Credential::TokenFile(file) => json!({ "tokenFile": file }),
        Credential::Exec(stanza) => json!({ "exec": stanza }),
    };
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "local", "cluster": cluster_stanza(server, ca_certificate)? }],
        "users": [{ "name": "local", "user": user }],
        "contexts": [{ "name": "local", "context": { "cluster": "local", "user": "local" } }],
        "current-context": "local",
    });
    write(path, &serde_json::to_string_pretty(&config)?, 0o600)
}

/// The kubeconfig inside `kube-public/cluster-info`: a cluster and no user.
pub(super) fn cluster_info(server: &str, ca_certificate: &Path) -> anyhow::Result<String> {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "", "cluster": cluster_stanza(server, ca_certificate)? }],
        "contexts": null,
        "current-context": "",
        "users": null,
    });
    Ok(config.to_string())
}

fn cluster_stanza(server: &str, ca_certificate: &Path) -> anyhow::Result<Value> {
    Ok(json!({
        "server": server,
        "certificate-authority-data": STANDARD.encode(std::fs::read(ca_certificate)?),
    }))
}

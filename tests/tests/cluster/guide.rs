//! The guide to plain processes, followed to the letter.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use haulout_tests::cluster::{
    Cluster, ClusterOptions, Products, Profile, free_ports, workspace_root,
};
use haulout_tests::issuer::{IssuerOptions, TestIssuer};
use serde_json::json;
use tokio::process::Command;

const LIMIT: Duration = Duration::from_secs(300);
/// Ports that the guide uses; here others may be at work with them.
const PORTS: [&str; 4] = ["9443", "9444", "10443", "8080"];

/// The contents of the `sh` blocks of a page, those within lists too.
pub(crate) fn shell_blocks(page: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for line in page.lines() {
        let text = line.trim_start();
        match &mut open {
            None if text == "```sh" => open = Some((line.len() - text.len(), String::new())),
            None => {}
            Some(_) if text == "```" => blocks.extend(open.take().map(|(_, block)| block)),
            Some((indentation, block)) => {
                block.push_str(line.get(*indentation..).unwrap_or_default());
                block.push('\n');
            }
        }
    }
    blocks
}

/// The guide's blocks as one script, which ends what it has put into the background.
fn script(ports: [u16; 4]) -> String {
    let page = std::fs::read_to_string(workspace_root().join("docs/processes.md")).unwrap();
    let blocks = shell_blocks(&page);
    assert!(blocks.len() >= 7, "{} blocks", blocks.len());
    let mut script = blocks.concat();
    // In two rounds, since a port that was drawn may contain one that is still to be replaced.
    for (index, documented) in PORTS.into_iter().enumerate() {
        assert!(script.contains(documented), "{documented}");
        script = script.replace(documented, &format!("<port {index}>"));
    }
    for (index, port) in ports.into_iter().enumerate() {
        script = script.replace(&format!("<port {index}>"), &port.to_string());
    }
    let end = "trap 'kill $(jobs -p); wait' EXIT\ntrap 'exit 1' TERM";
    format!("set -euo pipefail\n{end}\n{script}")
}

fn log(folder: &Path, name: &str) -> String {
    let text = std::fs::read_to_string(folder.join("haulout").join(name));
    format!("{name}:\n{}", text.unwrap_or_default())
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_the_guide_to_plain_processes_leads_to_a_login() {
    haulout_tests::ensure_crypto();
    let cluster = Cluster::start(ClusterOptions::new(Profile::Kubeadm))
        .await
        .unwrap();
    let issuer = TestIssuer::start(IssuerOptions::default()).await.unwrap();
    let now = haulout_operate::clock::Clock::system().now();
    let expires = now.duration_since(UNIX_EPOCH).unwrap() + LIMIT;
    let claims = json!({
        "iss": issuer.url(), "sub": "1", "aud": "this-cluster", "exp": expires.as_secs(),
        "email": "alice@example.com", "groups": ["developers"],
    });
    let folder = tempfile::tempdir().unwrap();
    symlink(
        workspace_root().join("manifests"),
        folder.path().join("manifests"),
    )
    .unwrap();
    let path = std::env::join_paths([
        Products::find().unwrap().folder(),
        cluster.binaries().folder(),
        Path::new("/usr/bin"),
        Path::new("/bin"),
    ])
    .unwrap();
    let signing = cluster.pki().signing_pair();
    let command = Command::new("setpriv")
        .args(["--pdeathsig", "TERM", "bash", "-c"])
        .arg(script(free_ports().unwrap()))
        .current_dir(folder.path())
        .env_clear()
        .env("HOME", folder.path())
        .env("PATH", path)
        .env("KUBECONFIG", cluster.kubectl().kubeconfig())
        .env("CLUSTER_SERVER", cluster.server())
        .env("CLUSTER_CA_CERT", signing.certificate)
        .env("CLUSTER_CA_KEY", signing.key)
        .env("ISSUER", issuer.url())
        .env(
            "ISSUER_CA_DATA",
            STANDARD.encode(issuer.ca_certificate_pem()),
        )
        .env("TOKEN", issuer.sign(&claims).unwrap())
        .output();
    let output = tokio::time::timeout(LIMIT, command).await.unwrap().unwrap();
    let seen = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{seen}\n{}\n{}\n{}",
        String::from_utf8_lossy(&output.stderr),
        log(folder.path(), "webhook.log"),
        log(folder.path(), "agent.log")
    );
    for line in [
        "Username                                            alice@example.com",
        "Groups                                              [developers system:authenticated]",
    ] {
        assert!(seen.contains(line), "{seen}");
    }
}

#[test]
fn blocks_are_found_and_lose_their_indentation() {
    let page = "```sh\na\n```\n```text\nb\n```\n1. x\n\n   ```sh\n   c <<E\n     d\n   E\n   ```\n";
    assert_eq!(shell_blocks(page), ["a\n", "c <<E\n  d\nE\n"]);
}

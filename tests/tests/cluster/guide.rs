//! The guide to plain processes, followed to the letter.

use std::path::Path;
use std::time::UNIX_EPOCH;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use haulout_tests::cluster::{Cluster, ClusterOptions, Profile, free_ports, workspace_root};
use haulout_tests::issuer::{IssuerOptions, TestIssuer};
use haulout_tests::pages::shell_blocks;
use serde_json::json;

use crate::shell::{LIMIT, Shell};

/// Ports that the guide uses; here others may be at work with them.
const PORTS: [&str; 4] = ["9443", "9444", "10443", "8080"];

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
    format!("{end}\n{script}")
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
    let signing = cluster.pki().signing_pair();
    let shell = Shell::new(&cluster, &[])
        .with("CLUSTER_SERVER", cluster.server())
        .with("CLUSTER_CA_CERT", signing.certificate.to_string_lossy())
        .with("CLUSTER_CA_KEY", signing.key.to_string_lossy())
        .with("ISSUER", issuer.url())
        .with(
            "ISSUER_CA_DATA",
            STANDARD.encode(issuer.ca_certificate_pem()),
        )
        .with("TOKEN", issuer.sign(&claims).unwrap());
    let seen = shell.run(&script(free_ports().unwrap())).await;
    let seen = seen.unwrap_or_else(|told| {
        let log = |name| log(shell.folder(), name);
        panic!("{told}\n{}\n{}", log("webhook.log"), log("agent.log"))
    });
    for line in [
        "Username                                            alice@example.com",
        "Groups                                              [developers system:authenticated]",
    ] {
        assert!(seen.contains(line), "{seen}");
    }
}

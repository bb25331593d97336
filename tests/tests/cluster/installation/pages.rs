//! The pages for administrators, followed to the letter on a kubeadm node.

use std::time::UNIX_EPOCH;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use haulout_operate::clock::Clock;
use haulout_tests::cluster::{Cluster, ClusterOptions, Profile, workspace_root};
use haulout_tests::pages::shell_blocks;
use serde_json::json;

use super::the_agent_has_what_it_needs_and_no_more;
use crate::installed::Installed;
use crate::shell::{LIMIT, Shell};

/// A shell with what the pages expect of it.
pub(super) fn shell(installed: &Installed) -> Shell {
    let issuer = &installed.issuer;
    let now = Clock::system().now().duration_since(UNIX_EPOCH).unwrap();
    let claims = json!({
        "iss": issuer.url(), "sub": "1", "aud": "this-cluster", "exp": (now + LIMIT).as_secs(),
        "email": "alice@example.com", "groups": ["developers"],
    });
    let ca = STANDARD.encode(issuer.ca_certificate_pem());
    installed
        .shell()
        .with("ISSUER", issuer.url())
        .with("ISSUER_CA_DATA", ca)
        .with("TOKEN", issuer.sign(&claims).unwrap())
}

/// Runs the `sh` blocks of a page as one script, and gives what they print.
async fn follow(page: &str, shell: &Shell, installed: &Installed) -> String {
    let text = std::fs::read_to_string(workspace_root().join(page)).unwrap();
    let blocks = shell_blocks(&text);
    assert!(!blocks.is_empty(), "{page} has no block");
    match shell.run(&blocks.concat()).await {
        Ok(seen) => {
            println!("{page}:\n{seen}");
            seen
        }
        Err(told) => panic!(
            "{page}: {told}\n{}",
            installed.installation.evidence().await
        ),
    }
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn node_the_pages_for_administrators_can_be_followed() {
    let cluster = ClusterOptions {
        nodes: 1,
        ..ClusterOptions::new(Profile::Kubeadm)
    };
    let installed = Installed::into(Cluster::start(cluster).await.unwrap()).await;
    let shell = shell(&installed);
    let seen = follow("README.md", &shell, &installed).await;
    for expected in [
        "KubeClusterSigningCertificate",
        "Username                                            alice@example.com",
        "Groups                                              [developers system:authenticated]",
    ] {
        assert!(seen.contains(expected), "{expected}: {seen}");
    }
    the_agent_has_what_it_needs_and_no_more(&installed, 0).await;
    follow("docs/install.md", &shell, &installed).await;
    follow("docs/operations.md", &shell, &installed).await;

    // Nothing is left of it: neither objects of the cluster nor namespaces.
    let ours = |name: &str| name.contains("haulout") || name.contains("pinniped");
    assert_eq!(installed.objects_of_cluster(ours).await, [""; 0]);
}

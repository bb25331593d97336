//! What must not be linked into the process that holds the key.

use std::process::Command;

/// No API client, no HTTP client, nothing that reads tokens: the agent has no use for them, so an
/// attacker shall not have them either.
#[test]
fn the_agent_links_no_client_and_reads_no_tokens() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--package", "haulout-agent", "--edges", "normal"])
        .args([
            "--prefix",
            "none",
            "--format",
            "{p}",
            "--offline",
            "--locked",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let tree = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let packages: Vec<&str> = tree
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert!(packages.contains(&"haulout-pki"), "{tree}");
    for banned in [
        "kube-client",
        "kube-runtime",
        "reqwest",
        "jsonwebtoken",
        "cel",
        "haulout-jwt",
        "ring",
    ] {
        assert!(!packages.contains(&banned), "{banned} is linked");
    }
}

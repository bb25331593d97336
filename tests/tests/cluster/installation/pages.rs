//! The pages for administrators, followed to the letter on a kubeadm node.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use haulout_operate::clock::Clock;
use haulout_tests::cluster::{Cluster, ClusterOptions, Products, Profile, workspace_root};
use serde_json::json;
use tokio::process::Command;

use super::the_agent_has_what_it_needs_and_no_more;
use crate::guide::shell_blocks;
use crate::installed::Installed;

const LIMIT: Duration = Duration::from_secs(480);

/// An administrator's shell, with what the pages expect of it.
struct Shell {
    folder: tempfile::TempDir,
    path: PathBuf,
    variables: Vec<(&'static str, String)>,
}

impl Shell {
    fn new(installed: &Installed) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = workspace_root();
        symlink(root.join("manifests"), folder.path().join("manifests")).unwrap();
        let path = std::env::join_paths([
            Products::find().unwrap().folder(),
            installed.cluster.binaries().folder(),
            installed.installation.helm().folder(),
            Path::new("/usr/bin"),
            Path::new("/bin"),
        ]);
        let issuer = &installed.issuer;
        let now = Clock::system().now().duration_since(UNIX_EPOCH).unwrap();
        let claims = json!({
            "iss": issuer.url(), "sub": "1", "aud": "this-cluster", "exp": (now + LIMIT).as_secs(),
            "email": "alice@example.com", "groups": ["developers"],
        });
        let kubeconfig = installed.kubectl().kubeconfig();
        let ca = STANDARD.encode(issuer.ca_certificate_pem());
        Self {
            path: path.unwrap().into(),
            variables: vec![
                ("HOME", folder.path().display().to_string()),
                ("KUBECONFIG", kubeconfig.display().to_string()),
                ("REGISTRY", "haulout".to_owned()),
                ("ISSUER", issuer.url().to_owned()),
                ("ISSUER_CA_DATA", ca),
                ("TOKEN", issuer.sign(&claims).unwrap()),
            ],
            folder,
        }
    }

    /// Runs the `sh` blocks of a page as one script, and gives what they print.
    async fn follow(&self, page: &str, installed: &Installed) -> String {
        let text = std::fs::read_to_string(workspace_root().join(page)).unwrap();
        let blocks = shell_blocks(&text);
        assert!(!blocks.is_empty(), "{page} has no block");
        let script = format!("set -euxo pipefail\n{}", blocks.concat());
        let command = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "bash", "-c", &script])
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", &self.path)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(LIMIT, command).await.unwrap().unwrap();
        let seen = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            panic!(
                "{page}: {seen}\n{told}\n{}",
                installed.installation.evidence().await
            );
        }
        println!("{page}:\n{seen}");
        seen
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
    let shell = Shell::new(&installed);
    let seen = shell.follow("README.md", &installed).await;
    for expected in [
        "KubeClusterSigningCertificate",
        "Username                                            alice@example.com",
        "Groups                                              [developers system:authenticated]",
    ] {
        assert!(seen.contains(expected), "{expected}: {seen}");
    }
    the_agent_has_what_it_needs_and_no_more(&installed, 0).await;
    shell.follow("docs/install.md", &installed).await;
    shell.follow("docs/operations.md", &installed).await;

    // Nothing is left of it: neither objects of the cluster nor namespaces.
    let kinds = [
        "namespaces,clusterroles,clusterrolebindings,apiservices,crds,priorityclasses",
        "flowschemas,prioritylevelconfigurations",
        "validatingadmissionpolicies,validatingadmissionpolicybindings",
    ];
    let all = ["get", &kinds.join(","), "-o", "name"];
    let left = installed.kubectl().run(all).await.unwrap();
    let ours: Vec<&str> = left
        .lines()
        .filter(|name| name.contains("haulout") || name.contains("pinniped"))
        .collect();
    assert_eq!(ours, [""; 0]);
}

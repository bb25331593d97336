//! The chart's README, followed to the letter: with Helm, and by `install-kubeadm.yaml` without.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use haulout_tests::cluster::{CHART, workspace_root};
use haulout_tests::pages::shell_blocks;
use tokio::process::Command;

use super::lifecycle::{names, only_these_are_left};
use super::{Installed, NAMESPACE};
use crate::running::until;

const REGISTRY: &str = "registry.example.com/haulout";
const LIMIT: Duration = Duration::from_secs(120);

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn the_commands_of_the_readme_install_and_remove_everything() {
    let installed = Installed::start().await;
    let before = names(&installed).await.unwrap();
    let readme = workspace_root().join(CHART).join("README.md");
    let blocks = shell_blocks(&std::fs::read_to_string(readme).unwrap());
    let [install, label, uninstall, remove, apply, delete] = &blocks[..] else {
        panic!("{} blocks", blocks.len());
    };

    for block in [install, label] {
        run(&installed, block).await;
    }
    workloads_are_there(&installed).await;
    crds_are_in_use(&installed).await;
    run(&installed, uninstall).await;
    run(&installed, remove).await;
    // That of the release is not Helm's to remove.
    run(&installed, &format!("kubectl delete namespace {NAMESPACE}")).await;
    only_these_are_left(&BTreeSet::new(), &installed, &before).await;

    run(&installed, apply).await;
    workloads_are_there(&installed).await;
    // Once more, as GitOps tools do.
    let again = format!("{} --dry-run=server -o name", apply.trim());
    run(&installed, &again).await;
    crds_are_in_use(&installed).await;
    run(&installed, delete).await;
    only_these_are_left(&BTreeSet::new(), &installed, &before).await;
}

/// Runs a script in the root of the checkout with the cluster's kubectl, and the Helm that is tested.
async fn run(installed: &Installed, script: &str) {
    let Installed { helm, cluster } = installed;
    let programs = [
        helm.folder(),
        cluster.binaries().folder(),
        Path::new("/usr/bin"),
        Path::new("/bin"),
    ];
    let path = std::env::join_paths(programs).unwrap();
    let output = Command::new("/bin/bash")
        .args(["-euo", "pipefail", "-c", script])
        .current_dir(workspace_root())
        .env_clear()
        .env("PATH", path)
        .env("REGISTRY", REGISTRY)
        .env("KUBECONFIG", cluster.kubectl().kubeconfig())
        .env("HOME", cluster.folder())
        .kill_on_drop(true)
        .output();
    let Ok(output) = tokio::time::timeout(LIMIT, output).await else {
        let waited_for = ["get", "namespaces,crds,apiservices"];
        panic!(
            "not in time: {script}\n{}",
            installed.kubectl(&waited_for).await
        );
    };
    let output = output.unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {errors}");
}

/// Lists what the CRDs define, as a webhook does at its start: the API server (1.36) may forget the deletion of a CRD whose
/// objects it has never listed.
async fn crds_are_in_use(installed: &Installed) {
    let kinds = "jwtauthenticators,webhookauthenticators,credentialissuers";
    until("kinds that can be listed", async || {
        let list = installed.cluster.kubectl().run(["get", kinds]).await;
        list.is_ok()
    })
    .await;
}

async fn workloads_are_there(installed: &Installed) {
    let label = installed.get(&["namespace", NAMESPACE]).await;
    let label = &label["metadata"]["labels"]["pod-security.kubernetes.io/enforce"];
    assert_eq!(label, "restricted");
    until("two pods of the webhook", async || {
        let pods = installed.get(&["pods", "-n", NAMESPACE]).await;
        pods["items"].as_array().unwrap().len() == 2
    })
    .await;
    let agent = installed
        .get(&["daemonset", "haulout-agent", "-n", "haulout-agent"])
        .await;
    let image = &agent["spec"]["template"]["spec"]["containers"][0]["image"];
    assert_eq!(*image, format!("{REGISTRY}/haulout-agent:0.1.0"));
}

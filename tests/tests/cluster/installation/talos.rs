//! From a stock Talos cluster, which answers nobody without credentials, to the first login: in each of the three ways.

use haulout_tests::cluster::{
    Access, Anonymous, Cluster, ClusterOptions, LOGIN_PATH, Profile, workspace_root,
};
use haulout_tests::pages::shell_blocks;
use haulout_tests::talos::{Case, Generation, Machine, Talos, Version};

use super::pages::shell;
use super::the_agent_has_what_it_needs_and_no_more;
use crate::installed::Installed;
use crate::shell::Shell;

/// A control plane node as Talos ships it, with images and an issuer and nothing else.
async fn stock() -> Installed {
    let cluster = ClusterOptions {
        nodes: 1,
        anonymous: Anonymous::Off,
        ..ClusterOptions::new(Profile::Talos)
    };
    let installed = Installed::into(Cluster::start(cluster).await.unwrap()).await;
    assert_eq!(anonymous(&installed, "/version").await, 401);
    assert_eq!(anonymous(&installed, LOGIN_PATH).await, 401);
    installed
}

async fn anonymous(installed: &Installed, path: &str) -> u16 {
    installed.cluster.anonymous_status(path).await.unwrap()
}

async fn run(shell: &Shell, script: &str, installed: &Installed) -> String {
    match shell.run(script).await {
        Ok(seen) => {
            println!("{seen}");
            seen
        }
        Err(told) => panic!("{told}\n{}", installed.installation.evidence().await),
    }
}

/// Has Talos take the patch that `script` makes of `controlplane.yaml`, and the API server start with what it renders.
async fn patch(
    installed: &mut Installed,
    shell: &Shell,
    (version, generation): (Version, Generation),
    script: &str,
) {
    let talos = Talos::find_or_build(version).await.unwrap();
    let config = talos
        .generate(Machine::ControlPlane, generation)
        .await
        .unwrap();
    std::fs::write(shell.folder().join("controlplane.yaml"), &config.text).unwrap();
    run(shell, script, installed).await;
    let patch = std::fs::read_to_string(shell.folder().join("haulout-patch.yaml")).unwrap();
    let case = Case::patched(&config, &[patch]);
    let verdict = talos.judge(&[case]).await.unwrap().pop().unwrap();
    let patched = verdict.accepted().unwrap();
    let rendered = talos.render(&patched).await.unwrap();
    // The node's own PodSecurity stays: it exempts what the test's node needs.
    let access = Access {
        admission: None,
        ..rendered.access()
    };
    installed.cluster.restart_api_server(&access).unwrap();
    installed.cluster.wait_until_ready().await.unwrap();
}

/// The `sh` blocks of the page, the first of which makes the patch; and the page.
fn page() -> (String, String, String) {
    let page = std::fs::read_to_string(workspace_root().join("docs/talos.md")).unwrap();
    let blocks = shell_blocks(&page);
    let (first, rest) = blocks.split_first().unwrap();
    assert!(first.contains("haulout talos patch"), "{first}");
    (first.clone(), rest.concat(), page)
}

fn assert_shown(seen: &str, installed: &Installed) {
    for expected in [
        "preset: talos",
        &format!("server: \"{}\"", installed.cluster.server()),
        "0 failed",
        "Username                                            alice@example.com",
        "Groups                                              [developers system:authenticated]",
    ] {
        assert!(seen.contains(expected), "{expected}: {seen}");
    }
}

/// The page to the letter, from the patch to the login.
#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn node_talos_first_login_by_the_least_privilege_patch() {
    let mut installed = stock().await;
    let shell = shell(&installed);
    let (first, rest, _) = page();
    let config = (Version::V1_14, Generation::Documents);
    patch(&mut installed, &shell, config, &first).await;
    assert_eq!(anonymous(&installed, "/version").await, 401);
    let seen = run(&shell, &rest, &installed).await;
    assert_shown(&seen, &installed);
    the_agent_has_what_it_needs_and_no_more(&installed, 65535).await;
    assert_eq!(anonymous(&installed, "/version").await, 401);
}

/// The page as it says for door B.
#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn node_talos_first_login_by_the_direct_endpoint_without_any_patch() {
    let installed = stock().await;
    let shell = shell(&installed);
    let (_, rest, page) = page();
    let (_, values) = page.split_once("```yaml\n").unwrap();
    let (values, _) = values.split_once("```").unwrap();
    // The API server's own address is the node's, which has the Service's port.
    let (host, _port) = installed.cluster.server().rsplit_once(':').unwrap();
    let values = replaced(values, "https://10.0.0.2", host);
    std::fs::write(shell.folder().join("direct.yaml"), values).unwrap();
    let script = replaced(
        &rest,
        "--values agent-values.yaml",
        "--values agent-values.yaml --values direct.yaml",
    );
    let command = |text: &str| {
        let mut lines = text.lines().map(|line| line.trim_start_matches("$ "));
        let command = lines.find(|line| line.starts_with("haulout get kubeconfig"));
        command.unwrap().to_owned()
    };
    let (_, door_b) = page
        .split_once("**With door B**, the users log in")
        .unwrap();
    let script = replaced(&script, &command(&rest), &command(door_b));
    // More often than there are replicas, each of which has a certificate of its own, and with nothing in a cache.
    let again = "for i in 1 2 3 4 5 6; do
        HOME=$(mktemp -d) kubectl --kubeconfig company.kubeconfig auth whoami
        done\n";
    let seen = run(&shell, &format!("{script}{again}"), &installed).await;
    assert_shown(&seen, &installed);
    assert_eq!(seen.matches("alice@example.com").count(), 7, "{seen}");
    assert_eq!(anonymous(&installed, LOGIN_PATH).await, 401);
}

fn replaced(text: &str, old: &str, new: &str) -> String {
    assert_eq!(text.matches(old).count(), 1, "{old}: {text}");
    text.replace(old, new)
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn node_talos_first_login_by_the_old_flag() {
    let mut installed = stock().await;
    let shell = shell(&installed);
    let script =
        "haulout talos patch controlplane.yaml --patch anonymous-auth > haulout-patch.yaml\n";
    let config = (Version::V1_13, Generation::Legacy);
    patch(&mut installed, &shell, config, script).await;
    let (_, rest, _) = page();
    let seen = run(&shell, &rest, &installed).await;
    assert_shown(&seen, &installed);
    // What this way opens besides.
    assert_eq!(anonymous(&installed, "/version").await, 200);
}

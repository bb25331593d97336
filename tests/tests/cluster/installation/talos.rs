//! From a stock Talos cluster, which answers nobody without credentials, to the first login: in each of the three ways.

use std::time::UNIX_EPOCH;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use haulout_operate::clock::Clock;
use haulout_tests::cluster::{
    Access, Anonymous, Cluster, ClusterOptions, LOGIN_PATH, Profile, workspace_root,
};
use haulout_tests::pages::shell_blocks;
use haulout_tests::talos::{Case, Generation, Machine, Talos, Version};
use serde_json::{Value, json};

use super::the_agent_has_what_it_needs_and_no_more;
use crate::installed::Installed;
use crate::shell::{LIMIT, Shell};

const PORT: u16 = 30443;

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

/// What an administrator has who follows the page.
fn shell(installed: &Installed) -> Shell {
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
    version: Version,
    generation: Generation,
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

/// The page to the letter, from the patch to the login.
#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn node_talos_first_login_by_the_least_privilege_patch() {
    let mut installed = stock().await;
    let shell = shell(&installed);
    let page = std::fs::read_to_string(workspace_root().join("docs/talos.md")).unwrap();
    let blocks = shell_blocks(&page);
    let (first, rest) = blocks.split_first().unwrap();
    assert!(first.contains("haulout talos patch"), "{first}");
    patch(
        &mut installed,
        &shell,
        Version::V1_14,
        Generation::Documents,
        first,
    )
    .await;
    assert_eq!(anonymous(&installed, "/version").await, 401);

    let seen = run(&shell, &rest.concat(), &installed).await;
    for expected in [
        "preset: talos",
        &format!("server: \"{}\"", installed.cluster.server()),
        "Username                                            alice@example.com",
        "Groups                                              [developers system:authenticated]",
    ] {
        assert!(seen.contains(expected), "{expected}: {seen}");
    }
    the_agent_has_what_it_needs_and_no_more(&installed, 65535).await;
    assert_eq!(anonymous(&installed, "/version").await, 401);
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn node_talos_first_login_by_the_direct_endpoint_without_any_patch() {
    let installed = stock().await;
    // The API server's own address is the node's, which has the Service's port.
    let (host, _port) = installed.cluster.server().rsplit_once(':').unwrap();
    let url = format!("{host}:{PORT}");
    let values = [
        "--set=agent.preset=talos".to_owned(),
        format!("--set=directEndpoint.externalUrl={url}"),
        "--set=directEndpoint.service.type=NodePort".to_owned(),
        format!("--set=directEndpoint.service.nodePort={PORT}"),
        "--set=rbac.anonymous=false".to_owned(),
    ];
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    installed.installation.install(&values).await.unwrap();
    installed.installation.wait_until_ready().await.unwrap();
    installed.add_authenticator().await;

    let third = "--for=jsonpath={.status.strategies[2].status}=Success";
    let wait = ["wait", third, "credentialissuer/haulout", "--timeout=55s"];
    installed.kubectl().run(wait).await.unwrap();
    let get = ["get", "credentialissuer", "haulout"];
    let issuer = installed.kubectl().json(&get).await.unwrap();
    let told = &issuer["status"]["strategies"][2]["frontend"]["directEndpointInfo"];
    assert_eq!(told["endpoint"], url);
    let ca = told["certificateAuthorityData"].as_str().unwrap();

    let whoami = ["auth", "whoami", "-o", "json"];
    let told = installed.as_alice_at(&url, ca, &whoami).await.unwrap();
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["status"]["userInfo"]["username"], "alice");
    assert_eq!(anonymous(&installed, LOGIN_PATH).await, 401);
    // The other door is closed, and the plugin says what to do.
    let refused = installed.as_alice(&whoami).await.unwrap_err();
    let refused = format!("{refused:#}");
    assert!(refused.contains("anonymous path not open"), "{refused}");
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn node_talos_first_login_by_the_old_flag() {
    let mut installed = stock().await;
    let shell = shell(&installed);
    let script =
        "haulout talos patch controlplane.yaml --patch anonymous-auth > haulout-patch.yaml\n";
    patch(
        &mut installed,
        &shell,
        Version::V1_13,
        Generation::Legacy,
        script,
    )
    .await;
    let values = ["--set=agent.preset=talos"];
    installed.installation.install(&values).await.unwrap();
    installed.installation.wait_until_ready().await.unwrap();
    installed.add_authenticator().await;
    let told = installed
        .as_alice(&["auth", "whoami", "-o", "json"])
        .await
        .unwrap();
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["status"]["userInfo"]["username"], "alice");
    // What this way opens besides.
    assert_eq!(anonymous(&installed, "/version").await, 200);
}

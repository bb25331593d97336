//! With our stand-in for a Pinniped Supervisor, whose page posts the code by a script, and which exchanges its tokens.

use haulout_operate::clock::Clock;
use haulout_tests::cluster::{Profile, StackOptions};
use haulout_tests::fake_browser::FakeBrowser;
use haulout_tests::supervisor::{Behaviour, PASSWORD, Supervisor};
use serde_json::{Value, json};
use tokio::process::Command;
use url::Url;

use super::desk::Call;
use super::{AUTHENTICATOR, Chromium, Desk};
use crate::running::Running;
use crate::shell::Shell;

/// What the cluster's tokens are for; the Supervisor exchanges its own for such a one.
const AUDIENCE: &str = "cluster-1";
const WHOAMI: [&str; 4] = ["auth", "whoami", "-o", "json"];

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn browser_and_password_log_in_at_a_supervisor() {
    let behaviour = Behaviour {
        form_post: true,
        ..Behaviour::default()
    };
    let supervisor = Supervisor::start(Clock::system(), behaviour).await.unwrap();
    let running = Running::start(Profile::Kubeadm, &StackOptions::default()).await;
    let claims = json!({"username": "username", "groups": "groups"});
    let issuer = (supervisor.url(), supervisor.ca_pem());
    running.trust(AUTHENTICATOR, issuer, AUDIENCE, claims).await;
    let ca = running.cluster.folder().join("supervisor.pem");
    std::fs::write(&ca, supervisor.ca_pem()).unwrap();
    let arguments = [
        format!("--issuer={}", supervisor.url()),
        format!("--ca-bundle={}", ca.display()),
        format!("--request-audience={AUDIENCE}"),
    ];
    let desk = Desk::new(&running, "alice", &arguments);
    // Supervisors are not on the user's own computer, and browsers know that.
    let url = Url::parse(supervisor.url()).unwrap();
    let host = format!("127.0.0.1:{}", url.port().unwrap());
    let chromium = Chromium::start_far_from(&running, &host).await;

    a_browser_that_was_opened_is_redirected(&desk, &chromium).await;
    let calls = supervisor.calls();
    assert_eq!((calls.codes, calls.exchanges), (1, 1));
    desk.forget();
    c096_the_page_gives_the_code_to_the_program(&desk, &chromium).await;
    let calls = supervisor.calls();
    assert_eq!((calls.codes, calls.exchanges), (2, 2));
    desk.forget();
    c099_a_variable_changes_the_flow(&desk).await;
    assert_eq!(desk.links().len(), 2, "a browser was opened");
    assert_eq!(supervisor.calls().codes, 3);

    // Where there is one of each, nothing has to be chosen.
    let others = format!("--field-selector=metadata.name!={AUTHENTICATOR}");
    let kubectl = running.cluster.kubectl();
    kubectl
        .run(["delete", "jwtauthenticators", &others])
        .await
        .unwrap();
    supervisor
        .behaviour()
        .identity_providers
        .retain(|listed| listed.type_ == "oidc");
    the_help_leads_to_a_first_login(&running, &chromium).await;
}

/// Nobody has to allow that.
async fn a_browser_that_was_opened_is_redirected(desk: &Desk, chromium: &Chromium) {
    let call = desk.kubectl(&WHOAMI);
    let link = desk.link(0, &call).await;
    assert!(!link.contains("response_mode"), "{link}");
    log_in(chromium, &link).await;
    assert_is(call, "alice").await;
    chromium.sees("You are logged in").await;
}

/// The link that is printed is for a browser that may be elsewhere.
async fn c096_the_page_gives_the_code_to_the_program(desk: &Desk, chromium: &Chromium) {
    let call = desk.kubectl(&WHOAMI);
    let link = call.line(&["https://"]).await;
    assert!(link.contains("response_mode=form_post"), "{link}");
    log_in(chromium, &link).await;
    chromium.sees("paste this code").await;
    // The browser may well be here: whoever allows the page to speak to this computer has to paste nothing.
    chromium.allow_loopback().await;
    log_in(chromium, &link).await;
    assert_is(call, "alice").await;
    chromium.sees("you may now close this tab").await;
}

/// The indented lines of `haulout --help`, as an administrator types them.
async fn the_help_leads_to_a_first_login(running: &Running, chromium: &Chromium) {
    let program = running.stack.products().program("haulout");
    let help = Command::new(program).arg("--help").output().await.unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let (_, lines) = help.split_once("\nFirst login").unwrap();
    let lines: Vec<_> = lines
        .lines()
        .filter_map(|line| line.strip_prefix("  "))
        .collect();
    assert!((1..=5).contains(&lines.len()), "{lines:?}");

    let shell = Shell::new(&running.cluster, &[]);
    let browser = FakeBrowser::install(shell.folder()).unwrap();
    let shell = shell.with("BROWSER", browser.program().display().to_string());
    let user = async {
        log_in(chromium, &browser.link(0).await.unwrap()).await;
        std::future::pending::<()>().await;
    };
    let script = lines.join("\n");
    let shown = tokio::select! {
        shown = shell.run(&script) => shown.unwrap(),
        () = user => unreachable!(),
    };
    let name = shown
        .lines()
        .find_map(|line| line.strip_prefix("Username "));
    assert_eq!(name.map(str::trim), Some("alice"), "{shown}");
}

async fn c099_a_variable_changes_the_flow(desk: &Desk) {
    let variables = [
        ("PINNIPED_UPSTREAM_IDENTITY_PROVIDER_FLOW", "cli_password"),
        ("PINNIPED_USERNAME", "bob"),
        ("PINNIPED_PASSWORD", PASSWORD),
    ];
    assert_is(desk.kubectl_with(&WHOAMI, &variables), "bob").await;
}

async fn log_in(chromium: &Chromium, link: &str) {
    chromium.open(link).await;
    chromium.type_into("username", "alice").await;
    chromium.type_into("password", PASSWORD).await;
    chromium.click("#submit").await;
}

async fn assert_is(call: Call, username: &str) {
    let outcome = call.succeed().await;
    let user: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(user["status"]["userInfo"]["username"], username);
}

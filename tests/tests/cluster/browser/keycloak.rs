//! Keycloak, whose pages a person sees who has no Supervisor. Its stage is that of Keycloak.

use haulout_tests::cluster::{AUDIENCE, Profile, Provider, StackOptions};
use serde_json::json;

use super::desk::Call;
use super::{AUTHENTICATOR, Chromium, Desk, NODE, let_developers_see_nodes};
use crate::running::Running;

const GET_NODES: [&str; 2] = ["get", "nodes"];
const DEVICE: (&str, &str) = ("PINNIPED_UPSTREAM_IDENTITY_PROVIDER_FLOW", "device_code");

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn browser_logs_in_at_keycloak_by_each_flow() {
    let running = Running::start(Profile::Kubeadm, &StackOptions::default()).await;
    let provider = Provider::start_keycloak(&running.cluster).await.unwrap();
    let claims = json!({"username": "preferred_username"});
    running
        .trust_provider(AUTHENTICATOR, &provider, AUDIENCE, claims)
        .await;
    let_developers_see_nodes(&running).await;
    let arguments = [
        format!("--issuer={}", provider.issuer()),
        format!("--ca-bundle={}", provider.ca().display()),
        "--client-id=kubectl".to_owned(),
    ];
    let desk = Desk::new(&running, "alice", &arguments);
    let chromium = Chromium::start(&running).await;

    let call = desk.kubectl(&GET_NODES);
    chromium.open(&desk.link(0, &call).await).await;
    log_in(&chromium).await;
    sees_nodes(call).await;
    chromium.sees("You are logged in").await;

    // The session outlives its tokens, which live for five minutes.
    std::fs::remove_file(desk.cache("credentials.yaml")).unwrap();
    sees_nodes(desk.kubectl(&GET_NODES)).await;
    assert_eq!(desk.links().len(), 1, "a browser was opened again");
    let logout = ["logout", &arguments[1]];
    let outcome = desk.haulout(&logout).succeed().await;
    assert!(
        outcome.stdout.contains("has revoked the session"),
        "{}",
        outcome.stdout
    );

    // That has ended the browser's session too. Of Keycloak's page, which is no Supervisor's, no form is asked for.
    let call = desk.kubectl(&GET_NODES);
    let link = call.line(&["https://"]).await;
    assert!(!link.contains("response_mode"), "{link}");
    chromium.open(&link).await;
    log_in(&chromium).await;
    sees_nodes(call).await;
    chromium.sees("You are logged in").await;

    desk.forget();
    let call = desk.kubectl_with(&GET_NODES, &[DEVICE]);
    chromium.open(&call.line(&["https://"]).await).await;
    log_in(&chromium).await;
    chromium.click("[name=accept]").await;
    chromium.sees("Device Login Successful").await;
    sees_nodes(call).await;
}

async fn log_in(chromium: &Chromium) {
    chromium.type_into("username", "alice").await;
    chromium.type_into("password", "correct horse").await;
    chromium.click("[name=login]").await;
}

async fn sees_nodes(call: Call) {
    let outcome = call.succeed().await;
    assert!(outcome.stdout.contains(NODE), "{}", outcome.stdout);
}

//! The page of a Pinniped Supervisor, which posts the code by a script, with our stand-in for one.

use haulout_operate::clock::Clock;
use haulout_tests::cluster::{Profile, StackOptions};
use haulout_tests::supervisor::{Behaviour, PASSWORD, Supervisor};
use serde_json::{Value, json};

use super::{AUTHENTICATOR, Chromium, Desk};
use crate::running::Running;

/// What the cluster's tokens are for; the Supervisor exchanges its own for such a one.
const AUDIENCE: &str = "cluster-1";

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn c096_the_page_of_a_supervisor_gives_the_code_to_the_program() {
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
    let chromium = Chromium::start(&running, "chromium").await;

    let call = desk.kubectl(&["auth", "whoami", "-o", "json"]);
    chromium.open(&desk.link(0, &call).await).await;
    chromium.type_into("username", "alice").await;
    chromium.type_into("password", PASSWORD).await;
    chromium.click("#submit").await;
    chromium.sees("you may now close this tab").await;
    let outcome = call.succeed().await;
    let user: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(user["status"]["userInfo"]["username"], "alice");
    let calls = supervisor.calls();
    assert_eq!((calls.codes, calls.exchanges), (1, 1));
}

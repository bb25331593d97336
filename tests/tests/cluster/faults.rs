//! Crashes while people log in.

use haulout_tests::cluster::{Component, Profile, StackOptions};
use haulout_tests::logins;
use serde_json::json;

use crate::running::{Running, until};

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_agent_and_webhook_come_back_after_a_kill() {
    let mut running = Running::start(Profile::Talos, &StackOptions::default()).await;
    let token = running.long_lived_token().await;
    running.kubectl(&token, &["auth", "whoami"]).await.unwrap();

    running.stack.agent().kill();
    let (status, _, answer) = running.post(&logins::body(&token)).await;
    assert_eq!(
        (status, &answer["status"]),
        (201, &json!({"message": "authentication failed"}))
    );
    running.stack.agent().restart().unwrap();
    until("a login after the agent's restart", async || {
        let (_, _, answer) = running.post(&logins::body(&token)).await;
        answer["status"]["credential"].is_object()
    })
    .await;

    running.stack.webhook().kill();
    running.stack.webhook().restart().unwrap();
    running.stack.wait_until_available().await.unwrap();
    running.kubectl(&token, &["auth", "whoami"]).await.unwrap();

    running.cluster.restart(Component::ApiServer).await.unwrap();
    until("a login after the API server's restart", async || {
        running.kubectl(&token, &["auth", "whoami"]).await.is_ok()
    })
    .await;
}

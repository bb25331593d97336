//! Crashes while people log in.

use std::os::unix::fs::MetadataExt as _;

use haulout_tests::cluster::{Component, Profile, StackOptions};
use haulout_tests::logins;
use serde_json::json;

use crate::running::{Running, until};

/// How large a core file may become, soft and hard.
fn core_limits(process: u32) -> Vec<String> {
    let limits = std::fs::read_to_string(format!("/proc/{process}/limits")).unwrap();
    let core = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max core file size"));
    let values = core.unwrap().split_whitespace().take(2);
    values.map(str::to_owned).collect()
}

/// The user who may read the memory: the process's own, or root where it is not dumpable (proc(5)).
fn owner_of_memory(process: u32) -> u32 {
    std::fs::metadata(format!("/proc/{process}/mem"))
        .unwrap()
        .uid()
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_agent_and_webhook_come_back_after_a_kill() {
    let mut running = Running::start(Profile::Talos, &StackOptions::default()).await;
    let token = running.long_lived_token().await;
    running.kubectl(&token, &["auth", "whoami"]).await.unwrap();
    for process in [running.stack.agent().id(), running.stack.webhook().id()] {
        assert_eq!(core_limits(process), ["0", "0"]);
    }
    // As root the agent is another user, to whom its memory would belong.
    assert_eq!(owner_of_memory(running.stack.agent().id()), 0);

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

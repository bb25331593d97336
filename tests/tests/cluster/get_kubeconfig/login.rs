//! The kubeconfig that is made, used.

use haulout_tests::cluster::{Credential, Profile, StackOptions, TOKEN_VARIABLE};
use serde_json::{Value, json};

use super::Shell;
use crate::running::Running;

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_users_log_in_by_the_kubeconfig_that_an_administrator_got() {
    let running = Running::start(Profile::Talos, &StackOptions::default()).await;
    let shell = Shell::of(&running.cluster);
    c113_a_user_logs_in_with_a_token_of_a_variable(&running, &shell).await;
}

/// The whole way: nothing but the variable's name is given.
async fn c113_a_user_logs_in_with_a_token_of_a_variable(running: &Running, shell: &Shell) {
    let output = running.cluster.folder().join("made.kubeconfig");
    let flag = format!("--output={}", output.display());
    let variable = format!("--static-token-env={TOKEN_VARIABLE}");
    let made = shell.run(&[&variable, &flag]).await;
    assert!(made.status.success(), "{}", made.stderr);
    assert_eq!(made.stdout, "");
    println!("{}", made.stderr);
    println!("{}", std::fs::read_to_string(&output).unwrap());
    let token = running.stack.token("alice", &["devs"]).await.unwrap();
    let kubectl = running.cluster.kubectl().with_kubeconfig(&output);
    let whoami = ["auth", "whoami", "-o", "json"];
    let review = kubectl.run_with(&whoami, &[(TOKEN_VARIABLE, &token)]).await;
    let review: Value = serde_json::from_str(&review.unwrap()).unwrap();
    assert_eq!(review["status"]["userInfo"]["username"], "alice");
}

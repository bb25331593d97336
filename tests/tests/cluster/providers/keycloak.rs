//! Keycloak: an audience mapper names the cluster, the username is `preferred_username`, the rest is as by default.

use haulout_tests::cluster::{AUDIENCE, Profile, Provider, StackOptions};
use serde_json::json;
use tokio::net::TcpStream;
use url::Url;

use super::{assert_is, assert_refused, part, texts, whoami};
use crate::running::{Running, until};

const NAME: &str = "keycloak";

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn keycloak_s_users_log_in() {
    let mut running = Running::start(Profile::Talos, &StackOptions::default()).await;
    let provider = Provider::start_keycloak(&running.cluster).await.unwrap();
    let claims = json!({"username": "preferred_username"});
    running
        .trust_provider(NAME, &provider, AUDIENCE, claims)
        .await;

    let alice = [("username", "alice"), ("password", "correct horse")];
    let token = provider.log_in("kubectl", &alice).await.unwrap();
    let audiences = [AUDIENCE, "kubectl"].map(str::to_owned);
    assert_eq!(texts(&part(&token, 1)["aud"]), audiences.into());
    let user = whoami(&running, NAME, &token).await.unwrap();
    assert_is(&user, "alice", &["developers", "on-call"]);

    // A client without the mapper.
    let token = provider.log_in("dashboard", &alice).await.unwrap();
    let reason = r#"expected audience \"local-cluster\" got"#;
    assert_refused(&mut running, NAME, &token, reason).await;

    let impostor = [("username", "alice"), ("password", "battery staple")];
    let error = provider.log_in("kubectl", &impostor).await.unwrap_err();
    assert!(error.to_string().contains("asks again"), "{error:#}");

    // Its JVM is a grandchild of this process.
    let url = Url::parse(provider.issuer()).unwrap();
    let addresses = url.socket_addrs(|| None).unwrap();
    drop(provider);
    until("nobody listens", async || {
        TcpStream::connect(&addresses[..]).await.is_err()
    })
    .await;
}

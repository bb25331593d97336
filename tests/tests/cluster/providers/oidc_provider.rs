//! oidc-provider: the username is an e-mail address, the audience is the client's own id.

use haulout_tests::cluster::{Profile, Provider, StackOptions};
use serde_json::json;

use super::{assert_is, assert_refused, part, whoami};
use crate::running::Running;

/// The client of this cluster, whose id is the audience.
const CLUSTER: &str = "local-cluster";
/// A client of something else.
const DASHBOARD: &str = "dashboard";

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn providers_oidc_provider_s_users_log_in() {
    let mut running = Running::start(Profile::Kubeadm, &StackOptions::default()).await;
    let account = |name: &str, verified: bool| {
        let email = format!("{name}@example.com");
        json!({"email": email, "email_verified": verified, "groups": ["developers", "on-call"]})
    };
    let settings = json!({
        "clients": [
            {"id": CLUSTER, "algorithm": "RS256"},
            {"id": DASHBOARD, "algorithm": "ES256"},
        ],
        "accounts": {"alice": account("alice", true), "mallory": account("mallory", false)},
    });
    let mut provider = Provider::start_oidc_provider(&running.cluster, &settings)
        .await
        .unwrap();
    for audience in [CLUSTER, DASHBOARD] {
        let claims = json!({"username": "email", "groups": "groups"});
        running
            .trust_provider(audience, &provider, audience, claims)
            .await;
    }
    let groups = ["developers", "on-call"];

    let token = log_in(&provider, CLUSTER, "alice").await;
    assert_eq!(part(&token, 0)["alg"], "RS256");
    let user = whoami(&running, CLUSTER, &token).await.unwrap();
    assert_is(&user, "alice@example.com", &groups);

    // A token for another client is good where that one is trusted, and nowhere else.
    let other = log_in(&provider, DASHBOARD, "alice").await;
    assert_eq!(part(&other, 0)["alg"], "ES256");
    let user = whoami(&running, DASHBOARD, &other).await.unwrap();
    assert_is(&user, "alice@example.com", &groups);
    let reason = r#"expected audience \"local-cluster\" got"#;
    assert_refused(&mut running, CLUSTER, &other, reason).await;

    let unverified = log_in(&provider, CLUSTER, "mallory").await;
    assert_refused(&mut running, CLUSTER, &unverified, "email not verified").await;

    // Every start makes new keys.
    provider.restart().await.unwrap();
    let fresh = log_in(&provider, CLUSTER, "alice").await;
    assert_ne!(part(&fresh, 0)["kid"], part(&token, 0)["kid"]);
    let user = whoami(&running, CLUSTER, &fresh).await.unwrap();
    assert_is(&user, "alice@example.com", &groups);
    let reason = "the issuer has no key for it";
    assert_refused(&mut running, CLUSTER, &token, reason).await;
}

async fn log_in(provider: &Provider, client: &str, name: &str) -> String {
    let typed = [("login", name), ("password", "anything")];
    provider.log_in(client, &typed).await.unwrap()
}

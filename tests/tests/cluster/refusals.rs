//! Who does not get in, and what he and the administrator are told.

use haulout_tests::cluster::{AUDIENCE, AUTHENTICATOR, HauloutStack, Profile, StackOptions};
use haulout_tests::logins;
use serde_json::json;

use crate::running::{Running, now, until};

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_bad_tokens_get_the_one_answer() {
    let mut running = Running::start(Profile::Talos, &StackOptions::default()).await;
    let good = running.stack.token("alice", &["devs"]).await.unwrap();
    let cases = bad_tokens(&running.stack, &good).await;
    for (what, token) in &cases {
        let (status, audit_id, answer) = running.post(&logins::body(token)).await;
        assert_eq!(status, 201, "{what}: {answer}");
        assert_eq!(
            answer["status"],
            json!({"message": "authentication failed"}),
            "{what}"
        );
        let log = running.webhook_log();
        let reasons = log
            .lines()
            .filter(|line| line.contains(&audit_id) && line.contains("\"reason\""))
            .count();
        assert_eq!(reasons, 1, "{what}: the reason stands under {audit_id}");
        assert!(
            !log.contains(token.as_str()),
            "{what}: the token is in the log"
        );
    }
    // The good one still works.
    let (_, _, answer) = running.post(&logins::body(&good)).await;
    assert!(answer["status"]["credential"].is_object());

    let mut unknown = logins::body(&good);
    unknown["spec"]["authenticator"]["name"] = "nobody".into();
    let (status, _, answer) = running.post(&unknown).await;
    assert_eq!(
        (status, &answer["status"]),
        (201, &json!({"message": "authentication failed"}))
    );

    let (status, _, answer) = running.post(&logins::body("")).await;
    assert_eq!(status, 422);
    assert_eq!(
        answer["message"],
        ".login.concierge.pinniped.dev \"\" is invalid: spec.token.value: Required value: token must be supplied"
    );

    let spoken = running
        .kubectl(&cases[0].1, &["auth", "whoami"])
        .await
        .unwrap_err();
    assert!(spoken.contains("authentication failed"), "{spoken}");
}

async fn bad_tokens(stack: &HauloutStack, good: &str) -> Vec<(&'static str, String)> {
    let (head, rest) = good.split_once('.').unwrap();
    let (payload, signature) = rest.split_once('.').unwrap();
    let claims =
        |aud: &str, exp: i64| json!({"username": "alice", "groups": [], "aud": aud, "exp": exp});
    let expired = stack
        .token_with(&claims(AUDIENCE, now() - 1))
        .await
        .unwrap();
    let elsewhere = stack
        .token_with(&claims("another-cluster", now() + 60))
        .await
        .unwrap();
    let foreign = stack
        .token_with(&json!({"iss": "https://evil.example.com", "username": "a", "aud": AUDIENCE}))
        .await
        .unwrap();
    let mut other_signature = signature.to_owned();
    let first = if other_signature.starts_with('A') {
        "B"
    } else {
        "A"
    };
    other_signature.replace_range(..1, first);
    let unsigned = "eyJhbGciOiJub25lIn0";
    vec![
        ("forged", format!("{head}.{payload}.{other_signature}")),
        ("no signature", format!("{head}.{payload}.")),
        ("alg none", format!("{unsigned}.{payload}.")),
        ("expired", expired),
        ("for another cluster", elsewhere),
        ("of another issuer", foreign),
        ("no JWT", "opaque".to_owned()),
        (
            "reserved group",
            stack.token("alice", &["system:masters"]).await.unwrap(),
        ),
        (
            "reserved user",
            stack.token("system:node:x", &[]).await.unwrap(),
        ),
        (
            "kubeadm group",
            stack
                .token("alice", &["kubeadm:cluster-admins"])
                .await
                .unwrap(),
        ),
        (
            "front proxy",
            stack.token("front-proxy-client", &[]).await.unwrap(),
        ),
    ]
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_status_tells_what_is_wrong_with_an_authenticator() {
    let running = Running::start(Profile::Kubeadm, &StackOptions::default()).await;
    let kubectl = running.cluster.kubectl();
    let ready = kubectl
        .json(&["get", "jwtauthenticator", AUTHENTICATOR])
        .await
        .unwrap();
    let conditions = ready["status"]["conditions"].as_array().unwrap();
    let types: Vec<&str> = conditions
        .iter()
        .filter_map(|c| c["type"].as_str())
        .collect();
    assert_eq!(
        types,
        [
            "AuthenticatorValid",
            "DiscoveryURLValid",
            "IssuerURLValid",
            "JWKSFetchValid",
            "JWKSURLValid",
            "Ready",
            "TLSConfigurationValid"
        ]
    );
    assert!(
        conditions.iter().all(|c| c["status"] == "True"),
        "{conditions:?}"
    );

    let broken = json!({
        "apiVersion": "authentication.concierge.pinniped.dev/v1alpha1", "kind": "JWTAuthenticator",
        "metadata": {"name": "broken"},
        "spec": {"issuer": "https://127.0.0.1:1", "audience": "x"},
    });
    kubectl.apply(&broken.to_string()).await.unwrap();
    kubectl
        .run([
            "wait",
            "--for=jsonpath={.status.phase}=Error",
            "--timeout=30s",
            "jwtauthenticator/broken",
        ])
        .await
        .unwrap();
    // The good one does not notice.
    let token = running.stack.token("alice", &[]).await.unwrap();
    running.kubectl(&token, &["auth", "whoami"]).await.unwrap();
    kubectl
        .run(["delete", "jwtauthenticator", AUTHENTICATOR])
        .await
        .unwrap();
    until("a deleted authenticator stops to accept", async || {
        let (_, _, answer) = running.post(&logins::body(&token)).await;
        answer["status"].get("message").is_some()
    })
    .await;
}

//! Ten cases through a running kube-apiserver: what it says of a token, not only what its packages say.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use haulout_api::authenticator::JwtAuthenticatorSpec;
use haulout_api::identity::UserInfo;
use haulout_tests::cluster::{Cluster, ClusterOptions, Credential, Profile, wait_for};
use haulout_tests::ensure_crypto;
use haulout_tests::issuer::{IssuerOptions, TestIssuer};
use haulout_tests::oidc::{self, Verdict};
use serde_json::{Value, json};

use super::corpus::{self, AUDIENCE};
use super::{compare, haulout};

/// kube-apiserver reads discovery documents at once, and again after ten seconds.
const LIMIT: Duration = Duration::from_secs(30);

/// What kube-apiserver adds to whoever it knows.
const AUTHENTICATED: &str = "system:authenticated";

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cel_agrees_with_a_running_api_server() {
    ensure_crypto();
    let cases: Vec<_> = corpus::load()
        .into_iter()
        .filter(|case| case.live)
        .collect();
    let mut issuers = Vec::new();
    for _ in &cases {
        issuers.push(TestIssuer::start(IssuerOptions::default()).await.unwrap());
    }
    let judged: Vec<_> = cases
        .iter()
        .zip(&issuers)
        .map(|(case, issuer)| case.of_issuer(issuer.url()))
        .collect();
    let authenticators: Vec<_> = judged
        .iter()
        .zip(&issuers)
        .map(|(case, issuer)| authenticator(case, issuer))
        .collect();
    let configuration = json!({
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AuthenticationConfiguration",
        "jwt": authenticators,
    });
    let mut options = ClusterOptions::new(Profile::Kubeadm);
    let file = "authentication.json";
    options.files = vec![(file.to_owned(), configuration.to_string())];
    options.api_server_arguments = vec![format!("--authentication-config={file}")];
    let cluster = Cluster::start(options).await.unwrap();

    let mut theirs = Vec::new();
    for (case, issuer) in judged.iter().zip(&issuers) {
        theirs.push(who_am_i(&cluster, case, issuer).await.unwrap());
    }
    let ours: Vec<_> = judged.iter().map(haulout).collect();
    let faults = compare(&cases, &theirs, &ours);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// An entry of the configuration, translated as Pinniped's Concierge does.
fn authenticator(case: &oidc::Case, issuer: &TestIssuer) -> Value {
    let spec: JwtAuthenticatorSpec = serde_json::from_value(case.spec.clone()).unwrap();
    let claims = spec.claims.unwrap_or_default();
    json!({
        "issuer": {
            "url": issuer.url(),
            "audiences": [AUDIENCE],
            "certificateAuthority": issuer.ca_certificate_pem(),
        },
        "claimMappings": {
            "username": mapping(&claims.username, &claims.username_expression, "username"),
            "groups": mapping(&claims.groups, &claims.groups_expression, "groups"),
            "extra": claims.extra,
        },
        "claimValidationRules": spec.claim_validation_rules,
        "userValidationRules": spec.user_validation_rules,
    })
}

fn mapping(claim: &str, expression: &str, default: &str) -> Value {
    match (claim, expression) {
        ("", "") => json!({"claim": default, "prefix": ""}),
        ("", expression) => json!({"expression": expression}),
        (claim, _) => json!({"claim": claim, "prefix": ""}),
    }
}

async fn who_am_i(
    cluster: &Cluster,
    case: &oidc::Case,
    issuer: &TestIssuer,
) -> anyhow::Result<Verdict> {
    let token = cluster.folder().join("token");
    std::fs::write(&token, issuer.sign(&json!(case.claims))?)?;
    let kubeconfig = cluster.kubeconfig("token", &Credential::TokenFile(token))?;
    wait_for("an answer", LIMIT, &mut [], async || {
        match ask(cluster, &kubeconfig).await {
            Ok(user) => Ok(Verdict::Accepted(user)),
            // Until it asks for keys it has not looked at the token.
            Err(error) if issuer.key_calls() == 0 => Err(error),
            Err(error) => Ok(Verdict::Refused(error.to_string())),
        }
    })
    .await
}

async fn ask(cluster: &Cluster, kubeconfig: &Path) -> anyhow::Result<UserInfo> {
    let kubectl = cluster.kubectl().with_kubeconfig(kubeconfig);
    let mut review = kubectl.json(&["auth", "whoami"]).await?;
    let mut user: UserInfo = serde_json::from_value(review["status"]["userInfo"].take())?;
    let last = user.groups.pop().context("no groups")?;
    if last != AUTHENTICATED {
        bail!("{AUTHENTICATED} is not the last group, but {last}");
    }
    Ok(user)
}

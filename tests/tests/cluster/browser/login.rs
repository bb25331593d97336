//! The authorization code flow, with oidc-provider.

use std::time::{Duration, SystemTime};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use super::{CLIENT, Chromium, Desk, NODE, Site, keep_picture};

/// Seconds for which the provider's tokens are good; long enough for the exchange that follows.
const LIFE: u64 = 10;

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn browser_login_ends_in_kubectl_get_nodes_and_in_a_logout() {
    let site = Site::start(json!({"AccessToken": LIFE, "IdToken": LIFE})).await;
    let desk = Desk::new(
        &site.running,
        "alice",
        &site.arguments(&["--credential-cache="]),
    );
    let chromium = Chromium::start(&site.running).await;

    // Tools that lose patience kill kubectl alone. Its login holds up nobody.
    let call = desk.kubectl(&["get", "nodes"]);
    desk.link(0, &call).await;
    drop(call);
    let call = desk.kubectl(&["get", "nodes"]);
    let link = desk.link(1, &call).await;
    chromium.open(&link).await;
    chromium.log_in("alice").await;
    let outcome = call.succeed().await;
    assert!(outcome.stdout.contains(NODE), "{}", outcome.stdout);
    chromium.sees("You are logged in").await;
    for scheme in ["light", "dark"] {
        keep_picture(
            &format!("login-{scheme}.png"),
            &chromium.picture(scheme).await,
        );
    }

    let refreshed = c104_is_refreshed_silently(&site, &desk).await;
    logs_out(&site, &desk, &refreshed).await;

    // Whoever has logged out is asked again, and may refuse.
    let call = desk.kubectl(&["get", "nodes"]);
    let link = call.line(&["https://"]).await;
    assert!(!link.contains("response_mode"), "{link}");
    chromium.open(&link).await;
    chromium.click("a[href$=abort]").await;
    chromium.sees("The login failed").await;
    let outcome = call.outcome().await;
    assert!(!outcome.is_success);
    assert!(
        outcome.stderr.contains("access_denied"),
        "{}",
        outcome.stderr
    );
    for scheme in ["light", "dark"] {
        keep_picture(
            &format!("login-refused-{scheme}.png"),
            &chromium.picture(scheme).await,
        );
    }
}

/// With tokens that have expired and no kept credential, the refresh token is used, and nobody is asked. Gives the new one.
async fn c104_is_refreshed_silently(site: &Site, desk: &Desk) -> String {
    let before = desk.session();
    let expiry = &before["tokens"]["access"]["expiryTimestamp"];
    let expiry: Time = serde_json::from_value(expiry.clone()).unwrap();
    let now = haulout_operate::clock::Clock::system().now();
    let left = SystemTime::from(expiry.0)
        .duration_since(now)
        .unwrap_or_default();
    tokio::time::sleep(left + Duration::from_secs(1)).await;

    let outcome = desk
        .kubectl(&["auth", "whoami", "-o", "json"])
        .succeed()
        .await;
    assert_eq!(outcome.stderr, "");
    assert_eq!(desk.links().len(), 2, "a browser was opened again");
    let user: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(user["status"]["userInfo"]["username"], "alice@example.com");
    assert_eq!(user["status"]["userInfo"]["groups"][0], "developers");
    let after = desk.session();
    for token in ["access", "id", "refresh"] {
        let [before, after] = [&before, &after].map(|session| &session["tokens"][token]["token"]);
        assert_ne!(before, after, "{token}");
    }
    let claims = &after["tokens"]["id"]["claims"];
    assert_eq!(claims["email"], "alice@example.com", "{claims}");
    assert_eq!(claims["groups"], json!(["developers"]), "{claims}");
    assert_eq!(site.granted("refresh_token"), 1);
    after["tokens"]["refresh"]["token"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// The issuer takes the refresh token no more, and no file holds it.
async fn logs_out(site: &Site, desk: &Desk, refresh_token: &str) {
    let ca = format!("--ca-bundle={}", site.provider.ca().display());
    let outcome = desk.haulout(&["logout", &ca]).succeed().await;
    let expected = format!(
        "Logged out of {}, which has revoked the session.\n",
        site.provider.issuer()
    );
    assert_eq!((outcome.stdout, outcome.stderr), (expected, String::new()));
    let sessions = std::fs::read_to_string(desk.cache("sessions.yaml")).unwrap();
    assert!(!sessions.contains(refresh_token));
    let form = [
        ("grant_type", "refresh_token"),
        ("client_id", CLIENT),
        ("refresh_token", refresh_token),
    ];
    let answer = site.ask_token_endpoint(&form).await;
    assert_eq!(answer["error"], "invalid_grant", "{answer}");
}

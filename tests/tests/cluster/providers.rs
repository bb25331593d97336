//! Logins with the tokens of providers that people run. Their tests have stages of their own, so they are not named
//! `cluster_*`.

mod keycloak;
mod oidc_provider;

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::running::Running;

/// Who the API server says that the holder of this token is, when it is handed to this authenticator.
async fn whoami(running: &Running, authenticator: &str, token: &str) -> Result<Value, String> {
    let mut stanza = running.stack.exec_stanza(&running.cluster, None).unwrap();
    let flag = "--concierge-authenticator-name=";
    let arguments = stanza["args"].as_array_mut().unwrap();
    let name = arguments
        .iter_mut()
        .find(|argument| argument.as_str().unwrap().starts_with(flag))
        .unwrap();
    *name = json!(format!("{flag}{authenticator}"));
    let arguments = ["auth", "whoami", "-o", "json"];
    let text = running.kubectl_by(stanza, token, &arguments).await?;
    let review: Value = serde_json::from_str(&text).unwrap();
    Ok(review["status"]["userInfo"].clone())
}

/// Asserts that the login fails for the user without a reason, and in the webhook's log for this one.
async fn assert_refused(running: &mut Running, authenticator: &str, token: &str, reason: &str) {
    let before = running.webhook_log().len();
    let told = whoami(running, authenticator, token).await.unwrap_err();
    assert!(told.contains("authentication failed"), "{told}");
    let log = running.webhook_log().split_off(before);
    assert!(log.contains(reason), "{reason}: {log}");
}

fn assert_is(user: &Value, username: &str, groups: &[&str]) {
    assert_eq!(user["username"], username);
    let mut expected = texts(&json!(groups));
    expected.insert("system:authenticated".to_owned());
    assert_eq!(texts(&user["groups"]), expected);
}

fn texts(list: &Value) -> BTreeSet<String> {
    serde_json::from_value(list.clone()).unwrap()
}

/// A part of a token: its header is part 0, its claims are part 1.
fn part(token: &str, number: usize) -> Value {
    let part = token.split('.').nth(number).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

//! The device authorization endpoint, and the page on which a user confirms (RFC 8628).

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse as _, Response};
use axum::{Form, Json};
use serde_json::json;

use super::token::{failed, refused};
use super::{Grant, GrantKind, PASSWORD, Shared, lock};

type Fields = HashMap<String, String>;

pub(super) async fn begin(
    State(shared): State<Arc<Shared>>,
    Form(fields): Form<Fields>,
) -> Response {
    let value = |name: &str| fields.get(name).cloned().unwrap_or_default();
    if value("client_id").is_empty() {
        return StatusCode::BAD_REQUEST.into_response();
    }
    let challenge = fields.get("code_challenge").cloned();
    if shared.behaviour().device_needs_pkce && challenge.is_none() {
        return refused(
            "invalid_request",
            "Missing parameter: code_challenge_method",
        );
    }
    let user_code = "WDJB-MJHT".to_owned();
    let grant = Grant {
        kind: GrantKind::Device {
            user_code: user_code.clone(),
            polls_left: shared.behaviour().pending_polls,
            challenge,
        },
        username: "alice".to_owned(),
        client: value("client_id"),
        scopes: value("scope").split(' ').map(str::to_owned).collect(),
        nonce: None,
        is_used: false,
    };
    match shared.grant(grant) {
        Ok(device_code) => Json(json!({
            "device_code": device_code,
            "user_code": user_code,
            "verification_uri": format!("{}/device", shared.url),
            "verification_uri_complete": format!("{}/device?user_code={user_code}", shared.url),
            "expires_in": 600,
            "interval": 1,
        }))
        .into_response(),
        Err(error) => failed(&error),
    }
}

pub(super) async fn page() -> Html<&'static str> {
    Html(
        r#"<!doctype html><title>Device</title><form method="post"><input name="user_code"><input name="username">
<input name="password" type="password"><button id="submit">Log in</button></form>"#,
    )
}

/// Confirms a code for a user.
pub(super) async fn confirm(
    State(shared): State<Arc<Shared>>,
    Form(fields): Form<Fields>,
) -> Response {
    let value = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
    let mut grants = lock(&shared.grants);
    let waiting = grants.values_mut().find_map(|grant| match &mut grant.kind {
        GrantKind::Device {
            user_code,
            polls_left,
            ..
        } if user_code == value("user_code") => Some((polls_left, &mut grant.username)),
        _ => None,
    });
    match waiting {
        Some((polls_left, username)) if value("password") == PASSWORD => {
            *polls_left = 0;
            value("username").clone_into(username);
            Html("<p id=told>you may now close this tab</p>").into_response()
        }
        _ => StatusCode::FORBIDDEN.into_response(),
    }
}

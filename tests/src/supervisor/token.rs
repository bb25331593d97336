//! The token endpoint.

use std::collections::HashMap;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Form, Json};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{CLIENT, Grant, GrantKind, MACHINE, Shared, lock};

type Fields = HashMap<String, String>;

/// An internal failure.
pub(super) fn failed(error: &anyhow::Error) -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}")).into_response()
}

/// RFC 6749, 5.2.
pub(super) fn refused(error: &str, description: &str) -> Response {
    let body = json!({"error": error, "error_description": description});
    (StatusCode::BAD_REQUEST, Json(body)).into_response()
}

pub(super) async fn answer(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Form(fields): Form<Fields>,
) -> Response {
    if shared.behaviour().tokens_are_away {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
    let answer = match field("grant_type") {
        "authorization_code" => take_time(&shared, redeem(&shared, &field)).await,
        "refresh_token" => take_time(&shared, refresh(&shared, &field)).await,
        "urn:ietf:params:oauth:grant-type:token-exchange" => exchange(&shared, &field),
        "urn:ietf:params:oauth:grant-type:device_code" => device(&shared, &field),
        "client_credentials" => client_credentials(&shared, &headers, &field),
        _ => Ok(refused("unsupported_grant_type", "")),
    };
    answer.unwrap_or_else(|error| failed(&error))
}

/// RFC 7636, 4.2.
fn challenge_of(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()))
}

async fn take_time<T>(shared: &Shared, answer: T) -> T {
    tokio::time::sleep(shared.behaviour().tokens_take).await;
    answer
}

/// Takes a grant of this client once.
fn take(shared: &Shared, secret: &str, client: &str) -> Option<Grant> {
    let mut grants = lock(&shared.grants);
    let grant = grants
        .get_mut(secret)
        .filter(|grant| grant.client == client)?;
    let before = grant.clone();
    grant.is_used = true;
    Some(before)
}

fn redeem<'a>(shared: &Shared, field: &impl Fn(&str) -> &'a str) -> anyhow::Result<Response> {
    shared.count(|calls| calls.codes += 1);
    let found = challenge_of(field("code_verifier"));
    match take(shared, field("code"), field("client_id")) {
        Some(Grant {
            kind:
                GrantKind::Code {
                    ref challenge,
                    ref redirect_uri,
                },
            is_used: false,
            ref username,
            ref scopes,
            ref nonce,
            ref client,
        }) if *challenge == found && redirect_uri == field("redirect_uri") => {
            tokens(shared, username, client, scopes, nonce.as_deref(), true)
        }
        _ => Ok(refused("invalid_grant", "the code is not good")),
    }
}

fn refresh<'a>(shared: &Shared, field: &impl Fn(&str) -> &'a str) -> anyhow::Result<Response> {
    let behaviour = shared.behaviour();
    match take(shared, field("refresh_token"), field("client_id")) {
        Some(Grant { is_used: true, .. }) => {
            shared.count(|calls| calls.reused += 1);
            Ok(refused(
                "invalid_grant",
                "the refresh token was used before",
            ))
        }
        Some(grant) if !behaviour.refuses_refresh && matches!(grant.kind, GrantKind::Refresh) => {
            shared.count(|calls| calls.refreshes += 1);
            let with_id = !behaviour.refreshes_without_id_token;
            tokens(
                shared,
                &grant.username,
                &grant.client,
                &grant.scopes,
                None,
                with_id,
            )
        }
        _ => Ok(refused("invalid_grant", "the refresh token is not good")),
    }
}

fn device<'a>(shared: &Shared, field: &impl Fn(&str) -> &'a str) -> anyhow::Result<Response> {
    shared.count(|calls| calls.polls += 1);
    if let Some((error, description)) = shared.behaviour().denies {
        return Ok(refused(error, description));
    }
    let grant = {
        let mut grants = lock(&shared.grants);
        let grant = grants.get_mut(field("device_code"));
        let Some(grant) = grant.filter(|grant| grant.client == field("client_id")) else {
            return Ok(refused("invalid_grant", "no such device code"));
        };
        if let GrantKind::Device {
            polls_left,
            challenge,
            ..
        } = &mut grant.kind
        {
            let found = challenge_of(field("code_verifier"));
            if challenge
                .as_ref()
                .is_some_and(|challenge| *challenge != found)
            {
                return Ok(refused("invalid_grant", "PKCE verification failed"));
            }
            if *polls_left > 0 {
                *polls_left = polls_left.saturating_sub(1);
                return Ok(refused("authorization_pending", ""));
            }
        }
        grant.clone()
    };
    tokens(
        shared,
        &grant.username,
        &grant.client,
        &grant.scopes,
        None,
        true,
    )
}

/// Whether a client shows its secret.
fn is_client(headers: &HeaderMap, id: &str, secret: &str) -> bool {
    let pair = format!("{id}:{}", secret.replace(' ', "+"));
    let expected = format!("Basic {}", STANDARD.encode(pair));
    let given = headers.get(header::AUTHORIZATION);
    given.and_then(|value| value.to_str().ok()) == Some(&expected)
}

/// Of the client itself: an access token that is a JWT.
fn client_credentials<'a>(
    shared: &Shared,
    headers: &HeaderMap,
    field: &impl Fn(&str) -> &'a str,
) -> anyhow::Result<Response> {
    shared.count(|calls| calls.client_credentials += 1);
    let (id, secret) = MACHINE;
    if !is_client(headers, id, secret) {
        return Ok(refused("invalid_client", ""));
    }
    let own = shared.id_token(id, id, json!({}))?;
    let mut answer = json!({"access_token": own, "token_type": "Bearer", "expires_in": 120});
    if let (Some(audience), Some(answer)) =
        (shared.behaviour().client_token_for, answer.as_object_mut())
    {
        let token = shared.id_token(id, id, json!({"aud": audience}))?;
        answer.insert("access_token".to_owned(), json!(token));
        if field("scope").split(' ').any(|scope| scope == "openid") {
            answer.insert("id_token".to_owned(), json!(own));
        }
    }
    Ok(Json(answer).into_response())
}

fn tokens(
    shared: &Shared,
    username: &str,
    client: &str,
    scopes: &[String],
    nonce: Option<&str>,
    with_id_token: bool,
) -> anyhow::Result<Response> {
    let grant = |kind| {
        shared.grant(Grant {
            kind,
            username: username.to_owned(),
            client: client.to_owned(),
            scopes: scopes.to_vec(),
            nonce: None,
            is_used: false,
        })
    };
    let access_token = grant(GrantKind::Access)?;
    let hash = digest(&SHA256, access_token.as_bytes());
    let (left, _) = hash.as_ref().split_at(hash.as_ref().len() / 2);
    let mut more = json!({"at_hash": URL_SAFE_NO_PAD.encode(left)});
    if let (Some(nonce), Some(more)) = (nonce, more.as_object_mut()) {
        more.insert("nonce".to_owned(), json!(nonce));
    }
    let behaviour = shared.behaviour();
    let life = behaviour.token_life.as_secs();
    let life = behaviour.expires_in.unwrap_or_else(|| json!(life));
    let mut answer =
        json!({"access_token": access_token, "token_type": "bearer", "expires_in": life});
    if let Some(answer) = answer.as_object_mut() {
        if with_id_token {
            let token = shared.id_token(username, client, more)?;
            answer.insert("id_token".to_owned(), json!(token));
        }
        if scopes.iter().any(|scope| scope == "offline_access") {
            answer.insert(
                "refresh_token".to_owned(),
                json!(grant(GrantKind::Refresh)?),
            );
        }
    }
    Ok(Json(answer).into_response())
}

/// RFC 8693, as a Supervisor does it.
fn exchange<'a>(shared: &Shared, field: &impl Fn(&str) -> &'a str) -> anyhow::Result<Response> {
    shared.count(|calls| calls.exchanges += 1);
    let is_good = field("subject_token_type") == "urn:ietf:params:oauth:token-type:access_token"
        && field("requested_token_type") == "urn:ietf:params:oauth:token-type:jwt";
    let grant = lock(&shared.grants).get(field("subject_token")).cloned();
    let grant = grant.filter(|grant| {
        matches!(grant.kind, GrantKind::Access) && grant.client == field("client_id")
    });
    let (true, Some(grant)) = (is_good, grant) else {
        return Ok(refused("invalid_request", "no access token of ours"));
    };
    let behaviour = shared.behaviour();
    let mut answer = json!({
        "access_token": shared.id_token(&grant.username, field("audience"), json!({}))?,
        "token_type": "N_A",
        "issued_token_type": "urn:ietf:params:oauth:token-type:jwt",
    });
    if let (Some(answer), Value::Object(changes)) =
        (answer.as_object_mut(), behaviour.exchange_answer)
    {
        answer.extend(changes);
    }
    let content_type = [(header::CONTENT_TYPE, behaviour.exchange_content_type)];
    Ok((content_type, answer.to_string()).into_response())
}

/// RFC 7009.
pub(super) async fn revoke(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Form(fields): Form<Fields>,
) -> Response {
    if let Some(act) = &*lock(&shared.on_revocation) {
        act();
    }
    if let Some(secret) = shared.behaviour().revokes_for
        && !is_client(&headers, CLIENT, secret)
    {
        return refused("invalid_client", "");
    }
    let token = fields.get("token").map(String::as_str).unwrap_or_default();
    if lock(&shared.grants).remove(token).is_some() {
        shared.count(|calls| calls.revocations += 1);
    }
    StatusCode::OK.into_response()
}

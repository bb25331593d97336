//! The authorization endpoint: a page for a browser, and headers for a program.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Form;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse as _, Response};
use url::Url;

use super::token::failed;
use super::{CLIENT, Grant, GrantKind, IdentityProvider, NO_PASSWORDS, PASSWORD, Shared};

type Parameters = HashMap<String, String>;

/// The login page; or, with a user name and a password as headers, the login itself.
pub(super) async fn page(
    State(shared): State<Arc<Shared>>,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
) -> Response {
    shared.count(|calls| calls.authorize += 1);
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    match (text("pinniped-username"), text("pinniped-password")) {
        (Some(username), Some(password)) => {
            let refusal = match takes_passwords(&shared, &parameters) {
                true => None,
                false => Some(("access_denied", NO_PASSWORDS)),
            };
            log_in(&shared, &parameters, username, password, refusal)
        }
        _ => Html(LOGIN_PAGE).into_response(),
    }
}

/// Whether the identity provider that is meant has the password flow. Where none is named, there is none to ask.
fn takes_passwords(shared: &Shared, parameters: &Parameters) -> bool {
    let value = |name: &str| parameters.get(name).map(String::as_str);
    let (name, type_) = (value("pinniped_idp_name"), value("pinniped_idp_type"));
    let providers = shared.behaviour().identity_providers;
    name.is_none()
        || providers.iter().any(|provider| {
            (Some(provider.name), Some(provider.type_)) == (name, type_)
                && provider.flows.contains(&IdentityProvider::PASSWORD_FLOW)
        })
}

const LOGIN_PAGE: &str = r#"<!doctype html><title>Log in</title>
<form method="post"><input name="username" autofocus><input name="password" type="password">
<button id="submit">Log in</button></form>"#;

/// What the page posts.
pub(super) async fn submit(
    State(shared): State<Arc<Shared>>,
    Query(parameters): Query<Parameters>,
    Form(typed): Form<Parameters>,
) -> Response {
    let typed = |name| typed.get(name).map(String::as_str).unwrap_or_default();
    let (username, password) = (typed("username"), typed("password"));
    log_in(&shared, &parameters, username, password, None)
}

fn log_in(
    shared: &Shared,
    parameters: &Parameters,
    username: &str,
    password: &str,
    refusal: Option<(&'static str, &'static str)>,
) -> Response {
    let value = |name: &str| parameters.get(name).cloned().unwrap_or_default();
    let redirect_uri = value("redirect_uri");
    let is_ours = Url::parse(&redirect_uri).is_ok_and(|url| {
        (url.scheme(), url.host_str(), url.path()) == ("http", Some("127.0.0.1"), "/callback")
    });
    let is_good = is_ours
        && value("client_id") == CLIENT
        && value("response_type") == "code"
        && value("code_challenge_method") == "S256"
        && value("state").len() >= 16;
    if !is_good {
        return (StatusCode::BAD_REQUEST, "no good authorization request").into_response();
    }
    let state = value("state");
    let wrong = ("access_denied", "Username/password not accepted.");
    let wrong = (password != PASSWORD).then_some(wrong);
    let denied = shared.behaviour().denies.or(refusal).or(wrong);
    let answer = match denied {
        Some((error, "")) => vec![("error", error.to_owned())],
        Some((error, description)) => vec![
            ("error", error.to_owned()),
            ("error_description", description.to_owned()),
        ],
        None => {
            let grant = Grant {
                kind: GrantKind::Code {
                    challenge: value("code_challenge"),
                    redirect_uri: redirect_uri.clone(),
                },
                username: username.to_owned(),
                client: value("client_id"),
                scopes: value("scope").split(' ').map(str::to_owned).collect(),
                nonce: parameters.get("nonce").cloned(),
                is_used: false,
            };
            match shared.grant(grant) {
                Ok(code) => vec![("code", code)],
                Err(error) => return failed(&error),
            }
        }
    };
    let iss = shared.behaviour().answers_as;
    let iss = iss.map(|iss| ("iss", iss)).into_iter().collect();
    let answer = [answer, vec![("state", state)], iss].concat();
    match parameters.get("response_mode").map(String::as_str) {
        Some("form_post") => form_post(&redirect_uri, &answer),
        _ => redirect(&redirect_uri, &answer),
    }
}

fn redirect(redirect_uri: &str, answer: &[(&str, String)]) -> Response {
    let Ok(mut url) = Url::parse(redirect_uri) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    url.query_pairs_mut().extend_pairs(answer);
    (StatusCode::SEE_OTHER, [(header::LOCATION, url.to_string())]).into_response()
}

/// As a Supervisor's page: a script posts the form to the program, and shows the code if nobody takes it.
fn form_post(redirect_uri: &str, answer: &[(&str, String)]) -> Response {
    let fields: String = answer
        .iter()
        .map(|(name, value)| format!("<input type=\"hidden\" name=\"{name}\" value=\"{value}\">"))
        .collect();
    let code = answer.iter().find(|(name, _)| *name == "code");
    let code = code.map_or("", |(_, code)| code);
    Html(format!(
        r#"<!doctype html><title>Posting</title><form action="{redirect_uri}" method="post">{fields}</form>
<p id="told">waiting</p><p id="code" hidden>{code}</p>
<script>
const form = document.forms[0], told = document.getElementById('told');
fetch(form.action, {{method: 'POST', mode: 'no-cors', headers: {{'Content-Type': 'application/x-www-form-urlencoded'}},
  body: new URLSearchParams(new FormData(form))}})
  .then(() => {{ told.textContent = 'you may now close this tab'; }})
  .catch(() => {{ told.textContent = 'paste this code'; document.getElementById('code').hidden = false; }});
</script>"#
    ))
    .into_response()
}

//! The authorization code flow with PKCE (RFC 6749, 4.1, and RFC 7636), as a browser and a native program go through it.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::header::{CONTENT_TYPE, LOCATION};
use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use serde::Deserialize;
use url::{Url, form_urlencoded};

use super::form::Form;

/// Where providers send the code. Nobody listens there: the browser takes the code from the redirect.
pub(super) const REDIRECT_URI: &str = "http://127.0.0.1/callback";

const CALL_LIMIT: Duration = Duration::from_secs(30);
const MAX_REDIRECTS: usize = 10;
/// One to log in, one to consent, and some that a provider may think of.
const MAX_FORMS: usize = 5;

/// What is needed of OpenID Connect Discovery, 3.
#[derive(Debug, Deserialize)]
pub(super) struct Metadata {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
}

/// A browser without history, which stops before [`REDIRECT_URI`].
pub(super) fn client(ca: &Path) -> anyhow::Result<Client> {
    let ca = reqwest::Certificate::from_pem(&std::fs::read(ca)?)?;
    let redirects = Policy::custom(|attempt| {
        if attempt.url().as_str().starts_with(REDIRECT_URI) {
            attempt.stop()
        } else if attempt.previous().len() > MAX_REDIRECTS {
            attempt.error("too many redirects")
        } else {
            attempt.follow()
        }
    });
    Ok(Client::builder()
        .tls_certs_only([ca])
        .cookie_store(true)
        .redirect(redirects)
        .timeout(CALL_LIMIT)
        .no_proxy()
        .build()?)
}

/// Reads the discovery document.
pub(super) async fn discover(http: &Client, issuer: &str) -> anyhow::Result<Metadata> {
    let url = format!("{issuer}/.well-known/openid-configuration");
    let answer = http.get(url).send().await?.error_for_status()?;
    let metadata: Metadata = answer.json().await?;
    ensure!(
        metadata.issuer == issuer,
        "{issuer} says that it is {}",
        metadata.issuer
    );
    Ok(metadata)
}

/// Logs in and gives the ID token.
pub(super) async fn fetch_id_token(
    http: &Client,
    issuer: &str,
    client: &str,
    scope: &str,
    typed: &[(&str, &str)],
) -> anyhow::Result<String> {
    let metadata = discover(http, issuer).await?;
    let (verifier, state) = (random_text()?, random_text()?);
    let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()));
    let mut url = Url::parse(&metadata.authorization_endpoint)?;
    url.query_pairs_mut().extend_pairs([
        ("response_type", "code"),
        ("client_id", client),
        ("redirect_uri", REDIRECT_URI),
        ("scope", scope),
        ("state", &state),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ]);
    let callback = pass_forms(http, url, typed).await?;
    let code = code(&callback, &state)?;
    let answer = post(
        http,
        Url::parse(&metadata.token_endpoint)?,
        &[
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", REDIRECT_URI),
            ("client_id", client),
            ("code_verifier", &verifier),
        ],
    )
    .await?;
    #[derive(Deserialize)]
    struct Tokens {
        id_token: String,
    }
    let tokens: Tokens = answer.error_for_status()?.json().await?;
    Ok(tokens.id_token)
}

/// Opens a page, fills and sends its form, and so on until the provider redirects to [`REDIRECT_URI`]; gives that URL.
async fn pass_forms(http: &Client, start: Url, typed: &[(&str, &str)]) -> anyhow::Result<Url> {
    let mut answer = http.get(start).send().await?;
    let mut has_typed = false;
    for _ in 0..MAX_FORMS {
        if let Some(callback) = callback(&answer) {
            return Ok(callback);
        }
        let (status, url) = (answer.status(), answer.url().clone());
        let page = answer.text().await?;
        let mut form = Form::first_of(&page)
            .with_context(|| format!("{status} without a form from {}", url.path()))?;
        if form.fill(typed) {
            ensure!(
                !has_typed,
                "the provider asks again: it does not let in who types this"
            );
            has_typed = true;
        }
        answer = post(http, url.join(form.action())?, form.fields()).await?;
    }
    callback(&answer).with_context(|| format!("no code after {MAX_FORMS} forms"))
}

async fn post<N: AsRef<str>, V: AsRef<str>>(
    http: &Client,
    url: Url,
    fields: &[(N, V)],
) -> anyhow::Result<Response> {
    let body = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish();
    let request = http
        .post(url)
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    Ok(request.body(body).send().await?)
}

/// Where the answer redirects to, if that is the callback.
fn callback(answer: &Response) -> Option<Url> {
    let location = answer.headers().get(LOCATION)?.to_str().ok()?;
    let is_callback = answer.status().is_redirection() && location.starts_with(REDIRECT_URI);
    is_callback.then(|| Url::parse(location).ok())?
}

/// The code of an authorization response (RFC 6749, 4.1.2).
fn code(callback: &Url, state: &str) -> anyhow::Result<String> {
    let parameter = |name: &str| {
        let mut pairs = callback.query_pairs();
        pairs.find_map(|(key, value)| (key == name).then(|| value.into_owned()))
    };
    if let Some(error) = parameter("error") {
        let description = parameter("error_description").unwrap_or_default();
        bail!("the provider answered {error}: {description}");
    }
    ensure!(
        parameter("state").as_deref() == Some(state),
        "the answer is to another request"
    );
    parameter("code").context("the answer has no code")
}

fn random_text() -> anyhow::Result<String> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_taken_from_the_answer_to_our_request_only() {
        let read = |query: &str| {
            let url = Url::parse(&format!("{REDIRECT_URI}?{query}")).unwrap();
            code(&url, "s").map_err(|error| error.to_string())
        };
        assert_eq!(read("code=a%2Bb&state=s"), Ok("a+b".to_owned()));
        assert_eq!(
            read("code=a&state=t").unwrap_err(),
            "the answer is to another request"
        );
        assert_eq!(
            read("error=access_denied&error_description=no+way&state=s").unwrap_err(),
            "the provider answered access_denied: no way"
        );
        assert_eq!(read("state=s").unwrap_err(), "the answer has no code");
    }
}

//! Pinniped's flow without a browser: user name and password go to a Supervisor as headers of the authorization request.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::authorization::Attempt;
use super::callback::Denied;
use super::error::Step;
use super::{IssuerClient, OidcError};
use crate::console::repeats;

const USERNAME: HeaderName = HeaderName::from_static("pinniped-username");
const PASSWORD: HeaderName = HeaderName::from_static("pinniped-password");

/// Who logs in. `Debug` shows nothing of it.
pub(crate) struct Login {
    pub(crate) username: String,
    pub(crate) password: SecretString,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Login")
    }
}

/// Sends them to the authorization URL, and gives the code that the answer redirects with.
pub(crate) async fn authorize(
    client: &IssuerClient<'_>,
    url: &Url,
    login: &Login,
    attempt: &Attempt,
    redirect_uri: &str,
) -> Result<SecretString, OidcError> {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        (USERNAME, login.username.as_str()),
        (PASSWORD, login.password.expose_secret()),
    ] {
        let mut value =
            HeaderValue::from_bytes(value.as_bytes()).map_err(|_| OidcError::NoHeader)?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    let secrets = [login.password.expose_secret()];
    let answer = client.get_with(Step::Password, url, headers, &secrets);
    let answer = answer.await?;
    let location = answer.headers.get(header::LOCATION);
    let location = location.and_then(|value| value.to_str().ok());
    read(answer.status, location, attempt, redirect_uri, &secrets)
}

/// The code in the redirect, if it is the answer to this attempt. What of a refusal repeats one of `secrets`, which were sent, is
/// left out.
fn read(
    status: StatusCode,
    location: Option<&str>,
    attempt: &Attempt,
    redirect_uri: &str,
    secrets: &[&str],
) -> Result<SecretString, OidcError> {
    if !matches!(status, StatusCode::FOUND | StatusCode::SEE_OTHER) {
        return Err(OidcError::NotRedirected(status));
    }
    let location = location.and_then(|location| Url::parse(location).ok());
    let location = location.ok_or(OidcError::RedirectedElsewhere)?;
    let mut bare = location.clone();
    bare.set_query(None);
    bare.set_fragment(None);
    if Url::parse(redirect_uri).ok() != Some(bare) {
        return Err(OidcError::RedirectedElsewhere);
    }
    let value = |name: &str| {
        let mut pairs = location.query_pairs();
        pairs
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    };
    if !attempt.is_issuer(value("iss").as_deref()) {
        return Err(OidcError::AnswerOfAnother);
    }
    if let Some(code) = value("error") {
        let shown = |text: &String| !repeats(text, secrets);
        let code = Some(code).filter(shown).unwrap_or_default();
        let description = value("error_description").filter(shown);
        let description = description.unwrap_or_default();
        return Err(OidcError::Denied(Denied { code, description }));
    }
    if !value("state").is_some_and(|state| attempt.is_state(&state)) {
        return Err(OidcError::State);
    }
    let code = value("code").filter(|code| !code.is_empty());
    code.map(Into::into).ok_or(OidcError::Missing {
        step: Step::Password,
        field: "code",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oidc::authorization::RANDOM_BYTES;

    const REDIRECT_URI: &str = "http://127.0.0.1:0/callback";

    fn read_from(status: u16, location: &str) -> Result<String, String> {
        let attempt = Attempt::new(&[7; RANDOM_BYTES]);
        let status = StatusCode::from_u16(status).map_err(|error| error.to_string())?;
        let code = read(status, Some(location), &attempt, REDIRECT_URI, &["hunter2"]);
        code.map(|code| code.expose_secret().to_owned())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn c095_both_redirects_bring_the_code() {
        let state = "07".repeat(16);
        let location = format!("{REDIRECT_URI}?code=c&state={state}");
        for status in [302, 303] {
            assert_eq!(read_from(status, &location).as_deref(), Ok("c"));
        }
    }

    /// The default port is left out of a URL.
    #[test]
    fn any_port_is_the_same_in_both() {
        let attempt = Attempt::new(&[7; RANDOM_BYTES]);
        let state = "07".repeat(16);
        for port in [0, 80, 8080] {
            let redirect_uri = format!("http://127.0.0.1:{port}/callback");
            let location = format!("{redirect_uri}?code=c&state={state}");
            let code = read(
                StatusCode::FOUND,
                Some(&location),
                &attempt,
                &redirect_uri,
                &[],
            );
            assert!(code.is_ok(), "{port}: {code:?}");
        }
    }

    #[test]
    fn a_refusal_that_repeats_the_password_is_told_without_it() {
        for (answer, expected) in [
            (
                "error=access_denied&error_description=it%20is%20not%20hunter2",
                "login failed with code \"access_denied\"",
            ),
            (
                "error=hunter2&error_description=wrong",
                "login failed with code \"\": wrong",
            ),
        ] {
            let error = read_from(302, &format!("{REDIRECT_URI}?{answer}")).unwrap_err();
            assert_eq!(error, expected);
        }
    }

    #[test]
    fn c041_anything_else_is_an_error_of_its_own() {
        let state = "07".repeat(16);
        for (status, location, expected) in [
            (
                200,
                String::new(),
                "expected to be redirected, but response status was 200 OK",
            ),
            (307, format!("{REDIRECT_URI}?code=c&state={state}"), "307"),
            (302, String::new(), "redirected to the wrong location"),
            (
                302,
                format!("http://127.0.0.1:1/callback?code=c&state={state}"),
                "redirected to the wrong location",
            ),
            (
                302,
                format!("https://evil.example.com/callback?code=c&state={state}"),
                "redirected to the wrong location",
            ),
            (
                302,
                format!("{REDIRECT_URI}?code=c&state=other"),
                "missing or invalid state parameter",
            ),
            (
                302,
                format!("{REDIRECT_URI}?code=c"),
                "missing or invalid state parameter",
            ),
            (302, format!("{REDIRECT_URI}?state={state}"), "no code"),
            (
                302,
                format!("{REDIRECT_URI}?error=access_denied&error_description=wrong%20password"),
                "login failed with code \"access_denied\": wrong password",
            ),
            (
                302,
                format!("{REDIRECT_URI}?error=access_denied"),
                "login failed with code \"access_denied\"",
            ),
        ] {
            let error = read_from(status, &location).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}

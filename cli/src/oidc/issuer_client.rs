//! Calls to an issuer, each told to whoever wants to know what is going on.

use haulout_https::{Answer, CallError, HttpsClient, TrustRoots, place};
use http::{HeaderMap, Method, header};
use url::Url;

use super::error::{OidcError, Step};
use super::https_client;
use crate::audit_id::audit_id;
use crate::console::Console;

/// A client for calls to one issuer, whose warnings are shown.
#[derive(Debug)]
pub(crate) struct IssuerClient<'a> {
    https: HttpsClient,
    console: &'a Console<'a>,
}

impl<'a> IssuerClient<'a> {
    /// One that trusts `roots`.
    pub(crate) fn new(roots: &TrustRoots, console: &'a Console<'a>) -> Result<Self, OidcError> {
        Ok(Self {
            https: https_client(roots)?,
            console,
        })
    }

    /// The answer to a GET, which asks for nothing that only the user may know.
    pub(super) async fn get(&self, step: Step, url: &Url) -> Result<Answer, OidcError> {
        self.get_with(step, url, HeaderMap::new(), &[]).await
    }

    /// The same with further headers. `secrets` are what of them must not be shown.
    pub(super) async fn get_with(
        &self,
        step: Step,
        url: &Url,
        headers: HeaderMap,
        secrets: &[&str],
    ) -> Result<Answer, OidcError> {
        self.tell_proxy(step, url)?;
        let answer = self.https.get(url.clone(), headers).await;
        self.told(step, &Method::GET, url, answer, secrets)
    }

    /// The answer to a POST of a form. `secrets` are what of it must not be shown.
    pub(super) async fn post_form(
        &self,
        step: Step,
        url: &Url,
        headers: HeaderMap,
        body: String,
        secrets: &[&str],
    ) -> Result<Answer, OidcError> {
        self.tell_proxy(step, url)?;
        let answer = self.https.post_form(url.clone(), headers, body).await;
        self.told(step, &Method::POST, url, answer, secrets)
    }

    /// Tells of the proxy on the way, which has to be one that can be used.
    fn tell_proxy(&self, step: Step, url: &Url) -> Result<(), OidcError> {
        let proxy = self.https.proxy_to(url);
        let proxy = proxy.map_err(|cause| OidcError::Proxy { step, cause })?;
        if let Some(proxy) = proxy {
            self.console.debug(|| format!("{step}: by way of {proxy}"));
        }
        Ok(())
    }

    fn told(
        &self,
        step: Step,
        method: &Method,
        url: &Url,
        answer: Result<Answer, CallError>,
        secrets: &[&str],
    ) -> Result<Answer, OidcError> {
        match &answer {
            Ok(answer) => {
                let call = (method, &place(url) as &dyn std::fmt::Display);
                let id = failed_audit_id(answer);
                self.console.debug_answer(&step, call, answer.status, id);
                self.console.warn(&answer.headers, secrets);
            }
            Err(error) => self.console.debug(|| format!("{step}: {error}")),
        }
        answer.map_err(|cause| OidcError::Call { step, cause })
    }
}

/// Of answers that went well nobody has to ask an administrator.
fn failed_audit_id(answer: &Answer) -> Option<&str> {
    let is_error = answer.status.is_client_error() || answer.status.is_server_error();
    let leads_to_error = || {
        let location = answer.headers.get(header::LOCATION)?.to_str().ok()?;
        let location = Url::parse(location).ok()?;
        Some(location.query_pairs().any(|(name, _)| name == "error"))
    };
    let failed = is_error || answer.status.is_redirection() && leads_to_error().unwrap_or(false);
    failed.then(|| audit_id(&answer.headers)).flatten()
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[test]
    fn c124_audit_ids_of_issuers_are_shown_where_something_failed() {
        const OK: &str = "https://127.0.0.1/callback?code=c&state=s";
        const DENIED: &str = "https://127.0.0.1/callback?error=access_denied&state=s";
        for (status, location, shown) in [
            (StatusCode::OK, None, false),
            (StatusCode::FOUND, None, false),
            (StatusCode::FOUND, Some(OK), false),
            (StatusCode::FOUND, Some("nonsense?error=x"), false),
            (StatusCode::FOUND, Some(DENIED), true),
            (StatusCode::SEE_OTHER, Some(DENIED), true),
            (StatusCode::OK, Some(DENIED), false),
            (StatusCode::BAD_REQUEST, None, true),
            (StatusCode::INTERNAL_SERVER_ERROR, None, true),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("audit-id", "an-id".parse().unwrap());
            if let Some(location) = location {
                headers.insert(header::LOCATION, location.parse().unwrap());
            }
            let body = Vec::new();
            let answer = Answer {
                status,
                headers,
                body,
            };
            let expected = shown.then_some("an-id");
            assert_eq!(failed_audit_id(&answer), expected, "{status} {location:?}");
        }
    }
}

//! What comes back from the browser: RFC 6749, 4.1.2, as a redirect or, with `response_mode=form_post`, as a form.
//!
//! [`judge`] decides; [`listener`] listens. A page of a Pinniped Supervisor posts the form by a script, so that a browser asks
//! first whether it may (CORS, and Private Network Access).

mod listener;
mod page;

use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use secrecy::SecretString;
use url::{Url, form_urlencoded};

use super::OidcError;
use super::authorization::Attempt;

pub(crate) use listener::{Arrival, CallbackListener};

/// Where it comes back to.
const PATH: &str = "/callback";
/// Most bytes of a form.
const MAX_FORM: usize = 1 << 20;

/// The same as an issuer is told it, where this port is listened on.
pub(crate) fn redirect_uri(port: u16) -> String {
    format!("http://127.0.0.1:{port}{PATH}")
}

/// What matters of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) method: &'a Method,
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) has_origin: bool,
    pub(crate) requested_headers: Option<&'a HeaderValue>,
    pub(crate) is_form: bool,
    pub(crate) body: &'a [u8],
}

/// What to do with a request.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It is not what is awaited: answer, and wait on.
    Other(Reply),
    /// The user is logged in.
    Code(SecretString),
    /// The issuer says that he is not.
    Denied(Denied),
}

/// What is told to whoever sent a request that ends nothing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) text: &'static str,
}

/// The issuer's refusal (RFC 6749, 4.1.2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Denied {
    pub(crate) code: String,
    pub(crate) description: String,
}

/// Whether a request brings the answer to `attempt`. One with another `state` does not: any program of this machine, and any
/// page in the browser, can make such a request, and must not be able to end the login by it.
pub(crate) fn judge(request: &Request<'_>, attempt: &Attempt) -> Verdict {
    if request.path != PATH {
        return other(StatusCode::NOT_FOUND, "not found");
    }
    let parameters = match *request.method {
        Method::GET => request.query.as_bytes(),
        Method::POST if request.is_form && request.body.len() <= MAX_FORM => request.body,
        Method::POST => return other(StatusCode::BAD_REQUEST, "this is no form"),
        Method::OPTIONS => return preflight(request),
        _ => {
            let mut reply = reply(StatusCode::METHOD_NOT_ALLOWED, "use GET or POST");
            let allowed = HeaderValue::from_static("GET, POST, OPTIONS");
            reply.headers.push((header::ALLOW, allowed));
            return Verdict::Other(reply);
        }
    };
    let value = |name: &str| {
        let mut pairs = form_urlencoded::parse(parameters);
        let found = pairs.find(|(key, _)| key == name);
        found.map(|(_, value)| value.into_owned())
    };
    if !value("state").is_some_and(|state| attempt.is_state(&state)) {
        return other(
            StatusCode::FORBIDDEN,
            "missing or invalid state parameter: this is not the answer to the login that is waiting",
        );
    }
    if !attempt.is_issuer(value("iss").as_deref()) {
        return other(
            StatusCode::FORBIDDEN,
            "this is the answer of another issuer than that which is to log you in",
        );
    }
    if let Some(code) = value("error") {
        let description = value("error_description").unwrap_or_default();
        return Verdict::Denied(Denied { code, description });
    }
    match value("code") {
        Some(code) if !code.is_empty() => Verdict::Code(code.into()),
        _ => other(StatusCode::BAD_REQUEST, "the authorization code is missing"),
    }
}

/// The code that a user pasted: as a page showed it, or in the address at which the browser ended, which may be that of another
/// computer than this one.
pub(crate) fn judge_pasted(line: &str, attempt: &Attempt) -> Result<SecretString, OidcError> {
    let line = line.trim();
    let Some(address) = line.starts_with("http://").then(|| Url::parse(line)) else {
        return match attempt.takes_bare_codes() {
            true => Ok(line.to_owned().into()),
            false => Err(OidcError::BareCode),
        };
    };
    let address = address.map_err(|_| OidcError::State)?;
    let request = Request {
        method: &Method::GET,
        path: address.path(),
        query: address.query().unwrap_or_default(),
        has_origin: false,
        requested_headers: None,
        is_form: false,
        body: &[],
    };
    match judge(&request, attempt) {
        Verdict::Code(code) => Ok(code),
        Verdict::Denied(denied) => Err(OidcError::Denied(denied)),
        Verdict::Other(_) => Err(OidcError::State),
    }
}

fn preflight(request: &Request<'_>) -> Verdict {
    if !request.has_origin {
        return other(
            StatusCode::BAD_REQUEST,
            "this request needs an Origin header",
        );
    }
    let mut reply = reply(StatusCode::NO_CONTENT, "");
    let fixed = [
        (header::ACCESS_CONTROL_ALLOW_CREDENTIALS, "false"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"),
        (PRIVATE_NETWORK, "true"),
    ];
    let fixed = fixed.map(|(name, value)| (name, HeaderValue::from_static(value)));
    reply.headers.extend(fixed);
    if let Some(asked) = request.requested_headers {
        reply
            .headers
            .push((header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone()));
    }
    Verdict::Other(reply)
}

const PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-allow-private-network");

fn reply(status: StatusCode, text: &'static str) -> Reply {
    Reply {
        status,
        headers: Vec::new(),
        text,
    }
}

fn other(status: StatusCode, text: &'static str) -> Verdict {
    Verdict::Other(reply(status, text))
}

#[cfg(test)]
mod tests;

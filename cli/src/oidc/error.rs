//! Why a login at an issuer failed.

mod remedy;

use std::fmt;

use haulout_https::{Answer, CallError, ClientError, ProxyError, foreign, place};
use haulout_jwt::keys::KeySetError;
use haulout_jwt::verify::TokenError;
use http::StatusCode;
use serde::Deserialize;
use url::Url;

use super::callback::Denied;
use super::identity_providers::ChoiceError;
use crate::after_colon;
use crate::audit_id::{audit_hint, audit_id};
use crate::console::repeats;

/// What was being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Discovery,
    Keys,
    Code,
    Refresh,
    Exchange,
    Device,
    ClientCredentials,
    Password,
    Revocation,
    IdentityProviders,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Discovery => "read the issuer's discovery document",
            Self::Keys => "fetch the issuer's keys",
            Self::Code => "redeem the authorization code",
            Self::Refresh => "refresh the tokens",
            Self::Exchange => "exchange token",
            Self::Device => "ask for a device code",
            Self::ClientCredentials => "get a token with the client's credentials",
            Self::Password => "log in with user name and password",
            Self::Revocation => "revoke the tokens",
            Self::IdentityProviders => "read the list of identity providers",
        })
    }
}

/// Why there are no tokens. No text holds one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OidcError {
    #[error("failed to set up the client for the issuer")]
    Client(#[source] ClientError),
    #[error("{what} is no URL: \"{}\"", foreign(url))]
    NoUrl { what: &'static str, url: String },
    #[error(
        "{what} must be an https URL, but had scheme \"{}\" instead",
        foreign(scheme)
    )]
    NotHttps { what: &'static str, scheme: String },
    /// There is no source: the text has the cause, before what to do.
    #[error("failed to {step}: {cause}; {}", remedy::of_fault(&cause.fault))]
    Call { step: Step, cause: CallError },
    #[error(
        "failed to {step}: {cause}; set it right, or unset it, or have the issuer's host in NO_PROXY"
    )]
    Proxy { step: Step, cause: ProxyError },
    #[error(
        "failed to {step}: {url} answered {status}; {}{}",
        remedy::of_status(*status),
        audit_hint("issuer", audit_id.as_deref())
    )]
    Status {
        step: Step,
        url: String,
        status: StatusCode,
        audit_id: Option<String>,
    },
    #[error(
        "failed to {step}: {url} refused with \"{code}\"{}{}{}",
        after_colon(description),
        remedy::of_code(code),
        audit_hint("issuer", audit_id.as_deref())
    )]
    Refused {
        step: Step,
        url: String,
        code: String,
        description: String,
        audit_id: Option<String>,
    },
    /// The text of the cause may repeat a secret of the answer.
    #[error(
        "failed to {step}: the answer of {url} cannot be read: {:?} error in line {}, column {}; {}",
        cause.classify(), cause.line(), cause.column(), remedy::of_document(*step)
    )]
    Document {
        step: Step,
        url: String,
        cause: serde_json::Error,
    },
    #[error(
        "the issuer \"{asked}\" calls itself \"{}\" in its discovery document; write it exactly so",
        foreign(found)
    )]
    OtherIssuer { asked: String, found: String },
    #[error(
        "response_modes_supported in the issuer's discovery document is no list; {}",
        remedy::MEND
    )]
    ResponseModes,
    #[error(
        "the issuer \"{issuer}\" has its list of identity providers elsewhere, at \"{}\"; that is not trusted; {}",
        foreign(url),
        remedy::MEND
    )]
    ForeignIdentityProviders { issuer: String, url: String },
    #[error(
        "the issuer \"{issuer}\" has its authorization_endpoint at {endpoint}, which is neither its own server nor that of its \
         token_endpoint ({token_endpoint}); that is not trusted; check --issuer, and if it is right, the issuer's administrator has \
         to serve both on one, or its answers with iss (RFC 9207) and authorization_response_iss_parameter_supported"
    )]
    ForeignAuthorizationEndpoint {
        issuer: String,
        endpoint: String,
        token_endpoint: String,
    },
    #[error(
        "the issuer's authorization_endpoint has a parameter \"{name}\" already, which a login sets; {}",
        remedy::MEND
    )]
    EndpointParameter { name: &'static str },
    #[error("failed to {step}: the answer has no {field}; {}", remedy::MEND)]
    Missing { step: Step, field: &'static str },
    #[error(
        "failed to {step}: the answer has {field} \"{}\", not \"{expected}\"; {}",
        foreign(found),
        remedy::MEND
    )]
    Unexpected {
        step: Step,
        field: &'static str,
        found: String,
        expected: &'static str,
    },
    /// There is no source here and below: the text has the cause, before what to do.
    #[error(
        "failed to fetch the issuer's keys: {}; {}",
        crate::chain(.0),
        remedy::MEND
    )]
    Keys(KeySetError),
    #[error(
        "the issuer's ID token is not good: {}; {}",
        crate::chain(.0),
        remedy::AGAIN
    )]
    IdToken(TokenError),
    #[error(
        "the issuer's ID token is not good by this computer's clock; check the date and time of both sides"
    )]
    Clock(#[source] TokenError),
    #[error(
        "the issuer's ID token has another nonce than this login; {}",
        remedy::AGAIN
    )]
    Nonce,
    #[error(
        "the issuer's ID token is not for its access token: at_hash differs; {}",
        remedy::AGAIN
    )]
    AccessTokenHash,
    #[error("login failed with code \"{}\"{}", foreign(&.0.code), after_colon(&foreign(&.0.description)))]
    Denied(Denied),
    #[error(
        "missing or invalid state parameter; paste the address that this login led to, or log in again"
    )]
    State,
    #[error(
        "the issuer's login page is on another server, and a code alone does not say of whom it is; paste the whole address at which \
         the browser ended, which begins with http://127.0.0.1"
    )]
    BareCode,
    #[error(
        "the answer to the login is not of the issuer that was asked: iss is missing, or another; {}",
        remedy::AGAIN
    )]
    AnswerOfAnother,
    #[error(
        "error getting authorization: expected to be redirected, but response status was {0}; only a Pinniped Supervisor takes a \
         password so: leave out --upstream-identity-provider-flow=cli_password elsewhere"
    )]
    NotRedirected(StatusCode),
    #[error(
        "the issuer lists no identity providers, so it is no Pinniped Supervisor, and gets no password; log in without cli_password"
    )]
    NoPasswordFlow,
    #[error(
        "error getting authorization: redirected to the wrong location; {}",
        remedy::MEND
    )]
    RedirectedElsewhere,
    #[error("user name and password cannot hold control characters")]
    NoHeader,
    #[error("the issuer offers no device code flow; leave out --flow=device_code")]
    NoDeviceEndpoint,
    #[error(
        "the issuer's device_authorization_endpoint and token_endpoint are not on one server ({device}, {token}); that is not trusted; {}",
        remedy::MEND
    )]
    ForeignDeviceEndpoint { device: String, token: String },
    #[error("the device code was not confirmed in time; log in again")]
    DeviceCodeExpired,
    #[error(transparent)]
    Choice(#[from] ChoiceError),
}

impl OidcError {
    /// Whether the issuer has decided against what was sent, so that sending it again is of no use. That it cannot be reached
    /// or is not able to answer now says nothing of the kind.
    pub(crate) fn is_refusal(&self) -> bool {
        match self {
            Self::Refused { code, .. } => {
                !matches!(code.as_str(), "server_error" | "temporarily_unavailable")
            }
            Self::Status { status, .. } => {
                let passes = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
                status.is_client_error() && !passes.contains(status)
            }
            _ => false,
        }
    }

    /// Whether this is a token for others alone.
    pub(crate) fn is_of_other_audience(&self) -> bool {
        matches!(self, Self::IdToken(TokenError::Audience { .. }))
    }

    /// Whether the issuer has refused the token that was sent, and might take another.
    pub(crate) fn is_refusal_of_token(&self) -> bool {
        /// What is wrong with the request whatever the token (RFC 6749, 5.2; RFC 8693, 2.2.2).
        const OF_THE_REST: [&str; 5] = [
            "invalid_client",
            "invalid_scope",
            "invalid_target",
            "unauthorized_client",
            "unsupported_grant_type",
        ];
        let is_of_the_rest =
            matches!(self, Self::Refused { code, .. } if OF_THE_REST.contains(&code.as_str()));
        self.is_refusal() && !is_of_the_rest
    }
}

impl From<TokenError> for OidcError {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Expired { .. }
            | TokenError::NotYetValid { .. }
            | TokenError::ClockUnset => Self::Clock(error),
            error => Self::IdToken(error),
        }
    }
}

/// The error that an answer other than success is: RFC 6749, 5.2 where it is that. What of it repeats one of `secrets`, which were
/// sent, is left out.
pub(crate) fn refused(step: Step, url: &Url, answer: &Answer, secrets: &[&str]) -> OidcError {
    #[derive(Deserialize)]
    struct Body {
        error: String,
        #[serde(default)]
        error_description: String,
    }
    let url = place(url);
    let audit_id = audit_id(&answer.headers).map(str::to_owned);
    match serde_json::from_slice::<Body>(&answer.body) {
        Ok(body) if !repeats(&body.error, secrets) => OidcError::Refused {
            step,
            url,
            code: foreign(&body.error),
            description: match repeats(&body.error_description, secrets) {
                true => String::new(),
                false => foreign(&body.error_description),
            },
            audit_id,
        },
        // What else it says may repeat what was sent.
        _ => OidcError::Status {
            step,
            url,
            status: answer.status,
            audit_id,
        },
    }
}

/// The error that an answer is which is not what `step` wants.
pub(crate) fn unreadable(step: Step, url: &Url, cause: serde_json::Error) -> OidcError {
    let url = place(url);
    OidcError::Document { step, url, cause }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_cannot_be_read_is_not_repeated() {
        let cause = serde_json::from_str::<u64>(r#""very-secret""#).unwrap_err();
        assert!(cause.to_string().contains("very-secret"));
        let url =
            "https://very-secret:very-secret@login.example.com/device?a=very-secret#very-secret";
        let url = Url::parse(url).unwrap();
        let text = crate::chain(&unreadable(Step::Device, &url, cause));
        assert!(!text.contains("very-secret"), "{text}");
        assert_eq!(
            text,
            "failed to ask for a device code: the answer of https://login.example.com/device cannot be read: Data error in line 1, \
             column 13; its administrator has to know"
        );
    }

    #[test]
    fn a_refusal_that_repeats_what_was_sent_is_told_without_it() {
        let url = Url::parse("https://login.example.com/token").unwrap();
        for (error, description, expected) in [
            (
                "invalid_grant",
                "old",
                "refused with \"invalid_grant\": old; try again",
            ),
            (
                "invalid_grant",
                "s3 is old",
                "refused with \"invalid_grant\"; try again",
            ),
            ("s3", "old", "answered 400 Bad Request"),
        ] {
            let body = serde_json::json!({"error": error, "error_description": description});
            let answer = Answer {
                status: StatusCode::BAD_REQUEST,
                headers: http::HeaderMap::new(),
                body: body.to_string().into(),
            };
            let text = refused(Step::Refresh, &url, &answer, &["", "s3"]).to_string();
            assert!(text.contains(expected) && !text.contains("s3"), "{text}");
        }
    }

    #[test]
    fn a_refusal_is_told_from_a_fault_that_passes() {
        let url = || "https://login.example.com/token".to_owned();
        let refused = |code: &str| OidcError::Refused {
            step: Step::Refresh,
            url: url(),
            code: code.to_owned(),
            description: String::new(),
            audit_id: None,
        };
        let answered = |status| OidcError::Status {
            step: Step::Refresh,
            url: url(),
            status: StatusCode::from_u16(status).unwrap(),
            audit_id: None,
        };
        for (error, expected) in [
            (refused("invalid_grant"), true),
            (refused("invalid_client"), true),
            (refused("server_error"), false),
            (refused("temporarily_unavailable"), false),
            (answered(400), true),
            (answered(403), true),
            (answered(408), false),
            (answered(429), false),
            (answered(302), false),
            (answered(503), false),
            (OidcError::NoHeader, false),
        ] {
            assert_eq!(error.is_refusal(), expected, "{error}");
        }
        for (error, expected) in [
            (refused("invalid_request"), true),
            (refused("invalid_token"), true),
            (answered(401), true),
            (refused("invalid_target"), false),
            (refused("unsupported_grant_type"), false),
            (refused("server_error"), false),
        ] {
            assert_eq!(error.is_refusal_of_token(), expected, "{error}");
        }
    }
}

//! The audit events of a login: one line for the token, one for the outcome.
//!
//! Names and fields are those of Pinniped's Concierge (`internal/auditevent`, `internal/plog`), so
//! that log pipelines go on working; `x509SHA256`, `requestID`, `sourceIP` and `hint` are ours.

#[cfg(test)]
pub(crate) mod tests;

use std::io;
use std::net::IpAddr;

use haulout_api::credential::AuthenticatorReference;
use haulout_api::identity::UserInfo;
use haulout_api::signing::{CertificateRequest, CertificateResponse};
use haulout_operate::audit::AuditLog;
use k8s_openapi::jiff::Timestamp;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

/// How much of a foreign text an event repeats, in bytes.
const NAME_LIMIT: usize = 253;
const ERROR_LIMIT: usize = 4096;

/// Whether events name the people they are about: `audit.logUsernamesAndGroups`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PersonalInfo {
    /// Only counts are logged.
    #[default]
    Redacted,
    /// Usernames, groups and extras are logged as they are.
    Logged,
}

/// Writes the audit events of logins.
#[derive(Clone, Debug)]
pub struct LoginAudit {
    log: AuditLog,
    personal_info: PersonalInfo,
}

/// By what the lines of one login are found again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestIds {
    /// The `Audit-ID` that the client was given; equal to the API server's behind the aggregator.
    pub(crate) audit: String,
    /// Made by this process, so that nobody else can choose it; the agent's lines have it.
    pub(crate) request: String,
    /// Whom the login comes from, at the direct endpoint: no other log tells of it.
    pub(crate) client: Option<ClientAddress>,
}

/// Request extension: where the client is, if the API server does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ClientAddress(pub(crate) IpAddr);

/// How a login ended.
#[derive(Debug)]
pub(crate) enum Outcome<'a> {
    /// A certificate was issued.
    Authenticated {
        certified: &'a CertificateRequest,
        certificate: &'a CertificateResponse,
    },
    /// The authenticator does not know the token.
    Rejected {
        /// Why, which Pinniped's Concierge does not say.
        hint: &'a str,
    },
    /// The authenticator failed or refused the token for a reason.
    AuthenticatorError {
        error: &'a str,
        /// What an administrator can do about it; no foreign text.
        hint: Option<&'a str>,
    },
    /// No certificate could be had.
    IssuerError { error: &'a str },
    /// The authenticator returned a user that no certificate can describe.
    UnsupportedUser { user: &'a UserInfo, error: &'a str },
}

impl LoginAudit {
    /// Writes events to `log`, people's names only if `personal_info` says so.
    pub fn new(log: AuditLog, personal_info: PersonalInfo) -> Self {
        Self { log, personal_info }
    }

    /// `TokenCredentialRequest Token Received`; `token_id` is the token's SHA-256 in hexadecimal.
    #[track_caller]
    pub(crate) fn token_received(&self, ids: &RequestIds, token_id: &str) {
        let event = Event {
            token_id: Some(token_id),
            ..Event::default()
        };
        let _told_already = self.write("TokenCredentialRequest Token Received", ids, event);
    }

    /// The event of `outcome`. Errors that repeat the token have it cut out.
    ///
    /// # Errors
    /// The event has left no line; the log tells of that.
    #[track_caller]
    pub(crate) fn outcome(
        &self,
        ids: &RequestIds,
        authenticator: &AuthenticatorReference,
        token: &str,
        outcome: &Outcome<'_>,
    ) -> io::Result<()> {
        let redact = self.personal_info == PersonalInfo::Redacted;
        let shown = |error: &str| Some(without_token(error, token));
        let event = Event {
            authenticator: Some(Authenticator(authenticator)),
            ..Event::default()
        };
        let (message, event) = match outcome {
            Outcome::Authenticated {
                certified,
                certificate,
            } => {
                let personal_info = Some(Person::Certified { certified, redact });
                let issued_client_cert = Some(IssuedCertificate(certificate));
                (
                    "TokenCredentialRequest Authenticated User",
                    Event {
                        personal_info,
                        issued_client_cert,
                        ..event
                    },
                )
            }
            Outcome::Rejected { hint } => {
                let (reason, hint) = (Some("auth rejected by authenticator"), shown(hint));
                (
                    "TokenCredentialRequest Authentication Failed",
                    Event {
                        reason,
                        hint,
                        ..event
                    },
                )
            }
            Outcome::AuthenticatorError { error, hint } => {
                let (reason, err) = (Some("authenticator returned an error"), shown(error));
                (
                    "TokenCredentialRequest Unexpected Error",
                    Event {
                        reason,
                        err,
                        hint: hint.map(str::to_owned),
                        ..event
                    },
                )
            }
            Outcome::IssuerError { error } => {
                let (reason, err) = (Some("cert issuer returned an error"), shown(error));
                (
                    "TokenCredentialRequest Unexpected Error",
                    Event {
                        reason,
                        err,
                        ..event
                    },
                )
            }
            Outcome::UnsupportedUser { user, error } => {
                let personal_info = Some(Person::NameAndUid { user, redact });
                let user_info_extras_count = Some(user.extra.len());
                let reason = Some("unsupported value in userInfo returned by authenticator");
                (
                    "TokenCredentialRequest Unsupported UserInfo",
                    Event {
                        personal_info,
                        user_info_extras_count,
                        reason,
                        err: shown(error),
                        ..event
                    },
                )
            }
        };
        self.write(message, ids, event)
    }

    #[track_caller]
    fn write(&self, message: &'static str, ids: &RequestIds, event: Event<'_>) -> io::Result<()> {
        let (audit_id, request_id) = (ids.audit.as_str(), ids.request.as_str());
        let event = Event {
            audit_id,
            request_id,
            source_ip: ids.client,
            ..event
        };
        self.log.write(message, &event).inspect_err(|error| {
            tracing::error!(%error, message, request_id, "failed to write an audit event");
        })
    }
}

/// The fields of all events in the order of Pinniped's Concierge.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    #[serde(rename = "auditID")]
    audit_id: &'a str,
    #[serde(rename = "requestID")]
    request_id: &'a str,
    #[serde(rename = "sourceIP", skip_serializing_if = "Option::is_none")]
    source_ip: Option<ClientAddress>,
    #[serde(skip_serializing_if = "Option::is_none")]
    personal_info: Option<Person<'a>>,
    #[serde(rename = "tokenID", skip_serializing_if = "Option::is_none")]
    token_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issued_client_cert: Option<IssuedCertificate<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_info_extras_count: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    err: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    authenticator: Option<Authenticator<'a>>,
}

/// `personalInfo`, the only part that is redacted.
enum Person<'a> {
    Certified {
        certified: &'a CertificateRequest,
        redact: bool,
    },
    NameAndUid {
        user: &'a UserInfo,
        redact: bool,
    },
}

impl Serialize for Person<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const REDACTED: &str = "redacted";
        let mut map = serializer.serialize_map(None)?;
        match *self {
            Self::Certified {
                certified,
                redact: false,
            } => {
                map.serialize_entry("username", &certified.username)?;
                map.serialize_entry("groups", &certified.groups)?;
                map.serialize_entry("extras", &certified.extra)?;
            }
            Self::Certified {
                certified,
                redact: true,
            } => {
                map.serialize_entry("username", REDACTED)?;
                map.serialize_entry("groups", &[Count(certified.groups.len(), "values")])?;
                map.serialize_entry("extras", &RedactedMap(certified.extra.len()))?;
            }
            Self::NameAndUid {
                user,
                redact: false,
            } => {
                map.serialize_entry("userInfoName", &user.username)?;
                map.serialize_entry("userInfoUID", &user.uid)?;
            }
            Self::NameAndUid { redact: true, .. } => {
                map.serialize_entry("userInfoName", REDACTED)?;
                map.serialize_entry("userInfoUID", REDACTED)?;
            }
        }
        map.end()
    }
}

/// `redacted N values`.
struct Count(usize, &'static str);

impl Serialize for Count {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("redacted {} {}", self.0, self.1))
    }
}

struct RedactedMap(usize);

impl Serialize for RedactedMap {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry("redacted", &Count(self.0, "keys"))?;
        map.end()
    }
}

struct IssuedCertificate<'a>(&'a CertificateResponse);

impl Serialize for IssuedCertificate<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("notBefore", &Seconds(self.0.not_before))?;
        map.serialize_entry("notAfter", &Seconds(self.0.not_after))?;
        map.serialize_entry("x509SHA256", &self.0.x509_sha256)?;
        map.end()
    }
}

/// RFC 3339 in UTC; a time that this cannot express is shown as the number that it is.
struct Seconds(i64);

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match Timestamp::from_second(self.0) {
            Ok(time) => serializer.collect_str(&time),
            Err(_out_of_range) => serializer.serialize_i64(self.0),
        }
    }
}

/// The authenticator that was asked for: foreign text, so not all of it.
struct Authenticator<'a>(&'a AuthenticatorReference);

impl Serialize for Authenticator<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let AuthenticatorReference {
            api_group,
            kind,
            name,
        } = self.0;
        let api_group = api_group.as_deref().unwrap_or_default();
        let mut map = serializer.serialize_map(Some(3))?;
        for (key, value) in [("apiGroup", api_group), ("kind", kind), ("name", name)] {
            map.serialize_entry(key, cut(value, NAME_LIMIT))?;
        }
        map.end()
    }
}

/// An error's text without the token, should an authenticator's peer have repeated it.
fn without_token(error: &str, token: &str) -> String {
    cut(&error.replace(token, "<token>"), ERROR_LIMIT).to_owned()
}

fn cut(text: &str, limit: usize) -> &str {
    text.get(..text.floor_char_boundary(limit))
        .unwrap_or_default()
}

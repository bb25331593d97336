//! One line for each certificate and for each refusal.

use std::io;
use std::net::SocketAddr;
use std::time::SystemTime;

use haulout_api::signing::{CertificateRequest, SigningFailure};
use haulout_operate::audit::AuditLog;
use haulout_pki::authority::IssuedCertificate;
use k8s_openapi::jiff::Timestamp;
use serde::{Serialize, Serializer};

use crate::policy::{Switch, is_audit_id};

/// Who asked.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
    /// The certificate it showed, if that is trusted.
    #[serde(rename = "x509SHA256", skip_serializing_if = "Option::is_none")]
    pub(crate) certificate_sha256: Option<String>,
}

/// The fields of a line beside those of every audit line. Pinniped's events give the idea, not
/// the names: nothing there signs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    #[serde(rename = "auditID", skip_serializing_if = "Option::is_none")]
    audit_id: Option<&'a str>,
    decision: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    #[serde(flatten)]
    person: Option<Person<'a>>,
    #[serde(flatten)]
    certificate: Option<Certificate<'a>>,
    client: &'a Client,
    /// How many calls the line stands for, if there may be several.
    #[serde(skip_serializing_if = "Option::is_none")]
    calls: Option<u64>,
}

#[derive(Serialize)]
struct Certificate<'a> {
    #[serde(rename = "x509SHA256")]
    x509_sha256: &'a str,
    serial: &'a str,
    #[serde(rename = "notBefore", serialize_with = "seconds")]
    not_before: SystemTime,
    #[serde(rename = "notAfter", serialize_with = "seconds")]
    not_after: SystemTime,
}

/// Names, or as many words as the webhook's audit log shows in their place.
#[derive(Serialize)]
#[serde(untagged)]
enum Person<'a> {
    Named {
        username: &'a str,
        groups: &'a [String],
    },
    Redacted {
        username: &'static str,
        groups: [String; 1],
    },
}

impl<'a> Person<'a> {
    fn of(request: &'a CertificateRequest, names: Switch) -> Self {
        let groups = &request.groups;
        match names {
            Switch::Enabled => Self::Named {
                username: &request.username,
                groups,
            },
            Switch::Disabled => Self::Redacted {
                username: "redacted",
                groups: [format!("redacted {} values", groups.len())],
            },
        }
    }
}

/// Writes the line of one call, or of as many as `calls` says. `request` is missing when it could not be read, or was not read
/// because of who asked.
pub(crate) fn write(
    log: &AuditLog,
    client: &Client,
    calls: Option<u64>,
    request: Option<&CertificateRequest>,
    outcome: &Result<IssuedCertificate, SigningFailure>,
    names: Switch,
) -> io::Result<()> {
    let event = Event {
        audit_id: request
            .map(|request| &*request.audit_id)
            .filter(|id| is_audit_id(id)),
        decision: "issued",
        reason: None,
        detail: None,
        person: request.map(|request| Person::of(request, names)),
        certificate: None,
        client,
        calls,
    };
    match outcome {
        Ok(issued) => {
            let certificate = Some(Certificate {
                x509_sha256: &issued.x509_sha256,
                serial: &issued.serial,
                not_before: issued.not_before,
                not_after: issued.not_after,
            });
            log.write(
                "Certificate Issued",
                &Event {
                    certificate,
                    ..event
                },
            )
        }
        Err(failure) => {
            let reason = Some(failure.reason.as_str());
            let detail = Some(&*failure.message);
            let event = Event {
                decision: "refused",
                reason,
                detail,
                ..event
            };
            log.write("Certificate Refused", &event)
        }
    }
}

/// RFC 3339, whole seconds, UTC.
fn seconds<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    let time = Timestamp::try_from(*time).map_err(serde::ser::Error::custom)?;
    serializer.collect_str(&time)
}

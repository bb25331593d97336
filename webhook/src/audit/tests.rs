mod order;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use haulout_operate::clock::Clock;
use serde_json::{Value, json};

use super::*;

/// An audit log in memory.
#[derive(Clone, Default)]
pub(crate) struct Memory {
    written: Arc<Mutex<Vec<u8>>>,
    /// While set, nothing can be written.
    pub(crate) is_full: Arc<AtomicBool>,
}

impl Memory {
    pub(crate) fn audit(&self, personal_info: PersonalInfo) -> LoginAudit {
        LoginAudit::new(AuditLog::new(self.clone(), Clock::system()), personal_info)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.written.lock().unwrap().clone()).unwrap()
    }

    /// The events so far, without what differs from run to run.
    pub(crate) fn events(&self) -> Vec<Value> {
        let event = |line: &str| {
            let mut event: Value = serde_json::from_str(line).unwrap();
            let event_fields = event.as_object_mut().unwrap();
            assert!(event_fields.remove("timestamp").is_some());
            event_fields.remove("caller");
            event
        };
        self.text().lines().map(event).collect()
    }
}

impl io::Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_full.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.written
            .lock()
            .map_err(|_| io::ErrorKind::Other)?
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn ids() -> RequestIds {
    RequestIds {
        audit: "theirs".into(),
        request: "ours".into(),
        client: None,
    }
}

fn authenticator() -> AuthenticatorReference {
    AuthenticatorReference {
        api_group: Some("authentication.concierge.pinniped.dev".into()),
        kind: "JWTAuthenticator".into(),
        name: "main".into(),
    }
}

fn certified() -> CertificateRequest {
    CertificateRequest {
        audit_id: "ours".into(),
        username: "alice".into(),
        groups: vec!["devs".into(), "ops".into()],
        extra: [("example.com/a".to_owned(), vec!["b".to_owned()])].into(),
        public_key: String::new(),
        lifetime_seconds: 300,
        evidence: None,
    }
}

fn certificate() -> CertificateResponse {
    CertificateResponse {
        certificate: String::new(),
        not_before: 1_795_460_083,
        not_after: 1_795_460_683,
        x509_sha256: "ab12".into(),
        agent_time_millis: 0,
    }
}

/// The fields that all outcomes have, and `more`.
fn event(message: &str, more: &Value) -> Value {
    let mut event = json!({
        "level": "info",
        "message": format!("TokenCredentialRequest {message}"),
        "auditEvent": true,
        "auditID": "theirs",
        "requestID": "ours",
    });
    event
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    event
}

fn reference() -> Value {
    json!({"apiGroup": "authentication.concierge.pinniped.dev", "kind": "JWTAuthenticator", "name": "main"})
}

fn written(personal_info: PersonalInfo, outcome: &Outcome<'_>) -> Value {
    let memory = Memory::default();
    memory
        .audit(personal_info)
        .outcome(&ids(), &authenticator(), "the-token", outcome)
        .unwrap();
    let mut events = memory.events();
    assert_eq!(events.len(), 1);
    events.remove(0)
}

#[test]
fn token_received_has_the_hash_of_the_token() {
    let memory = Memory::default();
    memory
        .audit(PersonalInfo::Redacted)
        .token_received(&ids(), "9f86");
    assert_eq!(
        memory.events(),
        [event("Token Received", &json!({"tokenID": "9f86"}))]
    );
}

#[test]
fn authenticated_user_is_redacted_unless_configured() {
    let (certified, certificate) = (certified(), certificate());
    let outcome = Outcome::Authenticated {
        certified: &certified,
        certificate: &certificate,
    };
    let issued = json!({
        "notBefore": "2026-11-23T18:54:43Z", "notAfter": "2026-11-23T19:04:43Z", "x509SHA256": "ab12",
    });
    let redacted = json!({
        "username": "redacted",
        "groups": ["redacted 2 values"],
        "extras": {"redacted": "redacted 1 keys"},
    });
    let logged = json!({
        "username": "alice", "groups": ["devs", "ops"], "extras": {"example.com/a": ["b"]},
    });
    for (setting, personal_info) in [
        (PersonalInfo::Redacted, redacted),
        (PersonalInfo::Logged, logged),
    ] {
        let more = json!({
            "personalInfo": personal_info, "issuedClientCert": issued, "authenticator": reference(),
        });
        assert_eq!(
            written(setting, &outcome),
            event("Authenticated User", &more)
        );
    }
}

#[test]
fn empty_groups_and_extras_are_shown_as_such() {
    let certified = CertificateRequest {
        groups: vec![],
        extra: [].into(),
        ..certified()
    };
    let certificate = certificate();
    let outcome = Outcome::Authenticated {
        certified: &certified,
        certificate: &certificate,
    };
    let logged = written(PersonalInfo::Logged, &outcome);
    assert_eq!(
        logged["personalInfo"],
        json!({"username": "alice", "groups": [], "extras": {}})
    );
    let redacted = written(PersonalInfo::Redacted, &outcome);
    assert_eq!(
        redacted["personalInfo"]["groups"],
        json!(["redacted 0 values"])
    );
    assert_eq!(
        redacted["personalInfo"]["extras"],
        json!({"redacted": "redacted 0 keys"})
    );
}

#[test]
fn failures_have_their_reason_and_error() {
    let user = UserInfo {
        username: "alice".into(),
        uid: "7".into(),
        ..UserInfo::default()
    };
    let cases = [
        (
            Outcome::Rejected {
                hint: "another issuer's, not the-token",
            },
            "Authentication Failed",
            json!({"reason": "auth rejected by authenticator", "hint": "another issuer's, not <token>"}),
        ),
        (
            Outcome::AuthenticatorError {
                error: "no answer",
                hint: None,
            },
            "Unexpected Error",
            json!({"reason": "authenticator returned an error", "err": "no answer"}),
        ),
        (
            Outcome::AuthenticatorError {
                error: "no such authenticator",
                hint: Some("look"),
            },
            "Unexpected Error",
            json!({
                "reason": "authenticator returned an error",
                "err": "no such authenticator",
                "hint": "look",
            }),
        ),
        (
            Outcome::IssuerError { error: "no agent" },
            "Unexpected Error",
            json!({"reason": "cert issuer returned an error", "err": "no agent"}),
        ),
        (
            Outcome::UnsupportedUser {
                user: &user,
                error: "a UID",
            },
            "Unsupported UserInfo",
            json!({
                "personalInfo": {"userInfoName": "redacted", "userInfoUID": "redacted"},
                "userInfoExtrasCount": 0,
                "reason": "unsupported value in userInfo returned by authenticator",
                "err": "a UID",
            }),
        ),
    ];
    for (outcome, message, mut more) in cases {
        more["authenticator"] = reference();
        assert_eq!(
            written(PersonalInfo::Redacted, &outcome),
            event(message, &more)
        );
    }
    let unsupported = Outcome::UnsupportedUser {
        user: &user,
        error: "a UID",
    };
    assert_eq!(
        written(PersonalInfo::Logged, &unsupported)["personalInfo"],
        json!({"userInfoName": "alice", "userInfoUID": "7"})
    );
}

#[test]
fn an_error_that_repeats_the_token_is_written_without_it() {
    let error = "webhook said: unknown token \"the-token\" (the-token)";
    let outcome = Outcome::AuthenticatorError { error, hint: None };
    let written = written(PersonalInfo::Logged, &outcome);
    assert_eq!(
        written["err"],
        "webhook said: unknown token \"<token>\" (<token>)"
    );
}

#[test]
fn foreign_text_is_cut() {
    let memory = Memory::default();
    let name = "☃".repeat(100_000);
    let long = AuthenticatorReference {
        api_group: Some(name.clone()),
        kind: name.clone(),
        name: name.clone(),
    };
    let outcome = Outcome::AuthenticatorError {
        error: &name,
        hint: None,
    };
    memory
        .audit(PersonalInfo::Redacted)
        .outcome(&ids(), &long, "t", &outcome)
        .unwrap();
    assert!(memory.text().len() < 6000, "{}", memory.text().len());
}

//! The order of keys: people read these lines, and those of Pinniped's Concierge stand in the same order.

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::*;

/// The keys of an object as they stand in the text.
struct Keys(Vec<String>);

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Keys;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
                let mut keys = Vec::new();
                while let Some((key, IgnoredAny)) = map.next_entry()? {
                    keys.push(key);
                }
                Ok(Keys(keys))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

fn keys(line: &str) -> Vec<String> {
    serde_json::from_str::<Keys>(line).unwrap().0
}

#[test]
fn keys_stand_in_the_order_of_pinniped() {
    const HEAD: [&str; 7] = [
        "level",
        "timestamp",
        "caller",
        "message",
        "auditEvent",
        "auditID",
        // Ours.
        "requestID",
    ];
    let (certified, certificate, user) = (certified(), certificate(), UserInfo::default());
    let error = "e";
    let rows: [(Outcome<'_>, &[&'static str]); 4] = [
        (
            Outcome::Authenticated {
                certified: &certified,
                certificate: &certificate,
            },
            &["personalInfo", "issuedClientCert", "authenticator"],
        ),
        (
            Outcome::Rejected { hint: "h" },
            &["reason", "hint", "authenticator"],
        ),
        (
            Outcome::AuthenticatorError { error, hint: None },
            &["reason", "err", "authenticator"],
        ),
        (
            Outcome::UnsupportedUser { user: &user, error },
            &[
                "personalInfo",
                "userInfoExtrasCount",
                "reason",
                "err",
                "authenticator",
            ],
        ),
    ];
    for (outcome, tail) in rows {
        let memory = Memory::default();
        let audit = memory.audit(PersonalInfo::Logged);
        audit.token_received(&ids(), "9f86");
        audit
            .outcome(&ids(), &authenticator(), "t", &outcome)
            .unwrap();
        let text = memory.text();
        let lines: Vec<&str> = text.lines().collect();
        let with = |tail: &[&'static str]| [&HEAD[..], tail].concat();
        assert_eq!(keys(lines[0]), with(&["tokenID"]));
        assert_eq!(keys(lines[1]), with(tail), "{outcome:?}");
    }
}

#[test]
fn keys_of_parts_stand_in_the_order_of_pinniped() {
    let (certified, certificate) = (certified(), certificate());
    let memory = Memory::default();
    let outcome = Outcome::Authenticated {
        certified: &certified,
        certificate: &certificate,
    };
    memory
        .audit(PersonalInfo::Logged)
        .outcome(&ids(), &authenticator(), "t", &outcome)
        .unwrap();
    let text = memory.text();
    for (part, expected) in [
        ("personalInfo", &["username", "groups", "extras"]),
        ("issuedClientCert", &["notBefore", "notAfter", "x509SHA256"]),
        ("authenticator", &["apiGroup", "kind", "name"]),
    ] {
        let (_, rest) = text.split_once(&format!("\"{part}\":")).unwrap();
        let mut object = serde_json::Deserializer::from_str(rest).into_iter::<Keys>();
        assert_eq!(object.next().unwrap().unwrap().0, expected, "{part}");
    }
}

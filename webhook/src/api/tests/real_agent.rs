//! Door A with the real agent behind it: what was asked for is in the certificate, and nothing
//! that the policy beside the key refuses.

use std::collections::BTreeSet;
use std::fs;

use haulout_agent::{Agent, Settings};
use haulout_operate::audit::AuditLog;
use haulout_operate::clock::Clock;
use haulout_operate::shutdown::Shutdown;
use haulout_pki::authority::generate_authority;
use haulout_pki::profile::Validity;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tempfile::TempDir;
use tokio_util::sync::DropGuard;
use x509_cert::Certificate;
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::der::asn1::{PrintableStringRef, Utf8StringRef};
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::{Decode, Tag, Tagged};

use super::*;
use crate::audit::tests::Memory;
use crate::signer::fake_agent::TestNetwork;
use crate::signer::{AgentSource, Credentials, SERVER_NAME, SignerSettings};

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const ORGANIZATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.10");
const ORGANIZATIONAL_UNIT: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.11");

/// An agent in this process, and its files.
struct RealAgent {
    network: TestNetwork,
    folder: TempDir,
    audit: Memory,
    address: String,
    _stop: DropGuard,
}

impl RealAgent {
    async fn start() -> Self {
        let (network, folder) = (TestNetwork::new(), TempDir::new().unwrap());
        let (audit, clock) = (Memory::default(), Clock::system());
        let day = std::time::Duration::from_secs(86_400);
        let validity = Validity {
            not_before: clock.now() - day,
            not_after: clock.now() + day,
        };
        let ca = generate_authority("kubernetes", validity).unwrap();
        let (certificate, key) = network.serving_pem(SERVER_NAME);
        let write = |name: &str, contents: &[u8]| {
            let path = folder.path().join(name);
            fs::write(&path, contents).unwrap();
            path
        };
        let any_port = "127.0.0.1:0".parse().unwrap();
        let settings = Settings {
            ca_cert: write("cluster.crt", ca.certificate_pem.as_bytes()),
            ca_key: write("cluster.key", ca.key_pem.as_bytes()),
            policy: write("policy.yaml", b"{}"),
            listen: any_port,
            tls_cert: write("agent.crt", certificate.as_bytes()),
            tls_key: write("agent.key", key.as_bytes()),
            client_ca: write("client-ca.crt", network.ca_pem().as_bytes()),
            health_listen: any_port,
            least_life_seconds: 600,
            poll: std::time::Duration::from_secs(1),
        };
        let log = AuditLog::new(audit.clone(), clock.clone());
        let agent = Agent::bind(&settings, clock, log).await.unwrap();
        let address = agent.address().unwrap().to_string();
        let shutdown = Shutdown::default();
        let _stop = shutdown.drain.clone().drop_guard();
        let stages = shutdown.clone();
        shutdown
            .tracker
            .spawn(async move { agent.run(&stages).await });
        Self {
            network,
            folder,
            audit,
            address,
            _stop,
        }
    }

    fn door(&self, user: UserInfo) -> Door {
        let settings = SignerSettings {
            agents: AgentSource::Addresses(vec![self.address.clone()]),
            credentials: Credentials::Files(self.network.write_credentials(self.folder.path())),
        };
        let setup = Setup::new(Says::User(user), settings, "pinniped.dev");
        Door::over(setup, Reviewer::Allows)
    }

    /// The certificate for `user`, and the answer that held it.
    async fn certify(&self, user: UserInfo) -> (Certificate, Value) {
        let (status, body) = self.door(user).create(&good_request()).await;
        assert_eq!(status, StatusCode::CREATED);
        let answer: Value = serde_json::from_str(&body).unwrap();
        let credential = answer["status"]["credential"].clone();
        let pem = credential["clientCertificateData"].as_str().expect(&body);
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        (Certificate::from_der(&der).unwrap(), credential)
    }
}

/// All values of one attribute type in the subject.
fn subject(certificate: &Certificate, oid: ObjectIdentifier) -> Vec<String> {
    let text = |attribute: &AttributeTypeAndValue| match attribute.value.tag() {
        Tag::PrintableString => attribute
            .value
            .decode_as::<PrintableStringRef<'_>>()
            .unwrap()
            .as_str()
            .to_owned(),
        _ => attribute
            .value
            .decode_as::<Utf8StringRef<'_>>()
            .unwrap()
            .as_str()
            .to_owned(),
    };
    let name = certificate.tbs_certificate().subject();
    name.iter()
        .filter(|attribute| attribute.oid == oid)
        .map(text)
        .collect()
}

#[tokio::test]
async fn user_groups_and_extras_are_in_the_certificate() {
    let agent = RealAgent::start().await;
    let mut user = alice();
    let jti = vec!["JTI=one".to_owned()];
    user.extra
        .insert("authentication.kubernetes.io/credential-id".into(), jti);
    user.extra
        .insert("example.com/a".into(), vec!["b".into(), "c=d".into()]);
    let (certificate, credential) = agent.certify(user).await;
    assert_eq!(subject(&certificate, COMMON_NAME), ["alice"]);
    let groups: BTreeSet<_> = subject(&certificate, ORGANIZATION).into_iter().collect();
    assert_eq!(
        groups,
        BTreeSet::from(["devs".to_owned(), "ops".to_owned()])
    );
    let units: BTreeSet<_> = subject(&certificate, ORGANIZATIONAL_UNIT)
        .into_iter()
        .collect();
    let expected = [
        "authentication.kubernetes.io/credential-id=JTI=one",
        "example.com/a=b",
        "example.com/a=c=d",
    ];
    assert_eq!(units, expected.map(ToOwned::to_owned).into());

    let validity = certificate.tbs_certificate().validity();
    let seconds = |time: &x509_cert::time::Time| time.to_unix_duration().as_secs();
    assert_eq!(
        seconds(&validity.not_after) - seconds(&validity.not_before),
        600
    );
    let expiration = credential["expirationTimestamp"].as_str().unwrap();
    let expiration: k8s_openapi::jiff::Timestamp = expiration.parse().unwrap();
    assert_eq!(expiration.as_second(), seconds(&validity.not_after) as i64);
}

#[tokio::test]
async fn groups_survive_whatever_they_hold() {
    let agent = RealAgent::start().await;
    let strange = [
        "a,b",
        "a+b",
        "a=b",
        "a\\b",
        " leading",
        "trailing ",
        "größe",
        "海豹",
        "🦭",
        "\"",
        "#1",
        "<x>",
        "a;b",
    ];
    let mut groups: Vec<String> = strange.map(ToOwned::to_owned).into();
    groups.extend((0..290).map(|n| format!("group-{n:03}-{}", "x".repeat(18))));
    assert!(groups.iter().map(String::len).sum::<usize>() > 8_000);
    let (certificate, _) = agent
        .certify(UserInfo {
            groups: groups.clone(),
            ..alice()
        })
        .await;
    let found: BTreeSet<_> = subject(&certificate, ORGANIZATION).into_iter().collect();
    assert_eq!(found, groups.into_iter().collect());
}

#[tokio::test]
async fn names_that_the_policy_refuses_are_failed_logins() {
    let agent = RealAgent::start().await;
    let masters = UserInfo {
        groups: vec!["system:masters".into()],
        ..alice()
    };
    let apiserver = UserInfo {
        username: "system:apiserver".into(),
        ..alice()
    };
    for user in [masters, apiserver] {
        let door = agent.door(user);
        let (status, body) = door.create(&good_request()).await;
        assert_eq!(status, StatusCode::CREATED);
        assert!(
            body.contains(r#""status":{"message":"authentication failed"}"#),
            "{body}"
        );
        let events = door.setup.memory.events();
        assert_eq!(events[1]["reason"], "cert issuer returned an error");
        assert!(
            events[1]["err"]
                .as_str()
                .unwrap()
                .contains("RefusedByPolicy"),
            "{events:?}"
        );
        let said = agent.audit.events().pop().unwrap();
        assert_eq!(said["auditID"], events[1]["requestID"]);
    }
}

#[tokio::test]
async fn the_fingerprint_in_both_logs_is_the_certificate_s() {
    let agent = RealAgent::start().await;
    let door = agent.door(alice());
    let (_, body) = door.create(&good_request()).await;
    let answer: Value = serde_json::from_str(&body).unwrap();
    let pem = answer["status"]["credential"]["clientCertificateData"]
        .as_str()
        .unwrap();
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &der);
    let fingerprint: String = digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let events = door.setup.memory.events();
    assert_eq!(
        events[1]["issuedClientCert"]["x509SHA256"],
        json!(fingerprint)
    );
    assert_eq!(agent.audit.events()[0]["x509SHA256"], json!(fingerprint));
}

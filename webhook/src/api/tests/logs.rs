//! What a login leaves in the logs: its id everywhere, its token nowhere.

use std::io;
use std::sync::Mutex;

use tracing::Dispatch;
use tracing::dispatcher::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;

use super::*;
use crate::signer::fake_agent::Behaviour;

#[derive(Clone, Default)]
pub(super) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Has this thread log here, until the answer is dropped.
    pub(super) fn set(&self) -> (DefaultGuard, Dispatch) {
        let subscriber = || {
            let level = tracing::Level::TRACE;
            Dispatch::new(
                tracing_subscriber::fmt()
                    .with_max_level(level)
                    .with_writer(self.clone())
                    .finish(),
            )
        };
        // Of a single subscriber only the threads that have it are asked whether a line is wanted,
        // and other tests run on other threads.
        let second = subscriber();
        (tracing::dispatcher::set_default(&subscriber()), second)
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for &Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .map_err(|_| io::ErrorKind::Other)?
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

#[tokio::test]
async fn the_id_of_the_client_is_kept_if_it_is_harmless() {
    let door = Door::new().await;
    let named = with_headers(
        post_json(TCR, &good_request()),
        &[("audit-id", "from-the-api-server")],
    );
    assert_eq!(
        door.send(named).await.headers()["audit-id"],
        "from-the-api-server"
    );
    let harmful = with_headers(
        post_json(TCR, &good_request()),
        &[("audit-id", "\",\"auditID\":\"x")],
    );
    let replaced = door.send(harmful).await.headers()["audit-id"]
        .to_str()
        .unwrap()
        .to_owned();
    assert_eq!(replaced.len(), 36);

    let events = door.setup.memory.events();
    let ids: Vec<_> = events
        .iter()
        .map(|event| event["auditID"].as_str().unwrap())
        .collect();
    assert_eq!(
        ids,
        [
            "from-the-api-server",
            "from-the-api-server",
            &replaced,
            &replaced
        ]
    );
    // The agent's lines have the id that nobody else can choose.
    let calls = door.setup.calls();
    let asked: Vec<_> = calls.iter().map(|call| call.audit_id.as_str()).collect();
    assert_eq!(
        asked,
        [
            events[0]["requestID"].as_str().unwrap(),
            events[2]["requestID"].as_str().unwrap()
        ]
    );
    assert_ne!(asked[0], asked[1]);
}

#[tokio::test]
async fn no_log_holds_a_token_or_a_key() {
    let log = Log::default();
    let _guards = log.set();
    let mut logs = String::new();
    for (says, reviewer) in [
        (Says::User(alice()), Reviewer::Allows),
        (Says::Error("refused the-secret-token"), Reviewer::Allows),
        (Says::Rejection("of another issuer"), Reviewer::Allows),
        (Says::User(alice()), Reviewer::Fails),
        (Says::User(alice()), Reviewer::Panics),
    ] {
        let door = Door::with(says, reviewer, "pinniped.dev").await;
        let mut misplaced = good_request();
        misplaced["metadata"]["name"] = json!(["the-secret-token"]);
        let (_, body) = door.create(&misplaced).await;
        assert!(!body.contains("secret"), "{body}");
        let (_, body) = door.create(&good_request()).await;
        assert!(!body.contains("secret"), "{body}");
        logs += &door.setup.memory.text();
        logs += &door.setup.metrics.encode().unwrap();
    }
    logs += &log.text();
    assert!(logs.contains("Token Received") && logs.contains("connected to the signing agent"));
    assert!(
        !logs.contains("secret") && !logs.contains("PRIVATE KEY"),
        "{logs}"
    );
}

/// Anybody can show certificates that are refused.
#[tokio::test]
async fn refused_certificates_do_not_fill_the_log() {
    let log = Log::default();
    let _guards = log.set();
    let door = Door::new().await;
    let (_, stranger, _) = front_proxy();
    for _ in 0..20 {
        let status = door
            .send_from(&stranger, request(Method::GET, TCR))
            .await
            .status();
        assert_eq!(status, StatusCode::UNAUTHORIZED);
    }
    let lines = log.text().matches("refused a client certificate").count();
    assert_eq!(lines, 1);
}

#[tokio::test]
async fn an_agent_that_refuses_is_in_the_log_and_not_in_the_answer() {
    let refusing = Behaviour::Refuse(haulout_api::signing::SigningFailureReason::RefusedByPolicy);
    let setup = setup(Says::User(alice()), refusing, "pinniped.dev").await;
    let door = Door::over(setup, Reviewer::Allows);
    let (status, body) = door.create(&good_request()).await;
    assert_eq!(status, StatusCode::CREATED);
    assert!(
        body.contains(r#""status":{"message":"authentication failed"}"#),
        "{body}"
    );
    assert!(!body.contains("as told"));
    let log = door.setup.memory.text();
    assert!(log.contains("RefusedByPolicy: as told"), "{log}");
}

//! Everything that can go wrong between the user and the cluster.

use std::net::TcpListener;

use axum::response::Response;
use base64::Engine;
use serde_json::{Value, json};

use crate::plain::called;
use crate::server::{self, Server, with_headers};
use crate::{Machine, answer, success};

const PREFIX: &str = "Error: could not complete Concierge credential exchange: ";

/// The error text after the prefix, and how often the server was asked.
fn fail(answers: Vec<Response>) -> (String, usize) {
    let server = Server::start(answers);
    let machine = Machine::new();
    let outcome = machine.login(&server, &[]);
    let text = outcome.error(1).trim_end();
    assert!(!machine.cache_file().exists());
    assert_eq!(text.lines().count(), 1, "{text}");
    let requests = server.received().len();
    (
        text.strip_prefix(PREFIX)
            .unwrap_or_else(|| panic!("{text}"))
            .to_owned(),
        requests,
    )
}

fn status(code: u16, message: &str) -> Response {
    server::json(
        code,
        &json!({"kind": "Status", "apiVersion": "v1", "message": message, "code": code}),
    )
}

#[test]
fn c046_refused_login_shows_the_message_and_where_the_reason_is() {
    let refused = answer(&json!({"message": "authentication failed"}));
    let plain = fail(vec![server::json(201, &refused)]);
    assert_eq!(plain, ("login failed: authentication failed".to_owned(), 1));
    let (text, _) = fail(vec![with_headers(
        201,
        [("audit-id", "0b1c-2")],
        refused.to_string(),
    )]);
    assert_eq!(
        text,
        "login failed: authentication failed (the cluster's administrator finds the reason under Audit-ID 0b1c-2)"
    );
}

#[test]
fn c046_each_status_says_what_to_do() {
    let cases = [
        (
            401,
            "Unauthorized",
            "could not login: 401 Unauthorized: anonymous path not open",
        ),
        (
            403,
            "User \"system:anonymous\" cannot create",
            "could not login: 403 Forbidden: the cluster's RBAC",
        ),
        (
            404,
            "page not found",
            "could not login: 404 Not Found: the API group login.concierge.pinniped.dev is not",
        ),
        (
            413,
            "too large",
            "could not login: 413 Payload Too Large (the server says: too large)",
        ),
        (
            422,
            "spec.token.value: Required value",
            "could not login: 422 Unprocessable Entity (the server says: spec",
        ),
        (
            500,
            "boom",
            "could not login: 500 Internal Server Error (the server says: boom)",
        ),
    ];
    for (code, message, expected) in cases {
        let (text, requests) = fail(vec![status(code, message)]);
        assert!(text.starts_with(expected), "{text}");
        assert_eq!(requests, 1, "{code}");
    }
}

#[test]
fn unavailable_server_is_asked_twice_and_no_more() {
    let unavailable = || status(503, "service unavailable");
    let (text, requests) = fail(vec![unavailable(), unavailable(), unavailable()]);
    assert!(
        text.starts_with("could not login: 503 Service Unavailable: the login service of this cluster does not answer"),
        "{text}"
    );
    assert!(
        text.ends_with("(the server says: service unavailable)"),
        "{text}"
    );
    assert_eq!(requests, 2);
}

#[test]
fn long_retry_after_is_told_not_waited_for() {
    let limited = with_headers(429, [("retry-after", "60")], "");
    assert_eq!(
        fail(vec![limited]),
        (
            "could not login: 429 Too Many Requests: try again in 60 s".to_owned(),
            1
        )
    );
}

#[test]
fn garbage_is_no_answer() {
    let not_an_answer = "could not login: the answer is no TokenCredentialRequest; is --concierge-endpoint a Kubernetes API server?";
    let mut wrong_kind = success();
    wrong_kind["kind"] = json!("Status");
    let mut no_expiry = success();
    no_expiry["status"]["credential"]
        .as_object_mut()
        .unwrap()
        .remove("expirationTimestamp");
    let mut bad_expiry = success();
    bad_expiry["status"]["credential"]["expirationTimestamp"] = json!("tomorrow");
    for body in [
        Value::Null,
        json!([]),
        json!({}),
        json!("text"),
        wrong_kind,
        no_expiry,
        bad_expiry,
        json!({"kind": "TokenCredentialRequest", "status": 7}),
    ] {
        assert_eq!(
            fail(vec![server::json(201, &body)]),
            (not_an_answer.to_owned(), 1),
            "{body}"
        );
    }
    for body in [
        "",
        "<html>login here</html>",
        "{\"kind\":\"TokenCredentialRequest\"",
        "\u{0}\u{1}",
    ] {
        assert_eq!(
            fail(vec![with_headers(200, [], body)]),
            (not_an_answer.to_owned(), 1),
            "{body}"
        );
    }
}

#[test]
fn c046_answer_without_a_usable_credential_is_an_unknown_cause() {
    let mut no_key = success();
    no_key["status"]["credential"]["clientKeyData"] = json!("");
    let mut no_certificate = success();
    no_certificate["status"]["credential"]["clientCertificateData"] = json!("");
    let nothing = json!({"kind": "TokenCredentialRequest"});
    for body in [no_key, no_certificate, nothing, answer(&json!({}))] {
        let (text, _) = fail(vec![server::json(201, &body)]);
        assert!(text.starts_with("login failed: unknown cause"), "{text}");
    }
}

#[test]
fn control_characters_of_a_server_are_not_printed() {
    let (text, _) = fail(vec![status(500, "a\u{1b}]0;owned\u{7}\r\nb")]);
    assert!(text.chars().all(|c| !c.is_control()), "{text:?}");
    let (text, _) = fail(vec![server::json(
        201,
        &answer(&json!({"message": "x\u{1b}[31my\n"})),
    )]);
    assert!(text.chars().all(|c| !c.is_control()), "{text:?}");
}

/// A token must not travel to where a server points.
#[test]
fn redirect_is_not_followed() {
    let elsewhere = Server::start([server::json(201, &success())]);
    for code in [301, 302, 303, 307, 308] {
        let mut redirect = with_headers(code, [], "");
        let location = format!("{}/apis", elsewhere.url());
        redirect
            .headers_mut()
            .insert("location", location.parse().unwrap());
        let (text, _) = fail(vec![redirect]);
        assert!(
            text.starts_with("could not login: redirected to \"https://127.0.0.1:"),
            "{text}"
        );
    }
    assert_eq!(elsewhere.received().len(), 0);
}

#[test]
fn huge_answer_is_not_read_to_its_end() {
    let mut huge = success();
    huge["metadata"] = json!({"padding": "x".repeat(2 << 20)});
    let (text, _) = fail(vec![server::json(201, &huge)]);
    assert!(
        text.starts_with("could not login: the answer is too long"),
        "{text}"
    );
}

#[test]
fn credential_from_the_past_points_at_the_clock() {
    let server = Server::start([server::json(201, &success())]);
    let mut machine = Machine::new();
    machine.now += 300;
    let outcome = machine.login(&server, &[]);
    assert!(
        outcome.error(1).contains("check the date and time"),
        "{}",
        outcome.stderr
    );
    assert!(!machine.cache_file().exists());
}

#[test]
fn certificate_of_another_ca_is_refused() {
    let server = Server::start([server::json(201, &success())]);
    let other = Server::start([server::json(201, &success())]);
    let ca = format!("--concierge-ca-bundle-data={}", other.ca_base64());
    let outcome = Machine::new().login(&server, &[&ca]);
    let text = outcome.error(1);
    assert!(
        text.contains(&format!(
            "the certificate of {} is not to be trusted",
            server.address()
        )),
        "{text}"
    );
    assert_eq!(server.received().len(), 0);
}

#[test]
fn certificate_of_another_name_is_refused() {
    let server = Server::start([server::json(201, &success())]);
    let endpoint = format!(
        "--concierge-endpoint=https://localhost:{}",
        server.address().port()
    );
    let outcome = Machine::new().login(&server, &[&endpoint]);
    let text = outcome.error(1);
    assert!(text.contains("the certificate of localhost:"), "{text}");
    assert_eq!(server.received().len(), 0);
}

#[test]
fn tls_below_1_3_is_refused() {
    let server = Server::start_with(&[&rustls::version::TLS12], [server::json(201, &success())]);
    let outcome = Machine::new().login(&server, &[]);
    let text = outcome.error(1);
    assert!(
        text.contains(&format!("{} does not speak TLS 1.3", server.address())),
        "{text}"
    );
    assert_eq!(server.received().len(), 0);
}

#[test]
fn closed_port_is_named() {
    let server = Server::start([server::json(201, &success())]);
    let closed = "127.0.0.1:1";
    let endpoint = format!("--concierge-endpoint=https://{closed}");
    let outcome = Machine::new().login(&server, &[&endpoint]);
    assert!(
        outcome
            .error(1)
            .contains(&format!("nothing listens at {closed}")),
        "{}",
        outcome.stderr
    );
}

#[test]
fn plain_http_server_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = std::thread::spawn(move || {
        let mut stream = called(&listener);
        std::io::Write::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    });
    let server = Server::start([server::json(201, &success())]);
    let endpoint = format!("--concierge-endpoint=https://{address}");
    let outcome = Machine::new().login(&server, &[&endpoint]);
    assert!(
        outcome
            .error(1)
            .contains(&format!("{address}: it does not speak TLS, or ends")),
        "{}",
        outcome.stderr
    );
    serve.join().unwrap();
}

#[test]
fn ca_that_is_pem_but_no_certificate_is_an_error() {
    let pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let ca = format!(
        "--concierge-ca-bundle-data={}",
        base64::engine::general_purpose::STANDARD.encode(pem)
    );
    let server = Server::start([server::json(201, &success())]);
    let outcome = Machine::new().login(&server, &[&ca]);
    outcome.error(1);
    assert_eq!(server.received().len(), 0);
}

/// The environment is that of a whole process, so a child logs in: this program, run again for this one test.
#[test]
fn a_dead_proxy_is_told_as_such_and_without_its_password() {
    const NAME: &str = "failures::a_dead_proxy_is_told_as_such_and_without_its_password";
    const CHILD: &str = "HAULOUT_TEST_BEHIND_A_PROXY";
    let told = "by way of the proxy http://127.0.0.1:1 (HTTPS_PROXY)";
    if std::env::var_os(CHILD).is_some() {
        let server = Server::start::<Response>([]);
        let outcome = Machine::new().login(&server, &["-v"]);
        let text = outcome.error(1);
        let debug = format!("Debug: exchange the token at the cluster: {told}\n");
        assert!(text.contains(&debug), "{text}");
        let address = server.address();
        let error = format!("{PREFIX}could not login: nothing listens at {address} {told}; check");
        assert!(text.contains(&error), "{text}");
        assert!(!text.contains("hunter2"), "{text}");

        let url = server.url();
        let (issuer, catalogue) = (format!("--issuer={url}"), format!("--from={url}/clusters"));
        for command in [
            &["login", "oidc", &issuer, "--session-cache=none"][..],
            &["kubeconfig", &catalogue],
        ] {
            let outcome = Machine::new().run(command);
            let text = outcome.error(1);
            assert!(text.contains(&format!("\" {told}: ")), "{text}");
            assert!(!text.contains("hunter2"), "{text}");
        }
        assert!(server.received().is_empty());
        return;
    }
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    for variable in ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"] {
        command.env_remove(variable);
        command.env_remove(variable.to_lowercase());
    }
    let child = command
        .args(["--exact", NAME])
        .env(CHILD, "true")
        .env("HTTPS_PROXY", "http://me:hunter2@127.0.0.1:1")
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&child.stdout);
    let passed = child.status.success() && output.contains("1 passed");
    assert!(passed, "{output}");
}

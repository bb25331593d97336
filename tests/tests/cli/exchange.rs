//! What goes over the wire, and what comes out.

use serde_json::{Value, json};

use crate::server::{self, Server};
use crate::{Machine, TOKEN, success};

#[test]
fn c045_request_is_the_one_that_the_reference_sends() {
    let server = Server::start([server::json(201, &success())]);
    Machine::new().login(&server, &[]).credential();
    let received = server.received();
    let [request] = &received[..] else {
        panic!("{} requests", received.len())
    };
    assert_eq!(request.method, "POST");
    assert_eq!(
        request.uri,
        "/apis/login.concierge.pinniped.dev/v1alpha1/tokencredentialrequests"
    );
    assert_eq!(request.headers["content-type"], "application/json");
    assert_eq!(request.headers["accept"], "application/json");
    assert!(
        request.headers["user-agent"]
            .to_str()
            .unwrap()
            .starts_with("haulout/")
    );
    for absent in ["authorization", "cookie", "referer"] {
        assert!(!request.headers.contains_key(absent), "{absent}");
    }
    assert_eq!(
        serde_json::from_slice::<Value>(&request.body).unwrap(),
        json!({
            "kind": "TokenCredentialRequest",
            "apiVersion": "login.concierge.pinniped.dev/v1alpha1",
            "metadata": {},
            "spec": {
                "token": TOKEN,
                "authenticator": {
                    "apiGroup": "authentication.concierge.pinniped.dev",
                    "kind": "JWTAuthenticator",
                    "name": "supervisor",
                },
            },
            "status": {},
        })
    );
}

#[test]
fn c045_suffix_type_and_path_of_the_flags_are_used() {
    let server = Server::start([server::json(201, &success())]);
    let endpoint = format!("--concierge-endpoint={}/k8s/c-1/", server.url());
    Machine::new()
        .login(
            &server,
            &[
                "--concierge-api-group-suffix=walrus.example.com",
                "--concierge-authenticator-type=webhook",
                &endpoint,
            ],
        )
        .credential();
    let received = server.received();
    assert_eq!(
        received[0].uri,
        "/k8s/c-1/apis/login.concierge.walrus.example.com/v1alpha1/tokencredentialrequests"
    );
    let body: Value = serde_json::from_slice(&received[0].body).unwrap();
    assert_eq!(
        body["apiVersion"],
        "login.concierge.walrus.example.com/v1alpha1"
    );
    assert_eq!(
        body["spec"]["authenticator"],
        json!({
            "apiGroup": "authentication.concierge.walrus.example.com",
            "kind": "WebhookAuthenticator",
            "name": "supervisor",
        })
    );
}

#[test]
fn c047_output_is_one_line_and_nothing_else() {
    let server = Server::start([server::json(201, &success())]);
    let outcome = Machine::new().login(&server, &[]);
    assert_eq!(
        outcome.stdout,
        concat!(
            r#"{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1beta1","spec":{"interactive":false},"#,
            r#""status":{"expirationTimestamp":"2026-11-18T11:11:40Z","#,
            r#""clientCertificateData":"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n","#,
            r#""clientKeyData":"-----BEGIN PRIVATE KEY-----\nBBBB\n-----END PRIVATE KEY-----\n"}}"#,
            "\n"
        )
    );
    assert_eq!(outcome.stderr, "");
}

#[test]
fn answer_has_the_version_that_kubectl_asked_for() {
    for asked in ["v1", "v1beta1"] {
        let server = Server::start([server::json(201, &success())]);
        let mut machine = Machine::new();
        let api_version = format!("client.authentication.k8s.io/{asked}");
        let info = json!({"kind": "ExecCredential", "apiVersion": api_version, "spec": {"interactive": true}});
        machine.set("KUBERNETES_EXEC_INFO", &info.to_string());
        assert_eq!(
            machine.login(&server, &[]).credential()["apiVersion"],
            api_version.as_str()
        );
    }
}

#[test]
fn token_of_the_variable_wins() {
    let server = Server::start([server::json(201, &success())]);
    let mut machine = Machine::new();
    machine.set("CI_TOKEN", "from-variable");
    machine
        .login(&server, &["--token-env=CI_TOKEN"])
        .credential();
    let body: Value = serde_json::from_slice(&server.received()[0].body).unwrap();
    assert_eq!(body["spec"]["token"], "from-variable");
}

#[test]
fn without_concierge_the_token_is_the_credential() {
    let machine = Machine::new();
    let credential = machine
        .run(&["login", "static", "--token=abc"])
        .credential();
    assert_eq!(credential["status"], json!({"token": "abc"}));
    assert!(!machine.cache_file().exists());
}

/// kube-apiserver and the webhook both set some headers.
#[test]
fn doubled_headers_do_no_harm() {
    let answer = server::with_headers(
        201,
        [
            ("audit-id", "a"),
            ("audit-id", "a"),
            ("cache-control", "no-cache, private"),
            ("cache-control", "no-cache, private"),
            ("content-type", "application/json"),
        ],
        success().to_string(),
    );
    let server = Server::start([answer]);
    Machine::new().login(&server, &[]).credential();
}

#[test]
fn restarting_server_is_asked_once_more() {
    let server = Server::start([
        server::json(
            503,
            &json!({"kind": "Status", "message": "service unavailable"}),
        ),
        server::json(201, &success()),
    ]);
    Machine::new().login(&server, &[]).credential();
    assert_eq!(server.received().len(), 2);
}

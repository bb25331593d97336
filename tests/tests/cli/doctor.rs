//! `haulout doctor` where the API server itself, or the way to it, is at fault. What needs a cluster is tested in one.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{CertificateParams, SanType, date_time_ymd};
use serde_json::{Value, json};

use crate::server::{self, Server, with_headers};
use crate::{Machine, NOW, TOKEN, success};

const LOGIN_PATH: &str = "/apis/login.concierge.pinniped.dev/v1alpha1/tokencredentialrequests";
/// Of the kubeconfig's user.
const ACCOUNT_TOKEN: &str = "another-secret";

/// `GET /version`, at [`crate::NOW`].
fn version() -> Response {
    let date = [("date", "Wed, 18 Nov 2026 11:06:40 GMT")];
    with_headers(
        401,
        date,
        r#"{"kind": "Status", "message": "Unauthorized"}"#,
    )
}

fn status(code: u16, message: &str) -> Response {
    server::json(
        code,
        &json!({"kind": "Status", "message": message, "code": code}),
    )
}

fn account() -> Response {
    let review = json!({
        "kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1", "metadata": {},
        "status": {"userInfo": {"username": "somebody"}},
    });
    server::json(201, &review)
}

/// Runs it with a kubeconfig for `server`, changed so.
fn examine(server: &Server, change: impl FnOnce(&mut Value)) -> (ExitCode, Value) {
    examine_with(server, TOKEN, change)
}

fn examine_with(
    server: &Server,
    token: &str,
    change: impl FnOnce(&mut Value),
) -> (ExitCode, Value) {
    let user = json!({"token": ACCOUNT_TOKEN});
    examine_as(&user, server, token, &["--token-env=T"], change)
}

fn examine_as(
    user: &Value,
    server: &Server,
    token: &str,
    flags: &[&str],
    change: impl FnOnce(&mut Value),
) -> (ExitCode, Value) {
    let mut machine = Machine::new();
    machine.set("T", token);
    let mut cluster = json!({
        "server": server.url(), "certificate-authority-data": server.ca_base64(),
    });
    change(&mut cluster);
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    });
    let path = machine.home.path().join("kubeconfig");
    std::fs::write(&path, config.to_string()).unwrap();
    let path = format!("--kubeconfig={}", path.display());
    let outcome = machine.run(&[&["doctor", "--output=json", &path], flags].concat());
    assert_eq!(outcome.stderr, "");
    for secret in [token, ACCOUNT_TOKEN] {
        assert!(!outcome.stdout.contains(secret), "{}", outcome.stdout);
    }
    (outcome.code, serde_json::from_str(&outcome.stdout).unwrap())
}

/// The one check that failed.
fn only_failed(diagnosis: &Value) -> &Value {
    let checks = diagnosis["checks"].as_array().unwrap();
    let mut failed = checks.iter().filter(|check| check["verdict"] == "failed");
    let check = failed.next().unwrap_or_else(|| panic!("{diagnosis:#}"));
    assert!(failed.next().is_none(), "{diagnosis:#}");
    check
}

fn contains(value: &Value, text: &str) {
    assert!(value.as_str().unwrap().contains(text), "{text}: {value}");
}

fn is_early(leaf: &mut CertificateParams) {
    leaf.not_before = date_time_ymd(4000, 1, 1);
    leaf.not_after = date_time_ymd(4001, 1, 1);
}

fn has_expired(leaf: &mut CertificateParams) {
    leaf.not_before = date_time_ymd(2000, 1, 1);
    leaf.not_after = date_time_ymd(2001, 1, 1);
}

fn is_for_a_name(leaf: &mut CertificateParams) {
    leaf.subject_alt_names = vec![SanType::DnsName("kubernetes.test".try_into().unwrap())];
}

#[test]
fn what_the_handshake_refuses_is_told_apart() {
    type Change = fn(&mut CertificateParams);
    let cases: [(Change, &str, &str); 3] = [
        (
            is_early,
            "is not valid yet (4000-01-01T00:00:00Z)",
            "by NTP, if it is not 2026-11-18T11:06:40Z in truth",
        ),
        (
            has_expired,
            "has expired (2001-01-01T00:00:00Z)",
            "else renew the API server's certificate",
        ),
        (is_for_a_name, "is not accepted", "certSANs"),
    ];
    for (change, evidence, remedy) in cases {
        let server = Server::start_certified::<Response>(change, []);
        let (code, diagnosis) = examine(&server, |_| {});
        assert_eq!(code, ExitCode::from(1));
        let check = only_failed(&diagnosis);
        assert_eq!(check["name"], "api-server");
        contains(&check["evidence"], evidence);
        contains(&check["remedy"], remedy);
        assert!(server.received().is_empty());
    }
    let old = Server::start_with::<Response>(&[&rustls::version::TLS12], []);
    let (_, diagnosis) = examine(&old, |_| {});
    contains(
        &only_failed(&diagnosis)["evidence"],
        "does not speak TLS 1.3",
    );

    let (server, other) = (Server::start::<Response>([]), Server::start::<Response>([]));
    let (_, diagnosis) = examine(&server, |cluster| {
        cluster["certificate-authority-data"] = json!(other.ca_base64());
    });
    contains(&only_failed(&diagnosis)["evidence"], "not of the given CA");
}

#[test]
fn an_account_that_is_not_accepted_ends_it() {
    let answers = [
        version(),
        status(422, "token must be supplied"),
        status(401, "Unauthorized"),
    ];
    let server = Server::start(answers);
    let (code, diagnosis) = examine(&server, |_| {});
    assert_eq!(code, ExitCode::from(1));
    assert_eq!(only_failed(&diagnosis)["name"], "account");
    assert_eq!(diagnosis["server"], server.url());
    assert_eq!(diagnosis["checks"][1]["verdict"], "ok", "clock");

    let received = server.received();
    let [version, login, review] = received.as_slice() else {
        panic!("{}", received.len());
    };
    assert_eq!(version.uri, "/version");
    assert_eq!(login.uri, LOGIN_PATH);
    let body: Value = serde_json::from_slice(&login.body).unwrap();
    assert_eq!(body["spec"]["token"], "");
    for anonymous in [version, login] {
        assert!(!anonymous.headers.contains_key("authorization"));
    }
    assert_eq!(
        review.uri.path(),
        "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    );
    let authorization = &review.headers["authorization"];
    assert_eq!(authorization, format!("Bearer {ACCOUNT_TOKEN}").as_str());
}

/// Everything that is asked for after the account is forbidden.
fn forbidden(first: [Response; 3]) -> Server {
    let rest = std::iter::repeat_with(|| status(403, "no")).take(20);
    Server::start(first.into_iter().chain(rest))
}

#[test]
fn a_token_goes_nowhere_while_no_door_is_open() {
    let server = forbidden([version(), status(401, "Unauthorized"), account()]);
    let (code, diagnosis) = examine(&server, |_| {});
    // Whether there is another door is for others to see.
    assert_eq!(code, ExitCode::SUCCESS, "{diagnosis:#}");
    let received = server.received();
    assert!(received.len() > 10);
    for request in received.iter() {
        let body = String::from_utf8_lossy(&request.body);
        assert!(!body.contains(TOKEN), "{}", request.uri);
    }
}

/// A token that nobody has signed, for the audience `here`.
fn token() -> String {
    token_until(NOW + 60)
}

fn token_until(expires: u64) -> String {
    let claims = json!({"iss": "https://i", "aud": "here", "exp": expires}).to_string();
    format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
}

/// An API server without an open login path, which tells of another door.
fn closed(direct: &Server) -> Server {
    let endpoint =
        json!({"endpoint": direct.url(), "certificateAuthorityData": direct.ca_base64()});
    let strategy = |type_: &str, reason: &str, frontend: Value| {
        json!({
            "type": type_, "status": "Success", "reason": reason, "message": "m",
            "lastUpdateTime": "2026-11-18T11:06:40Z", "frontend": frontend,
        })
    };
    let strategies = [
        strategy(
            "KubeClusterSigningCertificate",
            "FetchedKey",
            json!({"type": "TokenCredentialRequestAPI"}),
        ),
        strategy(
            "DirectEndpoint",
            "Listening",
            json!({"type": "DirectEndpoint", "directEndpointInfo": endpoint}),
        ),
    ];
    let list = |kind: &str, object: Value| json!({"kind": format!("{kind}List"), "apiVersion": "g/v1alpha1", "metadata": {}, "items": [object]});
    let issuers = list(
        "CredentialIssuer",
        json!({
            "metadata": {"name": "haulout"}, "status": {"strategies": strategies},
        }),
    );
    let authenticator = |name: &str, audience: &str| {
        json!({
            "metadata": {"name": name}, "spec": {"issuer": "https://i", "audience": audience},
            "status": {"phase": "Ready"},
        })
    };
    let mut authenticators = list("JWTAuthenticator", authenticator("company", "here"));
    let items = authenticators["items"].as_array_mut().unwrap();
    items.push(authenticator("other", "there"));
    Server::start_by(move |request| match request.uri.path().rsplit('/').next() {
        Some("version") => version(),
        Some("tokencredentialrequests") => status(401, "Unauthorized"),
        Some("selfsubjectreviews") => account(),
        Some("credentialissuers") => server::json(200, &issuers),
        Some("jwtauthenticators") => server::json(200, &authenticators),
        _ => status(403, "no"),
    })
}

#[test]
fn a_token_goes_to_the_direct_endpoint_where_that_is_the_open_door() {
    let direct = Server::start([
        status(422, "token must be supplied"),
        server::json(201, &success()),
    ]);
    let server = closed(&direct);
    let token = token();
    let (code, diagnosis) = examine_with(&server, &token, |_| {});
    assert_eq!(code, ExitCode::SUCCESS, "{diagnosis:#}");
    let verdict = |name: &str| {
        let mut checks = diagnosis["checks"].as_array().unwrap().iter();
        let check = checks.find(|check| check["name"] == name).unwrap();
        check["verdict"].as_str().unwrap()
    };
    for name in ["login-path", "direct-endpoint", "token"] {
        assert_eq!(verdict(name), "ok", "{diagnosis:#}");
    }

    let received = direct.received();
    let [empty, login] = received.as_slice() else {
        panic!("{}", received.len());
    };
    for request in [empty, login] {
        assert_eq!(request.uri, LOGIN_PATH);
        assert!(!request.headers.contains_key("authorization"));
    }
    let body: Value = serde_json::from_slice(&login.body).unwrap();
    assert_eq!(body["spec"]["token"], token);
    assert_eq!(body["spec"]["authenticator"]["name"], "company");
    for request in server.received().iter() {
        let body = String::from_utf8_lossy(&request.body);
        assert!(!body.contains(&token), "{}", request.uri);
    }
}

#[test]
fn nothing_goes_where_an_unverified_server_points() {
    let direct = Server::start([
        status(422, "token must be supplied"),
        server::json(201, &success()),
    ]);
    let server = closed(&direct);
    let (_, diagnosis) = examine_with(&server, &token(), |cluster| {
        cluster["insecure-skip-tls-verify"] = json!(true);
        let cluster = cluster.as_object_mut().unwrap();
        cluster.remove("certificate-authority-data");
    });
    assert!(server.received().len() > 10, "{diagnosis:#}");
    assert!(direct.received().is_empty(), "{diagnosis:#}");
}

/// A program of this name that fails.
fn failing(folder: &Path, name: &str) -> PathBuf {
    let program = folder.join(name);
    std::os::unix::fs::symlink("/bin/false", &program).unwrap();
    program
}

/// `login static` by `door` of the program `command`.
fn stanza(door: &Server, command: &Path) -> Value {
    json!({
        "apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never", "command": command,
        "args": [
            "login", "static", "--token-env=T", "--enable-concierge",
            "--concierge-authenticator-type=webhook", "--concierge-authenticator-name=mine",
            format!("--concierge-endpoint={}", door.url()),
            format!("--concierge-ca-bundle-data={}", door.ca_base64()),
        ],
    })
}

#[test]
fn a_token_of_the_kubeconfig_goes_where_its_user_logs_in_and_nowhere_else() {
    let door = Server::start([
        status(422, "token must be supplied"),
        server::json(201, &success()),
    ]);
    // An ordinary user reads nothing, and is let in all the same.
    let closed = || forbidden([version(), status(401, "Unauthorized"), account()]);
    let server = closed();
    let folder = tempfile::tempdir().unwrap();
    let user = |program: &str| {
        let exec = stanza(&door, &failing(folder.path(), program));
        json!({"token": ACCOUNT_TOKEN, "exec": exec})
    };
    let (_, diagnosis) = examine_as(&user("another"), &closed(), &token(), &[], |_| {});
    assert!(door.received().is_empty(), "{diagnosis:#}");

    let (code, diagnosis) = examine_as(&user("haulout"), &server, &token(), &[], |_| {});
    assert_eq!(code, ExitCode::SUCCESS, "{diagnosis:#}");
    let received = door.received();
    let [_, login] = received.as_slice() else {
        panic!("{}: {diagnosis:#}", received.len());
    };
    let body: Value = serde_json::from_slice(&login.body).unwrap();
    assert_eq!(body["spec"]["token"], token());
    let authenticator = &body["spec"]["authenticator"];
    assert_eq!(authenticator["kind"], "WebhookAuthenticator");
    assert_eq!(authenticator["name"], "mine");
    for request in server.received().iter() {
        let body = String::from_utf8_lossy(&request.body);
        assert!(!body.contains(&token()), "{}", request.uri);
    }
}

#[test]
fn a_token_that_has_expired_is_all_that_is_found_at_the_direct_endpoint() {
    let door = Server::start([
        status(422, "token must be supplied"),
        server::json(
            201,
            &json!({"kind": "TokenCredentialRequest", "status": {"message": "no"}}),
        ),
    ]);
    let server = Server::start([version(), status(401, "Unauthorized")]);
    let folder = tempfile::tempdir().unwrap();
    let program = failing(folder.path(), "haulout");
    let user = json!({"exec": stanza(&door, &program)});
    let (code, diagnosis) = examine_as(&user, &server, &token_until(NOW - 60), &[], |_| {});
    assert_eq!(code, ExitCode::from(1));
    assert_eq!(only_failed(&diagnosis)["name"], "token", "{diagnosis:#}");
}

#[test]
fn what_kubeconfigs_say_of_the_server_counts() {
    let open = || forbidden([version(), status(422, "token must be supplied"), account()]);
    let (code, diagnosis) = examine(&open(), |cluster| {
        cluster["insecure-skip-tls-verify"] = json!(true);
        cluster
            .as_object_mut()
            .unwrap()
            .remove("certificate-authority-data");
    });
    assert_eq!(code, ExitCode::SUCCESS, "{diagnosis:#}");
    assert_eq!(diagnosis["checks"][0]["verdict"], "warning");
    contains(
        &diagnosis["checks"][0]["remedy"],
        "insecure-skip-tls-verify",
    );

    let answers = [
        version(),
        status(422, "token must be supplied"),
        status(401, ""),
    ];
    let server = Server::start_certified(is_for_a_name, answers);
    let (_, diagnosis) = examine(&server, |cluster| {
        cluster["tls-server-name"] = json!("kubernetes.test");
    });
    assert_eq!(diagnosis["checks"][0]["verdict"], "ok", "{diagnosis:#}");

    let (_, diagnosis) = examine(&open(), |cluster| {
        let http = cluster["server"].as_str().unwrap().replace("https", "http");
        cluster["server"] = json!(http);
    });
    assert_eq!(only_failed(&diagnosis)["name"], "api-server");
}

#[test]
fn what_cannot_be_examined_exits_with_2() {
    let mut machine = Machine::new();
    machine.set("EMPTY", "");
    let missing = "--kubeconfig=/nowhere";
    for (flags, expected) in [
        (
            &["doctor", missing][..],
            "failed to use the kubeconfig /nowhere",
        ),
        (
            &["doctor", missing, "--api-group-suffix=nodot"],
            "invalid --api-group-suffix",
        ),
        (
            &["doctor", missing, "--token-env=NOT_SET"],
            "variable \"NOT_SET\" is not set",
        ),
        (
            &["doctor", missing, "--token-env=EMPTY"],
            "variable \"EMPTY\" is empty",
        ),
        (&["doctor", "-o", "yaml"], "invalid value"),
    ] {
        let outcome = machine.run(flags);
        assert!(outcome.error(2).contains(expected), "{}", outcome.stderr);
    }
}

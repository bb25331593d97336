//! `haulout whoami` against a stand-in API server; against a real one it runs in the tests of the cluster.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use axum::response::Response;
use serde_json::{Value, json};

use crate::server::{self, Server, with_headers};
use crate::{Machine, Outcome};

/// Of the kubeconfig's user.
const ACCOUNT_TOKEN: &str = "another-secret";
const PATH: &str = "/apis/identity.concierge.pinniped.dev/v1alpha1/whoamirequests";

fn answer(groups: &[&str]) -> Response {
    answer_of("pinniped.dev", groups)
}

fn answer_of(suffix: &str, groups: &[&str]) -> Response {
    let mut user = json!({"username": "alice", "uid": "7", "extra": {"example.com/a": ["b"]}});
    if !groups.is_empty() {
        user["groups"] = json!(groups);
    }
    let object = json!({
        "kind": "WhoAmIRequest",
        "apiVersion": format!("identity.concierge.{suffix}/v1alpha1"),
        "metadata": {"creationTimestamp": null},
        "spec": {},
        "status": {"kubernetesUserInfo": {"user": user}},
    });
    server::json(201, &object)
}

/// Runs it with a kubeconfig whose current context is `c`, of the cluster `a` at `server`; `other` is one of `b`, at the same.
fn ask(server: &Server, flags: &[&str]) -> Outcome {
    let machine = Machine::new();
    let path = write_kubeconfig(&machine, server);
    let path = format!("--kubeconfig={}", path.display());
    let outcome = machine.run(&[&["whoami", &path], flags].concat());
    for text in [&outcome.stdout, &outcome.stderr] {
        assert!(!text.contains(ACCOUNT_TOKEN), "{text}");
    }
    outcome
}

fn write_kubeconfig(machine: &Machine, server: &Server) -> PathBuf {
    let cluster =
        |server: String, ca: String| json!({"server": server, "certificate-authority-data": ca});
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [
            {"name": "a", "cluster": cluster(server.url(), server.ca_base64())},
            {"name": "b", "cluster": cluster(format!("{}/b/", server.url()), server.ca_base64())},
        ],
        "users": [{"name": "u", "user": {"token": ACCOUNT_TOKEN}}],
        "contexts": [
            {"name": "c", "context": {"cluster": "a", "user": "u"}},
            {"name": "other", "context": {"cluster": "b", "user": "u"}},
        ],
    });
    let path = machine.home.path().join("kubeconfig");
    std::fs::write(&path, config.to_string()).unwrap();
    path
}

/// What it printed, which it must have done without a word besides.
fn printed(outcome: Outcome) -> String {
    assert_eq!(outcome.stderr, "");
    assert_eq!(outcome.code, ExitCode::SUCCESS);
    outcome.stdout
}

#[test]
fn c122_text_names_the_cluster_the_user_and_his_groups() {
    for (groups, shown) in [
        (&[][..], "Groups: \n"),
        (&["ops"], "Groups: ops\n"),
        (&["ops", "devs", "all"], "Groups: ops, devs, all\n"),
    ] {
        let server = Server::start([answer(groups)]);
        let expected = format!(
            "Current cluster info:\n\nName: a\nURL: {}\n\nCurrent user info:\n\nUsername: alice\n{shown}",
            server.url()
        );
        assert_eq!(printed(ask(&server, &[])), expected);
        let received = server.received();
        let [request] = received.as_slice() else {
            panic!("{} requests", received.len());
        };
        assert_eq!(
            (request.method.as_str(), request.uri.path()),
            ("POST", PATH)
        );
        let authorization = request.headers["authorization"].to_str().unwrap();
        assert_eq!(authorization, format!("Bearer {ACCOUNT_TOKEN}"));
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(body["kind"], "WhoAmIRequest");
        assert_eq!(
            body["apiVersion"],
            "identity.concierge.pinniped.dev/v1alpha1"
        );
    }
}

#[test]
fn c122_json_and_yaml_hold_the_whole_answer() {
    let server = Server::start([answer(&["ops"]), answer(&["ops"])]);
    let json = r#"{
  "kind": "WhoAmIRequest",
  "apiVersion": "identity.concierge.pinniped.dev/v1alpha1",
  "metadata": {},
  "spec": {},
  "status": {
    "kubernetesUserInfo": {
      "user": {
        "username": "alice",
        "uid": "7",
        "groups": [
          "ops"
        ],
        "extra": {
          "example.com/a": [
            "b"
          ]
        }
      }
    }
  }
}"#;
    assert_eq!(printed(ask(&server, &["-o", "json"])), json);
    let yaml = "apiVersion: identity.concierge.pinniped.dev/v1alpha1
kind: WhoAmIRequest
metadata: {}
spec: {}
status:
  kubernetesUserInfo:
    user:
      extra:
        example.com/a:
        - b
      groups:
      - ops
      uid: '7'
      username: alice
";
    let printed = printed(ask(&server, &["--output=yaml"]));
    let parse = |text: &str| -> Value { serde_saphyr::from_str(text).unwrap() };
    assert_eq!(parse(&printed), parse(yaml), "{printed}");
    let keys = printed.lines().filter(|line| !line.starts_with(' '));
    let keys: Vec<&str> = keys.filter_map(|line| line.split(':').next()).collect();
    assert_eq!(keys, ["apiVersion", "kind", "metadata", "spec", "status"]);
}

#[test]
fn c122_custom_suffix_is_in_the_path_and_in_the_answer() {
    let server = Server::start([answer_of("example.com", &[])]);
    let flags = ["--api-group-suffix=example.com", "--output=json"];
    let printed: Value = serde_json::from_str(&printed(ask(&server, &flags))).unwrap();
    let group = "identity.concierge.example.com/v1alpha1";
    assert_eq!(printed["apiVersion"], group);
    let path = format!("/apis/{group}/whoamirequests");
    assert_eq!(server.received()[0].uri.path(), path);
    let wrong = ask(&server, &["--api-group-suffix=nodots"]);
    assert!(
        wrong
            .error(2)
            .contains("invalid API group suffix: \"nodots\" has no dot")
    );
}

#[test]
fn c122_another_context_is_asked_and_named() {
    let server = Server::start([answer(&[]), answer(&[])]);
    for flag in ["--kubeconfig-context=other", "--context=other"] {
        let printed = printed(ask(&server, &[flag]));
        let expected = format!("Name: b\nURL: {}/b\n", server.url());
        assert!(printed.contains(&expected), "{printed}");
    }
    assert_eq!(server.received()[0].uri.path(), format!("/b{PATH}"));
    let unknown = ask(&server, &["--kubeconfig-context=nowhere"]);
    let text = unknown.error(1);
    assert!(
        text.contains("nowhere") && text.contains("name another by"),
        "{text}"
    );
}

#[test]
fn c122_refusals_say_what_to_do() {
    let status = |code: u16, message: &str| {
        let object =
            json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message});
        server::json(code, &object)
    };
    for (answer, expected) in [
        (
            status(404, "the server could not find the requested resource"),
            "could not complete WhoAmIRequest (is the Pinniped WhoAmI API running and healthy?): \
             identity.concierge.pinniped.dev/v1alpha1 is not installed",
        ),
        (
            with_headers(404, [], "404 page not found"),
            "could not complete WhoAmIRequest (is the Pinniped WhoAmI API running and healthy?): ",
        ),
        (
            status(401, "Unauthorized"),
            "could not complete WhoAmIRequest: 401 Unauthorized: the API server does not accept the credential",
        ),
        (
            status(403, "alice may not\u{1b}[2J"),
            r"could not complete WhoAmIRequest: 403 Forbidden: alice may not\u{1b}[2J",
        ),
        (
            with_headers(502, [], "<html>"),
            "could not complete WhoAmIRequest: 502 Bad Gateway\n",
        ),
        (
            server::json(201, &json!({"kind": "Other"})),
            "could not complete WhoAmIRequest: the answer is no WhoAmIRequest; is https://",
        ),
    ] {
        let server = Server::start([answer]);
        let outcome = ask(&server, &[]);
        assert!(outcome.error(1).contains(expected), "{}", outcome.stderr);
        assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
    }
}

#[test]
fn c122_bad_output_format_is_told_with_those_that_there_are() {
    let outcome = Machine::new().run(&["whoami", "--output=xml"]);
    let text = outcome.error(2);
    for part in ["'xml'", "text", "json", "yaml"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn waiting_ends_when_the_flag_says_so() {
    // It answers when nobody waits any more.
    let (nobody_waits, until_then) = std::sync::mpsc::channel::<()>();
    let until_then = std::sync::Mutex::new(until_then);
    let server = Server::start_by(move |_| {
        let _nobody_waits = until_then
            .lock()
            .unwrap()
            .recv_timeout(Duration::from_secs(60));
        answer(&[])
    });
    let outcome = ask(&server, &["--timeout=200ms"]);
    drop(nobody_waits);
    let text = outcome.error(1);
    assert!(
        text.contains("did not answer within 0.2 s; give it more by --timeout"),
        "{text}"
    );
    // 0 is no limit, as in Pinniped's CLI.
    let server = Server::start([answer(&[])]);
    printed(ask(&server, &["--timeout=0"]));
}

#[test]
fn c102_warnings_of_the_api_server_are_shown() {
    let mut warned = answer(&[]);
    let warning = r#"299 - "this API is old", nonsense"#.parse().unwrap();
    warned.headers_mut().insert("warning", warning);
    let outcome = ask(&Server::start([warned]), &[]);
    assert_eq!(outcome.stderr, "Warning: this API is old\n");
    assert!(outcome.stdout.starts_with("Current cluster info:"));
}

/// As kubectl, of `KUBECONFIG` it passes over what is not there.
#[test]
fn a_list_of_kubeconfigs_may_have_missing_files() {
    let server = Server::start([answer(&[])]);
    let mut machine = Machine::new();
    let path = write_kubeconfig(&machine, &server);
    let list = std::env::join_paths([Path::new("/nowhere"), &path]).unwrap();
    machine.set("KUBECONFIG", list.to_str().unwrap());
    let text = printed(machine.run(&["whoami"]));
    assert!(text.contains("Name: a\n"), "{text}");
    drop(server);

    // Those that stop at a server that is gone have found the kubeconfig.
    let commands: [&[&str]; 5] = [
        &["whoami"],
        &["doctor"],
        &["agent-values"],
        &["migrate"],
        &["kubeconfig", "--from=configmap/a/b"],
    ];
    for command in commands {
        let outcome = machine.run(command);
        assert_eq!(outcome.code, ExitCode::FAILURE, "{command:?}");
        assert!(
            !outcome.stderr.contains("failed to use the kubeconfig"),
            "{command:?}: {}",
            outcome.stderr
        );
    }
    machine.set("KUBECONFIG", "/nowhere");
    for command in commands {
        let error = machine.run(command).stderr;
        assert!(
            error.starts_with("Error: failed to use the kubeconfig; "),
            "{command:?}: {error}"
        );
    }
}

/// A name may be whatever an issuer lets its users choose.
#[test]
fn names_steer_no_terminal_and_stay_the_same() {
    let name = "alice\u{9b}2J\u{202e}\u{7f}";
    for flag in ["--output=json", "--output=yaml"] {
        let server = Server::start([answer(&[name])]);
        let text = printed(ask(&server, &[flag]));
        assert!(text.contains(r"alice\u009b2J\u202e\u007f"), "{text}");
        assert!(text.is_ascii(), "{text}");
        let object: Value = serde_saphyr::from_str(&text).unwrap();
        let groups = &object["status"]["kubernetesUserInfo"]["user"]["groups"];
        assert_eq!(groups, &json!([name]), "{flag}");
    }
}

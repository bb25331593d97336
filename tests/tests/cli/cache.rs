//! The credential cache as seen from outside.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::server::{self, Server};
use crate::{Machine, NOW, answer, success};

fn two_answers() -> Server {
    Server::start([server::json(201, &success()), server::json(201, &success())])
}

#[test]
fn second_call_needs_no_network() {
    let server = two_answers();
    let machine = Machine::new();
    let first = machine.login(&server, &[]);
    let second = machine.login(&server, &[]);
    assert_eq!(second.stdout, first.stdout);
    assert_eq!(second.stderr, "");
    assert_eq!(server.received().len(), 1);
}

#[test]
fn cache_is_private() {
    let server = two_answers();
    let machine = Machine::new();
    machine.login(&server, &[]).credential();
    let mode =
        |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&machine.cache_file()), 0o600);
    assert_eq!(mode(machine.cache_file().parent().unwrap()), 0o700);
    let names: std::collections::BTreeSet<_> =
        std::fs::read_dir(machine.cache_file().parent().unwrap())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
    assert_eq!(
        names,
        [
            "credentials.yaml".to_owned(),
            "credentials.yaml.lock".to_owned()
        ]
        .into()
    );
}

/// A cached certificate must never serve another user, cluster or configuration.
#[test]
fn anything_that_changes_the_credential_is_another_entry() {
    let info = |server: &str| {
        let info = json!({
            "kind": "ExecCredential",
            "apiVersion": "client.authentication.k8s.io/v1beta1",
            "spec": {"interactive": false, "cluster": {"server": server}},
        });
        info.to_string()
    };
    let changes: [(&str, &[&str], Option<String>); 3] = [
        ("token", &["--token=other"], None),
        (
            "authenticator",
            &["--concierge-authenticator-name=other"],
            None,
        ),
        ("cluster", &[], Some(info("https://other"))),
    ];
    for (what, flags, exec_info) in changes {
        let server = two_answers();
        let mut machine = Machine::new();
        machine.set("KUBERNETES_EXEC_INFO", &info("https://one"));
        machine.login(&server, &[]).credential();
        if let Some(exec_info) = exec_info {
            machine.set("KUBERNETES_EXEC_INFO", &exec_info);
        }
        machine.login(&server, flags).credential();
        assert_eq!(server.received().len(), 2, "{what}");
    }
}

#[test]
fn token_variable_with_another_value_is_another_entry() {
    let server = two_answers();
    let mut machine = Machine::new();
    machine
        .set("T", "one")
        .login(&server, &["--token-env=T"])
        .credential();
    machine
        .set("T", "two")
        .login(&server, &["--token-env=T"])
        .credential();
    assert_eq!(server.received().len(), 2);
}

#[test]
fn expiring_credential_is_renewed() {
    let server = two_answers();
    let mut machine = Machine::new();
    machine.login(&server, &[]).credential();
    machine.now = NOW + 269;
    machine.login(&server, &[]).credential();
    assert_eq!(server.received().len(), 1);
    machine.now = NOW + 271;
    machine.login(&server, &[]).credential();
    assert_eq!(server.received().len(), 2);
}

#[test]
fn empty_flag_switches_the_cache_off() {
    let server = two_answers();
    let machine = Machine::new();
    for _ in 0..2 {
        machine
            .login(&server, &["--credential-cache="])
            .credential();
    }
    assert_eq!(server.received().len(), 2);
    assert!(!machine.home.path().join(".config").exists());
}

#[test]
fn flag_names_the_file() {
    let server = two_answers();
    let machine = Machine::new();
    let file = machine.home.path().join("elsewhere/c.yaml");
    let flag = format!("--credential-cache={}", file.display());
    for _ in 0..2 {
        machine.login(&server, &[&flag]).credential();
    }
    assert_eq!(server.received().len(), 1);
    assert!(file.exists());
    assert!(!machine.cache_file().exists());
}

#[test]
fn failed_login_is_not_cached() {
    let refused = answer(&json!({"message": "authentication failed"}));
    let server = Server::start([server::json(201, &refused), server::json(201, &success())]);
    let machine = Machine::new();
    machine.login(&server, &[]).error(1);
    assert!(!machine.cache_file().exists());
    machine.login(&server, &[]).credential();
}

#[test]
fn c119_cache_that_cannot_be_used_does_not_stop_a_login() {
    let server = two_answers();
    let mut machine = Machine::new();
    std::fs::write(machine.home.path().join(".config"), "a file, not a folder").unwrap();
    let quiet = machine.login(&server, &[]);
    quiet.credential();
    assert_eq!(quiet.stderr, "");
    machine.set("PINNIPED_DEBUG", "true");
    let debugged = machine.login(&server, &[]);
    debugged.credential();
    assert!(
        debugged
            .stderr
            .contains("Debug: failed to create the folder"),
        "{}",
        debugged.stderr
    );
}

#[test]
fn machine_without_a_home_works() {
    let server = two_answers();
    let mut machine = Machine::new();
    machine.variables.clear();
    machine.login(&server, &[]).credential();
    assert_eq!(server.received().len(), 1);
}

/// The endpoint is in the key through the arguments; a second server must be asked.
#[test]
fn other_endpoint_is_another_entry() {
    let (one, two) = (two_answers(), two_answers());
    let machine = Machine::new();
    machine.login(&one, &[]).credential();
    machine.login(&two, &[]).credential();
    assert_eq!((one.received().len(), two.received().len()), (1, 1));
}

/// By the computer's own clock, which is all that the cache and kubectl have.
#[test]
fn a_clock_that_is_behind_makes_no_certificate_last_longer() {
    let mut machine = Machine::new();
    machine.now = NOW - 900;
    let server = two_answers();
    let outcome = machine.login(&server, &[]);
    let status = &outcome.credential()["status"];
    // 15 minutes before the certificate's own end.
    assert_eq!(status["expirationTimestamp"], "2026-11-18T10:56:40Z");
    let warning = "Warning: this computer's clock is 900 s behind the cluster's; set it right\n";
    assert_eq!(outcome.stderr, warning);
    machine.now += 280;
    machine.login(&server, &[]).credential();
    assert_eq!(server.received().len(), 2, "its real end is near");
}

/// Reading it would last for ever.
#[test]
fn a_pipe_or_a_device_in_place_of_a_cache_is_warned_of_once() {
    let server = two_answers();
    let machine = Machine::new();
    let pipe = machine.home.path().join("pipe.yaml");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let device = machine.home.path().join("zero.yaml");
    std::os::unix::fs::symlink("/dev/zero", &device).unwrap();
    for path in [pipe, device] {
        let path = path.display();
        let outcome = machine.login(&server, &[&format!("--credential-cache={path}")]);
        outcome.credential();
        let expected = format!(
            "Warning: {path} is no regular file, so it cannot be the credential cache; name a file, or none to keep nothing\n"
        );
        assert_eq!(outcome.stderr, expected);
    }
}

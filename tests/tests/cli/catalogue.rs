//! `haulout kubeconfig`: from a catalogue to a kubeconfig.

use std::os::unix::fs::MetadataExt as _;
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::server::{Server, with_headers};
use crate::{Machine, Outcome};

const CATALOGUE: &str = "
clusters:
- name: production
  server: https://k1.example.com:6443
  namespace: shop
  arguments: [login, oidc, --issuer=https://login.example.com, --client-id=kubernetes]
- name: ci
  server: https://k2.example.com:6443
  proxyUrl: http://proxy.example.com:3128
  arguments: [login, static, --token-env=TOKEN]
";

fn run(flags: &[&str], stdin: &str) -> Outcome {
    let flags = [&["kubeconfig", "--command=haulout"], flags].concat();
    Machine::new().run_with_input(&flags, stdin)
}

fn kubeconfig(outcome: &Outcome) -> Value {
    assert_eq!(outcome.code, ExitCode::SUCCESS, "{}", outcome.stderr);
    serde_saphyr::from_str(&outcome.stdout).unwrap()
}

fn names(outcome: &Outcome) -> Vec<String> {
    names_of(&kubeconfig(outcome), "contexts")
}

fn names_of(kubeconfig: &Value, kind: &str) -> Vec<String> {
    let entries = kubeconfig[kind].as_array().unwrap().iter();
    entries
        .map(|entry| entry["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn every_cluster_becomes_a_context_and_the_first_is_the_current_one() {
    let outcome = run(&["--from=-"], CATALOGUE);
    let made = kubeconfig(&outcome);
    assert_eq!(made["current-context"], "production");
    assert_eq!(names(&outcome), ["production", "ci"]);
    assert_eq!(
        made["contexts"][0]["context"],
        json!({"cluster": "haulout:production", "user": "haulout:production", "namespace": "shop"})
    );
    for kind in ["clusters", "users"] {
        let of_others = names_of(&made, kind);
        assert_eq!(of_others, ["haulout:production", "haulout:ci"]);
    }
    assert_eq!(
        made["clusters"][1]["cluster"],
        json!({"server": "https://k2.example.com:6443", "proxy-url": "http://proxy.example.com:3128"})
    );
    let exec = &made["users"][0]["user"]["exec"];
    assert_eq!(exec["command"], "haulout");
    assert_eq!(exec["interactiveMode"], "IfAvailable");
    assert_eq!(
        exec["args"],
        json!([
            "login",
            "oidc",
            "--issuer=https://login.example.com",
            "--client-id=kubernetes"
        ])
    );
    assert_eq!(made["users"][1]["user"]["exec"]["interactiveMode"], "Never");
    assert_eq!(
        outcome.stderr,
        "production: logs in at https://login.example.com, for https://k1.example.com:6443\n\
         ci: sends $TOKEN to https://k2.example.com:6443\n"
    );
}

#[test]
fn whoever_asks_is_told_what_was_read() {
    let told = run(&["--from=-", "-v"], CATALOGUE).stderr;
    let expected = format!("Debug: read the catalogue -: {} bytes\n", CATALOGUE.len());
    assert!(told.starts_with(&expected), "{told}");
}

#[test]
fn those_that_are_named_come_alone() {
    let outcome = run(&["--from=-", "--cluster=ci"], CATALOGUE);
    assert_eq!(names(&outcome), ["ci"]);
    assert_eq!(kubeconfig(&outcome)["current-context"], "ci");
    let outcome = run(&["--from=-", "--cluster=co"], CATALOGUE);
    let error = outcome.error(2);
    assert!(error.contains("it has production, ci"), "{error}");
}

#[test]
fn a_file_is_its_owners_and_stays_where_nothing_can_be_made() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("kubeconfig");
    let flag = format!("--output={}", output.display());
    let outcome = run(&["--from=-", &flag], CATALOGUE);
    assert_eq!(outcome.code, ExitCode::SUCCESS, "{}", outcome.stderr);
    assert_eq!(outcome.stdout, "");
    assert_eq!(output.metadata().unwrap().mode() & 0o777, 0o600);
    let made = std::fs::read_to_string(&output).unwrap();
    let broken = CATALOGUE.replace("--client-id", "--client-di");
    let outcome = run(&["--from=-", &flag], &broken);
    let error = outcome.error(1);
    assert!(error.contains("clusters[0].arguments"), "{error}");
    assert!(error.contains("--client-di"), "{error}");
    assert_eq!(std::fs::read_to_string(&output).unwrap(), made);
    let missing = folder.path().join("missing.yaml");
    let from = format!("--from={}", missing.display());
    let outcome = run(&[&from], "");
    assert!(
        outcome.error(1).contains("missing.yaml"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn a_catalogue_is_got_from_a_server_that_is_trusted_and_from_nowhere_else() {
    let redirect = [("location", "https://elsewhere.example.com/clusters.yaml")];
    let server = Server::start([
        with_headers(200, [], CATALOGUE),
        with_headers(302, redirect, ""),
        with_headers(404, [], "nothing here"),
        with_headers(200, [], "<html>log in first</html>"),
    ]);
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, server.ca_pem()).unwrap();
    let from = format!("--from={}/clusters.yaml", server.url());
    let trust = format!("--ca-bundle={}", ca.display());
    assert_eq!(names(&run(&[&from, &trust], "")), ["production", "ci"]);
    for expected in ["answers 302", "answers 404", "cannot be used"] {
        let outcome = run(&[&from, &trust], "");
        assert!(outcome.error(1).contains(expected), "{}", outcome.stderr);
    }
    let outcome = run(&[&from], "");
    let error = outcome.error(1);
    assert!(
        error.contains("; name the CA of its server's certificate by --ca-bundle"),
        "{error}"
    );
    assert_eq!(
        server.received().len(),
        4,
        "nobody asks a server that is not trusted"
    );
}

/// As a signature that lets whoever has it read the catalogue.
#[test]
fn what_may_be_secret_in_a_url_is_not_shown() {
    let server = Server::start([
        with_headers(200, [], CATALOGUE),
        with_headers(200, [], "<html>log in first</html>"),
        with_headers(200, [], vec![0xff]),
        with_headers(403, [], "signed for another"),
    ]);
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, server.ca_pem()).unwrap();
    let trust = format!("--ca-bundle={}", ca.display());
    let place = format!("{}/clusters.yaml", server.url());
    let from = format!("--from={place}?sig=very-secret#very-secret");
    let flags = [
        &[from.as_str(), &trust][..],
        &[from.as_str(), &trust],
        &[from.as_str(), &trust],
        &[from.as_str(), &trust],
        &["--from=https://127.0.0.1:1/c?sig=very-secret"],
    ];
    for flags in flags {
        let told = run(&[flags, &["-v"]].concat(), "").stderr;
        assert!(!told.contains("very-secret"), "{told}");
        let is_told = told.contains(&place) || told.contains("https://127.0.0.1:1/c");
        assert!(is_told, "{told}");
    }
    let asked = server.received();
    assert!(
        asked
            .iter()
            .all(|request| request.uri.query() == Some("sig=very-secret"))
    );
    assert_eq!(asked.len(), 4);
}

#[test]
fn what_is_no_catalogues_place_is_refused_at_once() {
    for (from, expected) in [
        ("http://intranet.example.com/c", "must be \"https\""),
        ("configmap/clusters", "configmap/NAMESPACE/NAME"),
        ("", "is empty"),
    ] {
        let from = format!("--from={from}");
        let outcome = run(&[&from], "");
        assert!(outcome.error(2).contains(expected), "{}", outcome.stderr);
    }
}

#[test]
fn what_cannot_be_got_says_what_to_do() {
    for (flags, code, expected) in [
        (
            &["--from=https://127.0.0.1:1/c"][..],
            1,
            "failed to get the catalogue: Get \"https://127.0.0.1:1/c\": Connection refused (os error 111); check --from and your \
             network",
        ),
        (
            &["--from=secret/a/b"],
            1,
            "there is no file secret/a/b; --from takes an https URL, configmap/NAMESPACE/NAME, a file, or - for stdin\n",
        ),
        (
            &["--from=-", "--ca-bundle=/nowhere"],
            2,
            "--ca-bundle is for the server of a URL, and --from names none; leave it out\n",
        ),
    ] {
        let outcome = run(flags, "");
        let error = outcome.error(code);
        assert!(error.contains(expected), "{error}");
    }
}

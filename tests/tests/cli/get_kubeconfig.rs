//! `haulout get kubeconfig` where no cluster has to be asked, against a stand-in for a Pinniped Supervisor. What a cluster says is
//! tested in one.

mod cluster;
mod issuer;
mod validation;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use haulout_operate::clock::Clock;
use haulout_tests::supervisor::{Behaviour, Supervisor};
use serde_json::{Value, json};

use super::{Machine, NOW, Outcome};

const SERVER: &str = "https://k.example.com:6443";
/// What the administrator has, and nobody else is to get.
const SECRET: &str = "very-secret";
const SECRET_TOO: &str = "dmVyeS1zZWNyZXQ=";

/// An administrator's machine.
struct Admin {
    machine: Machine,
}

impl Admin {
    fn new(cluster: &Value) -> Self {
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "ctx",
            "clusters": [
                {"name": "other", "cluster": {"server": "https://other.example.com"}},
                {"name": "cl", "cluster": cluster},
            ],
            "users": [{"name": "me", "user": {"token": SECRET, "password": SECRET_TOO}}],
            "contexts": [
                {"name": "ctx", "context": {"cluster": "cl", "user": "me", "namespace": "team"}},
                {"name": "other", "context": {"cluster": "other", "user": "me"}},
            ],
        });
        let mut machine = Machine::new();
        let path = machine.home.path().join("kubeconfig");
        std::fs::write(&path, config.to_string()).unwrap();
        machine.set("KUBECONFIG", path.to_str().unwrap());
        Self { machine }
    }

    /// Of a cluster that nobody calls.
    fn of_usual_cluster() -> Self {
        Self::new(&json!({"server": SERVER, "certificate-authority-data": cluster_ca()}))
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.machine.home.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn run(&self, flags: &[&str]) -> Outcome {
        self.machine.run(&[&["get", "kubeconfig"], flags].concat())
    }
}

/// The CA of the usual cluster.
fn cluster_ca() -> String {
    let pem = "-----BEGIN CERTIFICATE-----\nY2x1c3Rlcg==\n-----END CERTIFICATE-----\n";
    BASE64_STANDARD.encode(pem)
}

/// The kubeconfig that was made; nothing secret of the administrator's is in it, or was said.
fn made(outcome: &Outcome) -> Value {
    assert_eq!(outcome.code, ExitCode::SUCCESS, "{}", outcome.stderr);
    for text in [&outcome.stdout, &outcome.stderr] {
        assert!(
            !text.contains(SECRET) && !text.contains(SECRET_TOO),
            "{text}"
        );
    }
    serde_saphyr::from_str(&outcome.stdout).unwrap()
}

fn arguments(outcome: &Outcome) -> Vec<String> {
    let kubeconfig = made(outcome);
    let arguments = kubeconfig.pointer("/users/0/user/exec/args").unwrap();
    serde_json::from_value(arguments.clone()).unwrap()
}

/// A golden file, with what differs from run to run put in.
fn golden(text: &str, values: &[(&str, &str)]) -> String {
    let put =
        |text: String, (name, value): &(&str, &str)| text.replace(&format!("{{{name}}}"), value);
    values.iter().fold(text.to_owned(), put)
}

#[test]
fn c048_the_whole_kubeconfig_without_concierge() {
    let admin = Admin::of_usual_cluster();
    let flags = [
        "--no-concierge",
        "--skip-validation",
        "--pinniped-cli-path=haulout",
    ];
    for (login, argument, more) in [
        ("--static-token-env=MY_TOKEN", "--token-env=MY_TOKEN", ""),
        (
            "--static-token=the-token",
            "--token=the-token",
            "Warning: the token will stand in the kubeconfig, and in the process lists of its users' machines; prefer \
             --static-token-env\n",
        ),
    ] {
        let outcome = admin.run(&[&flags[..], &[login]].concat());
        made(&outcome);
        let values = [("CA", &*cluster_ca()), ("ARGUMENT", argument)];
        let expected = golden(include_str!("get_kubeconfig/static.yaml"), &values);
        assert_eq!(outcome.stdout, expected);
        assert_eq!(outcome.stderr, more);
    }
}

#[test]
fn c113_one_static_token_at_most() {
    let both = ["--static-token=very-secret", "--static-token-env=T"];
    let outcome = Admin::of_usual_cluster().run(&both);
    let expected = "Error: only one of --static-token and --static-token-env can be specified\n";
    assert_eq!(outcome.error(2), expected);
}

#[test]
fn c114_what_is_given_reaches_the_output() {
    let admin = Admin::of_usual_cluster();
    let flags = [
        "--no-concierge",
        "--skip-validation",
        "--static-token-env=T",
        "--kubeconfig-context=other",
    ];
    let outcome = admin.run(&flags);
    let kubeconfig = made(&outcome);
    assert_eq!(kubeconfig["current-context"], "other-pinniped");
    let exec = kubeconfig.pointer("/users/0/user/exec").unwrap();
    let own = std::env::current_exe().unwrap();
    assert_eq!(exec["command"], own.to_str().unwrap());
    assert!(
        exec["installHint"]
            .as_str()
            .unwrap()
            .contains("haulout is not installed")
    );

    let more = [
        "--install-hint=ask us",
        "--pinniped-cli-path=/opt/haulout",
        "--generated-name-suffix=-sso",
        "--credential-cache=",
    ];
    let outcome = admin.run(&[&flags[..], &more].concat());
    let kubeconfig = made(&outcome);
    let names = [
        "/current-context",
        "/contexts/0/name",
        "/clusters/0/name",
        "/users/0/name",
        "/contexts/0/context/cluster",
        "/contexts/0/context/user",
    ]
    .map(|path| kubeconfig.pointer(path).unwrap().as_str().unwrap());
    let expected = [
        "other-sso",
        "other-sso",
        "other-sso",
        "me-sso",
        "other-sso",
        "me-sso",
    ];
    assert_eq!(names, expected);
    let exec = kubeconfig.pointer("/users/0/user/exec").unwrap();
    assert_eq!(exec["installHint"], "ask us");
    assert_eq!(exec["command"], "/opt/haulout");
    assert_eq!(
        exec["args"],
        json!(["login", "static", "--credential-cache=", "--token-env=T"])
    );
}

#[test]
fn c115_what_cannot_be_loaded_is_named() {
    let admin = Admin::of_usual_cluster();
    let no_pem = admin.file("no.pem", "hunter2");
    let no_pem = format!("--oidc-ca-bundle={}", no_pem.display());
    for (flag, code, expected) in [
        (
            "--kubeconfig=/does/not/exist",
            1,
            "Error: could not load --kubeconfig: there is no file /does/not/exist",
        ),
        (
            "--context=x",
            1,
            "Error: could not load --kubeconfig/--kubeconfig-context: no such context \"x\"",
        ),
        (
            "--concierge-ca-bundle=/does/not/exist",
            2,
            "Error: could not read --concierge-ca-bundle: /does/not/exist: No such file",
        ),
        (
            "--oidc-ca-bundle=/does/not/exist",
            2,
            "Error: could not read --oidc-ca-bundle: /does/not/exist: No such file",
        ),
        (
            &no_pem,
            2,
            "no.pem is no file of CA certificates: it holds no PEM",
        ),
        (
            "--concierge-api-group-suffix=nodot",
            2,
            "Error: invalid API group suffix: \"nodot\" has no dot",
        ),
        (
            "--output=/does/not/exist/file",
            1,
            "Error: could not write --output /does/not/exist/file: there is no folder /does/not/exist; make it",
        ),
    ] {
        let outcome = admin.run(&["--no-concierge", "--static-token-env=T", flag]);
        assert!(
            outcome.error(code).contains(expected),
            "{flag}: {}",
            outcome.stderr
        );
    }
    let outcome = Admin::new(&json!({"server": SERVER, "insecure-skip-tls-verify": true})).run(&[]);
    let expected = "cluster \"cl\" has insecure-skip-tls-verify";
    assert!(outcome.error(1).contains(expected), "{}", outcome.stderr);
}

#[test]
fn wrong_flags_are_found_before_anybody_is_asked() {
    let admin = Admin::new(&json!({"server": "https://127.0.0.1:1"}));
    for (flag, expected) in [
        (
            "--upstream-identity-provider-flow=by_mail",
            "Error: --upstream-identity-provider-flow=\"by_mail\" is no flow that `haulout login oidc` knows",
        ),
        (
            "--concierge-authenticator-type=oidc",
            "Error: invalid authenticator type \"oidc\"",
        ),
    ] {
        let outcome = admin.run(&[flag]);
        assert!(outcome.error(2).starts_with(expected), "{}", outcome.stderr);
    }
}

#[test]
fn the_cluster_out_of_reach_is_told_by_the_client_itself() {
    // Nobody listens there.
    let admin = Admin::new(&json!({"server": "https://127.0.0.1:1"}));
    let outcome = admin.run(&["--static-token-env=T"]);
    let error = outcome.error(1);
    let expected = "Error: could not list CredentialIssuers: failed to read CredentialIssuer from https://127.0.0.1:1: nothing listens there; check";
    assert!(error.starts_with(expected), "{error}");
    assert!(!error.contains(SECRET), "{error}");
}

#[test]
fn passwords_in_urls_are_left_out_and_it_is_said() {
    let proxy = format!("http://who:{SECRET}@proxy.example.com:3128");
    let cluster =
        json!({"server": SERVER, "certificate-authority-data": cluster_ca(), "proxy-url": proxy});
    let flags = [
        "--no-concierge",
        "--skip-validation",
        "--static-token-env=T",
    ];
    let outcome = Admin::new(&cluster).run(&flags);
    let kubeconfig = made(&outcome);
    let proxy = kubeconfig.pointer("/clusters/0/cluster/proxy-url").unwrap();
    assert_eq!(proxy, "http://proxy.example.com:3128");
    let warning = "Warning: the user and password in proxy-url of the kubeconfig are left out\n";
    assert_eq!(outcome.stderr, warning);
}

//! What commands that read a cluster say where no API server answers.

use std::convert::Infallible;
use std::io::Read as _;
use std::net::TcpListener;
use std::process::{Command, Stdio};

use axum::body::{Body, Bytes};
use axum::response::Response;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use crate::Machine;
use crate::plain::called;
use crate::server::{self, Server, with_headers};

const SECRET: &str = "another-secret";

/// Each command that reads a cluster, and what its message begins with.
const COMMANDS: [(&[&str], &str); 5] = [
    (
        &["whoami"],
        "could not complete WhoAmIRequest: failed to read who you are from ",
    ),
    (
        &["agent-values"],
        "failed to read the pods of kube-controller-manager from ",
    ),
    (&["migrate"], "failed to read the version from "),
    (
        &["get", "kubeconfig", "--static-token-env=T"],
        "could not list CredentialIssuers: failed to read CredentialIssuer from ",
    ),
    (
        &["kubeconfig", "--from=configmap/a/b"],
        "failed to read the catalogue's ConfigMap from ",
    ),
];

/// A machine whose kubeconfig has this cluster.
fn machine(cluster: &serde_json::Value) -> Machine {
    let mut machine = Machine::new();
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "a", "cluster": cluster}],
        "users": [{"name": "u", "user": {"token": SECRET}}],
        "contexts": [{"name": "c", "context": {"cluster": "a", "user": "u"}}],
    });
    let path = machine.home.path().join("kubeconfig");
    std::fs::write(&path, config.to_string()).unwrap();
    machine.set("KUBECONFIG", path.to_str().unwrap());
    machine
}

/// That of a server, by this CA.
fn cluster(url: &str, ca_pem: &str) -> serde_json::Value {
    json!({"server": url, "certificate-authority-data": BASE64_STANDARD.encode(ca_pem)})
}

/// What a command said in its one line.
fn told(machine: &Machine, command: &[&str]) -> String {
    let outcome = machine.run(command);
    let text = outcome.error(1);
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(!text.contains(SECRET), "{text}");
    text.to_owned()
}

#[test]
fn each_command_says_where_it_asked_why_it_failed_and_what_to_do() {
    let other = Server::start::<Response>([]);
    for (command, beginning) in COMMANDS {
        let page = || with_headers(200, [], "<html>log in</html>");
        let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "Unauthorized", "code": 401});
        let tls = Server::start_by(move |_| server::json(401, &status));
        let html = Server::start_by(move |_| page());
        let plain = plain_http();
        for (url, ca, expected) in [
            (
                "https://127.0.0.1:1",
                tls.ca_pem(),
                "nothing listens there; check the server of the kubeconfig and your network\n",
            ),
            (
                &tls.url(),
                other.ca_pem(),
                "its certificate is not to be trusted (",
            ),
            (
                &plain,
                tls.ca_pem(),
                "it does not speak TLS, or ends the connection before it answers; check",
            ),
            (
                &tls.url(),
                tls.ca_pem(),
                "401 Unauthorized: the API server does not accept the credential of the kubeconfig's user; log in again",
            ),
            (
                &html.url(),
                html.ca_pem(),
                "something else than an API server answers; check the server of the kubeconfig\n",
            ),
        ] {
            let text = told(&machine(&cluster(url, ca)), command);
            // What whoami has of its own for an answer that came.
            if command == ["whoami"] && (expected.starts_with("401") || url == html.url()) {
                assert!(
                    text.contains("401 Unauthorized") || text.contains(url),
                    "{text}"
                );
                continue;
            }
            let whole = format!("Error: {beginning}{url}: {expected}");
            assert!(text.starts_with(&whole), "{text}\n{whole}");
        }
    }
}

/// It would be tried again for half a minute, and then called no answer.
#[test]
fn a_server_in_trouble_is_asked_once() {
    for (command, _) in COMMANDS {
        let down = Server::start_by(|_| with_headers(503, [], "down"));
        let text = told(&machine(&cluster(&down.url(), down.ca_pem())), command);
        assert!(text.contains("503"), "{text}");
        assert_eq!(down.received().len(), 1, "{command:?}");
    }
}

/// As kubectl does without TLS.
#[test]
fn no_credential_is_sent_in_the_clear() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let mut asked = String::new();
        let mut stream = called(&listener);
        while !asked.contains("\r\n\r\n") {
            let mut bytes = [0; 1024];
            let read = stream.read(&mut bytes).unwrap();
            assert_ne!(read, 0, "it ended: {asked}");
            asked.push_str(&String::from_utf8_lossy(&bytes[..read]));
        }
        asked
    });
    let outcome = machine(&json!({"server": url})).run(&["whoami"]);
    outcome.error(1);
    let asked = server.join().unwrap();
    assert!(asked.starts_with("POST /apis/identity."), "{asked}");
    assert!(!asked.contains(SECRET), "{asked}");
}

/// Each command that makes a client of the cluster.
fn all_commands() -> impl Iterator<Item = &'static [&'static str]> {
    let more: [&[&str]; 3] = [
        &["doctor"],
        &["agent-values", "--context=c"],
        &["get", "kubeconfig", "--static-token-env=T", "--timeout=1s"],
    ];
    let commands = COMMANDS.into_iter().map(|(command, _)| command);
    commands.chain(more)
}

/// What calls the cluster without the user's credentials, to see whether it answers.
const VALIDATION: &[&str] = &[
    "get",
    "kubeconfig",
    "--static-token-env=T",
    "--no-concierge",
    "--timeout=0",
];

/// What a command said that cannot do its work, as a process, whose own variables name proxies; it neither panics nor tells a secret.
fn refusal(machine: &Machine, command: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_haulout-test-cli"))
        .args(command)
        .env_clear()
        .envs(&machine.variables)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let [stdout, text] =
        [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    let told = |line: &str| line.starts_with("Error: ") || line.starts_with("Warning: ");
    assert!(text.lines().all(told), "{command:?}: {text}{stdout}");
    assert!(!text.contains(SECRET), "{command:?}: {text}");
    assert_eq!(stdout, "", "{command:?}");
    text
}

/// The client of the Kubernetes API repeats them.
#[test]
fn a_proxy_that_cannot_be_used_is_told_without_its_password() {
    for url in [
        "socks5://admin:another-secret@p:1",
        "ftp://admin:another-secret@p",
        "admin:another-secret@p:1",
    ] {
        let server = "https://192.0.2.1:1";
        let of_cluster = machine(&json!({"server": server, "proxy-url": url}));
        let mut of_variable = machine(&json!({ "server": server }));
        of_variable.set("HTTPS_PROXY", url);
        for (machine, is_variable) in [(of_cluster, false), (of_variable, true)] {
            for command in all_commands().chain([VALIDATION]) {
                let text = refusal(&machine, command);
                // What is no URL is told where the kubeconfig is looked into.
                let is_field =
                    text.contains("proxy-url of cluster \"a\" is no URL") && !is_variable;
                let proxy = "the proxy of the kubeconfig, or of HTTPS_PROXY, cannot be used";
                assert!(text.contains(proxy) || is_field, "{command:?}: {text}");
            }
        }
    }
}

/// The client of the Kubernetes API panics at them.
#[test]
fn a_token_that_no_header_can_have_is_told_without_it() {
    let token = format!("{SECRET}\n");
    let printed = json!({"kind": "ExecCredential", "status": {"token": token}});
    let exec = json!({
        "apiVersion": "client.authentication.k8s.io/v1", "command": "/bin/echo", "args": [printed.to_string()],
        "interactiveMode": "Never",
    });
    for (user, is_plugin) in [
        (json!({"token": token}), false),
        (
            json!({"auth-provider": {"name": "oidc", "config": {"id-token": token}}}),
            false,
        ),
        (json!({ "exec": exec }), true),
    ] {
        let server = Server::start_by(|_| with_headers(401, [], "{}"));
        let machine = machine(&cluster(&server.url(), server.ca_pem()));
        change(&machine, |config| config["users"][0]["user"] = user);
        for command in all_commands() {
            let expected = "its token has a character that no header can have";
            if command == ["doctor"] && is_plugin {
                let outcome = machine.run(command);
                assert!(outcome.stdout.contains(expected), "{}", outcome.stdout);
                continue;
            }
            let text = refusal(&machine, command);
            assert!(text.contains(expected), "{command:?}: {text}");
        }
    }
}

/// One that asks the user something would ask again for each part of a connection.
#[test]
fn a_plugin_is_run_once() {
    for (command, _) in COMMANDS {
        let server = Server::start_by(|_| with_headers(401, [], "{}"));
        let machine = machine(&cluster(&server.url(), server.ca_pem()));
        let runs = machine.home.path().join("runs");
        let line = format!(
            r#"echo run >> {}; echo '{{"status": {{"token": "{SECRET}"}}}}'"#,
            runs.display()
        );
        let exec = json!({
            "apiVersion": "client.authentication.k8s.io/v1", "command": "/bin/sh", "args": ["-c", line],
            "interactiveMode": "IfAvailable",
        });
        change(&machine, |config| {
            config["users"][0]["user"] = json!({ "exec": exec })
        });
        told(&machine, command);
        assert_eq!(std::fs::read_to_string(runs).unwrap(), "run\n");
        let asked = server.received();
        let sent = asked[0].headers.get("authorization").unwrap();
        assert_eq!(sent, &format!("Bearer {SECRET}"));
    }
}

/// Changes the kubeconfig of a machine.
fn change(machine: &Machine, change: impl FnOnce(&mut serde_json::Value)) {
    let path = machine.home.path().join("kubeconfig");
    let config = std::fs::read_to_string(&path).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&config).unwrap();
    change(&mut config);
    std::fs::write(&path, config.to_string()).unwrap();
}

/// A page of a proxy for an error, which the client takes for the message of a refusal.
#[test]
fn a_page_in_place_of_an_error_is_not_repeated() {
    let html = Server::start_by(|_| with_headers(403, [], "<html>\n<b>log in</b></html>"));
    let text = told(
        &machine(&cluster(&html.url(), html.ca_pem())),
        &["agent-values"],
    );
    let expected = "403: something else than an API server answers";
    assert!(text.contains(expected), "{text}");
}

#[test]
fn passwords_in_urls_are_not_shown_and_the_proxy_is_named() {
    let server = json!({
        "server": format!("https://admin:{SECRET}@k.example.com:6443"),
        "proxy-url": format!("http://who:{SECRET}@127.0.0.1:1"),
    });
    let text = told(&machine(&server), &["agent-values"]);
    let expected = "from https://k.example.com:6443 by way of the proxy http://127.0.0.1:1: ";
    assert!(text.contains(expected), "{text}");
}

#[test]
fn a_silent_cluster_is_waited_for_no_longer_than_the_flag_says() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", silent.local_addr().unwrap());
    for command in [
        &[
            "get",
            "kubeconfig",
            "--static-token-env=T",
            "--timeout=300ms",
        ][..],
        &["whoami", "--timeout=300ms"],
    ] {
        let text = told(&machine(&json!({"server": url})), command);
        let expected = "the API server did not answer within 0.3 s; ";
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn what_is_wrong_with_a_kubeconfig_is_told_alike_by_each_command() {
    type Spoil = fn(&mut serde_json::Value);
    let cases: [(Spoil, &str); 6] = [
        (
            |config| config["users"][0]["name"] = json!("v"),
            "no such user \"u\"\n",
        ),
        (
            |config| config["clusters"][0]["name"] = json!("b"),
            "no such cluster \"a\"\n",
        ),
        (
            |config| config["current-context"] = json!("d"),
            "no such context \"d\"; there is c\n",
        ),
        (
            |config| config["current-context"] = json!(""),
            "the kubeconfig has no current-context; choose one by --context, of c\n",
        ),
        (
            |config| {
                config["users"][0]["user"] =
                    json!({"client-certificate": "/nowhere/crt", "client-key": "/nowhere/key"});
            },
            "failed to read a file that the kubeconfig names, /nowhere/",
        ),
        (
            |config| {
                config["clusters"][0]["cluster"]["certificate-authority"] = json!("/nowhere/ca");
            },
            "/nowhere/ca: No such file or directory (os error 2)\n",
        ),
    ];
    for (spoil, expected) in cases {
        let machine = machine(&json!({"server": "https://127.0.0.1:1"}));
        change(&machine, spoil);
        for (command, _) in COMMANDS {
            let text = told(&machine, command);
            assert!(text.contains(expected), "{command:?}: {text}");
            assert_eq!(
                text.matches("No such file").count(),
                usize::from(text.contains("/nowhere"))
            );
        }
    }
}

/// The URL of a server that answers as one without TLS does.
fn plain_http() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _hello = stream.read(&mut [0; 4096]).unwrap();
            stream
                .write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
                .unwrap();
        }
    });
    url
}

#[test]
fn a_server_whose_answers_have_no_end_is_left() {
    let body = Body::from_stream(futures_util::stream::repeat(Ok::<_, Infallible>(
        Bytes::from(vec![b' '; 1 << 20]),
    )));
    let long = Server::start([Response::new(body)]);
    let text = told(
        &machine(&cluster(&long.url(), long.ca_pem())),
        &["agent-values"],
    );
    let expected = "its answer is longer than 64 MiB; check the server of the kubeconfig";
    assert!(text.contains(expected), "{text}");

    let more = json!({"kind": "PodList", "apiVersion": "v1", "metadata": {"continue": "more"}, "items": []});
    let many = Server::start_by(move |_| server::json(200, &more));
    let text = told(
        &machine(&cluster(&many.url(), many.ca_pem())),
        &["agent-values"],
    );
    let expected = "there are more than 100000, or its answers have no end";
    assert!(text.contains(expected), "{text}");
    assert_eq!(many.received().len(), 200);
}

#[test]
fn a_plugin_that_is_not_there_is_named_with_where_to_get_it() {
    let machine = machine(&json!({"server": "https://127.0.0.1:1"}));
    let exec = json!({
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "no-such-plugin",
        "interactiveMode": "Never",
        "installHint": "get it at https://intranet.example.com\n",
    });
    change(&machine, |config| {
        config["users"][0]["user"] = json!({ "exec": exec })
    });
    for (command, _) in COMMANDS {
        let text = told(&machine, command);
        let expected = "its plugin no-such-plugin cannot be started: No such file or directory (os error 2); \
                        get it at https://intranet.example.com\n";
        assert!(text.ends_with(expected), "{text}");
    }
}

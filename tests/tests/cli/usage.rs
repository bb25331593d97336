//! Being called wrongly, and asking for help.

use std::process::ExitCode;

use serde_json::json;

use crate::server::{self, Server};
use crate::{Machine, TOKEN, answer};

#[test]
fn c116_wrong_calls_exit_with_2() {
    let token = format!("--token={TOKEN}");
    let cases: [(&[&str], &str); 8] = [
        (&[], "Usage: haulout"),
        (&["login"], "Usage: haulout login"),
        (&["nope"], "Error: unexpected argument without a flag"),
        (
            &["login", "static"],
            "Error: one of --token or --token-env must be set\n",
        ),
        (
            &["login", "static", &token, "--enable-concierge"],
            "Error: invalid Concierge parameters: authenticator name must not be empty\n",
        ),
        (
            &[
                "login",
                "static",
                &token,
                "--enable-concierge",
                "--concierge-authenticator-name=n",
            ],
            "Error: invalid Concierge parameters: endpoint must not be empty\n",
        ),
        (
            &[
                "login",
                "static",
                &token,
                "--enable-concierge",
                "--concierge-authenticator-name=n",
                "--concierge-endpoint=https://k",
                "--concierge-authenticator-type=jwt",
                "--concierge-ca-bundle-data=%",
            ],
            "Error: invalid Concierge parameters: invalid CA bundle data: it is not base64",
        ),
        (
            &["login", "static", "--nope"],
            "unexpected argument '--nope'",
        ),
    ];
    for (flags, expected) in cases {
        let outcome = Machine::new().run(flags);
        assert!(outcome.error(2).contains(expected), "{}", outcome.stderr);
    }
}

/// Whichever command is to trust a CA, a wrong one is the caller's fault.
#[test]
fn c116_a_wrong_ca_is_a_wrong_call_of_every_command() {
    let oidc = ["login", "oidc", "--issuer=https://127.0.0.1:1"];
    let get = ["get", "kubeconfig", "--no-concierge"];
    let list = ["kubeconfig", "--from=https://127.0.0.1:1/c"];
    let no_ca = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let commands: [(&[&str], &[&str], bool); 4] = [
        (&oidc, &["--ca-bundle"], true),
        (&["logout"], &["--ca-bundle"], true),
        (&get, &["--concierge-ca-bundle", "--oidc-ca-bundle"], false),
        (&list, &["--ca-bundle"], false),
    ];
    for (command, flags, takes_data) in commands {
        let files = flags.iter().flat_map(|flag| {
            [
                (
                    format!("{flag}=/nowhere"),
                    format!("{flag}: /nowhere: No such file"),
                ),
                (
                    format!("{flag}={no_ca}"),
                    format!("{flag}: {no_ca} is no file of CA certificates: it holds no PEM"),
                ),
            ]
        });
        let data = [("?", "it is not base64"), ("Zm9v", "it holds no PEM")];
        let data = data
            .into_iter()
            .filter(|_| takes_data)
            .map(|(data, fault)| {
                let flag = "--ca-bundle-data";
                (format!("{flag}={data}"), format!("{flag}: {fault}"))
            });
        for (flag, expected) in files.chain(data) {
            let outcome = Machine::new().run(&[command, &[flag.as_str()]].concat());
            let expected = format!("Error: could not read {expected}");
            assert!(
                outcome.error(2).starts_with(&expected),
                "{command:?}: {}",
                outcome.stderr
            );
        }
    }
}

#[test]
fn c118_tokens_that_are_missing_empty_or_refused_fail_apart() {
    let mut machine = Machine::new();
    assert_eq!(
        machine.run(&["login", "static"]).error(2),
        "Error: one of --token or --token-env must be set\n"
    );
    let flags = ["login", "static", "--token-env=T"];
    assert_eq!(
        machine.run(&flags).error(1),
        "Error: --token-env variable \"T\" is not set; set it, or leave out --token-env\n"
    );
    machine.set("T", "");
    assert_eq!(
        machine.run(&flags).error(1),
        "Error: --token-env variable \"T\" is empty; set it, or leave out --token-env\n"
    );
    machine.set("T", "value");
    assert_eq!(machine.run(&flags).credential()["status"]["token"], "value");
    let refused = answer(&json!({"message": "authentication failed"}));
    let server = Server::start([server::json(201, &refused)]);
    assert_eq!(
        machine.login(&server, &[]).error(1),
        "Error: could not complete Concierge credential exchange: login failed: authentication failed\n"
    );
}

/// Forgetting a flag's name must not put a token into a CI system's log.
#[test]
fn stray_token_is_not_repeated() {
    for stray in [
        &["login", "static", TOKEN][..],
        &["login", "static", "--token=x", TOKEN],
        &["login", TOKEN],
        &[TOKEN],
    ] {
        assert_eq!(
            Machine::new().run(stray).error(2),
            "Error: unexpected argument without a flag; see haulout --help\n"
        );
    }
    let misspelt = format!("--tokn={TOKEN}");
    Machine::new().run(&["login", "static", &misspelt]).error(2);
    let wrong_flag = format!("--token-env={TOKEN}");
    assert_eq!(
        Machine::new()
            .run(&["login", "static", &wrong_flag])
            .error(1),
        "Error: --token-env variable (what was given is no name of a variable) is not set; set it, or leave out --token-env\n"
    );
}

#[test]
fn the_word_that_was_meant_is_suggested() {
    for (flags, expected) in [
        (
            &["whoiam"][..],
            "did you mean whoami? or see haulout --help\n",
        ),
        (
            &["get", "kubeconfg"],
            "did you mean kubeconfig? or see haulout --help\n",
        ),
        (
            &["login", "oidc", "--isuer=https://i"],
            "a similar argument exists: '--issuer'",
        ),
    ] {
        let outcome = Machine::new().run(flags);
        let error = outcome.error(2);
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn help_shows_a_first_login_in_at_most_five_lines() {
    for flag in ["-h", "--help", "help"] {
        let help = Machine::new().run(&[flag]).stdout;
        let (_, login) = help.split_once("\nFirst login").unwrap();
        let commands: Vec<&str> = login.lines().skip(1).collect();
        assert!((1..=5).contains(&commands.len()), "{login}");
        for command in commands {
            let words = ["  haulout ", "  kubectl "];
            assert!(
                words.iter().any(|word| command.starts_with(word)),
                "{login}"
            );
        }
    }
}

#[test]
fn help_goes_to_stdout() {
    let help = Machine::new().run(&["login", "static", "--help"]);
    assert_eq!(help.code, ExitCode::SUCCESS);
    assert_eq!(help.stderr, "");
    for flag in ["--token-env", "--enable-concierge", "--credential-cache"] {
        assert!(help.stdout.contains(flag), "{flag}");
    }
    assert!(!help.stdout.contains("--concierge-namespace"), "deprecated");
}

/// What the page of the command says of exit codes.
#[test]
fn what_is_missing_around_a_right_call_exits_with_1() {
    for (flags, expected) in [
        (
            &["login", "static", "--token-env=NOT_SET"][..],
            "--token-env variable",
        ),
        (&["whoami", "--kubeconfig=/nowhere"], "the kubeconfig"),
        (&["agent-values", "--kubeconfig=/nowhere"], "the kubeconfig"),
        (
            &["get", "kubeconfig", "--kubeconfig=/nowhere"],
            "could not load --kubeconfig",
        ),
        (&["kubeconfig", "--from=/nowhere"], "there is no file"),
        (&["talos", "patch", "/nowhere"], "failed to read /nowhere"),
    ] {
        let outcome = Machine::new().run(flags);
        assert!(outcome.error(1).contains(expected), "{}", outcome.stderr);
    }
}

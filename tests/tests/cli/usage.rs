//! Being called wrongly, and asking for help.

use std::collections::{BTreeMap, BTreeSet};
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

/// The page of the command has a section for each, and in its tables of flags their names as they are typed.
#[test]
fn the_page_has_each_flag_of_each_command_and_no_other() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/cli.md");
    let page = std::fs::read_to_string(page).unwrap();
    let mut sections: BTreeMap<_, _> = page
        .split("\n## ")
        .filter_map(|section| section.split_once('\n'))
        .filter_map(|(title, text)| {
            Some((title.strip_prefix("`haulout ")?.strip_suffix('`')?, text))
        })
        .collect();
    let program = haulout::command();
    let mut commands: Vec<_> = program
        .get_subcommands()
        .map(|one| (vec![one.get_name()], one))
        .collect();
    let mut faults = Vec::new();
    while let Some((words, command)) = commands.pop() {
        if command.has_subcommands() {
            let more = command.get_subcommands();
            commands.extend(more.map(|one| ([&words[..], &[one.get_name()]].concat(), one)));
            continue;
        }
        let name = words.join(" ");
        let section = sections.remove(name.as_str());
        let documented = documented_flags(section.unwrap_or_else(|| panic!("no section {name}")));
        let visible = command.get_arguments().filter(|flag| !flag.is_hide_set());
        let visible: BTreeSet<_> = visible.flat_map(names_of).collect();
        let all: BTreeSet<_> = command.get_arguments().flat_map(names_of).collect();
        let differ = (&documented - &all)
            .into_iter()
            .chain(&visible - &documented);
        faults.extend(differ.map(|flag| format!("{name} {flag}")));
    }
    assert!(sections.is_empty(), "{:?}", sections.keys());
    assert!(
        faults.is_empty(),
        "only one of page and program has {faults:#?}"
    );
}

fn documented_flags(section: &str) -> BTreeSet<String> {
    let mut flags = BTreeSet::new();
    let mut is_of_flags = false;
    for line in section.lines() {
        let first = line
            .strip_prefix("| ")
            .and_then(|line| line.split(" | ").next());
        match first {
            None => is_of_flags &= line.starts_with('|'),
            Some("flag") => is_of_flags = true,
            Some(cell) if is_of_flags => {
                let quoted = cell.split('`').skip(1).step_by(2);
                let names = quoted.filter_map(|text| text.split(' ').next());
                flags.extend(
                    names
                        .filter(|name| name.starts_with('-'))
                        .map(str::to_owned),
                );
            }
            Some(_) => {}
        }
    }
    flags
}

fn names_of(flag: &clap::Arg) -> Vec<String> {
    let aliases = flag.get_visible_aliases().unwrap_or_default();
    let long = flag.get_long().into_iter().chain(aliases);
    let long = long.map(|name| format!("--{name}"));
    long.chain(flag.get_short().map(|name| format!("-{name}")))
        .collect()
}

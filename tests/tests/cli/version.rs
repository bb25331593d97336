//! `haulout version` and `haulout completion`: what people and shells ask once.

use std::process::{Command, ExitCode};

use serde_json::Value;

use crate::Machine;

/// What it printed without a word besides.
fn printed(flags: &[&str]) -> String {
    let outcome = Machine::new().run(flags);
    assert_eq!(outcome.stderr, "");
    assert_eq!(outcome.code, ExitCode::SUCCESS);
    outcome.stdout
}

#[test]
fn c123_version_is_one_line_for_people() {
    let line = concat!("haulout ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(printed(&["version"]), line);
    assert_eq!(printed(&["--version"]), line);
}

#[test]
fn c123_version_has_the_fields_of_kubernetes_for_programs() {
    let json = printed(&["version", "-o", "json"]);
    let yaml = printed(&["version", "--output=yaml"]);
    let version: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(serde_saphyr::from_str::<Value>(&yaml).unwrap(), version);
    let fields = [
        "major",
        "minor",
        "gitVersion",
        "gitCommit",
        "gitTreeState",
        "buildDate",
        "goVersion",
        "compiler",
        "platform",
    ];
    let quoted = |field: &str| json.find(&format!("\n  \"{field}\": \"")).unwrap();
    let places: Vec<usize> = fields.iter().map(|field| quoted(field)).collect();
    assert!(places.is_sorted(), "{json}");
    assert_eq!(version.as_object().unwrap().len(), fields.len());
    assert_eq!(
        version["gitVersion"],
        concat!("v", env!("CARGO_PKG_VERSION"))
    );
    assert!(
        version["compiler"]
            .as_str()
            .unwrap()
            .starts_with("rustc 1.")
    );
}

#[test]
fn c123_bad_format_is_told_with_those_that_there_are() {
    for flags in [&["--output=foo"][..], &["-o", "foo"], &["-ofoo"]] {
        let outcome = Machine::new().run(&[&["version"], flags].concat());
        let expected = "error: invalid value 'foo' for '--output <FORMAT>'\n  [possible values: json, yaml]\n\n\
                        For more information, try '--help'.\n";
        assert_eq!(outcome.error(2), expected);
    }
    // What that leads to.
    let help = printed(&["version", "--help"]);
    for part in [
        "\nUsage: haulout version [OPTIONS]\n",
        "-o, --output <FORMAT>\n",
        "- json: ",
        "- yaml: ",
    ] {
        assert!(help.contains(part), "{help}");
    }
}

#[test]
fn completion_is_there_for_each_shell() {
    for (shell, part) in [
        ("bash", "complete -F _haulout"),
        ("zsh", "#compdef haulout"),
        ("fish", "complete -c haulout"),
        ("powershell", "Register-ArgumentCompleter"),
    ] {
        let script = printed(&["completion", shell]);
        for part in [part, "whoami", "token-env"] {
            assert!(script.contains(part), "{shell}: {part}");
        }
    }
    let outcome = Machine::new().run(&["completion", "tcsh"]);
    assert!(outcome.error(2).contains("bash"), "{}", outcome.stderr);
}

#[test]
fn completion_works_in_bash() {
    let script = printed(&["completion", "bash"]);
    let complete = |words: &str| {
        let ask = format!(
            "{script}\nCOMP_WORDS=({words})\nCOMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))\n\
             _haulout haulout \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"\necho \"${{COMPREPLY[@]}}\""
        );
        let bash = Command::new("bash").args(["-c", &ask]).output().unwrap();
        assert!(
            bash.status.success(),
            "{}",
            String::from_utf8_lossy(&bash.stderr)
        );
        String::from_utf8(bash.stdout).unwrap()
    };
    assert_eq!(complete("haulout who"), "whoami\n");
    assert_eq!(complete("haulout login st"), "static\n");
    assert_eq!(complete("haulout login static --token-e"), "--token-env\n");
    assert_eq!(complete("haulout version --output j"), "json\n");
}

#[test]
fn help_of_any_command_can_be_asked_for() {
    let of_login = printed(&["login", "static", "--help"]);
    assert_eq!(printed(&["help", "login", "static"]), of_login);
}

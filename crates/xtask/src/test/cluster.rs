//! Tests in a cluster, and which stage runs which of them.

use anyhow::{Context as _, ensure};
use haulout_tests::cluster::{KubernetesBinaries, sweep_lost_clusters};

use super::cargo::{Tally, count, list};
use super::stage::command;
use crate::products;

/// Tests that are run together.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Group {
    /// Those of plain processes.
    Processes,
    /// Those of pods.
    Node,
    /// Logins through faults.
    Faults,
    /// `haulout doctor`.
    Doctor,
    /// Of the chart.
    Chart,
    /// Tokens of oidc-provider.
    OidcProvider,
    /// Tokens of Keycloak.
    Keycloak,
    /// Logins with a browser.
    Browser,
    /// Talos' own code on patches.
    TalosConfig,
    /// What they lead to, with a real API server.
    TalosStart,
    /// Both for older versions.
    TalosOld,
}

/// The modules of the test binary, each with all below it but what is named itself.
const MODULES: [(Group, &[&str]); 11] = [
    (
        Group::Processes,
        &[
            "authenticators",
            "binaries",
            "catalogue",
            "crashes",
            "credential_issuer",
            "direct_endpoint",
            "door",
            "flood",
            "get_kubeconfig",
            "guide",
            "link",
            "local_cluster",
            "login",
            "migrate",
            "placement",
            "refusals",
            "release",
            "replicas",
            "rights",
            "rotations",
            "suffix",
            "terminal",
            "who_am_i",
            "xtask",
        ],
    ),
    (Group::Node, &["installation", "node"]),
    (Group::Faults, &["reliability"]),
    (Group::Doctor, &["doctor"]),
    (Group::Chart, &["chart"]),
    (Group::OidcProvider, &["providers"]),
    (
        Group::Keycloak,
        &["browser::keycloak", "providers::keycloak"],
    ),
    (Group::Browser, &["browser"]),
    (Group::TalosConfig, &["talos"]),
    (Group::TalosStart, &["talos::start"]),
    (Group::TalosOld, &["talos::old"]),
];

impl Group {
    /// The group of a test, by its path.
    fn of(test: &str) -> Option<Self> {
        let is_below = |module: &&&str| {
            let rest = test.strip_prefix(**module);
            rest.is_some_and(|rest| rest.starts_with("::"))
        };
        let modules = MODULES
            .iter()
            .flat_map(|(group, modules)| modules.iter().map(move |module| (module, *group)));
        let (_, group) = modules
            .filter(|(module, _)| is_below(module))
            .max_by_key(|(module, _)| module.len())?;
        Some(group)
    }

    /// The tests of this group among all.
    fn choose(self, tests: &[String]) -> anyhow::Result<Vec<&str>> {
        let mut chosen = Vec::new();
        for test in tests {
            let group = Self::of(test);
            let group = group.with_context(|| format!("no stage runs the test {test}"))?;
            chosen.extend((group == self).then_some(test.as_str()));
        }
        // Without a name libtest would run them all.
        ensure!(!chosen.is_empty(), "there is no test of {self:?}");
        Ok(chosen)
    }
}

/// Runs a group with further arguments of libtest and further variables.
///
/// # Errors
/// Programs cannot be found or built, or the tests cannot be listed.
pub(super) async fn run(
    group: Group,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> anyhow::Result<Tally> {
    let products = products::build().await?;
    let kubernetes = KubernetesBinaries::find_or_build().await?;
    let tests = list(command(&[&TESTS[..], &["--list"]].concat())).await?;
    // By their whole names, since libtest takes a part of one for a match anywhere.
    let mut command = command(&[&TESTS[..], &["--include-ignored", "--exact"]].concat());
    command
        .args(group.choose(&tests)?)
        .args(arguments)
        .envs(environment.iter().copied())
        .env("HAULOUT_BIN", products.folder())
        .env("HAULOUT_KUBE_BIN", kubernetes.folder())
        .env("HAULOUT_XTASK", format!("/proc/{}/exe", std::process::id()));
    let tally = count(command).await;
    sweep_lost_clusters();
    tally
}

const TESTS: [&str; 7] = [
    "test",
    "--package",
    "haulout-tests",
    "--test",
    "cluster",
    "--locked",
    "--",
];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use haulout_tests::cluster::workspace_root;

    use super::*;

    /// Whether a source file has a test in it.
    fn has_tests(path: &Path) -> bool {
        let text = std::fs::read_to_string(path).unwrap();
        let attributes = ["#[test]", "#[tokio::test"];
        attributes.iter().any(|attribute| text.contains(attribute))
    }

    #[test]
    fn each_module_with_tests_is_of_one_group() {
        let folder = workspace_root().join("tests/tests/cluster");
        let main = std::fs::read_to_string(folder.join("main.rs")).unwrap();
        let names = main
            .lines()
            .filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'));
        let with_tests = |name: &&str| {
            let mut found = has_tests(&folder.join(format!("{name}.rs")));
            let below = folder.join(name);
            if below.is_dir() {
                crate::files::visit(&below, "rs", &mut |path| {
                    found |= has_tests(path);
                    Ok(())
                })
                .unwrap();
            }
            found
        };
        let modules: Vec<&str> = names.filter(with_tests).collect();
        let listed = MODULES.iter().flat_map(|(_, modules)| modules.iter());
        let (below, mut listed): (Vec<&str>, Vec<&str>) =
            listed.partition(|module| module.contains("::"));
        listed.sort_unstable();
        assert_eq!(listed, modules);
        for module in below {
            let path = folder.join(module.replace("::", "/") + ".rs");
            assert!(has_tests(&path), "{module}");
        }
    }

    #[test]
    fn the_longest_module_decides_and_no_part_of_a_name() {
        for (test, group) in [
            ("node::left::a", Some(Group::Node)),
            ("installation::a", Some(Group::Node)),
            ("chart::installation::a", Some(Group::Chart)),
            ("providers::oidc_provider::a", Some(Group::OidcProvider)),
            ("providers::keycloak::a", Some(Group::Keycloak)),
            ("browser::keycloak::a", Some(Group::Keycloak)),
            ("browser::login::a", Some(Group::Browser)),
            ("talos::config::a", Some(Group::TalosConfig)),
            ("talos::start::a", Some(Group::TalosStart)),
            ("talos::old::a", Some(Group::TalosOld)),
            ("login::node::a", Some(Group::Processes)),
            ("logins::a", None),
            ("a", None),
        ] {
            assert_eq!(Group::of(test), group, "{test}");
        }
    }

    #[test]
    fn a_test_that_no_stage_runs_is_an_error() {
        let tests = ["node::a", "chart::node::b", "node::c"].map(str::to_owned);
        assert_eq!(Group::Node.choose(&tests).unwrap(), ["node::a", "node::c"]);
        assert!(Group::Faults.choose(&tests).is_err());
        let error = Group::Node.choose(&["running::d".to_owned()]).unwrap_err();
        assert_eq!(error.to_string(), "no stage runs the test running::d");
    }
}

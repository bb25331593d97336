//! The stages of `cargo xtask test`.

use std::path::Path;

use anyhow::{Context as _, ensure};
use haulout_tests::cluster::{
    HelmVersion, Images, KubernetesBinaries, NodePrograms, find_or_install_keycloak,
    find_or_install_oidc_provider, sweep_lost_clusters, workspace_root,
};
use haulout_tests::oidc::KubernetesOidc;
use haulout_tests::talos::{Talos, Version};
use serde::Deserialize;
use tokio::process::Command;

use super::cargo::{Tally, count, judge};
use super::cluster::{self, Group};
use super::tools::DENY;
use super::{fuzz, properties, reproducible};
use crate::products::{self, cargo};
use crate::{behaviours, docs, image, manifests};

/// When a stage runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Tier {
    /// Always, with `--quick` too.
    Quick,
    /// Unless `--quick` is given.
    Default,
    /// With `--all` only.
    All,
}

/// What a stage needs besides a Rust toolchain and a C compiler.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Needs {
    /// Nothing.
    Nothing,
    /// The Kubernetes programs, or Go to build them.
    Kubernetes,
    /// The same, root, and what runs pods.
    Pods,
    /// The same, and Go in any case.
    PodsAndGo,
    /// The Kubernetes programs, and a reverse proxy.
    KubernetesAndProxy,
    /// The Kubernetes programs, and what runs oidc-provider.
    KubernetesAndNodeJs,
    /// The same, and a browser.
    KubernetesAndBrowser,
    /// The Kubernetes programs, a browser, and what runs Keycloak.
    KubernetesAndJava,
    /// The Kubernetes programs, and Go in any case.
    Go,
}

/// A part of the test run.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) name: &'static str,
    pub(super) tier: Tier,
    pub(super) needs: Needs,
    pub(super) about: &'static str,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Format,
    Lint,
    Manifests,
    Docs,
    Unit,
    Integration,
    Property,
    FuzzCorpus,
    Cluster,
    Node,
    Faults,
    Doctor,
    Providers,
    Keycloak,
    Browser,
    Demo,
    Cel,
    Chart(HelmVersion),
    Talos(Group),
    BenchSmoke,
    EachCrate,
    Reproducible,
    Deny,
    Fuzz,
}

const fn quick(name: &'static str, about: &'static str, kind: Kind) -> Stage {
    Stage {
        name,
        tier: Tier::Quick,
        needs: Needs::Nothing,
        about,
        kind,
    }
}

const fn with_kubernetes(name: &'static str, about: &'static str, kind: Kind) -> Stage {
    Stage {
        tier: Tier::Default,
        needs: Needs::Kubernetes,
        ..quick(name, about, kind)
    }
}

const fn slow(name: &'static str, about: &'static str, kind: Kind) -> Stage {
    Stage {
        tier: Tier::All,
        ..quick(name, about, kind)
    }
}

/// All of them, in the order in which they run: cheap ones first.
pub(super) const STAGES: &[Stage] = &[
    quick("format", "cargo fmt --check", Kind::Format),
    quick(
        "manifests",
        "generated files are those that the code generates",
        Kind::Manifests,
    ),
    quick(
        "docs",
        "links and commands in the documentation",
        Kind::Docs,
    ),
    quick("lint", "clippy on all targets, warnings denied", Kind::Lint),
    quick("unit", "tests beside the code", Kind::Unit),
    quick(
        "integration",
        "tests that cross crates, in process, over real sockets",
        Kind::Integration,
    ),
    quick(
        "property",
        "property tests, with more cases",
        Kind::Property,
    ),
    quick(
        "fuzz-corpus",
        "each fuzz target for ten seconds, beginning with its corpus",
        Kind::FuzzCorpus,
    ),
    Stage {
        needs: Needs::KubernetesAndProxy,
        ..with_kubernetes(
            "cluster",
            "tests against a real API server, both profiles",
            Kind::Cluster,
        )
    },
    Stage {
        needs: Needs::PodsAndGo,
        ..with_kubernetes(
            "node",
            "real nodes, and the chart installed there, both profiles",
            Kind::Node,
        )
    },
    Stage {
        needs: Needs::Pods,
        ..with_kubernetes(
            "faults",
            "logins while something is killed, paused or replaced",
            Kind::Faults,
        )
    },
    Stage {
        needs: Needs::Pods,
        ..with_kubernetes(
            "doctor",
            "haulout doctor, where something is really wrong",
            Kind::Doctor,
        )
    },
    Stage {
        needs: Needs::KubernetesAndNodeJs,
        ..with_kubernetes(
            "providers",
            "logins with tokens of oidc-provider, which npm installs",
            Kind::Providers,
        )
    },
    Stage {
        needs: Needs::KubernetesAndBrowser,
        ..with_kubernetes(
            "browser",
            "haulout login oidc with kubectl, Chromium and oidc-provider",
            Kind::Browser,
        )
    },
    with_kubernetes("demo", "cargo xtask demo, both profiles", Kind::Demo),
    Stage {
        needs: Needs::Go,
        ..with_kubernetes(
            "cel",
            "claims and expressions, compared with Kubernetes' own code",
            Kind::Cel,
        )
    },
    Stage {
        needs: Needs::Go,
        ..with_kubernetes(
            "chart",
            "the chart with the real Helm, and what its admission policy refuses",
            Kind::Chart(HelmVersion::Four),
        )
    },
    Stage {
        needs: Needs::Go,
        ..with_kubernetes(
            "talos-config",
            "Talos' own code on the patches for it, 1.13 and 1.14",
            Kind::Talos(Group::TalosConfig),
        )
    },
    Stage {
        needs: Needs::Go,
        ..with_kubernetes(
            "talos-start",
            "a real API server with what those patches lead to",
            Kind::Talos(Group::TalosStart),
        )
    },
    with_kubernetes(
        "bench-smoke",
        "every row of the bench, no figure judged",
        Kind::BenchSmoke,
    ),
    Stage {
        needs: Needs::KubernetesAndJava,
        ..slow(
            "keycloak",
            "logins with Keycloak, which Maven downloads",
            Kind::Keycloak,
        )
    },
    Stage {
        needs: Needs::Go,
        ..slow(
            "chart-helm3",
            "the chart with Helm 3",
            Kind::Chart(HelmVersion::Three),
        )
    },
    Stage {
        needs: Needs::Go,
        ..slow(
            "talos-config-old",
            "both for Talos 1.11 and 1.12",
            Kind::Talos(Group::TalosOld),
        )
    },
    slow("each-crate", "each package compiles alone", Kind::EachCrate),
    slow(
        "reproducible",
        "images built in another folder are the same, byte for byte",
        Kind::Reproducible,
    ),
    slow(
        "deny",
        "licences, advisories, duplicates, sources",
        Kind::Deny,
    ),
    slow(
        "fuzz",
        "each fuzz target for a minute, with sanitizers (nightly)",
        Kind::Fuzz,
    ),
];

/// Cases of each property in the stage `property`; the default elsewhere is 256.
const PROPERTY_CASES: &str = "2048";
/// Each starts a cluster of its own: more at once only wait for one another.
const AT_ONCE: [&str; 2] = ["--test-threads", "2"];
/// This very program: Cargo may have replaced the file under its name while stages were built.
const OWN_PROGRAM: &str = "/proc/self/exe";

impl Stage {
    /// Runs it and counts.
    ///
    /// # Errors
    /// It could not be run, which counts as a failure.
    pub(super) async fn run(&self) -> anyhow::Result<Tally> {
        match self.kind {
            Kind::Format => judge(command(&["fmt", "--all", "--check"])).await,
            Kind::Lint => judge(command(&LINT)).await,
            Kind::Manifests => manifests::run(true).map(|()| Tally::success()),
            Kind::Docs => {
                behaviours::check(workspace_root())?;
                docs::check(workspace_root()).map(|()| Tally::success())
            }
            Kind::Unit => unit().await,
            Kind::Integration => integration().await,
            Kind::Property => property().await,
            Kind::Cluster => cluster::run(Group::Processes, &AT_ONCE, &[]).await,
            Kind::Node => {
                // For the page on Talos; built here, where it can say so.
                for version in Version::DEFAULT {
                    Talos::find_or_build(version).await?;
                }
                on_nodes(Group::Node, &[]).await
            }
            // Its tables are printed also if they are as demanded.
            Kind::Faults => on_nodes(Group::Faults, &["--show-output"]).await,
            Kind::Doctor => on_nodes(Group::Doctor, &[]).await,
            Kind::Providers => {
                find_or_install_oidc_provider().await?;
                cluster::run(Group::OidcProvider, &[], &[]).await
            }
            Kind::Keycloak => {
                find_or_install_keycloak().await?;
                // Its start takes a minute or two: tests say so only if they may print.
                cluster::run(Group::Keycloak, &["--nocapture"], &[]).await
            }
            Kind::Browser => {
                find_or_install_oidc_provider().await?;
                cluster::run(Group::Browser, &AT_ONCE, &[]).await
            }
            Kind::Demo => demo().await,
            Kind::Cel => cel().await,
            Kind::Chart(version) => chart(version).await,
            Kind::Talos(group) => talos(group).await,
            Kind::BenchSmoke => bench_smoke().await,
            Kind::EachCrate => each_crate().await,
            Kind::Reproducible => reproducible::run().await,
            Kind::Deny => deny().await,
            Kind::FuzzCorpus => fuzz::corpus().await,
            Kind::Fuzz => fuzz::with_sanitizers().await,
        }
    }
}

const LINT: [&str; 7] = [
    "clippy",
    "--workspace",
    "--all-targets",
    "--locked",
    "--",
    "-D",
    "warnings",
];

/// `cargo` with these arguments.
pub(super) fn command(arguments: &[&str]) -> Command {
    let mut command = cargo();
    command.args(arguments);
    command
}

async fn unit() -> anyhow::Result<Tally> {
    let mut command = command(&[
        "test",
        "--workspace",
        "--lib",
        "--bins",
        "--locked",
        "--no-fail-fast",
        "--",
    ]);
    for name in properties::find(workspace_root())? {
        command.args(["--skip", &name]);
    }
    count(command).await
}

/// Every test binary of the test package but the one that needs a cluster.
async fn integration() -> anyhow::Result<Tally> {
    let folder = workspace_root().join("tests/tests");
    let mut command = command(&[
        "test",
        "--package",
        "haulout-tests",
        "--locked",
        "--no-fail-fast",
    ]);
    for name in subfolders(&folder)?
        .iter()
        .filter(|name| *name != "cluster")
    {
        command.args(["--test", name]);
    }
    count(command).await
}

async fn property() -> anyhow::Result<Tally> {
    let names = properties::find(workspace_root())?;
    let mut command = command(&[
        "test",
        "--workspace",
        "--lib",
        "--locked",
        "--no-fail-fast",
        "--",
    ]);
    command.args(&names).env("PROPTEST_CASES", PROPERTY_CASES);
    let tally = count(command).await?;
    ensure!(
        tally.passed + tally.failed >= names.len(),
        "{} property tests were found in the sources, but only {tally}",
        names.len()
    );
    Ok(tally)
}

/// A group that runs pods, with further arguments of libtest.
async fn on_nodes(group: Group, arguments: &[&str]) -> anyhow::Result<Tally> {
    // Only for what it says meanwhile: the tests find the programs where it puts them.
    NodePrograms::find_or_build().await?;
    let products = products::build().await?;
    let images = image::default_folder();
    image::write_all(products.folder(), &images).await?;
    let images = images.to_string_lossy();
    let arguments = [&AT_ONCE, arguments].concat();
    cluster::run(group, &arguments, &[(Images::VARIABLE, &*images)]).await
}

async fn demo() -> anyhow::Result<Tally> {
    let mut tally = Tally::default();
    for profile in ["kubeadm", "talos"] {
        tally += ourselves(&["demo", "--profile", profile]).await?;
    }
    Ok(tally)
}

/// The chart's tests, after a look whether what it renders is what is committed.
async fn chart(helm: HelmVersion) -> anyhow::Result<Tally> {
    let mut tally = Tally::default();
    // Another Helm writes the same objects with other blank lines.
    if helm == HelmVersion::Four {
        tally += manifests::install::check()
            .await
            .map(|()| Tally::success())?;
    }
    let version = [(HelmVersion::VARIABLE, helm.name())];
    tally += cluster::run(Group::Chart, &AT_ONCE, &version).await?;
    Ok(tally)
}

/// The ignored tests of the test binary for authentication, and the form of the Go program that they ask.
async fn cel() -> anyhow::Result<Tally> {
    let kubernetes = KubernetesBinaries::find_or_build().await?;
    KubernetesOidc::find_or_build().await?;
    let mut tally = judge(gofmt("tests/cluster")).await?;
    let mut command = command(&["test", "--package", "haulout-tests", "--test", "authn"]);
    command
        // What is listed as a difference shows only in the output.
        .args(["--locked", "--", "--ignored", "--show-output"])
        .env("HAULOUT_KUBE_BIN", kubernetes.folder());
    tally += count(command).await?;
    sweep_lost_clusters();
    Ok(tally)
}

/// The tests of patches for Talos, and the form of the Go programs that they ask.
async fn talos(group: Group) -> anyhow::Result<Tally> {
    let versions = match group {
        Group::TalosOld => &Version::ALL[..],
        _ => &Version::DEFAULT,
    };
    for version in versions {
        // Only for what it says meanwhile: the tests find the programs where it puts them.
        Talos::find_or_build(*version).await?;
    }
    let mut tally = Tally::default();
    if group == Group::TalosConfig {
        tally += judge(gofmt("tests/talos")).await?;
    }
    // The matrix is printed also if it is as the page has it.
    tally += cluster::run(group, &["--show-output"], &[]).await?;
    Ok(tally)
}

/// Go's formatter on a folder, which fails if there is something to change.
fn gofmt(folder: &str) -> Command {
    let mut gofmt = Command::new("gofmt");
    gofmt
        .args(["-d", "."])
        .current_dir(workspace_root().join(folder))
        .kill_on_drop(true);
    gofmt
}

async fn bench_smoke() -> anyhow::Result<Tally> {
    ourselves(&["bench", "--smoke"]).await
}

/// Runs another command of xtask as a user would.
async fn ourselves(arguments: &[&str]) -> anyhow::Result<Tally> {
    let mut command = Command::new(OWN_PROGRAM);
    command.args(arguments).kill_on_drop(true);
    judge(command).await
}

async fn each_crate() -> anyhow::Result<Tally> {
    #[derive(Deserialize)]
    struct Metadata {
        packages: Vec<Package>,
    }
    #[derive(Deserialize)]
    struct Package {
        name: String,
    }
    let output = command(&["metadata", "--no-deps", "--format-version", "1"])
        .output()
        .await?;
    ensure!(
        output.status.success(),
        "cargo metadata failed ({})",
        output.status
    );
    let metadata: Metadata = serde_json::from_slice(&output.stdout)?;
    let mut tally = Tally::default();
    for Package { name } in metadata.packages {
        tally += judge(command(&[
            "check",
            "--quiet",
            "--locked",
            "--package",
            &name,
        ]))
        .await?;
    }
    Ok(tally)
}

/// Two runs: only the advisories need a network beyond the registry.
async fn deny() -> anyhow::Result<Tally> {
    let tool = DENY.path().await?;
    let mut tally = Tally::default();
    for checks in [&["bans", "licenses", "sources"][..], &["advisories"]] {
        let mut command = Command::new(&tool);
        command
            .arg("check")
            .args(checks)
            .current_dir(workspace_root())
            .kill_on_drop(true);
        tally += judge(command).await?;
    }
    Ok(tally)
}

fn subfolders(folder: &Path) -> anyhow::Result<Vec<String>> {
    let list = || format!("failed to list {}", folder.display());
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(list)? {
        let entry = entry.with_context(list)?;
        if entry.path().is_dir() {
            names.extend(entry.file_name().into_string());
        }
    }
    names.sort_unstable();
    Ok(names)
}

//! Programs that stages need, installed from Debian's packages where that is possible.

use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use tokio::process::Command;

use super::stage::{Needs, Stage};
use crate::output::say;

/// A program and the Debian package that has it.
struct Requirement {
    program: &'static str,
    package: &'static str,
}

/// Needed by the stages that always run: to compile, to fuzz, and by the tests themselves.
const ALWAYS: [Requirement; 8] = [
    Requirement {
        program: "cc",
        package: "gcc",
    },
    Requirement {
        program: "c++",
        package: "g++",
    },
    Requirement {
        program: "diff",
        package: "diffutils",
    },
    Requirement {
        program: "openssl",
        package: "openssl",
    },
    Requirement {
        program: "setpriv",
        package: "util-linux",
    },
    Requirement {
        program: "dbus-daemon",
        package: "dbus-daemon",
    },
    Requirement {
        program: "gnome-keyring-daemon",
        package: "gnome-keyring",
    },
    Requirement {
        program: "docker-credential-secretservice",
        package: "golang-docker-credential-helpers",
    },
];

/// Needed as an Ingress before the direct endpoint.
const PROXY: [Requirement; 1] = [Requirement {
    program: "nginx",
    package: "nginx-light",
}];

/// Needed for a node that runs pods.
const PODS: [Requirement; 3] = [
    Requirement {
        program: "runc",
        package: "runc",
    },
    Requirement {
        program: "ip",
        package: "iproute2",
    },
    Requirement {
        program: "iptables",
        package: "iptables",
    },
];

/// Needed for oidc-provider.
const NODE_JS: [Requirement; 2] = [
    Requirement {
        program: "node",
        package: "nodejs",
    },
    Requirement {
        program: "npm",
        package: "npm",
    },
];

/// A browser, and what drives it.
const CHROMIUM: [Requirement; 2] = [
    Requirement {
        program: "chromium",
        package: "chromium",
    },
    Requirement {
        program: "chromedriver",
        package: "chromium-driver",
    },
];

/// What `package.json` of oidc-provider demands.
const OLDEST_NODE_JS: u32 = 20;

/// Needed for Keycloak.
const JAVA: [Requirement; 3] = [
    Requirement {
        program: "java",
        package: "openjdk-17-jre-headless",
    },
    Requirement {
        program: "mvn",
        package: "maven",
    },
    Requirement {
        program: "unzip",
        package: "unzip",
    },
];

/// Finds what the stages need, installing what is missing if this is root on Debian.
///
/// # Errors
/// Something is missing; the text says how to get it.
pub(super) async fn ensure(stages: &[&Stage]) -> anyhow::Result<()> {
    let missing = missing(stages, is_installed);
    if !missing.is_empty() {
        install(&missing).await?;
    }
    let runs_node_js = |needs| {
        matches!(
            needs,
            Needs::KubernetesAndNodeJs | Needs::KubernetesAndBrowser
        )
    };
    if stages.iter().any(|stage| runs_node_js(stage.needs)) {
        ensure_node_js().await?;
    }
    let runs_pods = |needs| matches!(needs, Needs::Pods | Needs::PodsAndGo);
    if stages.iter().any(|stage| runs_pods(stage.needs)) {
        ensure_pods().await?;
    }
    let wants_go = |needs| matches!(needs, Needs::Go | Needs::PodsAndGo);
    let go = stages.iter().any(|stage| wants_go(stage.needs));
    let kubernetes = stages.iter().any(|stage| stage.needs != Needs::Nothing);
    let given = ["HAULOUT_KUBE_BIN", "KUBEBUILDER_ASSETS"]
        .into_iter()
        .any(is_given);
    // Debian's Go is older than what Kubernetes demands, so it is not installed from there.
    ensure!(
        !go || is_installed("go"),
        "`go` is not installed: install Go 1.26 or later, or run `cargo xtask test --quick`"
    );
    ensure!(
        !kubernetes || given || is_installed("go"),
        "`go` is not installed: install Go 1.26 or later, or set HAULOUT_KUBE_BIN to a folder with etcd, kube-apiserver, \
         kube-controller-manager, kube-scheduler and kubectl, or run `cargo xtask test --quick`"
    );
    Ok(())
}

/// The same for a node that runs pods.
///
/// # Errors
/// As [`ensure`], or this is not root.
pub(crate) async fn ensure_pods() -> anyhow::Result<()> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "a node that runs pods needs root, as containers do"
    );
    let missing: Vec<&Requirement> = ALWAYS
        .iter()
        .chain(&PODS)
        .filter(|requirement| !is_installed(requirement.program))
        .collect();
    if !missing.is_empty() {
        install(&missing).await?;
    }
    ensure!(
        is_given("HAULOUT_NODE_BIN") || is_installed("go"),
        "`go` is not installed: install Go 1.26 or later, or set HAULOUT_NODE_BIN to a folder with the programs of a node"
    );
    Ok(())
}

/// Whether a variable names a folder of ready-made programs.
fn is_given(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|folder| !folder.is_empty())
}

/// Debian 12's own Node.js is too old for oidc-provider.
async fn ensure_node_js() -> anyhow::Result<()> {
    let output = Command::new("node").arg("--version").output().await;
    let output = output.context("failed to run node")?;
    let version = String::from_utf8_lossy(&output.stdout);
    ensure!(
        major(&version).is_some_and(|major| major >= OLDEST_NODE_JS),
        "`node` is {}: install Node.js {OLDEST_NODE_JS} or later",
        version.trim()
    );
    Ok(())
}

/// 20 of `v20.20.2`.
fn major(version: &str) -> Option<u32> {
    version.strip_prefix('v')?.split('.').next()?.parse().ok()
}

/// What the stages need, but for the Kubernetes programs, and is not installed.
fn missing(stages: &[&Stage], is_installed: impl Fn(&str) -> bool) -> Vec<&'static Requirement> {
    let of_stages = stages.iter().flat_map(|stage| programs(stage.needs));
    ALWAYS
        .iter()
        .chain(of_stages.flatten())
        .filter(|requirement| !is_installed(requirement.program))
        .collect()
}

fn programs(needs: Needs) -> [&'static [Requirement]; 2] {
    match needs {
        Needs::Nothing | Needs::Kubernetes | Needs::Go => [&[], &[]],
        Needs::KubernetesAndProxy => [&PROXY, &[]],
        Needs::Pods | Needs::PodsAndGo => [&PODS, &[]],
        Needs::KubernetesAndNodeJs => [&NODE_JS, &[]],
        Needs::KubernetesAndBrowser => [&NODE_JS, &CHROMIUM],
        Needs::KubernetesAndJava => [&JAVA, &CHROMIUM],
    }
}

async fn install(missing: &[&Requirement]) -> anyhow::Result<()> {
    let packages: Vec<&str> = missing
        .iter()
        .map(|requirement| requirement.package)
        .collect();
    let list = packages.join(" ");
    if !rustix::process::geteuid().is_root() || !is_installed("apt-get") {
        bail!("missing programs: install the packages {list} (on Debian: apt-get install {list})");
    }
    say(&format!("==> install missing packages: {list}"));
    for arguments in [
        &["update", "--quiet"][..],
        &["install", "--quiet", "--yes", "--no-install-recommends"],
    ] {
        let install = arguments.first() == Some(&"install");
        let status = Command::new("apt-get")
            .args(arguments)
            .args(if install { packages.as_slice() } else { &[] })
            .env("DEBIAN_FRONTEND", "noninteractive")
            .kill_on_drop(true)
            .status()
            .await
            .context("failed to run apt-get")?;
        ensure!(
            status.success(),
            "apt-get failed ({status}): install the packages {list} by hand"
        );
    }
    Ok(())
}

/// Whether a program is on `PATH`, or where Debian has programs for root.
pub(super) fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|folder| is_program(&folder.join(program)))
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path)
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::super::stage::STAGES;
    use super::*;

    #[test]
    fn chosen_stages_decide_what_is_missing() {
        let packages = |name: &str| -> Vec<&str> {
            let stages: Vec<&Stage> = STAGES.iter().filter(|stage| stage.name == name).collect();
            let is_installed = |program: &str| {
                !["npm", "mvn", "diff", "runc", "nginx", "chromedriver"].contains(&program)
            };
            let missing = missing(&stages, is_installed);
            missing
                .iter()
                .map(|requirement| requirement.package)
                .collect()
        };
        assert_eq!(packages("cluster"), ["diffutils", "nginx-light"]);
        assert_eq!(packages("demo"), ["diffutils"]);
        assert_eq!(packages("node"), ["diffutils", "runc"]);
        assert_eq!(packages("providers"), ["diffutils", "npm"]);
        let browser = ["diffutils", "npm", "chromium-driver"];
        assert_eq!(packages("browser"), browser);
        let keycloak = ["diffutils", "maven", "chromium-driver"];
        assert_eq!(packages("keycloak"), keycloak);
    }

    #[test]
    fn programs_are_found_on_the_path() {
        assert!(is_installed("sh"));
        assert!(!is_installed("no-such-program"));
        assert!(!is_program(Path::new("/etc/passwd")));
        assert!(!is_program(Path::new("/etc")));
    }

    #[test]
    fn versions_of_node_js_are_read() {
        assert_eq!(major("v20.20.2\n"), Some(20));
        assert_eq!(major("v18.0.0"), Some(18));
        assert_eq!(major("command not found"), None);
    }
}

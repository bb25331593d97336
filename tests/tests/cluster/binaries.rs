//! Our programs as an administrator meets them: command line, exit codes, and how they end.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use haulout_tests::cluster::{Kubectl, Process, Products, Profile, StackOptions, wait_for};
use rustix::process::Signal;
use serde_json::Value;

use crate::running::Running;

/// Ten seconds less than Kubernetes gives a pod by default.
const END_LIMIT: Duration = Duration::from_secs(20);

const GOOD: &str = "agent:
  addresses: [127.0.0.1:9443]
  tls: {certFile: /a, keyFile: /b, caFile: /c}
";

/// Exit code, standard output and standard error of a program.
fn run(program: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let program = Products::find().unwrap().program(program);
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(program).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

/// What the webhook says of its configuration file.
fn check_config(path: &Path) -> (Option<i32>, String, String) {
    let config = format!("--config={}", path.display());
    run("haulout-webhook", &[&config, "--check-config"])
}

fn write(folder: &tempfile::TempDir, text: &str) -> PathBuf {
    let path = folder.path().join("webhook.yaml");
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
#[ignore = "run by cargo xtask test"]
fn cluster_a_good_configuration_is_passed_over_in_silence() {
    let folder = tempfile::tempdir().unwrap();
    let outcome = check_config(&write(&folder, GOOD));
    assert_eq!(outcome, (Some(0), String::new(), String::new()));
}

#[test]
#[ignore = "run by cargo xtask test"]
fn cluster_bad_configurations_end_with_1_and_a_line_for_each_fault() {
    let folder = tempfile::tempdir().unwrap();
    let faults = "listen: localhost\nnamespace: A\ncertificates: {defaultLifetimeSeconds: 0}\n";
    let faulty = write(&folder, &format!("{GOOD}{faults}"));
    let config = format!("--config={}", faulty.display());
    // It makes no difference whether it was only to be checked.
    for arguments in [&[&*config, "--check-config"][..], &[&config]] {
        let (code, stdout, stderr) = run("haulout-webhook", arguments);
        assert_eq!((code, &*stdout), (Some(1), ""), "{stderr}");
        let begin = format!("{}: ", faulty.display());
        let fields: Vec<&str> = stderr
            .lines()
            .map(|line| line.strip_prefix(&begin).unwrap_or(line))
            .map(|line| line.split(':').next().unwrap())
            .collect();
        let expected = ["listen", "namespace", "certificates.defaultLifetimeSeconds"];
        assert_eq!(fields, expected, "{stderr}");
    }

    let missing = folder.path().join("missing.yaml");
    let unreadable = write(&folder, "listen: [\n");
    for path in [missing, unreadable] {
        let (code, stdout, stderr) = check_config(&path);
        assert_eq!((code, &*stdout), (Some(1), ""), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.contains(path.to_str().unwrap()), "{stderr}");
    }
}

#[test]
#[ignore = "run by cargo xtask test"]
fn cluster_wrong_calls_end_with_2() {
    for (program, arguments, word) in [
        ("haulout-webhook", &["--confg=x"][..], "--confg"),
        ("haulout-webhook", &["stray"], "stray"),
        ("haulout-agent", &[], "--ca-cert"),
        ("haulout-agent", &["--listen=nowhere"], "nowhere"),
        ("haulout", &["--nope"], "--nope"),
    ] {
        let (code, stdout, stderr) = run(program, arguments);
        assert_eq!(
            (code, &*stdout),
            (Some(2), ""),
            "{program} {arguments:?}: {stderr}"
        );
        assert!(stderr.contains(word), "{program} {arguments:?}: {stderr}");
    }
}

#[test]
#[ignore = "run by cargo xtask test"]
fn cluster_each_program_tells_its_name_and_version() {
    for program in ["haulout-webhook", "haulout-agent", "haulout"] {
        let version = format!("{program} {}\n", env!("CARGO_PKG_VERSION"));
        let outcome = run(program, &["--version"]);
        assert_eq!(outcome, (Some(0), version, String::new()));
    }
}

async fn holder(kubectl: &Kubectl) -> anyhow::Result<Value> {
    let lease = ["get", "lease", "-n", "haulout-system", "haulout-webhook"];
    Ok(kubectl.json(&lease).await?["spec"]["holderIdentity"].take())
}

/// Asks a process to end, and checks that it does so in good order.
async fn ends_well(process: &mut Process) {
    process.signal(Signal::TERM).unwrap();
    let status = process.wait(END_LIMIT).await.unwrap();
    assert_eq!(status.code(), Some(0), "{status}{}", process.log_tail());
    let log = std::fs::read_to_string(process.log()).unwrap();
    let stopped = r#""message":"stopped""#;
    let line = log
        .lines()
        .find(|line| line.contains(stopped))
        .unwrap_or(&log);
    assert!(line.contains(r#""all_ended":true"#), "{line}");
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_a_signal_ends_agent_and_webhook_in_good_order() {
    let mut running = Running::start(Profile::Kubeadm, &StackOptions::default()).await;
    let kubectl = running.cluster.kubectl().clone();
    // Somebody must hold the Lease before it can be given back.
    wait_for(
        "a leader",
        END_LIMIT,
        &mut [running.stack.webhook()],
        async || {
            anyhow::ensure!(holder(&kubectl).await? == "haulout-webhook-0");
            Ok(())
        },
    )
    .await
    .unwrap();
    ends_well(running.stack.webhook()).await;
    assert_eq!(holder(&kubectl).await.unwrap(), "");
    ends_well(running.stack.agent()).await;
}

//! `cargo xtask` as its users run it: it ends well, is interrupted, is killed, and runs as an ordinary user.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use haulout_tests::cluster::{KubernetesBinaries, Products};
use rustix::process::{Pid, Signal, geteuid, kill_process};

const ORDINARY_USER: u32 = 65534;
const LIMIT: Duration = Duration::from_secs(120);

/// A copy of xtask and of all that it runs, in a folder that everybody can read, and a state folder.
pub(crate) struct Installation {
    folder: tempfile::TempDir,
    user: Option<u32>,
}

impl Installation {
    pub(crate) async fn new(user: Option<u32>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let xtask = std::env::var_os("HAULOUT_XTASK").expect("set by cargo xtask test");
        copy(Path::new(&xtask), &folder.path().join("xtask"));
        let products = Products::find().unwrap();
        for (name, _) in Products::PROGRAMS {
            copy(
                &products.program(name),
                &folder.path().join("bin").join(name),
            );
        }
        let kubernetes = KubernetesBinaries::find_or_build().await.unwrap();
        for entry in std::fs::read_dir(kubernetes.folder()).unwrap() {
            let path = entry.unwrap().path();
            copy(
                &path,
                &folder
                    .path()
                    .join("kube-bin")
                    .join(path.file_name().unwrap()),
            );
        }
        let installation = Self { folder, user };
        std::fs::create_dir(installation.state()).unwrap();
        chown(installation.state(), user, user).unwrap();
        installation
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let folder = self.folder.path();
        let mut command = Command::new("setpriv");
        if let Some(user) = self.user {
            let user = user.to_string();
            command.args(["--reuid", &user, "--regid", &user, "--clear-groups"]);
        }
        command
            .arg("--")
            .arg(folder.join("xtask"))
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HAULOUT_BIN", folder.join("bin"))
            .env("HAULOUT_KUBE_BIN", folder.join("kube-bin"))
            .env("HAULOUT_STATE", self.state())
            .envs(std::env::var_os("HAULOUT_NODE_BIN").map(|folder| ("HAULOUT_NODE_BIN", folder)))
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Starts a command and waits until kube-apiserver runs.
    fn start_until_api_server(&self, arguments: &[&str]) -> Child {
        let child = self.command(arguments).spawn().unwrap();
        wait_until("no kube-apiserver", || {
            self.processes()
                .iter()
                .any(|name| name.contains("kube-apiserver"))
        });
        child
    }

    /// Names of clusters that are there.
    pub(crate) fn clusters(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.state()).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    /// Command lines of processes that run from here, but for xtask itself.
    fn processes(&self) -> Vec<String> {
        let bin = self.folder.path().to_str().unwrap();
        let own = self.folder.path().join("xtask");
        std::fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| std::fs::read_to_string(entry.ok()?.path().join("cmdline")).ok())
            .map(|line| line.replace('\0', " "))
            .filter(|line| line.contains(bin) && !line.contains(own.to_str().unwrap()))
            .collect()
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    std::fs::copy(from, to).unwrap();
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < LIMIT, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn succeed(output: &Output) -> String {
    assert!(
        output.status.success(),
        "{}\n{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_demo_runs_as_an_ordinary_user_in_both_profiles() {
    let user = geteuid().is_root().then_some(ORDINARY_USER);
    let installation = Installation::new(user).await;
    for profile in ["kubeadm", "talos"] {
        let output = succeed(&installation.run(&["demo", "--profile", profile]));
        let (_, end) = output.split_once("$ kubectl auth whoami\n").unwrap();
        for expected in [
            "alice@example.com",
            "developers",
            "on-call",
            "côte, nord",
            "the certificate lives 4 min",
        ] {
            assert!(end.contains(expected), "{expected}: {output}");
        }
        if profile == "talos" {
            assert!(output.contains("GET /version: 401"), "{output}");
        }
        each_step_has_its_duration(&output);
        assert_eq!(installation.clusters(), [""; 0]);
    }
}

/// `==> STEP`, what it has to say, `done in TIME`; and the whole.
fn each_step_has_its_duration(output: &str) {
    let is_step = |line: &str| line.starts_with("==> ");
    let is_duration = |line: &str| {
        let time = line.trim_start().strip_prefix("done in ");
        time.is_some_and(|time| time.starts_with(|c: char| c.is_ascii_digit()))
    };
    let mut steps = 0;
    let mut lines = output.lines().peekable();
    while let Some(step) = lines.find(|line| is_step(line)) {
        let mut own = Vec::new();
        while let Some(line) = lines.next_if(|line| !is_step(line)) {
            own.push(line);
        }
        let durations = own.iter().filter(|line| is_duration(line)).count();
        assert_eq!(durations, 1, "{step}: {output}");
        steps += 1;
    }
    assert!(steps >= 7, "{output}");
    assert!(output.contains("\ndemo finished in "), "{output}");
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_demo_that_fails_leaves_nothing() {
    let installation = Installation::new(None).await;
    let webhook = installation.folder.path().join("bin/haulout-webhook");
    std::fs::write(&webhook, "#!/bin/sh\necho broken on purpose\nexit 3\n").unwrap();
    let output = installation.run(&["demo"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
    let told = text(&output.stderr);
    for part in [
        "haulout-webhook ended",
        "exit status: 3",
        "broken on purpose",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert_eq!(installation.clusters(), [""; 0]);
    assert_eq!(installation.processes(), [""; 0]);

    std::fs::remove_file(&webhook).unwrap();
    let output = installation.run(&["demo"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
    let told = text(&output.stderr);
    assert!(told.contains("lacks haulout-webhook"), "{told}");
    assert_eq!(installation.clusters(), [""; 0]);
    assert_eq!(installation.processes(), [""; 0]);
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_demo_that_is_kept_can_be_used_and_ended() {
    let installation = Installation::new(None).await;
    let output = succeed(&installation.run(&["demo", "--keep"]));
    let kubeconfig = output
        .lines()
        .find_map(|line| line.split_once("export KUBECONFIG="))
        .unwrap()
        .1;
    let whoami = Command::new(installation.folder.path().join("kube-bin/kubectl"))
        .args(["auth", "whoami"])
        .env("KUBECONFIG", kubeconfig)
        .output()
        .unwrap();
    assert!(succeed(&whoami).contains("alice@example.com"));
    succeed(&installation.run(&["cluster", "down"]));
    assert_eq!(installation.clusters(), [""; 0]);
    assert_eq!(installation.processes(), [""; 0]);
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_up_env_down() {
    let installation = Installation::new(None).await;
    succeed(&installation.run(&["cluster", "up", "--profile", "talos"]));
    let again = installation.run(&["cluster", "up", "--profile", "talos"]);
    assert!(
        text(&again.stderr).contains("cargo xtask cluster down"),
        "{}",
        text(&again.stderr)
    );
    let env = succeed(&installation.run(&["cluster", "env"]));
    let script = format!("{env} kubectl auth whoami");
    let whoami = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert!(succeed(&whoami).contains("kubernetes-admin"));
    succeed(&installation.run(&["cluster", "down"]));
    assert_eq!(installation.clusters(), [""; 0]);
    assert_eq!(installation.processes(), [""; 0]);
    assert!(!installation.run(&["cluster", "down"]).status.success());
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_up_that_is_interrupted_leaves_nothing() {
    let installation = Installation::new(None).await;
    let child = installation.start_until_api_server(&["cluster", "up"]);
    signal(&child, Signal::INT);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    assert_eq!(installation.clusters(), [""; 0]);
    assert_eq!(installation.processes(), [""; 0]);
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_of_a_killed_demo_dies_and_is_swept() {
    let installation = Installation::new(None).await;
    let mut child = installation.start_until_api_server(&["demo"]);
    signal(&child, Signal::KILL);
    child.wait().unwrap();
    wait_until("processes survived", || installation.processes().is_empty());
    assert_eq!(installation.clusters().len(), 1);
    // The next command that looks finds the folder of an owner that is gone.
    drop(installation.run(&["cluster", "down"]));
    assert_eq!(installation.clusters(), [""; 0]);
}

//! Child processes that cannot outlive their owner, each with a log file of its own.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{LazyLock, mpsc};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::poll::wait_for;

const TAIL_LINES: usize = 15;

/// How a process is started, and started again.
#[derive(Clone, Debug)]
pub struct Launch {
    /// Name of the process; of its log file too.
    pub name: String,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Its environment besides `PATH`; nothing else is inherited.
    pub environment: Vec<(String, String)>,
    /// User and group to run as, with no capability left; the caller's when absent. Needs root.
    pub user: Option<u32>,
    /// Whether the process survives the one that started it, as a cluster that is left up must.
    pub detached: bool,
    /// Folder of the cluster: logs go to `logs/`, the process id is noted in `processes/`.
    pub folder: PathBuf,
}

impl Launch {
    fn log(&self) -> PathBuf {
        self.folder.join("logs").join(format!("{}.log", self.name))
    }

    fn note(&self) -> PathBuf {
        self.folder.join("processes").join(&self.name)
    }

    fn command(&self) -> anyhow::Result<Command> {
        let log = self.log();
        if let Some(logs) = log.parent() {
            std::fs::create_dir_all(logs)?;
        }
        let output = File::options()
            .append(true)
            .create(true)
            .open(&log)
            .with_context(|| format!("failed to open {}", log.display()))?;
        let mut command = Command::new("setpriv");
        if !self.detached {
            command.args(["--pdeathsig", "KILL"]);
        }
        if let Some(user) = self.user {
            let user = user.to_string();
            command.args(["--reuid", &user, "--regid", &user, "--clear-groups"]);
            command.args([
                "--bounding-set",
                "-all",
                "--inh-caps",
                "-all",
                "--no-new-privs",
            ]);
        }
        command
            .arg("--")
            .arg(&self.program)
            .args(&self.arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            // Ctrl-C on the terminal is for the owner, which ends its children in its own order.
            .process_group(0);
        Ok(command)
    }
}

/// A running child; dropping it kills it.
#[derive(Debug)]
pub struct Process {
    launch: Launch,
    child: Child,
    released: bool,
}

impl Process {
    /// Starts the process.
    ///
    /// # Errors
    /// The program or `setpriv` is missing, or the log cannot be opened.
    pub fn start(launch: Launch) -> anyhow::Result<Self> {
        let child = spawn_from_lasting_thread(launch.command()?).with_context(|| {
            format!(
                "failed to start {} through setpriv (package util-linux)",
                launch.name
            )
        })?;
        let process = Self {
            launch,
            child,
            released: false,
        };
        process.write_note()?;
        Ok(process)
    }

    /// Kills the process if it runs, and starts it again with the same arguments; the log goes on.
    ///
    /// # Errors
    /// As [`Process::start`].
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.kill();
        self.child = spawn_from_lasting_thread(self.launch.command()?)
            .with_context(|| format!("failed to restart {}", self.launch.name))?;
        self.write_note()
    }

    /// Ends the process at once (SIGKILL) and waits for its end.
    pub fn kill(&mut self) {
        // Either fails only when the process has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
        drop(std::fs::remove_file(self.launch.note()));
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// The process has ended.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = i32::try_from(self.id()).ok().and_then(Pid::from_raw);
        let pid = pid.context("process id out of range")?;
        kill_process(pid, signal).with_context(|| format!("failed to signal {}", self.launch.name))
    }

    /// Waits for the process to end by itself, as after a [`Process::signal`].
    ///
    /// # Errors
    /// It still runs after `limit`; the text has the end of its log.
    pub async fn wait(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        let what = format!("end of {}", self.launch.name);
        let ended = wait_for(&what, limit, &mut [], async || {
            self.child.try_wait()?.context("it still runs")
        });
        match ended.await {
            Ok(status) => Ok(status),
            Err(error) => bail!("{error:#}{}", self.log_tail()),
        }
    }

    /// Process id; the program's own, since `setpriv` replaces itself.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Name given at the start.
    pub fn name(&self) -> &str {
        &self.launch.name
    }

    /// Path of the log file: standard output and standard error.
    pub fn log(&self) -> PathBuf {
        self.launch.log()
    }

    /// Arguments, for a change before [`Process::restart`].
    pub fn arguments_mut(&mut self) -> &mut Vec<OsString> {
        &mut self.launch.arguments
    }

    /// Whether the process has not ended yet.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Succeeds while the process runs.
    ///
    /// # Errors
    /// The process has ended; the text has its exit status and the end of its log.
    pub fn ensure_running(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended ({status}){}", self.launch.name, self.log_tail()),
        }
    }

    /// The last lines of the log, as text to put behind an error.
    pub fn log_tail(&self) -> String {
        tail(&self.launch.log())
    }

    /// Lets the process live on when this value is dropped.
    pub(super) fn release(mut self) {
        self.released = true;
    }

    fn write_note(&self) -> anyhow::Result<()> {
        let note = self.launch.note();
        if let Some(folder) = note.parent() {
            std::fs::create_dir_all(folder)?;
        }
        // One that has ended already leaves nothing to find again; `ensure_running` tells why it ended.
        let Some(identity) = Identity::of(self.id()) else {
            return Ok(());
        };
        std::fs::write(&note, serde_json::to_vec(&identity)?)
            .with_context(|| format!("failed to write {}", note.display()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.released {
            return;
        }
        self.kill();
        if thread::panicking() {
            super::progress::say(&format!("{}{}", self.launch.name, self.log_tail()));
        }
    }
}

/// A process id with the start time that tells it from a later process of the same id.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Serialize, serde::Deserialize)]
pub(super) struct Identity {
    pid: u32,
    started: u64,
}

impl Identity {
    /// The identity of a living process.
    pub(super) fn of(pid: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // Field 22 of proc_pid_stat(5); the command name in field 2 may hold anything.
        let (_, fields) = stat.rsplit_once(") ")?;
        let mut fields = fields.split(' ');
        let alive = fields.next()? != "Z";
        let started = fields.nth(18)?.parse().ok()?;
        alive.then_some(Self { pid, started })
    }

    /// Whether this very process still runs.
    pub(super) fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// Kills this very process, if it still runs.
    pub(super) fn kill(self) {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        if let (true, Some(pid)) = (self.is_alive(), pid) {
            let _ended_meanwhile = kill_process(pid, Signal::KILL);
        }
    }
}

/// Id of a living process that was started by this name in a cluster's folder, by whomever.
pub(super) fn noted(folder: &Path, name: &str) -> Option<u32> {
    let note = std::fs::read(folder.join("processes").join(name)).ok()?;
    let identity: Identity = serde_json::from_slice(&note).ok()?;
    identity.is_alive().then_some(identity.pid)
}

/// Kills what the notes in `folder/processes` name, children of an owner that is gone, and waits for their end.
pub(super) fn kill_noted(folder: &Path) {
    let notes = std::fs::read_dir(folder.join("processes"))
        .into_iter()
        .flatten();
    let noted: Vec<Identity> = notes
        .flatten()
        .filter_map(|note| serde_json::from_slice(&std::fs::read(note.path()).ok()?).ok())
        .collect();
    for identity in &noted {
        identity.kill();
    }
    // The kernel may need a moment for a large process; one that hangs in it must not hang us too.
    for _ in 0..100 {
        if !noted.iter().any(|identity| identity.is_alive()) {
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// The last lines of a log, or nothing if it is empty or missing.
pub(super) fn tail(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().rev().take(TAIL_LINES).collect();
    if lines.is_empty() {
        return String::new();
    }
    let lines: Vec<&str> = lines.into_iter().rev().collect();
    format!("; the end of its log:\n  {}", lines.join("\n  "))
}

/// Starts a child from a thread that lives as long as this program.
///
/// The parent-death signal is tied to the *thread* that forked (prctl(2)): a child started from a test's thread or from
/// one of tokio's blocking threads would die with that thread.
fn spawn_from_lasting_thread(command: Command) -> io::Result<Child> {
    type Job = (Command, mpsc::Sender<io::Result<Child>>);
    static SPAWNER: LazyLock<mpsc::Sender<Job>> = LazyLock::new(|| {
        let (sender, jobs) = mpsc::channel::<Job>();
        thread::spawn(move || {
            for (mut command, answer) in jobs {
                drop(answer.send(command.spawn()));
            }
        });
        sender
    });
    let gone = |_| io::Error::other("the thread that starts processes is gone");
    let (sender, answer) = mpsc::channel();
    SPAWNER
        .send((command, sender))
        .map_err(|_| io::Error::other("the thread that starts processes is gone"))?;
    answer.recv().map_err(gone)?
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn launch(folder: &Path, script: &str) -> Launch {
        Launch {
            name: "script".to_owned(),
            program: PathBuf::from("/bin/sh"),
            arguments: vec!["-c".into(), script.into()],
            environment: Vec::new(),
            user: None,
            detached: false,
            folder: folder.to_owned(),
        }
    }

    fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
        let start = Instant::now();
        while !condition() {
            assert!(start.elapsed() < Duration::from_secs(10), "{what}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn child_outlives_the_thread_that_asked_for_it_and_dies_with_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let launch = launch(folder.path(), "exec sleep 60");
        let mut process = thread::spawn(|| Process::start(launch).unwrap())
            .join()
            .unwrap();
        thread::sleep(Duration::from_millis(50));
        assert!(process.is_running());
        let identity = Identity::of(process.id()).unwrap();
        drop(process);
        assert!(!identity.is_alive());
        assert!(!folder.path().join("processes/script").exists());
    }

    #[test]
    fn child_asks_the_kernel_to_die_with_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let own = launch(folder.path(), "exec setpriv --dump");
        let mut launches = vec![own.clone()];
        if super::super::pki::is_root() {
            // A change of the user clears the wish; it has to be made after that.
            let user = Some(65535);
            launches.push(Launch { user, ..own });
        }
        for launch in launches {
            let mut process = Process::start(launch).unwrap();
            wait_until("still running", || !process.is_running());
            let tail = process.log_tail();
            assert!(tail.contains("Parent death signal: KILL"), "{tail}");
        }
    }

    #[test]
    fn another_user_has_no_capability_left() {
        if !super::super::pki::is_root() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let launch = Launch {
            user: Some(65535),
            ..launch(
                folder.path(),
                "exec grep -E '^(Uid|Gid|Cap|NoNewPrivs)' /proc/self/status",
            )
        };
        let mut process = Process::start(launch).unwrap();
        wait_until("still running", || !process.is_running());
        let log = std::fs::read_to_string(process.log()).unwrap();
        for line in log.lines() {
            let (name, value) = line.split_once(":\t").unwrap();
            let expected = match name {
                "Uid" | "Gid" => "65535\t65535\t65535\t65535",
                "NoNewPrivs" => "1",
                _ => "0000000000000000",
            };
            assert_eq!(value, expected, "{name}");
        }
        assert_eq!(log.lines().count(), 8, "{log}");
    }

    #[test]
    fn early_end_is_reported_with_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let mut process = Process::start(launch(
            folder.path(),
            "read line; echo no such flag >&2; exit 3",
        ))
        .unwrap();
        wait_until("still running", || !process.is_running());
        let error = process.ensure_running().unwrap_err().to_string();
        assert!(error.contains("exit status: 3"), "{error}");
        assert!(error.contains("no such flag"), "{error}");
    }

    #[tokio::test]
    async fn the_end_after_a_signal_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let script = "trap 'echo bye; exit 7' TERM; echo armed; while :; do sleep 0.01; done";
        let mut process = Process::start(launch(folder.path(), script)).unwrap();
        wait_until("not armed", || process.log_tail().contains("armed"));
        let error = process.wait(Duration::ZERO).await.unwrap_err().to_string();
        assert!(
            error.contains("still runs") && error.contains("armed"),
            "{error}"
        );
        process.signal(Signal::TERM).unwrap();
        let status = process.wait(Duration::from_secs(10)).await.unwrap();
        assert_eq!(status.code(), Some(7));
        assert!(process.log_tail().contains("bye"));
    }

    #[test]
    fn noted_processes_of_a_lost_owner_are_killed() {
        let folder = tempfile::tempdir().unwrap();
        let mut process = Process::start(launch(folder.path(), "exec sleep 60")).unwrap();
        kill_noted(folder.path());
        wait_until("still running", || !process.is_running());
    }

    #[test]
    fn another_process_of_the_same_id_is_left_alone() {
        let own = Identity::of(std::process::id()).unwrap();
        assert!(own.is_alive());
        let earlier = Identity {
            started: own.started - 1,
            ..own
        };
        assert!(!earlier.is_alive());
        earlier.kill();
    }
}

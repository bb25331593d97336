//! A machine of its own, as far as the kernel's namespaces go: file system, processes, network, host name.
//!
//! It lives and dies with one process of ours. The kernel then kills whatever runs in it and removes mounts, links and
//! rules, so that nothing is left to clean up but control groups.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

use crate::cluster::process::{Launch, Process};
use crate::cluster::wait_for;

const SCRIPT: &str = include_str!("machine.sh");
const START_LIMIT: Duration = Duration::from_secs(20);
/// Where Debian has what a node needs; the caller's `PATH` may lack the second half.
pub(super) const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a machine is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Blueprint<'a> {
    /// Host name.
    pub(super) name: &'a str,
    /// Folder of the cluster; it is shared with the machine.
    pub(super) folder: &'a Path,
    /// Folder of programs, shared too.
    pub(super) programs: &'a Path,
    /// The program that becomes the first process.
    pub(super) init: &'a Path,
    /// Whether it outlives this process.
    pub(super) detached: bool,
}

/// A running machine; dropping it ends it with all that runs in it.
#[derive(Debug)]
pub(super) struct Machine {
    process: Process,
    entrance: Entrance,
}

/// The way into a running machine.
#[derive(Clone, Debug)]
pub(super) struct Entrance {
    /// Its process as this computer sees it; the machine's own first process is a child of it.
    id: u32,
    path: String,
}

impl Machine {
    /// Starts one with a network that leads nowhere yet.
    ///
    /// # Errors
    /// The kernel lacks something.
    pub(super) async fn start(blueprint: Blueprint<'_>) -> anyhow::Result<Self> {
        let Blueprint {
            name,
            folder,
            programs,
            init,
            detached,
        } = blueprint;
        let base = folder.join(name);
        std::fs::create_dir_all(&base)?;
        let namespaces = ["--mount", "--pid", "--net", "--uts", "--ipc", "--fork"];
        let arguments = namespaces
            .into_iter()
            .chain(["--kill-child=KILL", "--", "/bin/sh", "-c", SCRIPT, "sh"])
            .map(OsString::from)
            .chain([base.into(), name.into(), init.into()])
            .chain([folder.into(), programs.into()]);
        let process = Process::start(Launch {
            name: name.to_owned(),
            program: "unshare".into(),
            arguments: arguments.collect(),
            environment: vec![("PATH".to_owned(), SYSTEM_PATH.to_owned())],
            user: None,
            detached,
            folder: folder.to_owned(),
        })?;
        let entrance = Entrance::new(process.id(), programs);
        let mut machine = Self { process, entrance };
        let ready = machine.entrance.root().join("run/ready");
        let what = format!("file system of {name}");
        let parts = &mut [&mut machine.process];
        wait_for(&what, START_LIMIT, parts, async || {
            Ok(std::fs::metadata(&ready)?)
        })
        .await?;
        Ok(machine)
    }

    /// The way into it.
    pub(super) fn entrance(&self) -> &Entrance {
        &self.entrance
    }

    /// The process whose end is its end.
    pub(super) fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Lets it live on when this value is dropped.
    pub(super) fn release(self) {
        self.process.release();
    }
}

impl Entrance {
    /// To the machine of a process; these programs are on its `PATH`.
    pub(super) fn new(id: u32, programs: &Path) -> Self {
        Self {
            id,
            path: format!("{}:{SYSTEM_PATH}", programs.display()),
        }
    }

    /// The process that stands for the machine.
    pub(super) fn id(&self) -> u32 {
        self.id
    }

    /// Root of its file system, as a path that this process can use.
    pub(super) fn root(&self) -> PathBuf {
        format!("/proc/{}/root", self.id).into()
    }

    /// Moves a process into the machine's network, and into nothing else of it: it is signalled as any other.
    pub(super) fn in_network(&self, launch: Launch) -> Launch {
        let net = format!("--net=/proc/{}/ns/net", self.id);
        wrap(launch, "nsenter", [net, "--".to_owned()])
    }

    /// Moves a process into the machine. What can be signalled is `nsenter`, which waits for it; it dies with that.
    pub(super) fn inside(&self, mut launch: Launch) -> Launch {
        launch
            .environment
            .push(("PATH".to_owned(), self.path.clone()));
        let launch = wrap(launch, "setpriv", ["--pdeathsig", "KILL", "--"]);
        wrap(launch, "nsenter", self.entry())
    }

    /// A command that runs in the machine.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(self.entry())
            .args(["setpriv", "--pdeathsig", "KILL", "--"])
            .arg(program)
            .env("PATH", &self.path);
        command
    }

    /// A command that runs in the machine's network only.
    pub(super) fn network_command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args([&format!("--net=/proc/{}/ns/net", self.id), "--", program]);
        command
    }

    /// Arguments of `nsenter`.
    fn entry(&self) -> Vec<String> {
        let id = self.id;
        let namespaces = [
            ("mount", "mnt"),
            // `unshare` itself is not in the new one; its child is.
            ("pid", "pid_for_children"),
            ("net", "net"),
            ("uts", "uts"),
            ("ipc", "ipc"),
        ];
        let enter = namespaces.map(|(flag, file)| format!("--{flag}=/proc/{id}/ns/{file}"));
        enter.into_iter().chain(["--".to_owned()]).collect()
    }
}

/// The same launch by way of another program.
fn wrap(
    launch: Launch,
    program: &str,
    arguments: impl IntoIterator<Item = impl Into<OsString>>,
) -> Launch {
    let arguments = arguments.into_iter().map(Into::into);
    Launch {
        arguments: arguments
            .chain([launch.program.into()])
            .chain(launch.arguments)
            .collect(),
        program: program.into(),
        ..launch
    }
}

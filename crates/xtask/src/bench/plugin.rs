//! What everybody waits for at each `kubectl`: the plugin when its cache has the credential.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use haulout_operate::clock::Clock;
use haulout_tests::cluster::TOKEN_VARIABLE;
use haulout_tests::supervisor::{Behaviour, MACHINE, Supervisor};
use serde_json::Value;

use super::process::peak_bytes;
use super::rows::Row;
use super::{Bench, median, megabytes};

const SECRET_VARIABLE: &str = "HAULOUT_CLIENT_SECRET";
/// Memory is at its peak when it has not changed for so many looks.
const LOOKS: usize = 20;
const BETWEEN_LOOKS: Duration = Duration::from_millis(5);

/// The rows of `login static` and `login oidc`.
pub(super) async fn cached_logins(bench: &Bench, runs: usize) -> Result<[Row; 3]> {
    let login = Plugin::of_static_login(bench)?;
    let static_millis = login.median_millis(runs).await?;

    let issuer = Supervisor::start(Clock::system(), Behaviour::default()).await?;
    let login = Plugin::of_oidc_login(bench, &issuer);
    let oidc_millis = login.median_millis(runs).await?;
    let peak = login.peak_memory().await?;
    let calls = issuer.calls().client_credentials;
    ensure!(calls == 1, "{calls} of the logins were not from the cache");
    Ok([
        Row::at_most("cli_cached_login", static_millis, "ms", 5.0),
        Row::at_most("cli_cached_login_oidc", oidc_millis, "ms", 5.0),
        Row::at_most("cli_rss", megabytes(peak), "MB", 10.0),
    ])
}

/// The program as a kubeconfig has it run.
struct Plugin {
    command: Box<dyn Fn() -> Command>,
}

impl Plugin {
    fn of_static_login(bench: &Bench) -> Result<Self> {
        let cache = bench.cluster.folder().join("credentials.yaml");
        let stanza = bench.stack.exec_stanza(&bench.cluster, Some(&cache))?;
        let arguments = stanza.get("args").and_then(Value::as_array);
        let arguments = arguments.into_iter().flatten().filter_map(Value::as_str);
        let arguments = arguments.map(str::to_owned).collect();
        Ok(Self::new(bench, arguments, (TOKEN_VARIABLE, &bench.token)))
    }

    /// By the client's own credentials, since nobody is there to be asked.
    fn of_oidc_login(bench: &Bench, issuer: &Supervisor) -> Self {
        let folder = bench.cluster.folder().display();
        let arguments = vec![
            "login".to_owned(),
            "oidc".to_owned(),
            format!("--issuer={}", issuer.url()),
            format!(
                "--ca-bundle-data={}",
                BASE64_STANDARD.encode(issuer.ca_pem())
            ),
            "--flow=client_credentials".to_owned(),
            format!("--client-id={}", MACHINE.0),
            format!("--client-secret-env={SECRET_VARIABLE}"),
            format!("--session-cache={folder}/sessions.yaml"),
            format!("--credential-cache={folder}/oidc-credentials.yaml"),
        ];
        Self::new(bench, arguments, (SECRET_VARIABLE, MACHINE.1))
    }

    fn new(bench: &Bench, arguments: Vec<String>, (name, value): (&'static str, &str)) -> Self {
        let program = bench.stack.products().program("haulout");
        let value = value.to_owned();
        let command = move || {
            let mut command = Command::new(&program);
            command
                .args(&arguments)
                .env(name, &value)
                .stdin(Stdio::null());
            command
        };
        Self {
            command: Box::new(command),
        }
    }

    /// Median wall time from the start to the end of the process.
    async fn median_millis(&self, runs: usize) -> Result<f64> {
        let mut millis = Vec::with_capacity(runs);
        for run in 0..=runs {
            let mut command = tokio::process::Command::from((self.command)());
            let start = Instant::now();
            let output = command.output().await?;
            let took = start.elapsed().as_secs_f64() * 1000.0;
            ensure!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            // The first one fills the cache.
            if run > 0 {
                millis.push(took);
            }
        }
        median(millis)
    }

    /// The most memory that was resident, in bytes.
    ///
    /// The result is the last thing that the program writes: a full pipe holds it there, so that the kernel can be asked. What
    /// `wait4` tells of it later would be no less than the memory of this program, which it was forked from.
    async fn peak_memory(&self) -> Result<u64> {
        let (mut reader, mut writer) = std::io::pipe()?;
        let size = rustix::pipe::fcntl_setpipe_size(&writer, 4096)?;
        writer.write_all(&vec![0; size])?;
        let mut child = (self.command)().stdout(writer).spawn()?;
        let (mut peak, mut looks) = (0, 0);
        while looks < LOOKS {
            tokio::time::sleep(BETWEEN_LOOKS).await;
            let seen = peak_bytes(child.id())?;
            looks = if seen == peak { looks + 1 } else { 0 };
            peak = seen;
        }
        let mut output = Vec::new();
        reader.read_to_end(&mut output)?;
        ensure!(child.wait()?.success(), "the login failed");
        let credential = output.split_off(size);
        ensure!(!credential.is_empty(), "no credential was printed");
        Ok(peak)
    }
}

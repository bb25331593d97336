//! Developer commands; `cargo xtask --help` lists them.

mod behaviours;
mod bench;
mod cluster;
mod demo;
mod docs;
mod files;
mod image;
mod install;
mod manifests;
mod output;
mod process_group;
mod products;
mod release;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use haulout_tests::cluster::{sweep_lost_clusters, workspace_root};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about, version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Log in to a real API server with a certificate that lives five minutes
    Demo(demo::Arguments),
    /// Run every stage that judges the code; the last line is `N passed, N failed`
    Test(test::Arguments),
    /// The local cluster to develop against
    #[command(subcommand)]
    Cluster(cluster::Command),
    /// Measure CPU, memory and latency against the budget
    Bench(bench::Arguments),
    /// Install Haulout by its chart into a cluster that `cluster up --node` left up
    Install(install::Arguments),
    /// Write the container images of webhook and agent, with licences and SBOMs
    Image(image::Arguments),
    /// Write the archives of the command line, with man pages and completion, their checksums, and krew's manifest
    Release(release::Arguments),
    /// Write what is generated into `manifests/`: CRDs, RBAC and parts of the chart from code, install-*.yaml by Helm
    Manifests {
        /// Compare only, and fail if a file differs; leaves out what needs Helm, which `test --only chart` compares
        #[arg(long)]
        check: bool,
    },
    /// Write what of `docs/` is made of the code, and check all links and commands
    Docs,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    let (code, interrupted) = runtime.block_on(async {
        tokio::select! {
            // First, or a command that starts processes before it first waits could be killed without ending them.
            biased;
            // Dropping the command's future ends and removes whatever it started.
            code = interruption() => (code, true),
            code = run(arguments.command) => (code.unwrap_or_else(|error| fail(&error)), false),
        }
    });
    if interrupted {
        // Tests that were killed with us could not remove their clusters.
        sweep_lost_clusters();
    }
    // A thread may still wait for a lock or a file; nothing depends on it.
    runtime.shutdown_background();
    code
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Demo(arguments) => demo::run(arguments).await?,
        Command::Test(arguments) => return test::run(arguments).await,
        Command::Cluster(command) => cluster::run(command).await?,
        Command::Bench(arguments) => bench::run(arguments).await?,
        Command::Install(arguments) => install::run(arguments).await?,
        Command::Image(arguments) => image::run(arguments).await?,
        Command::Release(arguments) => release::run(arguments).await?,
        Command::Manifests { check } => {
            manifests::run(check)?;
            if !check {
                manifests::install::write().await?;
            }
        }
        Command::Docs => {
            behaviours::write(workspace_root())?;
            docs::check(workspace_root())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Waits for Ctrl-C, SIGTERM or SIGHUP and gives the exit code that shells expect.
async fn interruption() -> ExitCode {
    let wait = |kind: SignalKind| async move {
        match signal(kind) {
            Ok(mut stream) => drop(stream.recv().await),
            Err(_) => std::future::pending().await,
        }
        u8::try_from(kind.as_raw_value())
            .map_or(ExitCode::FAILURE, |signal| ExitCode::from(128 + signal))
    };
    tokio::select! {
        code = wait(SignalKind::interrupt()) => code,
        code = wait(SignalKind::terminate()) => code,
        code = wait(SignalKind::hangup()) => code,
    }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    output::complain(&format!("error: {error:#}"));
    ExitCode::FAILURE
}

//! `haulout-agent`: see the library.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use haulout_agent::{Agent, SERVE_ON, Settings};
use haulout_operate::audit::AuditLog;
use haulout_operate::clock::Clock;
use haulout_operate::shutdown::Shutdown;
use haulout_operate::startup::{
    LogSettings, harden_process, init_logging, install_crypto_provider, raise_open_files_limit,
};

/// How long tasks may take to end after the listeners have.
const FINISH: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let settings = Settings::parse();
    match start(&settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "haulout-agent failed");
            ExitCode::FAILURE
        }
    }
}

/// One thread serves everything, and two more make RSA signatures.
fn start(settings: &Settings) -> anyhow::Result<()> {
    init_logging(&LogSettings::default())?;
    harden_process()?;
    raise_open_files_limit();
    install_crypto_provider();
    tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(2)
        .enable_all()
        .build()
        .context("failed to start the runtime")?
        .block_on(run(settings))
}

async fn run(settings: &Settings) -> anyhow::Result<()> {
    let shutdown = Shutdown::on_signals(SERVE_ON)?;
    let clock = Clock::system();
    let agent = Agent::bind(settings, clock.clone(), AuditLog::stderr(clock)).await?;
    tracing::info!(address = %agent.address()?, health = %agent.health_address()?, "listening");
    agent.run(&shutdown).await;
    let all_ended = shutdown.finish(FINISH).await;
    tracing::info!(all_ended, "stopped");
    Ok(())
}

//! `haulout-webhook`: see the library.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use haulout_https::MAX_LOOKUPS;
use haulout_operate::audit::AuditLog;
use haulout_operate::clock::Clock;
use haulout_operate::cluster::ApiServer;
use haulout_operate::shutdown::Shutdown;
use haulout_operate::startup::{
    harden_process, init_logging, install_crypto_provider, raise_open_files_limit,
};
use haulout_webhook::config::Config;
use haulout_webhook::{SERVE_ON, Webhook};

/// How long tasks may take to end after the listeners have.
const FINISH: Duration = Duration::from_secs(2);

/// Threads for work that blocks, beside those that may all hang in look-ups of authenticators' peers: small files, long
/// evaluations, and look-ups of the API server and the agents, which are a few at a time. A thread lives while it is used.
const OTHER_BLOCKING_THREADS: usize = 32;

/// Exchanges tokens for short-lived client certificates, as an aggregated API of Kubernetes.
#[derive(Debug, Parser)]
#[command(version, name = "haulout-webhook")]
struct Arguments {
    /// Configuration file, YAML.
    #[arg(long, value_name = "FILE", default_value = "/etc/haulout/webhook.yaml")]
    config: PathBuf,
    /// How to reach the cluster; by default as the pod that this runs in.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Who this replica is in the leader election, in place of the file's podName.
    #[arg(long, value_name = "NAME")]
    pod_name: Option<String>,
    /// Only says what is wrong with the configuration file, one line a fault.
    #[arg(long)]
    check_config: bool,
}

fn main() -> ExitCode {
    let Arguments {
        config,
        kubeconfig,
        pod_name,
        check_config,
    } = Arguments::parse();
    let outcome = match Config::load(&config) {
        // For people: there is no log yet, and without a configuration none is set up.
        Err(error) => writeln!(io::stderr(), "{:#}", anyhow::Error::from(error))
            .map_err(anyhow::Error::from)
            .and(Ok(ExitCode::FAILURE)),
        Ok(_) if check_config => Ok(ExitCode::SUCCESS),
        Ok(config) => start(named(config, pod_name), kubeconfig).map(|()| ExitCode::SUCCESS),
    };
    outcome.unwrap_or_else(|error| {
        tracing::error!(error = format!("{error:#}"), "haulout-webhook failed");
        ExitCode::FAILURE
    })
}

/// The configuration of this replica: all read one file, which cannot tell them apart.
fn named(config: Config, pod_name: Option<String>) -> Config {
    Config {
        pod_name: pod_name.unwrap_or(config.pod_name),
        ..config
    }
}

fn start(config: Config, kubeconfig: Option<PathBuf>) -> anyhow::Result<()> {
    init_logging(&config.log)?;
    harden_process()?;
    raise_open_files_limit();
    install_crypto_provider();
    // One thread serves everything: a login is a tenth of a millisecond of work in small steps, and handing these between
    // threads costs more than a second thread gains. It is good for several thousand logins a second.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(MAX_LOOKUPS + OTHER_BLOCKING_THREADS)
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    let outcome = runtime.block_on(run(config, kubeconfig));
    // A look-up that hangs has nothing left to do.
    runtime.shutdown_background();
    outcome
}

async fn run(config: Config, kubeconfig: Option<PathBuf>) -> anyhow::Result<()> {
    let shutdown = Shutdown::on_signals(SERVE_ON)?;
    let api_server = ApiServer::find(kubeconfig.as_deref()).await?;
    let client = api_server.client()?;
    let clock = Clock::system();
    let audit = AuditLog::stderr(clock.clone());
    let webhook = Webhook::start(config, api_server, client, clock, audit, &shutdown).await?;
    tracing::info!(address = %webhook.address()?, "listening");
    if let Some(address) = webhook.direct_address()? {
        tracing::info!(%address, "listening, for direct logins");
    }
    webhook.serve(&shutdown).await;
    let all_ended = shutdown.finish(FINISH).await;
    tracing::info!(all_ended, "stopped");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_flag_goes_before_the_name_in_the_file() {
        let text = "podName: of-the-file\nagent: {service: {namespace: a, name: b}}\n";
        for (flag, expected) in [
            (&["--pod-name=of-the-flag"][..], "of-the-flag"),
            (&[], "of-the-file"),
        ] {
            let config = Config::parse(text, Path::new("x")).unwrap();
            let words = [&["haulout-webhook"], flag].concat();
            let arguments = Arguments::try_parse_from(words).unwrap();
            assert_eq!(named(config, arguments.pod_name).pod_name, expected);
        }
    }
}

//! The test issuer as a process, for the demo and the local cluster.
//!
//! `POST /token` with claims as JSON answers a token; `PUT /control/faults` and `POST /control/rotate` make it misbehave.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Parser;
use haulout_operate::startup::install_crypto_provider;
use haulout_tests::issuer::{IssuerOptions, SigningKind, TestIssuer};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

/// An OIDC issuer for tests. It mints a token for anyone who asks, so it listens on loopback only, and towards nodes of
/// our own (198.18.N.1, where N is the number of the link haulout).
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// How tokens are signed.
    #[arg(long, value_enum, default_value_t)]
    signing: SigningKind,
    /// File to write the CA certificate to, as PEM.
    #[arg(long)]
    ca_file: PathBuf,
    /// File to write `{"issuer": URL, "caFile": PATH}` to once tokens can be had; the same line goes to stdout.
    #[arg(long)]
    ready_file: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    install_crypto_provider();
    let Arguments {
        listen,
        signing,
        ca_file,
        ready_file,
    } = Arguments::parse();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let options = IssuerOptions {
        listen,
        signing,
        ..IssuerOptions::default()
    };
    let mut issuer = TestIssuer::start(options).await?;
    write_whole(&ca_file, issuer.ca_certificate_pem())?;
    let ready = json!({"issuer": issuer.url(), "caFile": ca_file}).to_string();
    if let Some(file) = ready_file {
        write_whole(&file, &ready)?;
    }
    writeln!(std::io::stdout(), "{ready}")?;
    tokio::select! {
        outcome = issuer.failed() => outcome,
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    }
}

/// Writes so that whoever waits for the file never reads half of it.
fn write_whole(path: &Path, text: &str) -> anyhow::Result<()> {
    let describe = || format!("failed to write {}", path.display());
    let partial = path.with_extension("partial");
    std::fs::write(&partial, text).with_context(describe)?;
    std::fs::rename(&partial, path).with_context(describe)
}

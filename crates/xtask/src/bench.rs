//! `cargo xtask bench`.

use anyhow::bail;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {}

pub(crate) async fn run(_arguments: Arguments) -> anyhow::Result<()> {
    bail!("not built yet")
}

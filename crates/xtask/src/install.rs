//! `cargo xtask install`: Haulout as pods on the nodes of a local cluster.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use haulout_tests::cluster::{
    Images, Installation, Profile, kept_cluster_folder, kept_clusters, kept_kubectl, kept_nodes,
};

use crate::cluster::choose;
use crate::image;
use crate::output::{say, step};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The cluster of this profile; needed when both are up
    #[arg(long)]
    profile: Option<Profile>,
    /// Values for the chart, beside the profile's preset
    #[arg(long, value_name = "FILE")]
    values: Option<PathBuf>,
}

/// Builds the images, loads them into every node, installs or upgrades the chart, and waits until logins work.
///
/// # Errors
/// No cluster with nodes is up, a build failed, or something did not become ready in time.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let kept = kept_clusters()?;
    let name = choose(&kept, arguments.profile)?;
    let folder = kept_cluster_folder(name)?;
    let nodes = kept_nodes(&folder).await?;
    ensure!(
        !nodes.is_empty(),
        "cluster {name} has no node: end it, and start it with `cargo xtask cluster up --node`"
    );
    let images = image::default_folder();
    image::build(&images).await?;
    let images = Images::in_folder(&images)?;
    step("load the images", Installation::load(&nodes, &images)).await?;

    let kubectl = kept_kubectl(&folder).await?;
    let installation = Installation::new(&kubectl).await?;
    let preset = format!("--set=agent.preset={name}");
    let file = arguments.values.as_deref().map(|path| {
        let path = std::path::absolute(path)?;
        Ok::<_, std::io::Error>(format!("--values={}", path.display()))
    });
    let file = file.transpose().context("--values is no path")?;
    let values = [preset.as_str()].into_iter().chain(file.as_deref());
    let values: Vec<&str> = values.collect();
    step("install the chart", installation.install(&values)).await?;
    step("wait until logins work", installation.wait_until_ready()).await?;
    say(&kubectl.run(["get", "credentialissuer"]).await?);
    say(&format!(
        "to use it:  eval \"$(cargo xtask cluster env --profile {name})\""
    ));
    Ok(())
}

//! `cargo xtask cluster`: a cluster that stays up until it is taken down.

use std::path::Path;

use anyhow::{Context as _, ensure};
use clap::Subcommand;
use haulout_tests::cluster::{
    Cluster, ClusterOptions, Helm, HelmVersion, KubernetesBinaries, Products, Profile,
    admin_kubeconfig, end_kept_cluster, kept_cluster_folder, kept_clusters, sweep_lost_clusters,
};
use serde_json::Value;

use crate::output::{say, step};
use crate::test::ensure_pods;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a cluster and leave it up
    Up {
        /// kubeadm or talos
        #[arg(long, default_value_t)]
        profile: Profile,
        /// Add a node that runs pods, kube-controller-manager among them, or several; needs root
        #[arg(
            long = "node",
            value_name = "COUNT",
            default_value_t = 0,
            num_args = 0..=1,
            default_missing_value = "1",
            require_equals = true,
            value_parser = clap::value_parser!(u8).range(0..=200),
        )]
        nodes: u8,
    },
    /// End clusters that were left up, and remove all they left
    Down {
        /// Only the cluster of this profile
        #[arg(long)]
        profile: Option<Profile>,
    },
    /// Print `export` lines for a shell: KUBECONFIG, PATH (with Helm, if it was built), and the CLUSTER_* variables
    /// of docs/processes.md
    Env {
        /// The cluster of this profile; needed when both are up
        #[arg(long)]
        profile: Option<Profile>,
    },
}

pub(crate) async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Up { profile, nodes } => up(profile, nodes).await,
        Command::Down { profile } => down(profile),
        Command::Env { profile } => env(profile).await,
    }
}

async fn up(profile: Profile, nodes: u8) -> anyhow::Result<()> {
    if nodes > 0 {
        ensure_pods().await?;
    }
    let options = ClusterOptions {
        nodes,
        keep_as: Some(profile.name().to_owned()),
        ..ClusterOptions::new(profile)
    };
    let with = match nodes {
        0 => String::new(),
        1 => ", with a node".to_owned(),
        count => format!(", with {count} nodes"),
    };
    let folder = step(
        &format!("start a cluster, profile {profile}{with}"),
        async { Cluster::start(options).await?.keep() },
    )
    .await?;
    say(&format!("state, keys and logs: {}", folder.display()));
    say(&format!(
        "to use it:  eval \"$(cargo xtask cluster env --profile {profile})\""
    ));
    if nodes > 0 {
        say(&format!(
            "to install: cargo xtask install --profile {profile}"
        ));
    }
    say(&format!(
        "to end it:  cargo xtask cluster down --profile {profile}"
    ));
    Ok(())
}

fn down(profile: Option<Profile>) -> anyhow::Result<()> {
    sweep_lost_clusters();
    let names: Vec<String> = kept_clusters()?
        .into_iter()
        .filter(|name| profile.is_none_or(|profile| name == profile.name()))
        .collect();
    ensure!(!names.is_empty(), "no such cluster is up");
    for name in names {
        end_kept_cluster(&name)?;
        say(&format!("ended {name}"));
    }
    Ok(())
}

async fn env(profile: Option<Profile>) -> anyhow::Result<()> {
    let kept = kept_clusters()?;
    let name = choose(&kept, profile)?;
    let folder = kept_cluster_folder(name)?;
    let kubeconfig = admin_kubeconfig(&folder);
    let binaries = KubernetesBinaries::find_or_build().await?;
    let server = server(&std::fs::read_to_string(&kubeconfig)?)
        .with_context(|| format!("{} names no server", kubeconfig.display()))?;
    say(&format!("export KUBECONFIG={}", quote(&kubeconfig)));
    let mut path = format!(
        "{}:{}",
        quote(&Products::build_folder()),
        quote(binaries.folder())
    );
    if let Some(helm) = Helm::built_folder(HelmVersion::chosen()?)? {
        path = format!("{path}:{}", quote(&helm));
    }
    say(&format!("export PATH={path}:\"$PATH\""));
    say(&format!(
        "export CLUSTER_SERVER={}",
        quote(Path::new(&server))
    ));
    for (variable, file) in [
        ("CLUSTER_CA_CERT", "pki/ca.crt"),
        ("CLUSTER_CA_KEY", "pki/ca.key"),
    ] {
        say(&format!("export {variable}={}", quote(&folder.join(file))));
    }
    Ok(())
}

/// URL of the API server in a kubeconfig.
fn server(kubeconfig: &str) -> Option<String> {
    let kubeconfig: Value = serde_saphyr::from_str(kubeconfig).ok()?;
    let server = kubeconfig.pointer("/clusters/0/cluster/server")?;
    server.as_str().map(str::to_owned)
}

pub(crate) fn choose(kept: &[String], profile: Option<Profile>) -> anyhow::Result<&str> {
    let mut fitting = kept
        .iter()
        .filter(|name| profile.is_none_or(|profile| *name == profile.name()));
    let name = fitting
        .next()
        .context("no such cluster is up; start one with `cargo xtask cluster up`")?;
    ensure!(
        fitting.next().is_none(),
        "several clusters are up ({}): say which with --profile",
        kept.join(", ")
    );
    Ok(name)
}

/// A path as one word for a POSIX shell.
fn quote(path: &Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_only_cluster_needs_no_name() {
        let kept = ["talos".to_owned()];
        assert_eq!(choose(&kept, None).unwrap(), "talos");
        assert_eq!(choose(&kept, Some(Profile::Talos)).unwrap(), "talos");
        assert!(choose(&kept, Some(Profile::Kubeadm)).is_err());
        assert!(choose(&[], None).is_err());
    }

    #[test]
    fn two_clusters_need_a_name() {
        let kept = ["kubeadm".to_owned(), "talos".to_owned()];
        let error = choose(&kept, None).unwrap_err().to_string();
        assert!(error.contains("--profile"), "{error}");
        assert_eq!(choose(&kept, Some(Profile::Talos)).unwrap(), "talos");
    }

    #[test]
    fn paths_are_quoted_for_a_shell() {
        assert_eq!(quote(Path::new("/a b/c")), "'/a b/c'");
        assert_eq!(quote(Path::new("/it's")), r"'/it'\''s'");
    }
}

//! `talos patch`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use haulout_api::group::DEFAULT_SUFFIX;

use crate::talos::{Generation, Patch, Step};

#[derive(Debug, Subcommand)]
pub(crate) enum Talos {
    /// Prints the patch of a machine config that fits a cluster, or says why another would break it.
    Patch(Box<TalosPatchFlags>),
}

/// Flags of `talos patch`.
#[derive(Args, Debug)]
pub(crate) struct TalosPatchFlags {
    /// Machine config of a control plane node: a file, or - for stdin. Nothing secret of it is printed.
    pub(crate) config: Option<PathBuf>,

    /// What the patch is for.
    #[arg(long, value_enum, default_value_t = Patch::LeastPrivilege)]
    pub(crate) patch: Patch,

    /// Half of the patch that takes two steps [default: the one that the machine config lacks].
    #[arg(long, value_enum)]
    pub(crate) step: Option<Step>,

    /// Talos that the node runs, such as 1.13.6 [default: that of the machine config's installer].
    #[arg(long, value_name = "VERSION")]
    pub(crate) talos_version: Option<String>,

    /// Kind of the machine config, where none is given: multi-doc if it has a KubeAPIServerConfig.
    #[arg(long, value_enum)]
    pub(crate) generation: Option<Generation>,

    /// Kubernetes that the API server is of [default: that of its image].
    #[arg(long, value_name = "VERSION")]
    pub(crate) kubernetes_version: Option<String>,

    /// API group suffix of the installation.
    #[arg(long, default_value = DEFAULT_SUFFIX, value_name = "SUFFIX")]
    pub(crate) api_group_suffix: String,

    /// For cluster-info: the API server as clients reach it [default: the machine config's endpoint].
    #[arg(long, value_name = "URL")]
    pub(crate) server: Option<String>,

    /// For cluster-info: PEM file with the Kubernetes CA [default: the machine config's].
    #[arg(long, value_name = "FILE")]
    pub(crate) certificate_authority: Option<PathBuf>,

    /// For install-external: where the nodes get the manifest.
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,

    /// For install-inline: a file with all objects.
    #[arg(long, value_name = "FILE")]
    pub(crate) manifest: Option<PathBuf>,
}

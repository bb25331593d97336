//! `whoami`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use haulout_api::group::DEFAULT_SUFFIX;

use super::{ClusterFlags, Verbosity};
use crate::go_duration;

/// Flags of `whoami`.
#[derive(Args, Debug)]
pub(crate) struct WhoAmIFlags {
    /// How the answer is printed.
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    pub(crate) output: AnswerFormat,

    /// Kubeconfig to use [default: as kubectl, $KUBECONFIG, then ~/.kube/config].
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,

    /// Context of the kubeconfig [default: its current one].
    #[arg(long, visible_alias = "context", value_name = "NAME")]
    kubeconfig_context: Option<String>,

    /// API group suffix of the installation.
    #[arg(long, default_value = DEFAULT_SUFFIX, value_name = "SUFFIX")]
    pub(crate) api_group_suffix: String,

    /// How long the answer may take, such as 10s or 1m30s; 0 for as long as it takes.
    #[arg(long, default_value = "30s", value_name = "DURATION", value_parser = go_duration::parse)]
    pub(crate) timeout: Duration,

    #[command(flatten)]
    pub(crate) verbosity: Verbosity,
}

impl WhoAmIFlags {
    /// Which cluster is asked.
    pub(crate) fn cluster(&self) -> ClusterFlags {
        ClusterFlags {
            kubeconfig: self.kubeconfig.clone(),
            context: self.kubeconfig_context.clone(),
        }
    }
}

/// Whom an answer is printed for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum AnswerFormat {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
    /// For programs and people.
    Yaml,
}

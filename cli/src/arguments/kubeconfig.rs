//! `kubeconfig`.

use std::path::PathBuf;

use clap::Args;

use super::{ClusterFlags, Verbosity};

/// Flags of `kubeconfig`.
#[derive(Args, Debug)]
pub(crate) struct CatalogueFlags {
    /// Catalogue of clusters: an https URL, configmap/NAMESPACE/NAME (or cm/), a file, or - for stdin.
    #[arg(long, value_name = "SOURCE")]
    pub(crate) from: String,

    /// Only this cluster of the catalogue; may be repeated. The first one becomes the current context.
    #[arg(long, value_name = "NAME")]
    pub(crate) cluster: Vec<String>,

    /// File to write [default: stdout]; left as it is where something fails.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// Program that kubectl runs: a path, or a name in PATH [default: the path of this one].
    #[arg(long, value_name = "COMMAND")]
    pub(crate) command: Option<String>,

    /// For a URL: file with CA certificates, PEM, that may sign its server's certificate, in place of this system's; may be
    /// repeated.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_bundle: Vec<PathBuf>,

    /// Where a ConfigMap is read.
    #[command(flatten)]
    pub(crate) reader: ClusterFlags,

    #[command(flatten)]
    pub(crate) verbosity: Verbosity,
}

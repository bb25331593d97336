//! What is asked for.

use clap::ValueEnum;
use haulout_api::group::ApiGroupSuffix;
use rustls::pki_types::CertificateDer;

use super::version::Version;

/// What a patch is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Patch {
    /// Opens the one path of a login to callers without credentials.
    LeastPrivilege,
    /// Lets callers without credentials in everywhere, and RBAC decide.
    AnonymousAuth,
    /// Makes the ConfigMap kube-public/cluster-info.
    ClusterInfo,
    /// Exempts the agent's namespace from PodSecurity.
    PsaExemption,
    /// Has Talos install Haulout from a URL.
    InstallExternal,
    /// Has Talos install Haulout from the machine config.
    InstallInline,
}

/// How a machine config configures the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Generation {
    /// By `cluster.apiServer`.
    Legacy,
    /// By documents such as `KubeAPIServerConfig`.
    MultiDoc,
}

/// Half of the patch that takes two steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Step {
    /// Puts the file on the node.
    File,
    /// Names the file to the API server.
    Flags,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Wishes {
    pub(crate) patch: Patch,
    pub(crate) step: Option<Step>,
    pub(crate) talos: Option<Version>,
    pub(crate) generation: Option<Generation>,
    pub(crate) kubernetes: Option<Version>,
    pub(crate) suffix: ApiGroupSuffix,
    /// Checked URL of the API server.
    pub(crate) server: Option<String>,
    pub(crate) certificates: Option<Vec<CertificateDer<'static>>>,
    /// Checked URL of a manifest.
    pub(crate) url: Option<String>,
    pub(crate) manifest: Option<String>,
}

/// What has to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Missing {
    #[error("give a machine config (a file, or - for stdin), or --talos-version")]
    ConfigOrVersion,
    #[error(
        "from 1.14 on there are two kinds of machine configs: give it, or --generation legacy (no KubeAPIServerConfig in it) or \
         multi-doc"
    )]
    Generation,
    #[error(
        "this machine config does not say which Talos the node runs: give --talos-version, as `talosctl -n NODE version` \
         prints it"
    )]
    TalosVersion,
    #[error("the tag of the API server's image is no version: give --kubernetes-version")]
    KubernetesVersion,
    #[error(
        "without a machine config this patch is made in two steps: give --step file, and later --step flags"
    )]
    Step,
    #[error(
        "step 1 is in this machine config, and from 1.14 on Talos writes the file when it boots next, not before: see that \
         `talosctl -n NODE read {}` prints it, and give --step flags",
        super::machine_config::AUTHENTICATION_FILE
    )]
    Reboot,
    #[error(
        "no control plane endpoint is known: give --server, the API server's address as clients reach it"
    )]
    Server,
    #[error("no Kubernetes CA is known: give --certificate-authority, a PEM file")]
    CertificateAuthority,
    #[error("give --url, where the control plane nodes get the manifest")]
    Url,
    #[error(
        "give --manifest, a file with all objects, such as manifests/install-talos.yaml with your registry in it"
    )]
    Manifest,
}

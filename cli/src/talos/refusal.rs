//! Why a patch is not printed: what would happen, and what to do instead.

use super::cluster_info::ServerError;
use super::machine_config::AUTHENTICATION_FILE;
use super::manifest::ManifestError;
use super::version::Version;
use crate::installation::AGENT_NAMESPACE;

/// A combination of patch and cluster that breaks something, or does nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(
        "this is the machine config of a worker, which has no API server: Talos refuses the patch there or does nothing with \
         it; take the config of a control plane node"
    )]
    Worker,
    #[error(
        "Talos {0} is older than 1.7, the oldest that these patches are meant for (the oldest tried is 1.11.6); upgrade it"
    )]
    TalosTooOld(Version),
    #[error(
        "Talos {0} knows no multi-doc config: it refuses the documents KubeAPIServerConfig and KubeAuthenticationConfig as not \
         registered; they come with 1.14"
    )]
    NoMultiDoc(Version),
    #[error(
        "this machine config is legacy (it has no KubeAPIServerConfig), and patches for multi-doc do not fit: Talos would take \
         KubeAuthenticationConfig and do nothing with it, and would refuse KubeAdmissionControlConfig; leave out --generation"
    )]
    IsLegacy,
    #[error(
        "this machine config is multi-doc (it has KubeAPIServerConfig), and patches for legacy do not fit: Talos refuses \
         cluster.apiServer beside it; leave out --generation"
    )]
    IsMultiDoc,
    #[error(
        "this machine config has both cluster.apiServer and KubeAPIServerConfig, which Talos refuses; remove one of them"
    )]
    BothGenerations,
    #[error(
        "on a multi-doc config Talos refuses the flag anonymous-auth; use --patch least-privilege, which is the \
         KubeAuthenticationConfig that it asks for"
    )]
    FlagOnMultiDoc,
    #[error(
        "Talos {0} always passes --anonymous-auth on, and an empty value stops the API server: no path can be opened alone \
         before 1.13; use the direct endpoint (talos-patches/direct-endpoint.md), or --patch anonymous-auth, which opens more"
    )]
    FlagStays(Version),
    #[error(
        "Talos {0} refuses authentication-config on a legacy config, by a mistake that 1.14.0-rc.1 no longer has; upgrade it, \
         use the direct endpoint (talos-patches/direct-endpoint.md), or --patch anonymous-auth"
    )]
    AuthenticationConfigDenied(Version),
    #[error(
        "Kubernetes {0} knows no paths for callers without credentials, so the API server would not start; upgrade it to 1.32 \
         or later, or use the direct endpoint (talos-patches/direct-endpoint.md)"
    )]
    KubernetesTooOld(Version),
    #[error(
        "feature-gates switches AnonymousAuthConfigurableEndpoints off, and the API server would not start; remove that"
    )]
    GateOff,
    #[error(
        "cluster.apiServer.extraArgs has {}, which is the same flag to the API server as with hyphens, and another to Talos: the \
         patch would not replace it, and both would count; write it with hyphens (`talosctl -n NODE edit machineconfig`)",
        flags.join(", ")
    )]
    Underscores { flags: Vec<String> },
    #[error(
        "the API server does not start with {} beside --authentication-config: that issuer has to become an entry of jwt in the file \
         of --step file (--talos-version without a machine config prints it), and those flags have to go in the same change that adds \
         those of --step flags; talos-patches/README.md shows how", flags.join(", ")
    )]
    OidcFlags { flags: Vec<String> },
    #[error(
        "the API server reads {0} by authentication-config, and this machine config does not say what is in it, so its entries of \
         jwt would be lost: write them into the file of --step file (--talos-version without a machine config prints it), and apply \
         both steps by hand"
    )]
    UnknownFile(String),
    #[error(
        "{0}, which the API server reads by authentication-config, opens the path of a login already"
    )]
    OpenByOwnFile(String),
    #[error(
        "both steps are in this machine config already; a second time would mount {0} twice, and the API server would not start",
        super::machine_config::AUTHENTICATION_FOLDER
    )]
    AlreadyOpen,
    #[error(
        "this machine config names {AUTHENTICATION_FILE} and has anonymous-auth as well, so the API server does not start; set \
         anonymous-auth to \"\": `talosctl -n NODE edit machineconfig`"
    )]
    HalfOpen,
    #[error(
        "cluster.apiServer.extraVolumes mounts {0} already; a second time the API server would not start: remove the entry \
         (`talosctl -n NODE edit machineconfig`), or add the two extraArgs of the patch by hand",
        super::machine_config::AUTHENTICATION_FOLDER
    )]
    FolderMounted,
    #[error(
        "machine.files has {AUTHENTICATION_FILE} already, and the patch would add it once more; go on with --step flags, or \
         change it by `talosctl -n NODE edit machineconfig` and a reboot"
    )]
    FileIsThere,
    #[error(
        "machine.files has no {AUTHENTICATION_FILE}, and without it the API server does not start; apply --step file first, and \
         see that the node has rebooted since"
    )]
    FileIsMissing,
    #[error(
        "{AUTHENTICATION_FILE} in machine.files does not open {0}; put the path there by `talosctl -n NODE edit machineconfig`, \
         and reboot the node"
    )]
    FileOpensOther(String),
    #[error(
        "{AUTHENTICATION_FILE} in machine.files lacks entries of jwt that the file has which the API server reads now: {0}; those \
         users could not log in any more. Put them there by `talosctl -n NODE edit machineconfig`, and reboot the node"
    )]
    FileLacksJwt(usize),
    #[error("a multi-doc config takes this patch in one step; leave out --step")]
    NoSteps,
    #[error(
        "this machine config has KubeAPIServerConfig and no KubeAuthenticationConfig: Talos makes an empty file of that, and the \
         API server does not start; apply --patch least-privilege first"
    )]
    NoAuthentication,
    #[error(
        "this machine config has no KubeAuthorizerConfig of type {0}, and beside KubeAPIServerConfig Talos adds none; without it \
         the rights of a login, or those of the nodes, count for nothing: add it first"
    )]
    NoAuthorizer(&'static str),
    #[error(
        "the configuration of authentication has {}, which the API server does not know and does not start with; remove it first", keys.join(", ")
    )]
    UnknownKeys { keys: Vec<String> },
    #[error(
        "the API server reads {0} by authentication-config. If it opens paths, the flag would stop the API server; if not, \
         opening one path there is better than opening all (--patch least-privilege says how)"
    )]
    FlagBesideFile(String),
    #[error(
        "PodSecurity is not configured in this machine config, so there is nothing to be exempt from, and the patch would be \
         half a configuration; the label of the namespace is enough"
    )]
    NoPodSecurity,
    #[error(
        "{AGENT_NAMESPACE} is exempt already; a second time the API server would not start (\"Duplicate value\")"
    )]
    AlreadyExempt,
    #[error(
        "this machine config has an inline manifest {0} already, and Talos refuses the same name twice; remove the entry first \
         (`talosctl -n NODE edit machineconfig`)"
    )]
    ManifestIsThere(String),
    #[error(
        "the inline manifest {0} seems to make kube-public/cluster-info already; change that one"
    )]
    ClusterInfoIsThere(String),
    #[error("cluster.extraManifests has this URL already; the patch would add it once more")]
    UrlIsThere,
    #[error(
        "the endpoint of the control plane in this machine config {0}; give the right one by --server"
    )]
    Endpoint(ServerError),
    #[error("the manifest cannot be put into a machine config: {0}")]
    Manifest(ManifestError),
}

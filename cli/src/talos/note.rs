//! What to know about a patch that is printed.

use std::fmt;

use super::version::Version;

/// A remark on a patch and the machine config that it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    /// The version comes from the installer's image, which upgrades do not change.
    InstallerVersion(Version),
    /// The user's entries are in the patch.
    JwtCarried(usize),
    /// Paths that are open already stay so.
    PathsCarried(Vec<String>),
    /// Everything was open.
    WasOpen,
    /// Nothing was open, not even for probes.
    WasClosed,
    /// The document was missing.
    WasMissing,
    /// The flag had a value.
    ReplacesFlag(String),
    /// The API server reads another file now.
    ReplacesFile(String),
    /// A document that nothing reads.
    IgnoredDocument,
    /// Kubernetes 1.31 has it switched off.
    FeatureGate,
    /// Nothing on this node can sign.
    NoControllerManager,
    /// There is a way that opens less.
    LeastPrivilegeIsPossible,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InstallerVersion(version) => write!(
                f,
                "Talos {version} is what machine.install.image says, which upgrades leave as it is. On Talos 1.12 and older \
                 this patch would stop the API server: see what `talosctl -n NODE version` says, and give it by --talos-version."
            ),
            Self::JwtCarried(count) => write!(
                f,
                "The entries of jwt that count today are repeated in the patch, since it takes the place of where they are: {count}."
            ),
            Self::PathsCarried(paths) => write!(
                f,
                "These paths are open to callers without credentials already, and stay so: {}.",
                paths.join(", ")
            ),
            Self::WasOpen => f.write_str(
                "As it is, this machine config opens EVERY path to callers without credentials; the patch ends that.",
            ),
            Self::WasClosed => f.write_str(
                "As it is, this machine config opens no path at all; the patch opens the three health paths too.",
            ),
            Self::WasMissing => f.write_str(
                "As it is, this machine config has no KubeAuthenticationConfig, and its API server does not start; the patch \
                 brings one.",
            ),
            Self::ReplacesFlag(value) => write!(
                f,
                "The patch replaces the anonymous-auth: \"{value}\" that is there."
            ),
            Self::ReplacesFile(file) => write!(
                f,
                "With step 2 the API server reads the new file in place of {file}. Once it does on all nodes, that one and its \
                 volume may go from the machine config."
            ),
            Self::IgnoredDocument => f.write_str(
                "The KubeAuthenticationConfig in this machine config does nothing while there is no KubeAPIServerConfig, and its \
                 jwt lets nobody in. Entries that you want belong in the file of this patch.",
            ),
            Self::FeatureGate => f.write_str(
                "Kubernetes 1.31 knows paths for callers without credentials as an alpha feature, so its gate is switched on.",
            ),
            Self::NoControllerManager => f.write_str(
                "kube-controller-manager is switched off in this machine config, and its key is what Haulout signs with: another \
                 control plane node has to run it, or nobody can log in.",
            ),
            Self::LeastPrivilegeIsPossible => f.write_str(
                "This Talos can open the path of a login alone: prefer --patch least-privilege.",
            ),
        }
    }
}

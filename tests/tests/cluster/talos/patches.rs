//! The files of `talos-patches/`, what each is for, and what it has to lead to.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use haulout_api::group::ApiGroupSuffix;
use haulout_tests::cluster::workspace_root;
use haulout_tests::talos::{Generation, State, Version};

pub(crate) const HEALTH_PATHS: [&str; 3] = ["/livez", "/readyz", "/healthz"];

/// A patch, or two that belong together.
pub(crate) struct Patch {
    /// Files, applied one after the other; the last one is what the row is about.
    pub(crate) files: &'static [&'static str],
    /// Flags of `haulout talos patch` that ask for the last file, whatever fits.
    pub(crate) wish: &'static [&'static str],
    meant: fn(Version, Generation) -> Meant,
}

/// What a patch is for a version and generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meant {
    /// To be used, and where it leads.
    For(Leads),
    /// For others; whatever Talos says, `haulout talos patch` has to refuse it.
    NotFor,
    /// To be used, but its kind of document is newer than the module.
    NotChecked,
    /// To be used from this version on, which there is no module of.
    From(&'static str),
}

/// Where a patch leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leads {
    /// Nowhere else: nobody is let in who was not before.
    Nowhere,
    /// The path of a login, beside what Talos opens itself.
    Login,
    /// Everything, and RBAC decides.
    Everything,
}

impl Leads {
    pub(crate) fn state(self, generation: Generation) -> State {
        let health = HEALTH_PATHS.map(str::to_owned);
        let login = [login_path()];
        match (self, generation) {
            (Self::Everything, _) => State::FlagTrue,
            (Self::Nowhere, Generation::Legacy) => State::FlagFalse,
            (Self::Nowhere, Generation::Documents) => State::Paths(health.to_vec()),
            (Self::Login, Generation::Legacy) => State::Paths(login.to_vec()),
            (Self::Login, Generation::Documents) => State::Paths([&health[..], &login].concat()),
        }
    }
}

pub(crate) fn login_path() -> String {
    let group = ApiGroupSuffix::default().login_group();
    format!("/apis/{group}/v1alpha1/tokencredentialrequests")
}

const URL: &str = "--url=https://manifests.example.com/haulout.yaml";

/// All patches.
pub(crate) const PATCHES: [Patch; 11] = [
    Patch {
        files: &["1.14/least-privilege.yaml"],
        wish: &["--generation=multi-doc"],
        meant: |_, generation| match generation {
            Generation::Documents => Meant::For(Leads::Login),
            Generation::Legacy => Meant::NotFor,
        },
    },
    Patch {
        files: &["1.13/least-privilege-file.yaml"],
        wish: &["--generation=legacy", "--step=file"],
        meant: |version, generation| match generation {
            Generation::Legacy if version >= Version::V1_13 => Meant::For(Leads::Nowhere),
            _ => Meant::NotFor,
        },
    },
    Patch {
        files: &[
            "1.13/least-privilege-file.yaml",
            "1.13/least-privilege-flags.yaml",
        ],
        wish: &["--generation=legacy", "--step=flags"],
        meant: |version, generation| match (version, generation) {
            (Version::V1_13 | Version::V1_13_6, _) => Meant::For(Leads::Login),
            // The alphas deny the file, by a mistake.
            (Version::V1_14, Generation::Legacy) => Meant::From("1.14.0-rc.1"),
            _ => Meant::NotFor,
        },
    },
    Patch {
        files: &["legacy/anonymous-auth.yaml"],
        wish: &["--generation=legacy", "--patch=anonymous-auth"],
        meant: |_, generation| match generation {
            Generation::Legacy => Meant::For(Leads::Everything),
            Generation::Documents => Meant::NotFor,
        },
    },
    Patch {
        files: &["cluster-info.template.yaml"],
        wish: &["--patch=cluster-info"],
        meant: |_, _| Meant::For(Leads::Nowhere),
    },
    Patch {
        files: &["1.14/cluster-info.template.yaml"],
        wish: &["--generation=multi-doc", "--patch=cluster-info"],
        meant: newer_than_the_module,
    },
    Patch {
        files: &["optional/psa-exemption.yaml"],
        wish: &["--generation=legacy", "--patch=psa-exemption"],
        meant: |_, generation| match generation {
            Generation::Legacy => Meant::For(Leads::Nowhere),
            Generation::Documents => Meant::NotFor,
        },
    },
    Patch {
        files: &["1.14/optional/psa-exemption.yaml"],
        wish: &["--generation=multi-doc", "--patch=psa-exemption"],
        meant: |_, generation| match generation {
            Generation::Documents => Meant::For(Leads::Nowhere),
            Generation::Legacy => Meant::NotFor,
        },
    },
    Patch {
        files: &["install-external.yaml"],
        wish: &["--patch=install-external", URL],
        meant: |_, _| Meant::For(Leads::Nowhere),
    },
    Patch {
        files: &["1.14/install-external.yaml"],
        wish: &["--generation=multi-doc", "--patch=install-external", URL],
        meant: newer_than_the_module,
    },
    Patch {
        files: &["install-inline.template.yaml"],
        wish: &["--patch=install-inline"],
        meant: |_, _| Meant::For(Leads::Nowhere),
    },
];

fn newer_than_the_module(version: Version, _: Generation) -> Meant {
    match version {
        Version::V1_14 => Meant::NotChecked,
        _ => Meant::NotFor,
    }
}

/// What the header of a file says of a second application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    AsOftenAsYouLike,
    OnceOnly,
}

impl Patch {
    /// What its row is called.
    pub(crate) fn name(&self) -> String {
        let names: Vec<String> = self.files.iter().map(|file| format!("`{file}`")).collect();
        names.join(", ")
    }

    pub(crate) fn meant(&self, version: Version, generation: Generation) -> Meant {
        (self.meant)(version, generation)
    }

    /// What is applied, with the values that a template asks for.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.files.iter().map(|file| fill(&read(file))).collect()
    }

    pub(crate) fn again(&self) -> Again {
        let file = self.files.last().unwrap();
        let text = read(file);
        let mut lines = text.lines();
        let line = lines.find_map(|line| line.strip_prefix("# Again"));
        match line.unwrap_or_default().trim() {
            says if says.starts_with("as often as you like") => Again::AsOftenAsYouLike,
            says if says.starts_with("once only") || says.starts_with("NEVER") => Again::OnceOnly,
            other => panic!("{file}: says of a second application: {other:?}"),
        }
    }
}

pub(crate) fn read(file: &str) -> String {
    let path = workspace_root().join("talos-patches").join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What is filled into a template, but for comments.
fn fill(template: &str) -> String {
    let manifest = workspace_root().join("manifests/install-talos.yaml");
    let manifest = std::fs::read_to_string(manifest).unwrap();
    let manifest = manifest.replace('\n', "\n        ");
    let lines = template.lines().map(|line| {
        if line.starts_with('#') {
            return line.to_owned();
        }
        line.replace("$SERVER", "https://controlplane.example.com:6443")
            .replace("$CA_DATA", &STANDARD.encode("-----BEGIN CERTIFICATE-----"))
            .replace("$MANIFEST", &manifest)
    });
    lines.map(|line| line + "\n").collect()
}

/// Files that are for kubectl, not for Talos.
pub(crate) const MANIFESTS: [&str; 2] = ["namespace.yaml", "legacy/harden-public-info-viewer.yaml"];

//! `haulout talos patch`: prints the patch that fits a cluster, or why none does.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use haulout_api::group::{ApiGroupSuffix, SuffixError};
use reqwest::Url;

use super::cluster_info::{CertificateError, ServerError, parse_certificates, parse_server};
use super::decide::{NoPlan, decide};
use super::machine_config::{ConfigError, MachineConfig};
use super::text::render;
use super::version::{Version, VersionError};
use super::wishes::{Missing, Patch, Wishes};
use crate::arguments::TalosPatchFlags;
use crate::standard_output::{PrintError, print};

/// What names stdin in place of a file.
const STDIN: &str = "-";
/// More than any machine config: Talos takes no such message.
const INPUT_LIMIT: u64 = 64 << 20;

/// Why no patch was printed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PatchError {
    #[error("invalid --api-group-suffix")]
    Suffix(#[source] SuffixError),
    #[error("invalid --{flag}")]
    Version {
        flag: &'static str,
        source: VersionError,
    },
    #[error("invalid --server: it {0}")]
    Server(ServerError),
    #[error("invalid --url: write it as https://HOST/PATH")]
    Url,
    #[error("--{0} is for another --patch; leave it out")]
    Unused(&'static str),
    #[error(transparent)]
    Missing(Missing),
    #[error("failed to read {}", named(path))]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is no text in UTF-8, or longer than 64 MiB", named(.0))]
    NotText(PathBuf),
    #[error("{} cannot be used", named(path))]
    Certificates {
        path: PathBuf,
        source: CertificateError,
    },
    #[error("failed to understand the machine config of {}", named(path))]
    Config { path: PathBuf, source: ConfigError },
    #[error("no patch was printed, for the reasons above")]
    Refused,
    #[error("failed to write the patch as YAML")]
    Encode(#[source] Box<serde_saphyr::ser::Error>),
    #[error(transparent)]
    Print(#[from] PrintError),
}

impl PatchError {
    /// Whether the command line is at fault.
    pub(crate) fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Suffix(_)
                | Self::Version { .. }
                | Self::Server(_)
                | Self::Url
                | Self::Unused(_)
                | Self::Missing(_)
        )
    }
}

/// Prints the patch, or on `stderr` a line for each reason why there is none.
pub(crate) fn run(
    flags: &TalosPatchFlags,
    stdin: &mut dyn Read,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> Result<(), PatchError> {
    let wishes = wishes(flags)?;
    let config = flags.config.as_deref();
    let config = config.map(|path| read_config(path, stdin)).transpose()?;
    let plan = match decide(&wishes, config.as_ref()) {
        Ok(plan) => plan,
        Err(NoPlan::Missing(missing)) => return Err(PatchError::Missing(missing)),
        Err(NoPlan::Refused(refusals)) => {
            for refusal in refusals {
                // Nobody is left to tell when stderr is closed.
                drop(writeln!(
                    stderr,
                    "Refused: {}",
                    crate::printable(&refusal.to_string())
                ));
            }
            return Err(PatchError::Refused);
        }
    };
    let text = render(&plan, &wishes.suffix);
    let text = text.map_err(|error| PatchError::Encode(Box::new(error)))?;
    Ok(print(stdout, &text)?)
}

fn wishes(flags: &TalosPatchFlags) -> Result<Wishes, PatchError> {
    let unused = [
        ("step", flags.step.is_some(), Patch::LeastPrivilege),
        ("server", flags.server.is_some(), Patch::ClusterInfo),
        (
            "certificate-authority",
            flags.certificate_authority.is_some(),
            Patch::ClusterInfo,
        ),
        ("url", flags.url.is_some(), Patch::InstallExternal),
        ("manifest", flags.manifest.is_some(), Patch::InstallInline),
    ]
    .into_iter()
    .find(|(_, is_given, patch)| *is_given && *patch != flags.patch);
    if let Some((flag, ..)) = unused {
        return Err(PatchError::Unused(flag));
    }
    let server = flags.server.as_deref().map(parse_server);
    let certificates = flags.certificate_authority.as_deref().map(|path| {
        let pem = read_file(path)?;
        parse_certificates(pem.as_bytes()).map_err(|source| PatchError::Certificates {
            path: path.to_owned(),
            source,
        })
    });
    let manifest = flags.manifest.as_deref().map(read_file);
    Ok(Wishes {
        patch: flags.patch,
        step: flags.step,
        talos: version("talos-version", flags.talos_version.as_deref())?,
        generation: flags.generation,
        kubernetes: version("kubernetes-version", flags.kubernetes_version.as_deref())?,
        suffix: ApiGroupSuffix::parse(flags.api_group_suffix.as_str())
            .map_err(PatchError::Suffix)?,
        server: server.transpose().map_err(PatchError::Server)?,
        url: flags.url.as_deref().map(manifest_url).transpose()?,
        certificates: certificates.transpose()?,
        manifest: manifest.transpose()?,
    })
}

fn version(flag: &'static str, text: Option<&str>) -> Result<Option<Version>, PatchError> {
    let version = text.map(str::parse).transpose();
    version.map_err(|source| PatchError::Version { flag, source })
}

fn manifest_url(text: &str) -> Result<String, PatchError> {
    let url = Url::parse(text).map_err(|_| PatchError::Url)?;
    let is_plain = url.username().is_empty() && url.password().is_none();
    if url.scheme() == "https" && is_plain && url.fragment().is_none() {
        Ok(url.into())
    } else {
        Err(PatchError::Url)
    }
}

fn read_config(path: &Path, stdin: &mut dyn Read) -> Result<MachineConfig, PatchError> {
    let text = if path == Path::new(STDIN) {
        read(path, stdin)?
    } else {
        read_file(path)?
    };
    MachineConfig::parse(&text).map_err(|source| PatchError::Config {
        path: path.to_owned(),
        source,
    })
}

fn read_file(path: &Path) -> Result<String, PatchError> {
    let mut file = std::fs::File::open(path).map_err(|source| PatchError::Read {
        path: path.to_owned(),
        source,
    })?;
    read(path, &mut file)
}

fn read(path: &Path, input: &mut dyn Read) -> Result<String, PatchError> {
    let mut bytes = Vec::new();
    input
        .take(INPUT_LIMIT + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| PatchError::Read {
            path: path.to_owned(),
            source,
        })?;
    let is_short = u64::try_from(bytes.len()).is_ok_and(|length| length <= INPUT_LIMIT);
    let text = String::from_utf8(bytes).ok().filter(|_| is_short);
    text.ok_or_else(|| PatchError::NotText(path.to_owned()))
}

fn named(path: &Path) -> String {
    if path == Path::new(STDIN) {
        "stdin".to_owned()
    } else {
        path.display().to_string()
    }
}

//! Talos' own code, asked what it makes of machine configs, and what kube-apiserver is told in the end.
//!
//! No module of Talos says the last part whole: the merging of arguments is Talos' own where [`Version::merger`] names a
//! module that has it, and else our model of it. What Talos sets itself is a list of ours in any case.

mod config;
mod render;
mod state;

use std::path::PathBuf;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::config::documents;
pub use self::render::Rendered;
pub use self::state::{Broken, Cause, State};
use crate::cluster::{find_or_build_talos_arguments, find_or_build_talos_machinery};
use crate::go_program::ask;

/// A version of Talos whose machinery module can be had.
#[derive(Clone, Copy, Debug, Eq, PartialEq, PartialOrd, Ord)]
pub enum Version {
    /// 1.11.6.
    V1_11,
    /// 1.12.6.
    V1_12,
    /// 1.13.0.
    V1_13,
    /// 1.13.6, the first that reads arguments with several values.
    V1_13_6,
    /// 1.14.0-alpha.2, the last of 1.14 that can be had.
    V1_14,
}

impl Version {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::V1_11,
        Self::V1_12,
        Self::V1_13,
        Self::V1_13_6,
        Self::V1_14,
    ];

    /// Those of the default run.
    pub const DEFAULT: [Self; 2] = [Self::V1_13, Self::V1_14];

    /// Its number, without a `v`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V1_11 => "1.11.6",
            Self::V1_12 => "1.12.6",
            Self::V1_13 => "1.13.0",
            Self::V1_13_6 => "1.13.6",
            Self::V1_14 => "1.14.0-alpha.2",
        }
    }

    /// Version of Talos' main module that merges arguments as this one does, if it can be had.
    pub const fn merger(self) -> Option<&'static str> {
        match self {
            Self::V1_12 => Some("1.12.0"),
            Self::V1_13 | Self::V1_13_6 => Some("1.13.0"),
            Self::V1_11 | Self::V1_14 => None,
        }
    }
}

/// How a config is written: one document for all, or a document for each component of Kubernetes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, PartialOrd, Ord)]
pub enum Generation {
    /// `cluster.apiServer`: the only one up to 1.13, and what an upgraded cluster keeps.
    Legacy,
    /// `KubeAPIServerConfig` and its like: what 1.14 generates.
    Documents,
}

/// Whose config.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Machine {
    /// A node with kube-apiserver.
    ControlPlane,
    /// Any other.
    Worker,
}

/// What Talos is asked: a config and patches, applied one after the other.
#[derive(Clone, Debug, Serialize)]
pub struct Case {
    /// As it stands, or one to be generated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
    /// For whom it is generated.
    #[serde(rename = "type")]
    pub machine: Machine,
    /// The version of Talos that it is generated for, if not the module's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contract: Option<&'static str>,
    /// The installer's image, whose tag is the version.
    pub image: String,
    /// YAML each.
    pub patches: Vec<String>,
}

impl Case {
    /// A new config of that generation, unpatched.
    pub fn new(machine: Machine, version: Version, generation: Generation) -> Self {
        let contract = match (version, generation) {
            (Version::V1_14, Generation::Legacy) => Some("1.13"),
            _ => None,
        };
        Self {
            config: None,
            machine,
            contract,
            image: format!("registry.example.com/installer:v{}", version.name()),
            patches: Vec::new(),
        }
    }

    /// This config with these patches.
    pub fn patched(config: &Config, patches: &[impl AsRef<str>]) -> Self {
        Self {
            config: Some(config.text.clone()),
            machine: Machine::ControlPlane,
            contract: None,
            image: String::new(),
            patches: patches
                .iter()
                .map(|text| text.as_ref().to_owned())
                .collect(),
        }
    }
}

/// What Talos says.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// A config or a patch does not load, or the patch does not apply.
    Refused(String),
    /// The patched config.
    Config(Box<Config>),
}

impl Verdict {
    /// The config, if Talos would accept it.
    ///
    /// # Errors
    /// Why not.
    pub fn accepted(self) -> Result<Config, String> {
        match self {
            Self::Refused(why) => Err(why),
            Self::Config(config) => match config.invalid {
                Some(why) => Err(why),
                None => Ok(*config),
            },
        }
    }
}

/// A machine config as Talos wrote it.
#[derive(Clone, Debug)]
pub struct Config {
    /// YAML.
    pub text: String,
    /// Why Talos would not accept it.
    pub invalid: Option<String>,
    /// What Talos says besides.
    pub warnings: Vec<String>,
    /// On a control plane node.
    pub api_server: Option<ApiServer>,
}

/// What Talos hands to the code that writes kube-apiserver's static pod.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApiServer {
    /// The user's arguments: a text for each up to 1.12, and a list since.
    #[serde(deserialize_with = "null_as_default")]
    pub extra_args: serde_json::Map<String, Value>,
    /// Authentication is configured by a document, never by flags.
    pub uses_document: bool,
    /// What that document holds.
    pub authentication: Option<Value>,
}

fn null_as_default<'de, D: serde::Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// The programs for one version.
#[derive(Clone, Debug)]
pub struct Talos {
    version: Version,
    machinery: PathBuf,
    merger: Option<PathBuf>,
}

impl Talos {
    /// Builds the programs first if they are missing or stale, which takes one or two minutes.
    ///
    /// # Errors
    /// `go` is not installed, or a build failed.
    pub async fn find_or_build(version: Version) -> anyhow::Result<Self> {
        let merger = match version.merger() {
            Some(version) => Some(find_or_build_talos_arguments(version).await?),
            None => None,
        };
        Ok(Self {
            version,
            machinery: find_or_build_talos_machinery(version.name()).await?,
            merger,
        })
    }

    /// Which version it is.
    pub fn version(&self) -> Version {
        self.version
    }

    /// One verdict per case, in the same order.
    ///
    /// # Errors
    /// A case makes no sense.
    pub async fn judge(&self, cases: &[Case]) -> anyhow::Result<Vec<Verdict>> {
        let answers: Vec<Answer> = ask(&self.machinery, cases).await?;
        Ok(answers.into_iter().map(Verdict::from).collect())
    }

    /// A new config.
    ///
    /// # Errors
    /// Talos does not accept what it generates.
    pub async fn generate(
        &self,
        machine: Machine,
        generation: Generation,
    ) -> anyhow::Result<Config> {
        let case = Case::new(machine, self.version, generation);
        let verdict = self.judge(&[case]).await?.pop().context("no verdict")?;
        verdict.accepted().map_err(anyhow::Error::msg)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Answer {
    refused: Option<String>,
    invalid: Option<String>,
    #[serde(default)]
    warnings: Vec<String>,
    #[serde(default)]
    config: String,
    api_server: Option<ApiServer>,
}

impl From<Answer> for Verdict {
    fn from(answer: Answer) -> Self {
        match answer.refused {
            Some(why) => Self::Refused(why),
            None => Self::Config(Box::new(Config {
                text: answer.config,
                invalid: answer.invalid,
                warnings: answer.warnings,
                api_server: answer.api_server,
            })),
        }
    }
}

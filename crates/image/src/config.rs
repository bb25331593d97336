//! The config of an image: how it runs, and what its layer is.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::Image;

/// User and group by number: an image from scratch has no names, and Kubernetes can tell a number from root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The user.
    pub user: u32,
    /// The group.
    pub group: u32,
}

impl Owner {
    /// 0:0.
    pub const ROOT: Self = Self { user: 0, group: 0 };
}

/// How a container of the image runs unless told otherwise.
#[derive(Clone, Debug)]
pub struct Config {
    /// The program and its first arguments.
    pub entrypoint: Vec<String>,
    /// Whom it runs as.
    pub user: Owner,
    /// Where it runs.
    pub working_directory: String,
    /// Variables of its environment.
    pub environment: BTreeMap<String, String>,
    /// TCP ports that it listens on.
    pub ports: Vec<u16>,
    /// Labels, as `org.opencontainers.image.source`.
    pub labels: BTreeMap<String, String>,
}

/// The same time in each image, as other reproducible builders put it: tools want one.
const CREATED: &str = "1970-01-01T00:00:00Z";

/// The image's config as JSON.
pub(crate) fn encode(image: &Image, layer_digest: &str) -> serde_json::Result<Vec<u8>> {
    let config = &image.config;
    let Owner { user, group } = config.user;
    serde_json::to_vec(&Document {
        created: CREATED,
        architecture: &image.architecture,
        os: "linux",
        config: Execution {
            user: format!("{user}:{group}"),
            exposed_ports: (config.ports.iter())
                .map(|port| (format!("{port}/tcp"), Empty {}))
                .collect(),
            env: (config.environment.iter())
                .map(|(name, value)| format!("{name}={value}"))
                .collect(),
            entrypoint: &config.entrypoint,
            working_dir: &config.working_directory,
            labels: &config.labels,
        },
        rootfs: RootFs {
            kind: "layers",
            diff_ids: [layer_digest],
        },
    })
}

#[derive(Serialize)]
struct Document<'a> {
    created: &'a str,
    architecture: &'a str,
    os: &'a str,
    config: Execution<'a>,
    rootfs: RootFs<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Execution<'a> {
    user: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    exposed_ports: BTreeMap<String, Empty>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    env: Vec<String>,
    entrypoint: &'a [String],
    working_dir: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: &'a BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Empty {}

#[derive(Serialize)]
struct RootFs<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    diff_ids: [&'a str; 1],
}

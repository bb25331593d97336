//! Container images from files, without a daemon, and the same byte for byte whoever makes them and when.
//!
//! [`write`] makes the archive that `docker save` makes: `ctr images import`, `docker load`, `podman load`, `skopeo copy
//! docker-archive:` and `crane push` take it. An OCI layout would carry the digest of a manifest as well, but containerd takes
//! the names in one as they stand, without completing a missing registry.
//!
//! What identifies an image is [`Archive::image_id`], the digest of its config: the config holds the digest of the layer, and
//! neither changes with the tool that pushes the image or the registry that keeps it.

mod archive;
mod config;
mod error;
mod layer;
mod reference;

pub use self::archive::{Archive, write};
pub use self::config::{Config, Owner};
pub use self::error::Error;
pub use self::layer::{Content, File};

/// What an image is made of.
#[derive(Clone, Debug)]
pub struct Image {
    /// Name and tag under which it is loaded, as `haulout/haulout-agent:0.1.0`; tools complete a missing registry.
    pub reference: String,
    /// The processor it runs on by Go's name, as `amd64`; the system is always Linux.
    pub architecture: String,
    /// How it runs.
    pub config: Config,
    /// Everything in it; folders above the files are made as needed, owned by root and readable by all.
    pub files: Vec<File>,
}

//! `haulout talos`: patches for Talos' machine configs.

mod cluster_info;
mod decide;
mod machine_config;
mod manifest;
mod note;
pub(crate) mod patch;
mod refusal;
mod text;
mod version;
mod wishes;

pub(crate) use wishes::{Generation, Patch, Step};

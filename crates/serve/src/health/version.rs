//! `/version`: what was built, in the shape of Kubernetes' `version.Info`.

use axum::routing::get;
use axum::{Json, Router};
use k8s_openapi::apimachinery::pkg::version::Info;

/// This build. Fields named for Go say what stands in its place. Commit and date are given by the
/// environment of the build (`HAULOUT_GIT_COMMIT`, `HAULOUT_GIT_TREE_STATE`,
/// `HAULOUT_BUILD_DATE`), or empty and the epoch as in Kubernetes' own unstamped builds.
pub fn version_info() -> Info {
    Info {
        major: env!("CARGO_PKG_VERSION_MAJOR").to_owned(),
        minor: env!("CARGO_PKG_VERSION_MINOR").to_owned(),
        git_version: concat!("v", env!("CARGO_PKG_VERSION")).to_owned(),
        git_commit: option_env!("HAULOUT_GIT_COMMIT")
            .unwrap_or_default()
            .to_owned(),
        git_tree_state: option_env!("HAULOUT_GIT_TREE_STATE")
            .unwrap_or_default()
            .to_owned(),
        build_date: option_env!("HAULOUT_BUILD_DATE")
            .unwrap_or("1970-01-01T00:00:00Z")
            .to_owned(),
        go_version: concat!(
            "none (Rust ",
            env!("CARGO_PKG_RUST_VERSION"),
            ", edition 2024)"
        )
        .to_owned(),
        compiler: "rustc".to_owned(),
        platform: format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
        ..Info::default()
    }
}

/// `/version`.
pub fn version_router() -> Router {
    Router::new().route("/version", get(|| async { Json(version_info()) }))
}

//! The programs of `tests/talos`, each built once for a version of Talos.

use std::path::PathBuf;

use anyhow::Context as _;

use super::build::{Build, Module, Program};

/// Generates, patches and validates machine configs.
const MACHINERY: Program = Program {
    name: "talos-machinery",
    package: ".",
    source: concat!(
        include_str!("../../../talos/main.go"),
        include_str!("../../../talos/one_document.go"),
        include_str!("../../../talos/documents.go"),
    ),
};

/// Merges arguments.
const ARGUMENTS: Program = Program {
    name: "talos-arguments",
    package: ".",
    source: include_str!("../../../talos/arguments/main.go"),
};

macro_rules! machinery {
    ($version:literal, $tags:literal) => {
        Module {
            path: "tests/talos",
            go_mod: include_str!(concat!("../../../talos/", $version, "/go.mod")),
            go_sum: include_str!(concat!("../../../talos/", $version, "/go.sum")),
            go_mod_path: Some(concat!($version, "/go.mod")),
            main: "github.com/siderolabs/talos/pkg/machinery",
            tags: $tags,
            linker_flags: strip,
        }
    };
}

macro_rules! arguments {
    ($version:literal) => {
        Module {
            path: "tests/talos/arguments",
            go_mod: include_str!(concat!("../../../talos/arguments/", $version, "/go.mod")),
            go_sum: include_str!(concat!("../../../talos/arguments/", $version, "/go.sum")),
            go_mod_path: Some(concat!($version, "/go.mod")),
            main: "github.com/siderolabs/talos",
            tags: "",
            linker_flags: strip,
        }
    };
}

/// Each version that Talos' machinery is pinned at.
static MACHINERY_MODULES: [Module; 5] = [
    machinery!("1.11.6", ""),
    machinery!("1.12.6", ""),
    machinery!("1.13.0", ""),
    machinery!("1.13.6", ""),
    machinery!("1.14.0-alpha.2", "documents"),
];

/// Each version that Talos itself is pinned at, for its `argsbuilder`.
static ARGUMENTS_MODULES: [Module; 2] = [arguments!("1.12.0"), arguments!("1.13.0")];

/// Builds the program for a version of Talos' machinery module, unless that was done, and gives its path.
///
/// # Errors
/// That version is not pinned, `go` is not installed, or the build failed.
pub(crate) async fn find_or_build_talos_machinery(version: &str) -> anyhow::Result<PathBuf> {
    find_or_build(&MACHINERY_MODULES, &MACHINERY, version).await
}

/// The same for a version of Talos' main module.
///
/// # Errors
/// As [`find_or_build_talos_machinery`].
pub(crate) async fn find_or_build_talos_arguments(version: &str) -> anyhow::Result<PathBuf> {
    find_or_build(&ARGUMENTS_MODULES, &ARGUMENTS, version).await
}

async fn find_or_build(
    modules: &'static [Module],
    program: &'static Program,
    version: &str,
) -> anyhow::Result<PathBuf> {
    let is_it = |module: &&Module| {
        let pinned = module.version();
        pinned.is_ok_and(|pinned| pinned.strip_prefix('v') == Some(version))
    };
    let module = modules.iter().find(is_it);
    let module = module.with_context(|| format!("tests/talos has no go.mod for {version}"))?;
    let folder = format!("talos-{version}");
    let build = Build::new(module, std::slice::from_ref(program), &folder)?;
    Ok(build.run().await?.join(program.name))
}

fn strip(_version: &str) -> String {
    "-s -w".to_owned()
}

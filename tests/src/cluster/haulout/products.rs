//! Our own programs, built beforehand.

use std::path::{Path, PathBuf};

use anyhow::ensure;

/// Target that the programs are built for, so that flags for them do not reach build scripts and macros.
pub const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Where cargo builds: `CARGO_TARGET_DIR`, or `target` of the checkout.
pub fn target_folder() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .filter(|folder| !folder.is_empty())
        .map_or_else(
            || crate::cluster::workspace_root().join("target"),
            PathBuf::from,
        )
}

/// A folder with our own programs, those for tests among them.
#[derive(Clone, Debug)]
pub struct Products {
    folder: PathBuf,
}

impl Products {
    /// Each program and the package that it is built from.
    pub const PROGRAMS: [(&str, &str); 5] = [
        ("haulout-webhook", "haulout-webhook"),
        ("haulout-agent", "haulout-agent"),
        ("haulout", "haulout"),
        ("haulout-test-issuer", "haulout-tests"),
        ("haulout-test-load", "haulout-tests"),
    ];

    /// Takes the programs from `HAULOUT_BIN`, else from where `cargo xtask` builds them.
    ///
    /// # Errors
    /// One is missing.
    pub fn find() -> anyhow::Result<Self> {
        let given = std::env::var_os("HAULOUT_BIN").filter(|folder| !folder.is_empty());
        let folder = given.map_or_else(Self::build_folder, PathBuf::from);
        Self::in_folder(&folder)
    }

    /// Takes the programs from a folder.
    ///
    /// # Errors
    /// One is missing.
    pub fn in_folder(folder: &Path) -> anyhow::Result<Self> {
        let folder = std::path::absolute(folder)?;
        let missing: Vec<&str> = Self::PROGRAMS
            .iter()
            .map(|&(name, _)| name)
            .filter(|name| !folder.join(name).is_file())
            .collect();
        ensure!(
            missing.is_empty(),
            "{} lacks {}: run the tests by `cargo xtask test`, which builds them, or set HAULOUT_BIN",
            folder.display(),
            missing.join(", ")
        );
        Ok(Self { folder })
    }

    /// Where `cargo build --release --target` puts them.
    pub fn build_folder() -> PathBuf {
        target_folder().join(TARGET).join("release")
    }

    /// Folder of the programs.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Path of one program.
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

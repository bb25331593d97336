//! `cargo xtask release`: what a release of the command line consists of.
//!
//! For each system and processor an archive of the program, its licences, its man pages and what makes shells complete its
//! words; a list of checksums; and the manifest by which krew installs it. The same inputs give the same bytes.

mod archive;
mod executable;
mod krew;
mod man;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use aws_lc_rs::digest::{SHA256, digest};
use haulout_pki::hex;
use haulout_tests::cluster::{target_folder, workspace_root};
use tokio::process::Command;

use self::archive::File;
use self::krew::Download;
use crate::output::{say, step};
use crate::{image, products};

/// Of the program, its package and its plugin for kubectl.
const PROGRAM: &str = "haulout";
const VERSION: &str = env!("CARGO_PKG_VERSION");
const CHECKSUMS: &str = "SHA256SUMS";

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Folder for the files [default: target/release-files]
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// Folder with programs for other platforms, built elsewhere: OS-ARCH/haulout, as darwin-arm64/haulout
    #[arg(long, value_name = "FOLDER")]
    programs: Option<PathBuf>,
    /// URL of the folder that the archives will be downloaded from; with it, krew's manifest is written
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
}

/// A system and a processor, in Go's names, as krew has them too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Platform {
    os: &'static str,
    arch: &'static str,
    /// Rust's name.
    target: &'static str,
}

impl Platform {
    /// The one that is built here.
    const HERE: Self = Self::new("linux", "amd64", "x86_64-unknown-linux-gnu");
    const ALL: [Self; 6] = [
        Self::HERE,
        Self::new("linux", "arm64", "aarch64-unknown-linux-gnu"),
        Self::new("darwin", "amd64", "x86_64-apple-darwin"),
        Self::new("darwin", "arm64", "aarch64-apple-darwin"),
        Self::new("windows", "amd64", "x86_64-pc-windows-msvc"),
        Self::new("windows", "arm64", "aarch64-pc-windows-msvc"),
    ];

    const fn new(os: &'static str, arch: &'static str, target: &'static str) -> Self {
        Self { os, arch, target }
    }

    /// The program's file name there.
    fn program(self) -> String {
        let ending = if self.os == "windows" { ".exe" } else { "" };
        format!("{PROGRAM}{ending}")
    }

    fn name(self) -> String {
        format!("{}-{}", self.os, self.arch)
    }

    fn archive(self) -> String {
        format!("{PROGRAM}-{VERSION}-{}.tar.gz", self.name())
    }
}

/// Builds the program for this platform and writes the files of all platforms that there are programs for.
///
/// # Errors
/// A build failed, a program is not what it has to be, or something cannot be read or written.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let output = arguments
        .output
        .unwrap_or_else(|| target_folder().join("release-files"));
    let built = step("build the program", products::build_some(&[PROGRAM])).await?;
    let mut programs = vec![(Platform::HERE, built.join(PROGRAM))];
    if let Some(folder) = &arguments.programs {
        programs.extend(programs_in(folder)?);
    }
    let base_url = arguments.base_url.as_deref();
    step("write the files", write(&programs, base_url, &output)).await?;
    say(&format!("\nin {}", output.display()));
    Ok(())
}

/// The programs for other platforms that a folder has.
fn programs_in(folder: &Path) -> anyhow::Result<Vec<(Platform, PathBuf)>> {
    let mut found = Vec::new();
    let entries = std::fs::read_dir(folder);
    for entry in entries.with_context(|| format!("failed to list {}", folder.display()))? {
        let entry = entry?;
        let mut others = Platform::ALL.into_iter().skip(1);
        let platform = others.find(|platform| *platform.name() == *entry.file_name());
        // A name that is wrong would be a platform that is missing.
        let platform = platform
            .with_context(|| format!("{} is no other platform's", entry.path().display()))?;
        found.push((platform, entry.path().join(platform.program())));
    }
    // In the order of the table, wherever they were found first.
    found.sort_by_key(|(platform, _)| Platform::ALL.iter().position(|known| known == platform));
    Ok(found)
}

async fn write(
    programs: &[(Platform, PathBuf)],
    base_url: Option<&str>,
    output: &Path,
) -> anyhow::Result<()> {
    std::fs::create_dir_all(output)
        .with_context(|| format!("failed to create {}", output.display()))?;
    for (_, program) in programs
        .iter()
        .filter(|(platform, _)| platform.os == "linux")
    {
        let is_static = executable::is_static(&read(program)?);
        ensure!(is_static, "{} is no static program", program.display());
    }
    let documents = documents(programs).await?;
    let mut downloads = Vec::new();
    for (platform, program) in programs {
        let content = read(program)?;
        let notices = image::third_party_notices(PROGRAM, platform.target).await?;
        let mut files = vec![
            File::program(platform.program(), content),
            File::document("THIRD-PARTY.txt", notices.into_bytes()),
        ];
        files.extend(documents.iter().cloned());
        let name = platform.archive();
        let packed = archive::pack(&files)?;
        put(&output.join(&name), &packed)?;
        let sha256 = hex(digest(&SHA256, &packed).as_ref());
        downloads.push(Download {
            platform: *platform,
            name,
            sha256,
        });
    }
    let lines = downloads.iter();
    let lines = lines.map(|download| format!("{}  {}\n", download.sha256, download.name));
    put(
        &output.join(CHECKSUMS),
        lines.collect::<String>().as_bytes(),
    )?;
    if let Some(base_url) = base_url {
        let manifest = krew::manifest(&downloads, base_url)?;
        put(&output.join(krew::FILE), manifest.as_bytes())?;
    }
    Ok(())
}

/// What is the same for all platforms.
async fn documents(programs: &[(Platform, PathBuf)]) -> anyhow::Result<Vec<File>> {
    let mut documents = vec![File::document(
        "LICENSE",
        read(&workspace_root().join("LICENSE"))?,
    )];
    for (name, page) in man::pages(haulout::command())? {
        documents.push(File::document(format!("man/man1/{name}"), page));
    }
    let here = programs
        .iter()
        .find(|(platform, _)| *platform == Platform::HERE);
    let (_, program) = here.context("the program for this platform is missing")?;
    for (arguments, file) in [
        (&["help"][..], "README.txt"),
        (&["completion", "bash"], "completion/haulout.bash"),
        (&["completion", "fish"], "completion/haulout.fish"),
        (&["completion", "powershell"], "completion/haulout.ps1"),
        (&["completion", "zsh"], "completion/_haulout"),
    ] {
        let output = Command::new(program)
            .args(arguments)
            .kill_on_drop(true)
            .output()
            .await;
        let output = output.with_context(|| format!("failed to run {}", program.display()))?;
        ensure!(
            output.status.success(),
            "haulout {} failed ({})",
            arguments.join(" "),
            output.status
        );
        documents.push(File::document(file, output.stdout));
    }
    Ok(documents)
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("failed to read {}", path.display()))
}

fn put(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    std::fs::write(path, content).with_context(|| format!("failed to write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tag is what its owner, or whoever has broken in there, makes of it.
    #[test]
    fn the_workflow_names_what_it_uses_by_commit() {
        let workflow = include_str!("../../../.github/workflows/release.yml");
        let uses = workflow
            .lines()
            .filter_map(|line| line.split_once("uses: "));
        let names: Vec<_> = uses.map(|(_, name)| name).collect();
        assert!(!names.is_empty());
        for name in names {
            let (_, commit) = name.split_once('@').unwrap_or_default();
            let commit = commit.split(' ').next().unwrap_or_default();
            let is_commit = commit.len() == 40 && commit.bytes().all(|b| b.is_ascii_hexdigit());
            assert!(is_commit, "{name}");
        }
    }

    #[tokio::test]
    async fn a_program_that_needs_shared_libraries_is_not_released_for_linux() {
        let folder = tempfile::tempdir().unwrap();
        // This test is such a program.
        let program = std::env::current_exe().unwrap();
        let error = write(&[(Platform::HERE, program)], None, folder.path()).await;
        let error = error.unwrap_err().to_string();
        assert!(error.ends_with("is no static program"), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn programs_of_other_platforms_are_found_by_their_folder() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["windows-amd64", "darwin-arm64"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let found = programs_in(folder.path()).unwrap();
        let paths: Vec<PathBuf> = found.into_iter().map(|(_, path)| path).collect();
        let expected = ["darwin-arm64/haulout", "windows-amd64/haulout.exe"];
        assert_eq!(paths, expected.map(|path| folder.path().join(path)));
        for wrong in ["macos-arm64", "linux-amd64"] {
            let folder = tempfile::tempdir().unwrap();
            std::fs::create_dir(folder.path().join(wrong)).unwrap();
            let error = programs_in(folder.path()).unwrap_err().to_string();
            assert!(error.ends_with("is no other platform's"), "{error}");
        }
    }
}

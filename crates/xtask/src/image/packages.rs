//! Which packages a program is linked from, as Cargo resolves them for this program, its features and its target alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};
use haulout_tests::cluster::TARGET;
use serde::Deserialize;
use spdx::{Expression, ParseMode};
use tokio::process::Command;

use crate::products::{c_library_version, cargo};

/// What a program is linked from, and packages whose data lies beside it.
#[derive(Debug)]
pub(super) struct Packages {
    /// The program's own package.
    pub(super) root: Name,
    /// All of them, the root too.
    pub(super) packages: BTreeMap<Name, Package>,
    /// What comes from outside Cargo.
    pub(super) system: Vec<SystemLibrary>,
}

/// Name and version.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Name {
    pub(super) name: String,
    pub(super) version: String,
}

#[derive(Debug)]
pub(super) struct Package {
    /// An SPDX expression.
    pub(super) licence: String,
    pub(super) authors: Vec<String>,
    /// Where its sources are.
    pub(super) folder: PathBuf,
    /// Whether it is of this workspace.
    pub(super) is_ours: bool,
    /// What it is linked with directly.
    pub(super) dependencies: BTreeSet<Name>,
}

/// A library that the toolchain adds.
#[derive(Debug)]
pub(super) struct SystemLibrary {
    pub(super) name: &'static str,
    pub(super) version: String,
    pub(super) licence: &'static str,
}

impl Packages {
    /// Asks Cargo, offline but for packages that are not downloaded yet. `data` names packages of the workspace's tools whose
    /// data goes where the program goes.
    ///
    /// # Errors
    /// Cargo or the compiler cannot be run, or say something unexpected.
    pub(super) async fn linked_into(package: &str, data: &[&str]) -> anyhow::Result<Self> {
        Self::linked_for(package, TARGET, data).await
    }

    /// The same for another target.
    ///
    /// # Errors
    /// As those of [`Self::linked_into`].
    pub(super) async fn linked_for(
        package: &str,
        target: &str,
        data: &[&str],
    ) -> anyhow::Result<Self> {
        let tree = output(cargo().args([
            "tree",
            "--locked",
            "--package",
            package,
            "--edges",
            "normal,no-proc-macro",
            "--target",
            target,
            "--prefix",
            "depth",
            "--format",
            " {p}",
        ]))
        .await?;
        let (root, mut edges) = read_tree(&tree)?;
        let metadata = output(cargo().args([
            "metadata",
            "--locked",
            "--format-version",
            "1",
            "--filter-platform",
            target,
        ]))
        .await?;
        let metadata: Metadata =
            serde_json::from_str(&metadata).context("failed to read what cargo metadata says")?;
        for package in data {
            let name = metadata.name_of(package)?;
            edges.entry(root.clone()).or_default().insert(name.clone());
            edges.entry(name).or_default();
        }
        Ok(Self {
            root,
            packages: describe(edges, metadata)?,
            system: system_libraries(target).await?,
        })
    }
}

/// Rust's own library is in each program, and the C library in the static ones of Linux.
async fn system_libraries(target: &str) -> anyhow::Result<Vec<SystemLibrary>> {
    let cargo = output(cargo().arg("--version")).await?;
    let rust = cargo.split_whitespace().nth(1);
    let mut libraries = Vec::new();
    if target.ends_with("-linux-gnu") {
        libraries.push(SystemLibrary {
            name: "glibc",
            version: c_library_version().await?,
            licence: "LGPL-2.1-or-later",
        });
    }
    libraries.push(SystemLibrary {
        name: "rust-std",
        version: rust.context("cargo does not say its version")?.to_owned(),
        licence: "MIT OR Apache-2.0",
    });
    Ok(libraries)
}

async fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command.kill_on_drop(true).output().await;
    let name = command.as_std().get_program().display();
    let output = output.with_context(|| format!("failed to run {name}"))?;
    ensure!(
        output.status.success(),
        "{name} failed ({}): {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).with_context(|| format!("{name} wrote no UTF-8"))
}

type Edges = BTreeMap<Name, BTreeSet<Name>>;

/// Reads lines like `2 bytes v1.12.2`, the number being the depth in the tree.
fn read_tree(tree: &str) -> anyhow::Result<(Name, Edges)> {
    let mut edges = Edges::new();
    let mut above: Vec<Name> = Vec::new();
    for line in tree.lines().filter(|line| !line.is_empty()) {
        let (depth, name) = read_line(line).with_context(|| format!("cargo tree says {line:?}"))?;
        above.truncate(depth);
        if let Some(parent) = above.last() {
            edges
                .entry(parent.clone())
                .or_default()
                .insert(name.clone());
        }
        edges.entry(name.clone()).or_default();
        above.push(name);
    }
    let root = above
        .into_iter()
        .next()
        .context("cargo tree says nothing")?;
    Ok((root, edges))
}

fn read_line(line: &str) -> Option<(usize, Name)> {
    let mut words = line.split(' ');
    let depth = words.next()?.parse().ok()?;
    let name = words.next()?.to_owned();
    let version = words.next()?.strip_prefix('v')?.to_owned();
    Some((depth, Name { name, version }))
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Described>,
}

impl Metadata {
    /// The only version of this package.
    fn name_of(&self, package: &str) -> anyhow::Result<Name> {
        let mut found = (self.packages.iter()).filter(|described| described.name == package);
        let (Some(one), None) = (found.next(), found.next()) else {
            bail!("cargo metadata knows none, or several, of {package}");
        };
        Ok(Name {
            name: one.name.clone(),
            version: one.version.clone(),
        })
    }
}

#[derive(Deserialize)]
struct Described {
    name: String,
    version: String,
    license: Option<String>,
    authors: Vec<String>,
    manifest_path: PathBuf,
    source: Option<String>,
}

fn describe(edges: Edges, metadata: Metadata) -> anyhow::Result<BTreeMap<Name, Package>> {
    let mut packages = BTreeMap::new();
    let mut edges = edges;
    for described in metadata.packages {
        let name = Name {
            name: described.name,
            version: described.version,
        };
        let Some(dependencies) = edges.remove(&name) else {
            continue;
        };
        let package = Package {
            licence: licence(described.license.as_deref())
                .with_context(|| format!("{} {} has no usable licence", name.name, name.version))?,
            authors: described.authors,
            folder: (described.manifest_path.parent())
                .context("a manifest is in no folder")?
                .to_owned(),
            is_ours: described.source.is_none(),
            dependencies,
        };
        packages.insert(name, package);
    }
    let unknown: Vec<&str> = edges.keys().map(|name| name.name.as_str()).collect();
    ensure!(
        unknown.is_empty(),
        "cargo metadata knows nothing of {}",
        unknown.join(", ")
    );
    Ok(packages)
}

/// As SPDX writes it: older packages have `MIT/Apache-2.0`.
fn licence(text: Option<&str>) -> anyhow::Result<String> {
    let text = text.context("its manifest names none")?;
    let text = text.replace(" / ", "/").replace('/', " OR ");
    let expression = Expression::parse_mode(&text, ParseMode::STRICT)
        .with_context(|| format!("failed to read {text:?}"))?;
    Ok(expression.to_string())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::image) fn name(name: &str, version: &str) -> Name {
        Name {
            name: name.to_owned(),
            version: version.to_owned(),
        }
    }

    #[test]
    fn depths_become_edges() {
        let tree = "0 a v0.1.0 (/x y/a)\n1 b v1.0.0+2\n2 c v3.0.0\n1 c v3.0.0\n1 b v2.0.0 (*)\n\n";
        let (root, edges) = read_tree(tree).unwrap();
        assert_eq!(root, name("a", "0.1.0"));
        let (b, c, other_b) = (name("b", "1.0.0+2"), name("c", "3.0.0"), name("b", "2.0.0"));
        let expected = Edges::from([
            (root, [b.clone(), c.clone(), other_b.clone()].into()),
            (b, [c.clone()].into()),
            (c, BTreeSet::new()),
            (other_b, BTreeSet::new()),
        ]);
        assert_eq!(edges, expected);
    }

    #[test]
    fn unexpected_lines_are_refused() {
        for tree in ["", "a v1", "0 a", "0 a 1.0"] {
            assert!(read_tree(tree).is_err(), "{tree:?}");
        }
    }

    #[test]
    fn old_forms_of_licences_are_read() {
        for (text, expected) in [
            ("MIT/Apache-2.0", "MIT OR Apache-2.0"),
            ("Apache-2.0 / MIT", "Apache-2.0 OR MIT"),
            ("MIT AND (ISC OR MIT-0)", "MIT AND (ISC OR MIT-0)"),
        ] {
            assert_eq!(licence(Some(text)).unwrap(), expected);
        }
        assert!(licence(Some("My own")).is_err());
        assert!(licence(None).is_err());
    }

    #[tokio::test]
    async fn build_time_packages_and_other_programs_do_not_count() {
        let agent = Packages::linked_into("haulout-agent", &[]).await.unwrap();
        let has = |wanted: &str| agent.packages.keys().any(|name| name.name == wanted);
        assert_eq!(agent.root.name, "haulout-agent");
        assert!(agent.packages.contains_key(&agent.root));
        assert!(has("rustls") && has("haulout-pki") && has("aws-lc-sys"));
        for absent in [
            "serde_derive",
            "syn",
            "cc",
            "tempfile",
            "kube-client",
            "reqwest",
            "jsonwebtoken",
        ] {
            assert!(!has(absent), "{absent}");
        }
        let system: Vec<&str> = agent.system.iter().map(|library| library.name).collect();
        assert_eq!(system, ["glibc", "rust-std"]);
    }
    #[tokio::test]
    async fn data_beside_a_program_has_its_licence_too() {
        let agent = Packages::linked_into("haulout-agent", &["webpki-root-certs"]);
        let agent = agent.await.unwrap();
        let (name, package) = (agent.packages.iter())
            .find(|(name, _)| name.name == "webpki-root-certs")
            .unwrap();
        assert_eq!(package.licence, "CDLA-Permissive-2.0");
        assert!(agent.packages[&agent.root].dependencies.contains(name));
        let unknown = Packages::linked_into("haulout-agent", &["no-such-package"]).await;
        assert!(unknown.is_err());
    }
}

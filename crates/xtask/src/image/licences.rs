//! The licences of all that a program is linked from, with their texts.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use spdx::Expression;

use super::packages::{Name, Package, Packages};

const TITLE: &str = "Haulout is linked from these packages. Each stands under the licence named; texts follow, each once.\n\n";

/// Names of files that hold a licence or what must go with it.
const FILES: [&str; 6] = [
    "LICENSE",
    "LICENCE",
    "UNLICENSE",
    "COPYING",
    "COPYRIGHT",
    "NOTICE",
];

/// A list of packages with their licences, then the texts with the packages that each is of.
///
/// # Errors
/// A package's files cannot be read, or it has no text and its licence is not known.
pub(super) fn text(packages: &Packages) -> anyhow::Result<String> {
    let mut list = TITLE.to_owned();
    let mut texts = Texts::default();
    let foreign = packages
        .packages
        .iter()
        .filter(|(_, package)| !package.is_ours);
    for (name, package) in foreign {
        list_one(&mut list, name, &package.licence);
        for text in texts_of(name, package)? {
            texts.add(name, text);
        }
    }
    for library in &packages.system {
        let name = Name {
            name: library.name.to_owned(),
            version: library.version.clone(),
        };
        list_one(&mut list, &name, library.licence);
        for text in standard_texts(library.licence)? {
            texts.add(&name, text);
        }
    }
    Ok(list + &texts.to_string())
}

fn list_one(list: &mut String, name: &Name, licence: &str) {
    // Writing to a String cannot fail.
    let _infallible = writeln!(list, "{} {}: {licence}", name.name, name.version);
}

/// Texts that differ in more than white space, with whose they are.
#[derive(Default)]
struct Texts(BTreeMap<String, (String, Vec<String>)>);

impl Texts {
    fn add(&mut self, name: &Name, text: String) {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (_, owners) = self
            .0
            .entry(words.join(" "))
            .or_insert_with(|| (text, Vec::new()));
        let owner = format!("{} {}", name.name, name.version);
        if owners.last() != Some(&owner) {
            owners.push(owner);
        }
    }
}

impl std::fmt::Display for Texts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (text, owners) in self.0.values() {
            let line = "-".repeat(80);
            write!(
                f,
                "\n{line}\n{}\n{line}\n\n{}\n",
                owners.join(", "),
                text.trim()
            )?;
        }
        Ok(())
    }
}

/// What the package itself has, else the standard text of its licence under its authors' names.
fn texts_of(name: &Name, package: &Package) -> anyhow::Result<Vec<String>> {
    let files = files(&package.folder)?;
    if files.is_empty() {
        let mut texts = standard_texts(&package.licence)
            .with_context(|| format!("{} {} has no licence text", name.name, name.version))?;
        if let (Some(text), false) = (texts.first_mut(), package.authors.is_empty()) {
            text.insert_str(0, &format!("Copyright {}\n\n", package.authors.join(", ")));
        }
        return Ok(texts);
    }
    files
        .into_iter()
        .map(|path| {
            std::fs::read_to_string(&path)
                .with_context(|| format!("failed to read {}", path.display()))
        })
        .collect()
}

fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let list = || format!("failed to list {}", folder.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(list)? {
        let path = entry.with_context(list)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = name.to_ascii_uppercase();
        if path.is_file() && FILES.iter().any(|start| name.starts_with(start)) {
            files.push(path);
        }
    }
    files.sort_unstable();
    Ok(files)
}

fn standard_texts(licence: &str) -> anyhow::Result<Vec<String>> {
    let expression = Expression::parse(licence)?;
    let texts: Vec<String> = (expression.requirements())
        .filter_map(|requirement| requirement.req.license.id())
        .map(|id| id.text().to_owned())
        .collect();
    ensure!(!texts.is_empty(), "{licence} is not a known licence");
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::super::packages::tests::name;
    use super::*;

    #[tokio::test]
    async fn each_package_is_listed_and_has_a_text() {
        let packages = Packages::linked_into("haulout-agent", &[]).await.unwrap();
        let text = text(&packages).unwrap();
        let (list, texts) = text.split_once("\n---").unwrap();
        for (name, package) in &packages.packages {
            let line = format!("\n{} {}: {}\n", name.name, name.version, package.licence);
            assert_eq!(
                format!("{list}\n").contains(&line),
                !package.is_ours,
                "{line}"
            );
            let owner = format!("{} {}", name.name, name.version);
            assert_eq!(texts.contains(&owner), !package.is_ours, "{owner}");
        }
        assert!(list.contains("\nglibc "));
        assert!(texts.contains("GNU LESSER GENERAL PUBLIC LICENSE"));
        assert!(texts.contains("Permission is hereby granted"));
    }

    #[test]
    fn equal_texts_stand_once() {
        let mut texts = Texts::default();
        texts.add(&name("a", "1"), "Licence\n  text".to_owned());
        texts.add(&name("a", "1"), "Licence text".to_owned());
        texts.add(&name("b", "2"), "Licence text\n".to_owned());
        texts.add(&name("c", "3"), "Other text".to_owned());
        let text = texts.to_string();
        assert_eq!(text.matches("text").count(), 2);
        assert!(text.contains("\na 1, b 2\n") && text.contains("\nc 3\n"));
    }

    #[test]
    fn packages_without_a_text_get_the_standard_one() {
        let folder = tempfile::TempDir::new().unwrap();
        let package = |licence: &str| Package {
            licence: licence.to_owned(),
            authors: vec!["A. Author".to_owned()],
            folder: folder.path().to_owned(),
            is_ours: false,
            dependencies: std::collections::BTreeSet::new(),
        };
        let name = name("a", "1");
        let texts = texts_of(&name, &package("MIT")).unwrap();
        assert!(texts[0].starts_with("Copyright A. Author\n\n"));
        assert!(texts[0].contains("Permission is hereby granted"));
        assert!(texts_of(&name, &package("LicenseRef-own")).is_err());

        std::fs::write(folder.path().join("licence-mit.md"), "theirs").unwrap();
        std::fs::write(folder.path().join("README.md"), "no licence").unwrap();
        let texts = texts_of(&name, &package("MIT")).unwrap();
        assert_eq!(texts, ["theirs"]);
    }
}

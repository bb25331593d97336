//! Checks the documentation: links lead somewhere, and commands that it names exist.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::CommandFactory as _;

use crate::files::visit;

/// Checks every Markdown file of the checkout.
///
/// # Errors
/// Something is wrong; each fault is a line that begins with file and line number.
pub(crate) fn check(root: &Path) -> anyhow::Result<()> {
    let mut pages = HashMap::new();
    visit(root, "md", &mut |path| {
        // A template's links count where its text ends up.
        if path.to_string_lossy().ends_with(".template.md") {
            return Ok(());
        }
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("failed to read {}", path.display()))?;
        pages.insert(path.to_owned(), Page::parse(&text));
        Ok(())
    })?;
    let xtask = crate::Arguments::command();
    let mut faults = Vec::new();
    for (path, page) in &pages {
        let name = path.strip_prefix(root).unwrap_or(path).display();
        for (line, target) in &page.links {
            if let Err(fault) = check_link(path, target, &pages) {
                faults.push(format!("{name}:{line}: {fault}"));
            }
        }
        for (line, words) in &page.commands {
            if let Err(fault) = check_command(&xtask, words) {
                faults.push(format!("{name}:{line}: {fault}"));
            }
        }
    }
    faults.sort_unstable();
    if !faults.is_empty() {
        bail!("the documentation has faults:\n{}", faults.join("\n"));
    }
    Ok(())
}

/// What matters of a Markdown file.
#[derive(Debug, Default)]
struct Page {
    /// Line number and target of each link.
    links: Vec<(usize, String)>,
    /// Names that a link can lead to with `#`.
    anchors: Vec<String>,
    /// Line number and words after `cargo xtask` of each command.
    commands: Vec<(usize, Vec<String>)>,
}

impl Page {
    fn parse(text: &str) -> Self {
        let mut page = Self::default();
        let mut in_code = false;
        for (index, line) in text.lines().enumerate() {
            let number = index + 1;
            if line.trim_start().starts_with("```") {
                in_code = !in_code;
                continue;
            }
            page.commands
                .extend(commands(line).map(|words| (number, words)));
            if in_code {
                continue;
            }
            if let Some(heading) = heading(line) {
                page.anchors.push(unique(anchor(heading), &page.anchors));
            }
            page.links
                .extend(links(line).map(|target| (number, target)));
        }
        page
    }
}

/// Text of a heading.
fn heading(line: &str) -> Option<&str> {
    let text = line.trim_start_matches('#');
    let level = line.len() - text.len();
    (1..=6)
        .contains(&level)
        .then(|| text.strip_prefix(' '))
        .flatten()
}

/// The anchor that forges make from a heading: lower case, spaces to hyphens, punctuation left out.
fn anchor(heading: &str) -> String {
    heading
        .trim()
        .to_lowercase()
        .chars()
        .filter_map(|c| match c {
            ' ' => Some('-'),
            c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
            _ => None,
        })
        .collect()
}

/// Second and later headings of the same text get a number.
fn unique(anchor: String, taken: &[String]) -> String {
    let numbered = |number: usize| format!("{anchor}-{number}");
    if !taken.contains(&anchor) {
        return anchor;
    }
    let free = (1..).map(numbered).find(|name| !taken.contains(name));
    free.unwrap_or(anchor)
}

/// Targets of the inline links `[text](target)` of a line; code spans are left out.
fn links(line: &str) -> impl Iterator<Item = String> {
    let text: String = line.split('`').step_by(2).collect();
    let targets: Vec<String> = text
        .split("](")
        .skip(1)
        .filter_map(|rest| Some(rest.split_once(')')?.0.to_owned()))
        .collect();
    targets.into_iter()
}

/// Words after each `cargo xtask` of a line, up to the end of the code span or the command.
fn commands(line: &str) -> impl Iterator<Item = Vec<String>> {
    line.split("cargo xtask ").skip(1).map(|rest| {
        let end = rest
            .find(['`', '#', ';', ')', '"', '|', '>', ','])
            .unwrap_or(rest.len());
        let (command, _) = rest.split_at(end);
        command.split_whitespace().map(str::to_owned).collect()
    })
}

fn check_link(page: &Path, target: &str, pages: &HashMap<PathBuf, Page>) -> Result<(), String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return Ok(());
    }
    let (file, name) = target
        .split_once('#')
        .map_or((target, None), |(f, n)| (f, Some(n)));
    let path = match (file, page.parent()) {
        ("", _) | (_, None) => page.to_owned(),
        (file, Some(folder)) => normal(&folder.join(file)),
    };
    if !path.exists() {
        return Err(format!("link to `{target}`: there is no such file"));
    }
    match (name, pages.get(&path)) {
        (Some(name), Some(page)) if !page.anchors.iter().any(|anchor| anchor == name) => {
            Err(format!("link to `{target}`: there is no such heading"))
        }
        _ => Ok(()),
    }
}

/// The path without `.` and `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => drop(normal.pop()),
            std::path::Component::CurDir => {}
            part => normal.push(part),
        }
    }
    normal
}

/// Checks subcommands and flags; values are not looked at, since documentation has placeholders there.
fn check_command(xtask: &clap::Command, words: &[String]) -> Result<(), String> {
    let mut command = xtask;
    for word in words {
        if let Some(flag) = word.trim_matches(['[', ']']).strip_prefix("--") {
            let (flag, _) = flag.split_once('=').unwrap_or((flag, ""));
            let known = ["help", "version"].contains(&flag)
                || command
                    .get_arguments()
                    .any(|argument| argument.get_long() == Some(flag));
            if !known {
                return Err(format!(
                    "`cargo xtask {}` has no flag --{flag}",
                    words.join(" ")
                ));
            }
        } else if let Some(subcommand) = command.find_subcommand(word) {
            command = subcommand;
        } else if command.has_subcommands() {
            return Err(format!("there is no `cargo xtask {}`", words.join(" ")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn faults(files: &[(&str, &str)]) -> String {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        check(root.path())
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    }

    #[test]
    fn good_pages_have_no_fault() {
        let index =
            "# Top\n[a](docs/a.md#two-words) [here](#top) [out](https://example.com/x) [d](docs)\n";
        let page =
            "## Two words!\n[up](../README.md#top)\n```text\n[no](link)\n```\n`[no](either)`\n";
        assert_eq!(faults(&[("README.md", index), ("docs/a.md", page)]), "");
    }

    #[test]
    fn dead_links_are_found() {
        for (text, expected) in [
            (
                "[a](gone.md)",
                "README.md:1: link to `gone.md`: there is no such file",
            ),
            (
                "\n[a](#gone)",
                "README.md:2: link to `#gone`: there is no such heading",
            ),
            (
                "[a](b.md#gone)",
                "README.md:1: link to `b.md#gone`: there is no such heading",
            ),
        ] {
            let faults = faults(&[("README.md", text), ("b.md", "# Here\n")]);
            assert!(faults.ends_with(expected), "{text}: {faults}");
        }
    }

    #[test]
    fn same_headings_are_numbered() {
        let page = Page::parse("# A b\n# A b\n# `c` d\n");
        assert_eq!(page.anchors, ["a-b", "a-b-1", "c-d"]);
    }

    #[test]
    fn commands_must_exist() {
        let xtask = crate::Arguments::command();
        for good in [
            "demo --profile talos",
            "test --only unit",
            "cluster up --profile=talos",
            "cluster down",
            "--help",
            "demo [--keep]",
        ] {
            assert_eq!(check_command(&xtask, &words(good)), Ok(()), "{good}");
        }
        for bad in [
            "dance",
            "cluster sideways",
            "demo --fast",
            "test --list --nope",
        ] {
            assert!(check_command(&xtask, &words(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn commands_are_found_in_text_and_in_blocks() {
        let text = "run `cargo xtask demo --keep` or `cargo xtask test`\n```console\ncargo xtask test --quick   # fast\n```\n";
        let commands: Vec<String> = Page::parse(text)
            .commands
            .into_iter()
            .map(|(_, words)| words.join(" "))
            .collect();
        assert_eq!(commands, ["demo --keep", "test", "test --quick"]);
    }
}

//! `docs/pinniped-cli.md`: which test shows which behaviour of Pinniped's CLI, from the names of the tests.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::path::Path;

use anyhow::{Context as _, ensure};

use crate::files::visit;

/// Below the checkout.
const PAGE: &str = "docs/pinniped-cli.md";
/// Folders with tests of the command line.
const SOURCES: [&str; 3] = ["cli/src", "tests/src", "tests/tests"];
/// The numbers of each section, and its heading. Those between are of the impersonation proxy, which is another program's part.
const SECTIONS: [(&str, RangeInclusive<u16>); 3] = [
    ("Security and wire", 39..=48),
    ("Everyday use", 81..=104),
    ("Commands in detail", 105..=124),
];
const INTRODUCTION: &str = "\
# What of Pinniped's CLI is shown to be the same

`haulout` takes the place of the `pinniped` command: same exec stanzas, flags, files and answers. Of the behaviours of `pinniped` that a
person or a script can come to rely on, each has a number, and each number has a test or several, which carry it in their name: `c041_…`
shows number 41. They run with `cargo xtask test`, against real servers. Where Haulout does otherwise on purpose, the test shows what it
does, and [Differences from Pinniped](differences.md) says why. The numbers that are missing are of Pinniped's impersonation proxy.

This page is made of the names of the tests by `cargo xtask docs`, which fails if a number has none.
";

/// A test that carries a number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Shown {
    behaviour: String,
    file: String,
}

/// Tests by number.
type Tests = BTreeMap<u16, Vec<Shown>>;

/// Writes the page.
///
/// # Errors
/// A number has no test, or a file cannot be read or written.
pub(crate) fn write(root: &Path) -> anyhow::Result<()> {
    let text = page(&find(root)?)?;
    std::fs::write(root.join(PAGE), text).with_context(|| format!("failed to write {PAGE}"))
}

/// Compares the page with the tests that there are.
///
/// # Errors
/// A number has no test, the page is another, or a file cannot be read.
pub(crate) fn check(root: &Path) -> anyhow::Result<()> {
    let text = page(&find(root)?)?;
    let committed = std::fs::read_to_string(root.join(PAGE));
    let committed = committed.with_context(|| format!("failed to read {PAGE}"))?;
    ensure!(
        committed == text,
        "{PAGE} is not what the names of the tests make of it; run `cargo xtask docs` and commit the result"
    );
    Ok(())
}

fn find(root: &Path) -> anyhow::Result<Tests> {
    let mut tests = Tests::new();
    for folder in SOURCES {
        visit(&root.join(folder), "rs", &mut |path| {
            let file = path.strip_prefix(root).unwrap_or(path).to_string_lossy();
            let text =
                std::fs::read_to_string(path).with_context(|| format!("failed to read {file}"))?;
            for (number, behaviour) in text.lines().filter_map(numbered) {
                let file = file.clone().into_owned();
                tests
                    .entry(number)
                    .or_default()
                    .push(Shown { behaviour, file });
            }
            Ok(())
        })?;
    }
    for shown in tests.values_mut() {
        shown.sort_unstable();
    }
    Ok(tests)
}

/// Number and words of a function `cNNN_what_it_shows`.
fn numbered(line: &str) -> Option<(u16, String)> {
    let (before, after) = line.split_once("fn c")?;
    let is_qualifier = |word| ["pub", "pub(super)", "pub(crate)", "async"].contains(&word);
    let is_function = before.split_whitespace().all(is_qualifier);
    let (name, _) = after.split_once('(').filter(|_| is_function)?;
    let (number, words) = name.split_once('_')?;
    let number = (number.len() == 3).then(|| number.parse().ok()).flatten()?;
    Some((number, words.replace('_', " ")))
}

fn page(tests: &Tests) -> anyhow::Result<String> {
    let numbers = || SECTIONS.iter().flat_map(|(_, numbers)| numbers.clone());
    let missing: Vec<u16> = numbers()
        .filter(|number| !tests.contains_key(number))
        .collect();
    ensure!(missing.is_empty(), "no test shows {missing:?} of {PAGE}");
    let unknown = tests
        .keys()
        .find(|number| numbers().all(|known| known != **number));
    ensure!(
        unknown.is_none(),
        "a test carries the number {unknown:?}, which {PAGE} does not have"
    );
    let mut text = INTRODUCTION.to_owned();
    for (heading, numbers) in SECTIONS {
        write!(
            text,
            "\n## {heading}\n\n| number | shown | in |\n|---|---|---|\n"
        )?;
        for (number, shown) in tests.range(numbers) {
            for Shown { behaviour, file } in shown {
                writeln!(text, "| {number} | {behaviour} | [{file}](../{file}) |")?;
            }
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole() -> Tests {
        let shown = |number: u16| Shown {
            behaviour: format!("behaviour {number}"),
            file: "cli/src/a.rs".to_owned(),
        };
        let numbers = SECTIONS.iter().flat_map(|(_, numbers)| numbers.clone());
        numbers
            .map(|number| (number, vec![shown(number)]))
            .collect()
    }

    #[test]
    fn names_have_number_and_words() {
        let found = Some((41, "a wrong state ends nothing".to_owned()));
        assert_eq!(
            numbered("    async fn c041_a_wrong_state_ends_nothing() {"),
            found
        );
        assert_eq!(numbered("fn c041_a_wrong_state_ends_nothing() {"), found);
        assert_eq!(
            numbered("pub(super) async fn c041_a_wrong_state_ends_nothing("),
            found
        );
        for other in [
            "fn c41_short() {",
            "fn c0411_long() {",
            "fn chain() {",
            "// c041_",
            "// as fn c041_a() does",
        ] {
            assert_eq!(numbered(other), None, "{other}");
        }
    }

    #[test]
    fn each_number_has_a_row() {
        let text = page(&whole()).unwrap();
        assert!(
            text.contains("\n| 104 | behaviour 104 | [cli/src/a.rs](../cli/src/a.rs) |\n"),
            "{text}"
        );
        let mut tests = whole();
        tests.remove(&48);
        let error = page(&tests).unwrap_err().to_string();
        assert_eq!(error, "no test shows [48] of docs/pinniped-cli.md");
        tests = whole();
        tests.insert(49, Vec::new());
        assert!(page(&tests).is_err(), "49 is of the proxy");
    }
}

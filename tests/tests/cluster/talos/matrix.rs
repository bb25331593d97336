//! The matrix in `talos-patches/README.md`: written by a run with `HAULOUT_WRITE_MATRIX`, compared by every other.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use haulout_tests::cluster::workspace_root;
use haulout_tests::talos::{Broken, Generation, State, Version};

use super::patches::Meant;
use super::rows::{Outcome, Section};
use super::start::Seen;

const BEGIN: &str = "<!-- matrix: begin (generated) -->\n";
const END: &str = "<!-- matrix: end -->\n";
const WRITE: &str = "HAULOUT_WRITE_MATRIX";
const HOW: &str = "HAULOUT_WRITE_MATRIX=1 cargo xtask test --only talos-start,talos-config-old";

const HEAD: &str = "\
| patch | valid | rendered | started | TCR | other paths | applied again |
|---|---|---|---|---|---|---|
";

/// Columns; those of the API server are unknown without one.
type Cells = [Option<String>; 7];

impl Section {
    /// Its heading in the page.
    fn heading(&self) -> String {
        let version = self.version.name();
        let generation = match (self.version, self.generation) {
            (Version::V1_14, Generation::Legacy) => ", legacy",
            (Version::V1_14, Generation::Documents) => ", multi-doc",
            _ => "",
        };
        let by = match self.version.merger() {
            Some(version) => format!("arguments merged by Talos' own code of {version}"),
            None => "arguments merged by a model".to_owned(),
        };
        format!("### Talos {version}{generation}: {by}")
    }

    fn table(&self, seen: Option<&Seen>) -> Vec<Cells> {
        let stock = cells("(none)".to_owned(), &self.stock, None, seen);
        let rows =
            self.rows
                .iter()
                .map(|row| match row.patch.meant(self.version, self.generation) {
                    Meant::NotChecked => not_checked(row.patch.name()),
                    Meant::For(_) | Meant::NotFor => {
                        cells(row.patch.name(), &row.once, Some(&row.again), seen)
                    }
                });
        [stock].into_iter().chain(rows).collect()
    }
}

fn not_checked(name: String) -> Cells {
    [&name, "not checked", "", "", "", "", ""].map(|text| Some(text.to_owned()))
}

fn cells(name: String, once: &Outcome, again: Option<&Outcome>, seen: Option<&Seen>) -> Cells {
    let text = |text: &str| Some(text.to_owned());
    let Outcome::Taken { rendered, state } = once else {
        return [&name, "refused", "", "", "", "", ""].map(text);
    };
    let [started, login, others] = match (state, seen) {
        (State::Broken(Broken::NotRendered(_)), _) => ["no", "", ""].map(text),
        (_, None) => [None, None, None],
        (_, Some(seen)) => seen.cells(rendered).map(Some),
    };
    let again = match again {
        None => String::new(),
        Some(Outcome::Refused(_)) => "refused".to_owned(),
        Some(Outcome::Taken {
            rendered: again, ..
        }) if again == rendered => "no change".to_owned(),
        Some(Outcome::Taken { state, .. }) => state.to_string(),
    };
    [
        Some(name),
        text("yes"),
        Some(state.to_string()),
        started,
        login,
        others,
        Some(again),
    ]
}

fn line(cells: &Cells) -> String {
    let cells = cells.iter().map(|cell| cell.as_deref().unwrap_or("?"));
    let cells: Vec<&str> = cells.collect();
    format!("| {} |\n", cells.join(" | "))
}

/// Prints what was found, and compares it with the page; or writes it there.
pub(crate) fn compare(sections: &[Section], seen: Option<&Seen>) {
    let path = workspace_root().join("talos-patches/README.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let mut documented = parse(&page);
    let mut findings = String::new();
    for section in sections {
        let (heading, table) = (section.heading(), section.table(seen));
        let printed: String = table.iter().map(line).collect();
        println!("{heading}\n\n{HEAD}{printed}");
        let old = documented.insert(heading.clone(), printed.clone());
        for difference in differences(old.as_deref().unwrap_or_default(), &table) {
            writeln!(findings, "{heading}: {difference}").unwrap();
        }
    }
    if seen.is_some() && std::env::var_os(WRITE).is_some() {
        write(&path, &page, &documented);
        return;
    }
    assert!(
        findings.is_empty(),
        "talos-patches/README.md says something else; if that is meant: {HOW}\n{findings}"
    );
}

/// Rows that are not in the page as they were found, in the columns that are known.
fn differences(documented: &str, found: &[Cells]) -> Vec<String> {
    let mut documented = documented.lines();
    let mut differences = Vec::new();
    for cells in found {
        let row = documented.next().unwrap_or_default();
        let mut old = row.trim_matches('|').split('|');
        let same = cells.iter().all(|cell| {
            let old = old.next().unwrap_or_default();
            cell.as_ref().is_none_or(|cell| cell.trim() == old.trim())
        });
        if !same {
            differences.push(format!("\n  page:  {row}\n  found: {}", line(cells).trim()));
        }
    }
    differences.extend(documented.map(|row| format!("\n  only the page has {row}")));
    differences
}

/// Rows below each heading.
fn parse(page: &str) -> BTreeMap<String, String> {
    let (_, rest) = page.split_once(BEGIN).unwrap();
    let (matrix, _) = rest.split_once(END).unwrap();
    let mut sections = BTreeMap::new();
    for section in matrix.split("### ").skip(1) {
        let (heading, rest) = section.split_once('\n').unwrap();
        let (_, rows) = rest.split_once(HEAD).unwrap();
        sections.insert(format!("### {heading}"), rows.trim_end().to_owned() + "\n");
    }
    sections
}

const INTRODUCTION: &str = "\
*valid*: a config that Talos' own code generated took the patch, was read back and found valid by it, after the file before it where there
are two. *rendered*: the arguments of the API server that decide who gets in without credentials. *started*, *TCR*, *other paths*: a real
kube-apiserver v1.36.3 with them, with Haulout behind it; a login and its answer, and what callers without credentials get elsewhere.
*applied again*: the same patch once more. What is bold breaks the cluster or opens it, and Talos does not say so.

No module of Talos has the part that writes the API server's pod. What Talos sets itself is a list of ours, and so is what it denies; a model
merges where no module of Talos does. *not checked*: the document is newer than the last module that can be had. No node was booted: nothing is
known from here of the kubelet, of mounts and files on a disk, or of the order of a boot.
";

fn write(path: &PathBuf, page: &str, sections: &BTreeMap<String, String>) {
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let mut matrix = format!("{INTRODUCTION}\n");
    for (heading, rows) in sections {
        writeln!(matrix, "{heading}\n\n{HEAD}{rows}").unwrap();
    }
    let text = format!("{before}{BEGIN}\n{matrix}{END}{after}");
    std::fs::write(path, text).unwrap();
}

#[test]
fn a_cell_that_is_known_is_compared() {
    let cells = |known: [&str; 7]| known.map(|cell| (cell != "?").then(|| cell.to_owned()));
    let found = cells(["a", "yes", "flag true", "?", "?", "?", ""]);
    for (page, count) in [
        ("| a | yes | flag true | yes | 201 | x |  |\n", 0),
        ("| a | refused | flag true | yes | 201 | x |  |\n", 1),
        ("| b | yes | flag true | yes | 201 | x |  |\n", 1),
        ("| a | yes | flag true | yes | 201 | x | refused |\n", 1),
        ("", 1),
        ("| a | yes | flag true | yes | 201 | x |  |\n| b | |\n", 1),
    ] {
        assert_eq!(
            differences(page, std::slice::from_ref(&found)).len(),
            count,
            "{page}"
        );
    }
}

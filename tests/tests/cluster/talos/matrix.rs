//! The matrix in `talos-patches/README.md`: written by a run with `HAULOUT_WRITE_MATRIX`, compared by every other.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use haulout_tests::cluster::{KubernetesBinaries, workspace_root};
use haulout_tests::talos::{Broken, Generation, State, Version};

use super::patches::Meant;
use super::rows::{Outcome, Section};
use super::start::Seen;

const BEGIN: &str = "<!-- matrix: begin (generated) -->\n";
const END: &str = "<!-- matrix: end -->\n";
const WRITE: &str = "HAULOUT_WRITE_MATRIX";
const HOW: &str = "HAULOUT_WRITE_MATRIX=1 cargo xtask test --only talos-start,talos-config-old";

const HEAD: &str = "\
| patch | for it | valid | rendered | started | TCR | other paths | applied again |
|---|---|---|---|---|---|---|---|
";

/// Columns; those of the API server are unknown without one.
type Cells = [Option<String>; 8];

impl Section {
    /// Its heading in the page.
    fn heading(&self) -> String {
        let generation = match (self.version, self.generation) {
            (Version::V1_14, Generation::Legacy) => ", legacy",
            (Version::V1_14, Generation::Documents) => ", multi-doc",
            _ => "",
        };
        format!("Talos {}{generation}", self.version.name())
    }

    /// What stands below the heading.
    fn body(&self, table: &[Cells]) -> String {
        let merged = match self.version.merger() {
            Some(version) => format!("Arguments are merged by Talos' own code, of {version}."),
            None => "Arguments are merged by our *model* of Talos.".to_owned(),
        };
        let rows: String = table.iter().map(line).collect();
        format!("{merged}\n\n{HEAD}{rows}")
    }

    fn table(&self, seen: Option<&Seen>) -> Vec<Cells> {
        let stock = cells(&self.stock, None, seen);
        let rows = self.rows.iter().map(|row| {
            let found = || cells(&row.once, Some(&row.again), seen);
            let (is_meant, rest) = match row.patch.meant(self.version, self.generation) {
                Meant::NotChecked => (
                    "yes".to_owned(),
                    ["not checked", "", "", "", "", ""].map(text),
                ),
                Meant::For(_) => ("yes".to_owned(), found()),
                Meant::From(version) => (format!("from {version}, not checked"), found()),
                Meant::NotFor => ("no".to_owned(), found()),
            };
            (row.patch.name(), is_meant, rest)
        });
        [("(none)".to_owned(), String::new(), stock)]
            .into_iter()
            .chain(rows)
            .map(|(name, is_meant, [a, b, c, d, e, f])| {
                [Some(name), Some(is_meant), a, b, c, d, e, f]
            })
            .collect()
    }
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// All but the first two.
fn cells(once: &Outcome, again: Option<&Outcome>, seen: Option<&Seen>) -> [Option<String>; 6] {
    let Outcome::Taken { rendered, state } = once else {
        return ["refused", "", "", "", "", ""].map(text);
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
    if !page.contains(&introduction()) {
        findings.push_str("another text before the tables\n");
    }
    for section in sections {
        let (heading, table) = (section.heading(), section.table(seen));
        let body = section.body(&table);
        println!("{heading}\n\n{body}");
        let old = documented.insert(heading.clone(), body).unwrap_or_default();
        let (_, old) = old.split_once(HEAD).unwrap_or_default();
        for difference in differences(old, &table) {
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

/// What stands below each heading.
fn parse(page: &str) -> BTreeMap<String, String> {
    let (_, rest) = page.split_once(BEGIN).unwrap();
    let (matrix, _) = rest.split_once(END).unwrap();
    let mut sections = BTreeMap::new();
    for section in matrix.split("### ").skip(1) {
        let (heading, body) = section.split_once("\n\n").unwrap();
        sections.insert(heading.to_owned(), body.trim_end().to_owned() + "\n");
    }
    sections
}

/// What stands before the sections.
fn introduction() -> String {
    let kubernetes = KubernetesBinaries::version().unwrap();
    format!(
        "\
Each patch on a config that Talos' own code generated. *for it*: whether the patch is meant for this version. *valid*: that code took
the patch, after the file before it where there are two, read the result back and found it valid. *rendered*: what the API server is
told of callers without credentials. *started*, *TCR*, *other paths*: what a real kube-apiserver {kubernetes} did that was told so, with
Haulout behind it: whether it started, and what a login and all other requests without credentials got. *applied again*: the same patch
once more; *no change* means that the API server is told the same. **Bold** breaks the cluster or opens it, though Talos finds nothing
wrong.

No module of Talos has the part that writes the API server's pod. Which arguments Talos sets and denies is a list of ours in each row;
where it says *model*, the merging is ours too. *not checked*: the document, or the version, is newer than any module that can be had.
No Talos node was booted: nothing is known from here of the kubelet, of mounts and files on a disk, or of the order of a boot.

`legacy/harden-public-info-viewer.yaml` beside `legacy/anonymous-auth.yaml`: `/version` and the three health paths answer 403, after a
restart of the API server too, and logins go on.
"
    )
}

fn write(path: &PathBuf, page: &str, sections: &BTreeMap<String, String>) {
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let mut matrix = introduction() + "\n";
    for (heading, body) in sections {
        writeln!(matrix, "### {heading}\n\n{body}").unwrap();
    }
    let text = format!("{before}{BEGIN}\n{matrix}{END}{after}");
    std::fs::write(path, text).unwrap();
}

#[test]
fn a_cell_that_is_known_is_compared() {
    let cells = |known: [&str; 8]| known.map(|cell| (cell != "?").then(|| cell.to_owned()));
    let found = cells(["a", "no", "yes", "flag true", "?", "?", "?", ""]);
    for (page, count) in [
        ("| a | no | yes | flag true | yes | 201 | x |  |\n", 0),
        ("| a | no | refused | flag true | yes | 201 | x |  |\n", 1),
        ("| b | no | yes | flag true | yes | 201 | x |  |\n", 1),
        (
            "| a | no | yes | flag true | yes | 201 | x | refused |\n",
            1,
        ),
        ("", 1),
        (
            "| a | no | yes | flag true | yes | 201 | x |  |\n| b | |\n",
            1,
        ),
    ] {
        assert_eq!(
            differences(page, std::slice::from_ref(&found)).len(),
            count,
            "{page}"
        );
    }
}

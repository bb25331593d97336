//! The tables, and what they have to show.

use std::fmt;

use haulout_tests::cluster::workspace_root;
use haulout_tests::probe::Outcome;

/// Faults that must not be noticed even at the first try.
const UNNOTICED: [&str; 6] = [
    "no fault",
    "webhooks restarted one after the other",
    "serving leaf renewed",
    "agents' leaf renewed",
    "Lease deleted",
    "serving CA and agents' CA replaced in time",
];

/// One fault and what it cost.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) fault: &'static str,
    pub(super) outcome: Outcome,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Outcome {
            tried,
            failed_at_first,
            failed_after_retry,
            recovered_after,
            ..
        } = &self.outcome;
        write!(
            f,
            "| {} | {tried} | {failed_at_first} | {failed_after_retry} | {:.1} s |",
            self.fault,
            recovered_after.as_secs_f64()
        )
    }
}

/// No login may be lost, and the page must name the faults that were tried, in this order, below this heading.
pub(super) fn judge(heading: &str, rows: &[Row]) {
    let mut faults = Vec::new();
    for Row { fault, outcome } in rows {
        if outcome.failed_after_retry > 0 {
            faults.push(format!("{fault}: lost logins: {:?}", outcome.examples));
        }
        if UNNOTICED.contains(fault) && outcome.failed_at_first > 0 {
            faults.push(format!("{fault}: was noticed: {:?}", outcome.examples));
        }
    }
    let page = std::fs::read_to_string(workspace_root().join("docs/reliability.md")).unwrap();
    let tried: Vec<&str> = rows.iter().map(|row| row.fault).collect();
    if documented(&page, heading) != tried {
        let table: String = rows.iter().map(|row| format!("{row}\n")).collect();
        faults.push(format!(
            "docs/reliability.md has another table below {heading:?} than:\n{table}"
        ));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The first column of the page's table of faults below a heading.
fn documented<'a>(page: &'a str, heading: &str) -> Vec<&'a str> {
    let mut lines = page
        .lines()
        .skip_while(|line| *line != heading)
        .skip_while(|line| !line.starts_with("| fault |"));
    let _heading_and_rule = (lines.next(), lines.next());
    lines
        .map_while(|line| line.strip_prefix("| "))
        .filter_map(|line| line.split(" | ").next())
        .collect()
}

#[test]
fn the_first_column_is_found() {
    let head = "| fault | tried |\n|---|---|\n";
    let page =
        format!("{head}| z | 0 |\n\n## A\n\ntext\n\n{head}| a b | 1 |\n| c | 2 |\n\n| d | 3 |\n");
    assert_eq!(documented(&page, "## A"), ["a b", "c"]);
    assert!(documented(&page, "## B").is_empty());
}

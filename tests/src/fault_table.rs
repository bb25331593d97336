//! The tables of faults in `docs/reliability.md`, and what they have to show.

use std::fmt;
use std::time::Duration;

use crate::probe::Outcome;

/// Of a limit, since a busy machine adds to what a fault costs: other programs may have its processors for seconds.
const ROOM: u32 = 2;

/// What is demanded of a fault, besides that no login is lost when it is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// Nothing more.
    NoneLost,
    /// After so long logins are answered at the first try, and none takes longer; twice as long is let pass.
    RecoveryWithin(Duration),
    /// No login fails even at the first try.
    NotNoticed,
}

/// One fault and what it cost.
#[derive(Debug)]
pub struct Row {
    /// Its name in the table.
    pub fault: &'static str,
    /// What is demanded of it.
    pub demand: Demand,
    /// What was seen.
    pub outcome: Outcome,
}

impl Row {
    /// What is not as demanded.
    fn findings(&self) -> Vec<String> {
        let Self {
            fault,
            demand,
            outcome,
        } = self;
        let mut findings = Vec::new();
        if outcome.failed_after_retry > 0 {
            findings.push(format!("{fault}: lost logins: {:?}", outcome.examples));
        }
        match demand {
            Demand::NotNoticed if outcome.failed_at_first > 0 => {
                findings.push(format!("{fault}: was noticed: {:?}", outcome.examples));
            }
            Demand::RecoveryWithin(limit) => {
                let longest = outcome.recovered_after.max(outcome.slowest);
                if longest > *limit * ROOM {
                    findings.push(format!(
                        "{fault}: logins suffered for {longest:?}, which should be over after {limit:?}"
                    ));
                }
            }
            Demand::NoneLost | Demand::NotNoticed => {}
        }
        findings
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Outcome {
            tried,
            failed_at_first,
            failed_after_retry,
            recovered_after,
            slowest,
            ..
        } = &self.outcome;
        write!(
            f,
            "| {} | {tried} | {failed_at_first} | {failed_after_retry} | {:.1} s | {:.2} s |",
            self.fault,
            recovered_after.as_secs_f64(),
            slowest.as_secs_f64(),
        )
    }
}

/// Each fault must have cost no more than is demanded, and the page must name the faults that were tried, in this
/// order, below this heading. Gives what is not so.
pub fn judge(page: &str, heading: &str, rows: &[Row]) -> Vec<String> {
    let mut findings: Vec<String> = rows.iter().flat_map(Row::findings).collect();
    let tried: Vec<&str> = rows.iter().map(|row| row.fault).collect();
    if documented(page, heading) != tried {
        let table: String = rows.iter().map(|row| format!("{row}\n")).collect();
        findings.push(format!(
            "the page has another table below {heading:?} than:\n{table}"
        ));
    }
    findings
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

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn row(demand: Demand, failed: [usize; 2], recovered_after: u64, slowest: u64) -> Row {
        let [failed_at_first, failed_after_retry] = failed;
        Row {
            fault: "a b",
            demand,
            outcome: Outcome {
                tried: 9,
                failed_at_first,
                failed_after_retry,
                recovered_after: Duration::from_millis(recovered_after),
                slowest: Duration::from_millis(slowest),
                examples: Vec::new(),
            },
        }
    }

    #[test]
    fn each_demand_is_judged() {
        let within = Demand::RecoveryWithin(SECOND);
        for (row, findings) in [
            (row(Demand::NoneLost, [5, 0], 60_000, 9_000), 0),
            (row(Demand::NoneLost, [5, 1], 0, 0), 1),
            (row(Demand::NotNoticed, [0, 0], 0, 9_000), 0),
            (row(Demand::NotNoticed, [1, 0], 50, 0), 1),
            (row(Demand::NotNoticed, [2, 1], 50, 0), 2),
            (row(within, [3, 0], 2_000, 2_000), 0),
            (row(within, [3, 0], 2_001, 0), 1),
            (row(within, [0, 0], 0, 2_001), 1),
            (row(within, [1, 1], 0, 0), 1),
        ] {
            assert_eq!(row.findings().len(), findings, "{row:?}");
        }
    }

    const HEAD: &str = "| fault | tried |\n|---|---|\n";

    #[test]
    fn the_page_has_to_name_what_was_tried() {
        let rows = [row(Demand::NoneLost, [1, 0], 1_250, 480)];
        assert_eq!(rows[0].to_string(), "| a b | 9 | 1 | 0 | 1.2 s | 0.48 s |");
        let page = format!("## A\n\n{HEAD}| a b | 1 |\n\n## B\n\n{HEAD}| c | 1 |\n");
        assert!(judge(&page, "## A", &rows).is_empty());
        for heading in ["## B", "## C"] {
            let findings = judge(&page, heading, &rows);
            assert!(findings.concat().contains(&rows[0].to_string()));
        }
    }

    #[test]
    fn the_first_column_is_found() {
        let page = format!(
            "{HEAD}| z | 0 |\n\n## A\n\ntext\n\n{HEAD}| a b | 1 |\n| c | 2 |\n\n| d | 3 |\n"
        );
        assert_eq!(documented(&page, "## A"), ["a b", "c"]);
        assert!(documented(&page, "## B").is_empty());
    }
}

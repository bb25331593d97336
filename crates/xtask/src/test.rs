//! `cargo xtask test`: every stage that judges the code, and one line that says how it went.

mod cargo;
mod cluster;
mod fuzz;
mod properties;
mod reproducible;
mod requirements;
mod stage;
mod tools;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::builder::PossibleValuesParser;

pub(crate) use self::cargo::Tally;
pub(crate) use self::requirements::ensure_pods;
use self::stage::{STAGES, Stage, Tier};
use crate::output::{complain, say, seconds};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only stages that need no Go and no cluster
    #[arg(long, conflicts_with_all = ["all", "only"])]
    quick: bool,
    /// Every stage, the slow ones too
    #[arg(long, conflicts_with = "only")]
    all: bool,
    /// Only these stages
    #[arg(
        long,
        value_name = "NAME",
        value_delimiter = ',',
        value_parser = PossibleValuesParser::new(STAGES.iter().map(|stage| stage.name))
    )]
    only: Vec<String>,
    /// List the stages and what they do
    #[arg(long)]
    list: bool,
}

/// Runs the chosen stages; the last line on standard output is `N passed, N failed`.
///
/// # Errors
/// A program that the stages need is missing and cannot be installed.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    if arguments.list {
        list();
        return Ok(ExitCode::SUCCESS);
    }
    let stages: Vec<&Stage> = STAGES
        .iter()
        .filter(|stage| arguments.chooses(stage))
        .collect();
    let mut results = Vec::with_capacity(stages.len());
    requirements::ensure(&stages).await?;
    for (number, stage) in stages.iter().enumerate() {
        say(&format!(
            "==> {} ({} of {}): {}",
            stage.name,
            number + 1,
            stages.len(),
            stage.about
        ));
        let start = Instant::now();
        let tally = stage.run().await.unwrap_or_else(|error| {
            complain(&format!("{}: {error:#}", stage.name));
            Tally::failure()
        });
        results.push((stage.name, tally, start.elapsed()));
    }
    Ok(summarize(&results))
}

impl Arguments {
    fn chooses(&self, stage: &Stage) -> bool {
        if !self.only.is_empty() {
            return self.only.iter().any(|name| name == stage.name);
        }
        match stage.tier {
            Tier::Quick => true,
            Tier::Default => !self.quick,
            Tier::All => self.all,
        }
    }
}

fn list() {
    for stage in STAGES {
        let tier = match stage.tier {
            Tier::Quick => "quick",
            Tier::Default => "default",
            Tier::All => "all",
        };
        say(&format!("{:<16} {tier:<8} {}", stage.name, stage.about));
    }
}

fn summarize(results: &[(&str, Tally, Duration)]) -> ExitCode {
    say(&format!(
        "\n{:<16} {:>7} {:>7} {:>14}",
        "stage", "passed", "failed", "time"
    ));
    let mut total = Tally::default();
    for (name, tally, time) in results {
        let Tally { passed, failed } = tally;
        say(&format!(
            "{name:<16} {passed:>7} {failed:>7} {:>14}",
            seconds(*time)
        ));
        total += *tally;
    }
    say(&total.to_string());
    if total.is_good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Command {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn chosen(flags: &[&str]) -> Vec<&'static str> {
        let flags = ["test"].iter().chain(flags);
        let arguments = Command::try_parse_from(flags).unwrap().arguments;
        let chosen = STAGES.iter().filter(|stage| arguments.chooses(stage));
        chosen.map(|stage| stage.name).collect()
    }

    #[test]
    fn tiers_contain_one_another() {
        let (quick, default, all) = (chosen(&["--quick"]), chosen(&[]), chosen(&["--all"]));
        assert!(quick.contains(&"unit") && !quick.contains(&"cluster"));
        assert!(default.contains(&"cluster") && !default.contains(&"deny"));
        assert!(default.contains(&"providers") && !default.contains(&"keycloak"));
        assert!(quick.iter().all(|name| default.contains(name)));
        assert!(default.iter().all(|name| all.contains(name)));
        assert_eq!(all.len(), STAGES.len());
    }

    #[test]
    fn only_takes_known_names() {
        assert_eq!(chosen(&["--only", "unit,format"]), ["format", "unit"]);
        assert!(Command::try_parse_from(["test", "--only", "nonsense"]).is_err());
        assert!(Command::try_parse_from(["test", "--quick", "--all"]).is_err());
    }

    #[test]
    fn names_are_different() {
        let names: std::collections::BTreeSet<&str> =
            STAGES.iter().map(|stage| stage.name).collect();
        assert_eq!(names.len(), STAGES.len());
    }
}

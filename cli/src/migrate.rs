//! `haulout migrate`: prints the steps from Pinniped's Concierge to Haulout, or what stands in their way. Runs none of them.

#[cfg(test)]
mod example;
mod findings;
mod name;
mod observe;
mod record;
mod script;
mod state;
mod steps;

use std::io::Write;

use haulout_api::group::{ApiGroupSuffix, SuffixError};

use self::findings::{Finding, Weight, judge};
use self::name::NameError;
use self::record::{ANNOTATION, RecordError};
use self::script::Tools;
use self::state::State;
use crate::Environment;
use crate::arguments::MigrateFlags;
use crate::cluster::{Cluster, ClusterError};
use crate::standard_output::{PrintError, print};

/// Why there are no steps.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MigrateError {
    #[error("invalid --api-group-suffix")]
    Suffix(#[source] SuffixError),
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error(
        "this cluster has no Concierge: there is no APIService v1alpha1.login.concierge.SUFFIX; install Haulout without \
         migration"
    )]
    NothingServed,
    #[error(
        "APIService v1alpha1.login.concierge.{0} leads to no Service; check --api-group-suffix"
    )]
    NotServed(ApiGroupSuffix),
    #[error("several Concierges are registered: choose one by --api-group-suffix: {0}")]
    SeveralSuffixes(String),
    #[error(
        "several Deployments run a Concierge, so it is not known which one is meant; delete those that nobody uses"
    )]
    SeveralConcierges,
    #[error("Haulout serves the logins already, and nothing of a Concierge is left")]
    Done,
    #[error(
        "Haulout serves the logins, and APIService v1alpha1.login.concierge.{0} does not say which Concierge did before; if \
         one did, write its NAMESPACE/SERVICE/DEPLOYMENT there as the annotation {ANNOTATION}"
    )]
    NotRecorded(ApiGroupSuffix),
    #[error("{0} of the findings block the migration; `haulout migrate --check` prints them")]
    Blocked(usize),
    #[error(transparent)]
    Print(#[from] PrintError),
}

impl MigrateError {
    /// Whether the command line is at fault.
    pub(crate) fn is_usage(&self) -> bool {
        matches!(self, Self::Suffix(_))
    }
}

/// Prints the findings, the steps, or the steps back.
pub(crate) fn run(
    flags: &MigrateFlags,
    environment: Environment<'_>,
    stdout: &mut dyn Write,
) -> Result<(), MigrateError> {
    let suffix = flags.api_group_suffix.clone().map(ApiGroupSuffix::parse);
    let suffix = suffix.transpose().map_err(MigrateError::Suffix)?;
    let state = Cluster::with(&flags.cluster, environment, async |cluster| {
        observe::observe(cluster, suffix.as_ref()).await
    })?;
    let tools = Tools::new(&flags.cluster, flags.api_group_suffix.as_deref());
    let mut print = |text: &str| print(stdout, text).map_err(MigrateError::Print);
    match (&state.concierge, flags.back) {
        (Some(concierge), true) => print(&steps::back(&state, concierge, &tools)),
        (None, back) if state.login.is_ours() => match (state.is_recorded, back) {
            (false, _) => Err(MigrateError::NotRecorded(state.suffix)),
            (true, true) => print(&steps::restore(&tools)),
            (true, false) => Err(MigrateError::Done),
        },
        (concierge, _) => {
            let findings = judge(&state);
            if flags.check {
                print(&report(&state, &findings))?;
            }
            let blocking = findings
                .iter()
                .filter(|finding| finding.weight == Weight::Blocks);
            match (blocking.count(), concierge) {
                (0, Some(concierge)) if !flags.check => {
                    print(&steps::forth(&state, concierge, &tools))
                }
                (0, _) => Ok(()),
                (blocking, _) => Err(MigrateError::Blocked(blocking)),
            }
        }
    }
}

/// What `--check` prints.
fn report(state: &State, findings: &[Finding]) -> String {
    let (major, minor) = state.version;
    let mut text = format!(
        "logins go to Service {}, API group suffix {}, Kubernetes {major}.{minor}\n",
        state.login, state.suffix
    );
    for finding in findings {
        text.push_str(&format!("{finding}\n"));
    }
    text
}

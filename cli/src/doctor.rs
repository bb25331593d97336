//! `haulout doctor`: looks at every step of a login, with the rights of whoever runs it, and says which one fails and what to do.
//! Nothing is changed. A token that is given is sent where a login sends it, and what comes back is dropped.

mod checks;
mod claims;
mod observations;
mod observe;
mod report;
mod stanza;

use std::io::Write;
use std::process::ExitCode;
use std::time::SystemTime;

use haulout_api::group::{ApiGroupSuffix, SuffixError};

use self::checks::judge;
use self::observe::observe;
use self::stanza::Stanza;
use crate::Environment;
use crate::arguments::{DoctorFlags, OutputFormat};
use crate::clock::Clock;
use crate::cluster::{Cluster, ClusterError};
use crate::document::EncodeError;
use crate::secret_variable::{VariableError, secret_of};
use crate::standard_output::{PrintError, print};

/// Why no check could be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DoctorError {
    #[error("invalid --api-group-suffix")]
    Suffix(#[source] SuffixError),
    #[error(transparent)]
    Token(#[from] VariableError),
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error(transparent)]
    Encode(#[from] EncodeError),
    #[error(transparent)]
    Print(#[from] PrintError),
}

/// Makes all checks and prints them. The exit code says whether one failed.
pub(crate) fn run(
    flags: &DoctorFlags,
    environment: Environment<'_>,
    now: SystemTime,
    stdout: &mut dyn Write,
) -> Result<ExitCode, DoctorError> {
    let clock = Clock::starting_at(now);
    let suffix = ApiGroupSuffix::parse(flags.api_group_suffix.as_str());
    let suffix = suffix.map_err(DoctorError::Suffix)?;
    let token = flags.token_env.as_deref();
    let token = token.map(|name| secret_of("--token-env", name, environment));
    let token = token.transpose()?;
    let observations = Cluster::with_config(&flags.cluster, environment, async |config| {
        let exec = config.auth_info.exec.as_ref();
        let stanza = exec.and_then(|exec| Stanza::read(exec, environment));
        observe(config, suffix, stanza.as_ref(), token.as_ref(), clock).await
    })?;
    let report = judge(&observations);
    let text = match flags.output {
        OutputFormat::Text => report.to_string(),
        OutputFormat::Json => report.to_json()?,
    };
    print(stdout, &text)?;
    Ok(if report.has_failed() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

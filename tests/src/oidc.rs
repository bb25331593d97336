//! Kubernetes' own OIDC authenticator, to compare ours with: the program of `tests/cluster/oidc`.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use haulout_api::identity::UserInfo;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::cluster::find_or_build_oidc;

const LIMIT: Duration = Duration::from_secs(120);

/// What is judged.
#[derive(Clone, Debug, Serialize)]
pub struct Case {
    /// Specification of a `JWTAuthenticator`.
    pub spec: Value,
    /// Claims of a token, with `iss`, `aud` and `exp`.
    pub claims: Map<String, Value>,
}

/// What comes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The token names a user.
    Accepted(UserInfo),
    /// The token is refused, for the reason given.
    Refused(String),
    /// The specification is not valid, whatever the token says.
    Invalid(String),
}

/// The program.
#[derive(Clone, Debug)]
pub struct KubernetesOidc {
    program: PathBuf,
}

impl KubernetesOidc {
    /// Builds the program first if it is missing or stale.
    ///
    /// # Errors
    /// `go` is not installed, or the build failed.
    pub async fn find_or_build() -> anyhow::Result<Self> {
        let program = find_or_build_oidc().await?;
        Ok(Self { program })
    }

    /// One verdict per case, in the same order.
    ///
    /// # Errors
    /// The program failed: it could not read a case.
    pub async fn judge(&self, cases: &[Case]) -> anyhow::Result<Vec<Verdict>> {
        let mut child = Command::new(&self.program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("failed to start {}", self.program.display()))?;
        let mut input = child.stdin.take().context("it has no standard input")?;
        let cases_text = serde_json::to_vec(cases)?;
        let talk = async {
            // It answers when it has read everything.
            input.write_all(&cases_text).await?;
            drop(input);
            child.wait_with_output().await
        };
        let output = tokio::time::timeout(LIMIT, talk)
            .await
            .context("Kubernetes' authenticator did not end")??;
        ensure!(
            output.status.success(),
            "Kubernetes' authenticator ended with {}; see above",
            output.status
        );
        let answers: Vec<Answer> = serde_json::from_slice(&output.stdout)?;
        ensure!(answers.len() == cases.len(), "it left out verdicts");
        answers.into_iter().map(Verdict::try_from).collect()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    valid: bool,
    errors: Option<String>,
    refused: Option<String>,
    user: Option<UserInfo>,
}

impl TryFrom<Answer> for Verdict {
    type Error = anyhow::Error;

    fn try_from(answer: Answer) -> anyhow::Result<Self> {
        match (answer.valid, answer.errors, answer.refused, answer.user) {
            (false, Some(errors), None, None) => Ok(Self::Invalid(errors)),
            (true, None, Some(reason), None) => Ok(Self::Refused(reason)),
            (true, None, None, Some(user)) => Ok(Self::Accepted(user)),
            _ => anyhow::bail!("a verdict is none of the three"),
        }
    }
}

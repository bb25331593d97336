//! Kubernetes' own OIDC authenticator, to compare ours with: the program of `tests/cluster/oidc`.

use std::path::PathBuf;

use haulout_api::identity::UserInfo;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::cluster::find_or_build_oidc;
use crate::go_program::ask;

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
        let answers: Vec<Answer> = ask(&self.program, cases).await?;
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

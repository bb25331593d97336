//! What the checks found, for people and for programs.

use std::fmt;

use serde::Serialize;

use crate::document::{self, EncodeError};
use crate::printable;

/// All checks, in the order of a login.
#[derive(Debug)]
pub(super) struct Report {
    /// URL of the API server.
    pub(super) server: String,
    pub(super) api_group_suffix: String,
    pub(super) checks: Vec<Check>,
}

/// One check and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Check {
    pub(super) name: Name,
    /// Which of several things of a kind was checked.
    pub(super) subject: Option<String>,
    pub(super) outcome: Outcome,
}

/// What is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Name {
    ApiServer,
    Clock,
    Account,
    Webhook,
    ApiService,
    LoginPath,
    AnonymousAccess,
    Namespaces,
    ControllerManager,
    Agent,
    SigningKey,
    Signing,
    AgentClocks,
    AdvertisedEndpoint,
    DirectEndpoint,
    Authenticator,
    Token,
}

/// What came of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Ok(String),
    Warning(Finding),
    Failed(Finding),
    /// This other check has to be good first.
    Waits(Name),
    /// Why it could not be made.
    Unseen(String),
}

/// What was seen, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) evidence: String,
    pub(super) remedy: String,
}

/// Outcomes as programs tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    Warning,
    Failed,
    Skipped,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    server: &'a str,
    api_group_suffix: &'a str,
    summary: Summary,
    checks: Vec<WireCheck<'a>>,
}

#[derive(Default, Serialize)]
struct Summary {
    ok: usize,
    warning: usize,
    failed: usize,
    skipped: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireCheck<'a> {
    name: Name,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    verdict: Verdict,
    evidence: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    waits_for: Option<Name>,
}

impl Report {
    pub(super) fn has_failed(&self) -> bool {
        self.summary().failed > 0
    }

    /// One JSON object, on lines of its own.
    pub(super) fn to_json(&self) -> Result<String, EncodeError> {
        let wire = Wire {
            server: &self.server,
            api_group_suffix: &self.api_group_suffix,
            summary: self.summary(),
            checks: self.checks.iter().map(Check::wire).collect(),
        };
        document::to_json(&wire).map(|text| text + "\n")
    }

    fn summary(&self) -> Summary {
        let mut summary = Summary::default();
        for check in &self.checks {
            let count = match check.outcome.verdict() {
                Verdict::Ok => &mut summary.ok,
                Verdict::Warning => &mut summary.warning,
                Verdict::Failed => &mut summary.failed,
                Verdict::Skipped => &mut summary.skipped,
            };
            *count += 1;
        }
        summary
    }
}

impl Check {
    /// The evidence, and of what it is.
    fn line(&self) -> String {
        let evidence = self.outcome.evidence();
        match &self.subject {
            Some(subject) => printable(&format!("{subject}: {evidence}")),
            None => printable(&evidence),
        }
    }

    fn wire(&self) -> WireCheck<'_> {
        WireCheck {
            name: self.name,
            subject: self.subject.as_deref(),
            verdict: self.outcome.verdict(),
            evidence: printable(&self.outcome.evidence()),
            remedy: self.outcome.remedy().map(printable),
            waits_for: match self.outcome {
                Outcome::Waits(name) => Some(name),
                _ => None,
            },
        }
    }
}

impl Outcome {
    pub(super) fn ok(evidence: impl Into<String>) -> Self {
        Self::Ok(evidence.into())
    }

    pub(super) fn warning(evidence: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Warning(Finding::new(evidence, remedy))
    }

    pub(super) fn failed(evidence: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Failed(Finding::new(evidence, remedy))
    }

    fn verdict(&self) -> Verdict {
        match self {
            Self::Ok(_) => Verdict::Ok,
            Self::Warning(_) => Verdict::Warning,
            Self::Failed(_) => Verdict::Failed,
            Self::Waits(_) | Self::Unseen(_) => Verdict::Skipped,
        }
    }

    fn evidence(&self) -> String {
        match self {
            Self::Ok(evidence) | Self::Unseen(evidence) => evidence.clone(),
            Self::Warning(finding) | Self::Failed(finding) => finding.evidence.clone(),
            Self::Waits(name) => format!("waits for {name}"),
        }
    }

    fn remedy(&self) -> Option<&str> {
        match self {
            Self::Warning(finding) | Self::Failed(finding) => Some(&finding.remedy),
            Self::Ok(_) | Self::Waits(_) | Self::Unseen(_) => None,
        }
    }
}

impl Finding {
    pub(super) fn new(evidence: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            evidence: evidence.into(),
            remedy: remedy.into(),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Warning => "WARNING",
            Self::Failed => "FAILED",
            Self::Skipped => "skipped",
        })
    }
}

/// Evidence may be foreign text, and this is for a terminal.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            server,
            api_group_suffix,
            checks,
        } = self;
        writeln!(
            f,
            "{}, API group suffix {api_group_suffix}",
            printable(server)
        )?;
        let names: Vec<_> = checks.iter().map(|check| check.name.to_string()).collect();
        let width = names.iter().map(String::len).max().unwrap_or_default();
        for (check, name) in checks.iter().zip(&names) {
            let verdict = check.outcome.verdict();
            writeln!(f, "{verdict:7}  {name:width$}  {}", check.line())?;
            if let Some(remedy) = check.outcome.remedy() {
                writeln!(f, "{:7}  {:width$}  > {}", "", "", printable(remedy))?;
            }
        }
        let Summary {
            ok,
            warning,
            failed,
            skipped,
        } = self.summary();
        writeln!(
            f,
            "{failed} failed, {warning} warned, {ok} ok, {skipped} skipped"
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn report() -> Report {
        let check = |name, outcome| Check {
            name,
            subject: None,
            outcome,
        };
        Report {
            server: "https://k:6443".to_owned(),
            api_group_suffix: "pinniped.dev".to_owned(),
            checks: vec![
                check(Name::ApiServer, Outcome::ok("answers")),
                check(Name::LoginPath, Outcome::failed("401", "open it")),
                check(Name::AnonymousAccess, Outcome::warning("200", "close it")),
                check(Name::Token, Outcome::Waits(Name::LoginPath)),
                Check {
                    subject: Some("a\u{1b}b".to_owned()),
                    ..check(
                        Name::Authenticator,
                        Outcome::Unseen("needs a right".to_owned()),
                    )
                },
            ],
        }
    }

    #[test]
    fn people_get_aligned_lines_that_steer_no_terminal() {
        let expected = "\
https://k:6443, API group suffix pinniped.dev
ok       api-server        answers
FAILED   login-path        401
                           > open it
WARNING  anonymous-access  200
                           > close it
skipped  token             waits for login-path
skipped  authenticator     a\\u{1b}b: needs a right
1 failed, 1 warned, 1 ok, 2 skipped
";
        assert_eq!(report().to_string(), expected);
    }

    #[test]
    fn programs_get_words() {
        let text = report().to_json().unwrap();
        let wire: Value = serde_json::from_str(&text).unwrap();
        let expected = json!({
            "server": "https://k:6443",
            "apiGroupSuffix": "pinniped.dev",
            "summary": {"ok": 1, "warning": 1, "failed": 1, "skipped": 2},
            "checks": [
                {"name": "api-server", "verdict": "ok", "evidence": "answers"},
                {"name": "login-path", "verdict": "failed", "evidence": "401", "remedy": "open it"},
                {"name": "anonymous-access", "verdict": "warning", "evidence": "200", "remedy": "close it"},
                {"name": "token", "verdict": "skipped", "evidence": "waits for login-path", "waitsFor": "login-path"},
                {"name": "authenticator", "subject": "a\u{1b}b", "verdict": "skipped", "evidence": "needs a right"},
            ],
        });
        assert_eq!(wire, expected);
    }

    #[test]
    fn only_a_failed_check_counts() {
        let mut report = report();
        assert!(report.has_failed());
        report.checks.remove(1);
        assert!(!report.has_failed());
    }
}

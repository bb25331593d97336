//! Reads the corpus: one file per chapter, each with the claims that its cases share.

use haulout_tests::oidc::{self, Verdict};
use serde::Deserialize;
use serde_json::{Map, Value, json};

const CHAPTERS: [(&str, &str); 14] = [
    ("names", include_str!("names.yaml")),
    ("mapping", include_str!("mapping.yaml")),
    ("configuration", include_str!("configuration.yaml")),
    ("rules", include_str!("rules.yaml")),
    ("users", include_str!("users.yaml")),
    ("types", include_str!("types.yaml")),
    ("numbers", include_str!("numbers.yaml")),
    ("strings", include_str!("strings.yaml")),
    ("regex", include_str!("regex.yaml")),
    ("lists", include_str!("lists.yaml")),
    ("maps", include_str!("maps.yaml")),
    ("time", include_str!("time.yaml")),
    ("libraries", include_str!("libraries.yaml")),
    ("syntax", include_str!("syntax.yaml")),
];

pub(super) const AUDIENCE: &str = "haulout";

/// The end of the year 9999: no case depends on the day.
const EXPIRY: u64 = 253_402_300_799;

/// A specification, a token's claims, and what is known of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) verdict: Expected,
    pub(super) haulout: Difference,
    /// Whether kube-apiserver is asked too.
    pub(super) live: bool,
    pub(super) spec: Map<String, Value>,
    pub(super) claims: Map<String, Value>,
}

/// What Kubernetes makes of a case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Expected {
    /// The token names a user.
    #[default]
    Accepted,
    /// The token is refused.
    Refused,
    /// The specification is not valid.
    Invalid,
}

/// Where Haulout does otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Difference {
    /// Nowhere.
    #[default]
    None,
    /// It does not know the expression, and says so when the specification is validated.
    Unsupported,
    /// It refuses on purpose what Kubernetes accepts.
    Stricter,
}

impl From<&Verdict> for Expected {
    fn from(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Accepted(_) => Self::Accepted,
            Verdict::Refused(_) => Self::Refused,
            Verdict::Invalid(_) => Self::Invalid,
        }
    }
}

impl Case {
    /// The case for an issuer of this URL.
    pub(super) fn of_issuer(&self, url: &str) -> oidc::Case {
        let mut case = oidc::Case {
            spec: Value::Object(self.spec.clone()),
            claims: self.claims.clone(),
        };
        case.spec["issuer"] = url.into();
        case.spec["audience"] = AUDIENCE.into();
        let about_the_token = [
            ("iss", json!(url)),
            ("aud", json!(AUDIENCE)),
            ("exp", json!(EXPIRY)),
        ];
        let about_the_token = about_the_token.map(|(name, value)| (name.to_owned(), value));
        case.claims.extend(about_the_token);
        case
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Chapter {
    /// Claims of the cases that have none of their own.
    token: Map<String, Value>,
    cases: Vec<Entry>,
}

/// A whole specification, or one expression in one place of it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    name: String,
    #[serde(default)]
    spec: Map<String, Value>,
    username: Option<Expression>,
    groups: Option<Expression>,
    extra: Option<Expression>,
    claim_rule: Option<Expression>,
    user_rule: Option<Expression>,
    token: Option<Map<String, Value>>,
    #[serde(default)]
    verdict: Expected,
    #[serde(default)]
    haulout: Difference,
    #[serde(default)]
    live: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Expression {
    Text(String),
    /// The first text so many times, the second once, and the third so many times.
    Repeated {
        repeat: (String, usize, String, String),
    },
}

impl Expression {
    fn text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Repeated {
                repeat: (before, times, middle, after),
            } => before.repeat(times) + &middle + &after.repeat(times),
        }
    }
}

impl Entry {
    fn into_case(self, chapter: &str, token: &Map<String, Value>) -> Case {
        let mut spec = Value::Object(self.spec);
        // Where something else is asked for, nothing hangs on the username.
        let seal = "\"seal\"";
        if let Some(expression) = self.username {
            spec["claims"] = json!({"usernameExpression": expression.text()});
        }
        if let Some(expression) = self.groups {
            spec["claims"] =
                json!({"usernameExpression": seal, "groupsExpression": expression.text()});
        }
        if let Some(expression) = self.extra {
            let extra = json!([{"key": "example.com/extra", "valueExpression": expression.text()}]);
            spec["claims"] = json!({"usernameExpression": seal, "extra": extra});
        }
        if let Some(expression) = self.claim_rule {
            spec["claims"] = json!({"usernameExpression": seal});
            spec["claimValidationRules"] = json!([{"expression": expression.text()}]);
        }
        if let Some(expression) = self.user_rule {
            spec["userValidationRules"] = json!([{"expression": expression.text()}]);
        }
        let Value::Object(spec) = spec else {
            unreachable!("it was made from an object");
        };
        Case {
            name: format!("{chapter}: {}", self.name),
            verdict: self.verdict,
            haulout: self.haulout,
            live: self.live,
            spec,
            claims: self.token.unwrap_or_else(|| token.clone()),
        }
    }
}

/// All cases, in the order of the files.
pub(super) fn load() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, text) in CHAPTERS {
        let chapter: Chapter =
            serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{name}.yaml: {error}"));
        let Chapter {
            token,
            cases: entries,
        } = chapter;
        cases.extend(
            entries
                .into_iter()
                .map(|entry| entry.into_case(name, &token)),
        );
    }
    cases
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_different_and_cases_too() {
        let cases = load();
        let names: BTreeSet<_> = cases.iter().map(|case| &case.name).collect();
        assert_eq!(names.len(), cases.len());
        let contents: BTreeSet<_> = cases
            .iter()
            .map(|case| json!([case.spec, case.claims]).to_string())
            .collect();
        assert_eq!(contents.len(), cases.len());
        assert!(cases.len() >= 120);
    }

    #[test]
    fn ten_go_through_the_api_server() {
        let live = load().into_iter().filter(|case| case.live);
        let verdicts: Vec<_> = live.map(|case| case.verdict).collect();
        assert_eq!(verdicts.len(), 10);
        // A configuration that is not valid would keep it from starting.
        assert!(!verdicts.contains(&Expected::Invalid));
        assert!(verdicts.contains(&Expected::Refused));
    }
}

mod hostile;

use std::sync::Arc;

use serde::Deserialize;

use super::*;

/// What Kubernetes' own packages made of expressions (`k8s.io/apiserver` v0.36.3).
#[derive(Deserialize)]
struct Recorded {
    claims: serde_json::Map<String, serde_json::Value>,
    user: haulout_api::identity::UserInfo,
    verdicts: Vec<Verdict>,
}

#[derive(Debug, Deserialize)]
struct Verdict {
    /// `claims` for a mapping, `rule` for a rule over claims, `user` for one over the user.
    kind: String,
    expression: String,
    /// Why it does not compile.
    refused: Option<String>,
    /// Why it has no value.
    error: Option<String>,
    /// Type of its value.
    #[serde(rename = "type")]
    type_: Option<String>,
    /// The value, as Go prints it.
    value: Option<String>,
}

fn recorded() -> Recorded {
    serde_json::from_str(include_str!("verdicts.json")).unwrap()
}

fn compile(verdict: &Verdict) -> Result<Expression, CompileError> {
    match verdict.kind.as_str() {
        "user" => Expression::compile_rule(
            &verdict.expression,
            Variable::User,
            &mut CompileBudget::full(),
        ),
        "rule" => Expression::compile_rule(
            &verdict.expression,
            Variable::Claims,
            &mut CompileBudget::full(),
        ),
        _ => Expression::compile(
            &verdict.expression,
            Variable::Claims,
            &mut CompileBudget::full(),
        ),
    }
}

/// A value as Go's `%v` prints it.
fn go(value: &Value) -> String {
    match value {
        Value::Null => "NULL_VALUE".to_owned(),
        Value::Bool(bool) => bool.to_string(),
        Value::Int(int) => int.to_string(),
        Value::Uint(uint) => uint.to_string(),
        Value::Double(double) if *double == f64::INFINITY => "+Inf".to_owned(),
        Value::Double(double) => double.to_string(),
        Value::String(text) => text.to_string(),
        Value::List(elements) => {
            let elements = elements
                .iter()
                .map(|element| go(element).replace("NULL_VALUE", "<nil>"));
            format!("[{}]", elements.collect::<Vec<_>>().join(" "))
        }
        Value::Map(map) => {
            let entries = map.entries.iter();
            let entries =
                entries.map(|(key, value)| format!("{}:{}", go(&key.to_value()), go(value)));
            format!("map[{}]", entries.collect::<Vec<_>>().join(" "))
        }
        Value::Optional(Some(value)) => go(value),
        Value::Optional(None) => "<nil>".to_owned(),
        Value::Type(name) => (*name).to_owned(),
    }
}

/// What Kubernetes compiles and Haulout does not.
const NOT_SUPPORTED: &[&str] = &[
    // Of a variable as a whole nothing but its parts can be had, also where Kubernetes compiles more.
    "'email' in claims",
    "claims",
    "claims == claims",
    "claims == null",
    "claims.all(k, true)",
    "claims.size()",
    "size(claims)",
    "type(claims)",
    "user == user",
    "size(user) > 0",
    "claims ? 1 : 2",
    "claims + 1",
    "claims.map(x, x)",
    // Keys that need not be one of bool, int, uint and string.
    "{claims.s: 'x'}",
    "{claims.n: 1}",
    "{claims.nul: 1}",
    "{null: 1}",
    "{1.5: 1}",
    "{[1]: 1}",
    // Types and functions.
    "'%s'.format([claims.s])",
    "b'abc'",
    "bytes('a')",
    "duration('1h')",
    "format.dns1123Label()",
    "google.protobuf.Duration{seconds: 1}",
    "kubernetes.UserInfo{username: 'a'}.username",
    "kubernetes.UserInfo{}",
    "ip('1.2.3.4')",
    "isIP('1.2.3.4')",
    "isURL('https://a')",
    "quantity('1Gi')",
    "semver('1.2.3')",
    "timestamp('2020-01-01T00:00:00Z')",
    "url('https://a.b/c').getHost()",
    // Fails at each login.
    "dyn(claims.groups).reverse().min()",
    "claims.groups.slice(0, 1).max()",
    "claims.groups.reverse().isSorted()",
    "[?claims.o.s.last()].max()",
    // Its pattern is seen only at a login.
    "claims.s.find(claims.roles)",
];

/// What Kubernetes compiles, and then fails for whatever the claims are. Haulout says so at once.
const FAILS_ALWAYS: &[&str] = &["null < null", "claims.o[?claims.?s]"];

/// What ours come to: a text for each of refused, failed and evaluated.
fn outcome(verdict: &Verdict, claims: &Value, user: &Value) -> String {
    let variable = match verdict.kind.as_str() {
        "user" => user.clone(),
        _ => claims.clone(),
    };
    match compile(verdict) {
        Err(error) => format!("refused {error}"),
        Ok(expression) => match expression.evaluate(variable, &mut Budget::full()) {
            Ok(value) => format!("{} {}", value.type_name(), go(&value)),
            Err(error) => format!("error {error}"),
        },
    }
}

#[test]
fn verdicts_are_those_of_kubernetes() {
    let recorded = recorded();
    let (claims, user) = (Value::claims(&recorded.claims), Value::user(&recorded.user));
    let mut wrong = Vec::new();
    for verdict in &recorded.verdicts {
        let ours = outcome(verdict, &claims, &user);
        let is_same = match verdict {
            _ if NOT_SUPPORTED.contains(&verdict.expression.as_str()) => {
                ours.contains("is not supported by Haulout")
            }
            Verdict {
                refused: Some(_), ..
            } => ours.starts_with("refused "),
            Verdict { error: Some(_), .. } => {
                ours.starts_with("error ") || FAILS_ALWAYS.contains(&verdict.expression.as_str())
            }
            Verdict { type_, value, .. } => {
                let (type_, value) = (type_.as_deref().unwrap(), value.as_deref().unwrap());
                // Go separates the elements of some lists by a comma.
                ours.replace(',', "") == format!("{type_} {value}").replace(',', "")
            }
        };
        if !is_same {
            wrong.push(format!(
                "{}\n  ours:   {ours}\n  theirs: {verdict:?}",
                verdict.expression
            ));
        }
    }
    let (wrong, count) = (wrong.join("\n"), wrong.len());
    assert!(
        wrong.is_empty(),
        "{count} of {}:\n{wrong}",
        recorded.verdicts.len()
    );
}

/// Refusals whose text is another than Kubernetes'.
const OTHER_WORDS: &[&str] = &[
    "claims.s.find('(')",
    "string(null)",
    "dyn(claims.groups).map(g, 'x', g)",
    "dyn(claims.groups).filter(g, 'x')",
    "claims.?s.optMap(1, x)",
    "claims.o[null]",
    "claims.o[?[1]]",
    // The parser places it one column before.
    "claims.`a.b`",
];

/// People look for these texts.
#[test]
fn refusals_are_worded_as_in_kubernetes() {
    let recorded = recorded();
    let mut other = Vec::new();
    for verdict in &recorded.verdicts {
        let expression = verdict.expression.as_str();
        let Some(theirs) = &verdict.refused else {
            continue;
        };
        let ours = compile(verdict).unwrap_err().to_string();
        let is_other = NOT_SUPPORTED.contains(&expression)
            || OTHER_WORDS.contains(&expression)
            || theirs.contains("Syntax error");
        if !is_other && !ours.contains(theirs.as_str()) {
            other.push(format!("{expression}\n  {ours}\n  {theirs}"));
        }
    }
    assert!(other.is_empty(), "{}", other.join("\n"));
}

#[test]
fn list_of_split_is_seen_wherever_it_may_come_out() {
    for (text, is_refused) in [
        ("claims.roles.split(',')", true),
        ("claims.roles.findAll('a')", true),
        ("dyn(claims.t ? [] : claims.roles.split(','))", true),
        ("claims.?groups.orValue(claims.roles.split(','))", true),
        ("claims.roles.split(',').map(x, x)", false),
        ("claims.roles.split(',') + ['a']", false),
        ("claims.roles.split(',')[0]", false),
    ] {
        let compiled =
            Expression::compile_texts(text, Variable::Claims, &mut CompileBudget::full());
        assert_eq!(compiled.is_err(), is_refused, "{text}");
    }
}

#[test]
fn texts_are_charged_as_often_as_they_stand_in_a_list() {
    let text: Arc<str> = "a".repeat(1_600).into();
    let list = Value::list(vec![Value::String(text); 100]);
    let mut budget = Budget::full();
    let before = budget.left();
    assert_eq!(list.to_texts(&mut budget).unwrap().unwrap().len(), 100);
    assert_eq!(before - budget.left(), 100 * (1 + 1_600 / 16));
}

/// What only the login shows.
#[test]
fn values_of_other_kinds_than_the_checker_took_them_for_are_refused() {
    let claims = Value::claims(&recorded().claims);
    for (text, gives_texts) in [
        ("[claims.roles.split(',')][0]", false),
        ("claims.roles.split(',') + []", false),
        ("[?claims.?s]", true),
        ("[claims.?s]", true),
        ("[claims.?missing]", false),
        ("[string(claims.groups.distinct()[0])]", true),
        ("(claims.groups + [1]).map(x, string(x))", false),
        ("dyn(claims.groups + [1]).map(x, string(x))", true),
        ("dyn([claims.o]).map(x, x[claims.s + '__dot__'])", false),
    ] {
        let expression =
            Expression::compile(text, Variable::Claims, &mut CompileBudget::full()).unwrap();
        let mut budget = Budget::full();
        let value = expression.evaluate(claims.clone(), &mut budget);
        let texts = value.and_then(|value| value.to_texts(&mut budget));
        let texts = texts.ok().flatten();
        assert_eq!(texts.is_some(), gives_texts, "{text}");
    }
}

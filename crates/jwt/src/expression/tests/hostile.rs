//! Expressions and claims that somebody made to do harm.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::json;

use super::*;

/// The smallest stack on which expressions are compiled and evaluated.
const STACK: usize = 2 * 1024 * 1024;

fn on_a_small_stack(work: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(STACK);
    thread.spawn(work).unwrap().join().unwrap();
}

fn claims(claims: serde_json::Value) -> Value {
    let serde_json::Value::Object(claims) = claims else {
        panic!("{claims} is no object")
    };
    Value::claims(&claims)
}

fn evaluate(text: &str, claims: &Value, mut budget: Budget) -> Result<Value, EvaluationError> {
    compiled(text).evaluate(claims.clone(), &mut budget)
}

fn compiled(text: &str) -> Expression {
    Expression::compile(text, Variable::Claims, &mut CompileBudget::full()).unwrap()
}

/// `before`, as often as fits together with as many of `after`.
fn repeated(before: &str, middle: &str, after: &str) -> String {
    let count = (source::MAX_BYTES - middle.len()) / (before.len() + after.len());
    format!("{}{middle}{}", before.repeat(count), after.repeat(count))
}

#[test]
fn no_nesting_exhausts_the_stack() {
    on_a_small_stack(|| {
        for text in [
            repeated("(", "1", ")"),
            repeated("[", "1", "]"),
            repeated("{1:", "1", "}"),
            repeated("(", "", ""),
            repeated("!", "true", ""),
            repeated("-", "1", ""),
            repeated("- ", "1", ""),
            repeated("a.", "a", ""),
            repeated("a[", "a", "]"),
            repeated("", "a", "[0]"),
            repeated("", "a", ".?b"),
            repeated("", "a", ".b()"),
            repeated("1+", "1", ""),
            repeated("1==", "1", ""),
            repeated("true&&", "true", ""),
            repeated("true||true&&", "true", ""),
            repeated("true?", "1", ":1"),
            repeated("true?1:", "1", ""),
            repeated("[1].map(a,", "1", ")"),
            repeated("\"(\"+", "\"\"", ""),
            repeated("a{a:", "1", "}"),
            repeated("{", "", ""),
            repeated("\\", "", ""),
            repeated("\"\"\"", "", ""),
            repeated("'", "", ""),
            repeated("`", "", ""),
            repeated("1 in ", "[1]", ""),
        ] {
            let compiled = Expression::compile(&text, Variable::Claims, &mut CompileBudget::full());
            if let Ok(expression) = compiled {
                drop(expression.evaluate(claims(json!({})), &mut Budget::full()));
            }
        }
    });
}

#[test]
fn nesting_ends_where_it_says() {
    let within = |depth: usize| {
        let (open, close) = ("(".repeat(depth), ")".repeat(depth));
        Expression::compile(
            &format!("{open}1{close}"),
            Variable::Claims,
            &mut CompileBudget::full(),
        )
    };
    assert!(within(source::MAX_OPEN_BRACKETS).is_ok());
    let error = within(source::MAX_OPEN_BRACKETS + 1).unwrap_err();
    assert_eq!(error, CompileError::TooDeep);
    let sum = |terms: usize| {
        let text = vec!["1"; terms].join(" + ");
        Expression::compile(&text, Variable::Claims, &mut CompileBudget::full())
    };
    assert!(sum(64).is_ok());
    let error = sum(65).unwrap_err().to_string();
    assert!(error.contains("nested in more than 64 levels"), "{error}");
    let long = format!("'{}'", "a".repeat(source::MAX_BYTES - 2));
    assert!(Expression::compile(&long, Variable::Claims, &mut CompileBudget::full()).is_ok());
    let error = Expression::compile(
        &format!("{long} "),
        Variable::Claims,
        &mut CompileBudget::full(),
    )
    .unwrap_err();
    assert_eq!(error, CompileError::TooLong);
}

#[test]
fn evaluation_ends_with_its_budget() {
    let list = vec!["a"; 10_000];
    let text = "a".repeat(60_000);
    let (zeros, underscores) = ("0".repeat(60_000), "_".repeat(60_000));
    let claims = claims(json!({
        "l": list,
        "o": {"l": list, "m": {&text: 1}},
        "s": text,
        "underscores": underscores,
        "zeros": zeros,
    }));
    let doubled = ".optMap(a, a + a)".repeat(60);
    for expression in [
        "claims.o.l.all(a, claims.o.l.all(b, claims.o.l.all(c, a == b && b == c)))".to_owned(),
        "claims.o.l.map(a, claims.o.l.map(b, a + b))".to_owned(),
        "claims.o.l.exists(a, claims.o.l.exists(b, a != b))".to_owned(),
        "claims.o.l.all(a, claims.o.l == claims.l)".to_owned(),
        "claims.o.l.map(a, sets.contains(claims.o.l, claims.o.l + ['b']))".to_owned(),
        "claims.o.l.map(a, claims.s.replace('a', 'bb'))".to_owned(),
        "claims.o.l.map(a, claims.s.split(''))".to_owned(),
        "claims.o.l.map(a, claims.s.matches('(a*)*b'))".to_owned(),
        "claims.s.findAll('a{0,500}a{0,500}b?')".to_owned(),
        "claims.o.l.map(a, claims.o.l.join(claims.s))".to_owned(),
        "lists.range(9000000000000000000)".to_owned(),
        "claims.s.replace('', claims.s)".to_owned(),
        "claims.o.l.map(a, claims.s.lastIndexOf('ab'))".to_owned(),
        "claims.o.l.exists(a, double(claims.zeros) < 0.0)".to_owned(),
        "claims.o.l.exists(a, int(claims.zeros) < 0)".to_owned(),
        "claims.o.l.exists(a, uint(claims.zeros) < 0)".to_owned(),
        "claims.o.l.exists(a, claims.o[?string(claims.s)].hasValue())".to_owned(),
        "claims.o.l.exists(a, claims.o[?claims.underscores].hasValue())".to_owned(),
        "claims.o.l.exists(a, claims.s in claims.o)".to_owned(),
        "claims.o.l.exists(a, claims.o[string(claims.s)] == 0)".to_owned(),
        "claims.o.l.exists(a, claims.o.m != claims.o.m)".to_owned(),
        "claims.o.l.exists(a, {string(claims.s): 1}.size() == 0)".to_owned(),
        "claims.o.l.exists(a, 'b'.split(claims.s).size() == 0)".to_owned(),
        format!("optional.of('aaaaaaaa'){doubled}"),
        format!("optional.of([1, 2, 3]){doubled}"),
        "claims.o.l.all(a, claims.nope) || claims.o.l.all(a, claims.o.l.all(b, claims.nope))"
            .to_owned(),
    ] {
        let started = Instant::now();
        let outcome = evaluate(&expression, &claims, Budget::full());
        assert_eq!(
            outcome.err(),
            Some(EvaluationError::BudgetSpent),
            "{expression}"
        );
        // Unoptimised, and on a machine with other work; it is a tenth of a second at most otherwise.
        assert!(
            started.elapsed() < Duration::from_secs(5),
            "{expression}: {:?}",
            started.elapsed()
        );
    }
}

#[test]
fn ordinary_expressions_are_quick() {
    let groups: Vec<String> = (0..300).map(|n| format!("department-{n}")).collect();
    let claims = claims(json!({"email": "a@example.com", "realm_access": {"roles": groups}}));
    for expression in [
        "claims.email.split('@')[0]",
        "claims.realm_access.roles.filter(r, r.startsWith('department-1')).map(r, 'kc:' + r)",
        "claims.?realm_access.roles.orValue([]).map(r, r)",
        "'department-299' in claims.realm_access.roles",
        "claims.email.matches('^[a-z]+@example\\\\.com$')",
    ] {
        let outcome = evaluate(expression, &claims, Budget::quick());
        assert!(outcome.is_ok(), "{expression}: {outcome:?}");
    }
}

#[test]
fn claims_may_nest_as_deeply_as_json_is_read() {
    on_a_small_stack(|| {
        let depth = 120;
        let text = format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        let claims = claims(serde_json::from_str(&text).unwrap());
        let equal = evaluate("claims.a == claims.a", &claims, Budget::full());
        assert!(matches!(equal, Ok(Value::Bool(true))));
        let flat = evaluate("dyn(claims.a).flatten(1000)", &claims, Budget::full());
        assert!(matches!(flat, Ok(Value::List(elements)) if elements.is_empty()));
    });
}

/// Pieces of which expressions are made, so that many of those that come out compile.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "claims",
        ".a",
        ".?b",
        ".l",
        "['a']",
        "[?'b']",
        "[0]",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ", ",
        " + ",
        " - ",
        " * ",
        " / ",
        " % ",
        " == ",
        " != ",
        " < ",
        " in ",
        " && ",
        " || ",
        " ? ",
        " : ",
        "!",
        "-",
        "1",
        "2u",
        "1.5",
        "'a'",
        "''",
        "'é'",
        "true",
        "null",
        "has(claims.a)",
        "dyn(claims.l)",
        "size(",
        "string(",
        "int(",
        "double(",
        "type(",
        ".map(x, x)",
        ".filter(x, true)",
        ".all(x, x == 1)",
        ".exists(i, x, i > 0)",
        ".orValue(1)",
        ".optMap(x, x)",
        ".size()",
        ".split(',')",
        ".join('-')",
        ".matches('a+')",
        ".find('a')",
        ".findAll('.')",
        ".substring(1)",
        ".indexOf('a')",
        ".lastIndexOf('a', 1)",
        ".charAt(0)",
        ".replace('a', 'b')",
        ".sum()",
        ".max()",
        ".sort()",
        ".isSorted()",
        ".distinct()",
        ".flatten()",
        ".slice(0, 1)",
        ".first()",
        ".value()",
        "sets.contains(",
        "lists.range(3)",
        "optional.of(",
        "optional.none()",
        "9223372036854775807",
        "x",
    ]);
    prop::collection::vec(piece, 1..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn nothing_panics(text in pieces(), a in "[a,é-]{0,6}", l in prop::collection::vec("[ab]{0,3}", 0..4)) {
        if let Ok(expression) = Expression::compile(&text, Variable::Claims, &mut CompileBudget::full()) {
            let claims = claims(json!({"a": a, "l": l, "n": 1.5}));
            drop(expression.evaluate(claims, &mut Budget::quick()));
        }
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,60}") {
        drop(Expression::compile(&text, Variable::User, &mut CompileBudget::full()));
    }

    #[test]
    fn no_pattern_panics(pattern in "[\\\\\\[\\](){}*+?|^$.:&~a-f0-9,-]{0,20}", subject in "[a-fé]{0,10}") {
        let text = format!("claims.s.matches(r'{pattern}')");
        if let Ok(expression) = Expression::compile(&text, Variable::Claims, &mut CompileBudget::full()) {
            drop(expression.evaluate(claims(json!({"s": subject})), &mut Budget::quick()));
        }
    }
}

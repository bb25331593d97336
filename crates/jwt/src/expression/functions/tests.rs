use std::collections::HashSet;

use serde_json::json;

use super::*;
use crate::expression::{CompileBudget, Expression, Variable};

#[test]
fn documentation_has_every_function() {
    let page = include_str!("../../../../../docs/cel.md");
    for (name, ..) in rows() {
        // Operators are shown as they are written.
        let is_operator = !name.starts_with(|char: char| char.is_ascii_lowercase());
        assert!(is_operator || page.contains(&format!("`{name}`")), "{name}");
    }
}

#[test]
fn every_signature_is_read() {
    for (name, signatures, _) in rows() {
        for text in *signatures {
            assert!(Signature::parse(text).is_some(), "{name}: {text}");
        }
        assert!(!UNSUPPORTED.contains(name), "{name} is there");
    }
}

/// A function, a call of it, and the least steps that this must take. Texts are 1,000 steps long, and lists have 1,000
/// elements; 0 is for what reads and makes nothing of any length.
const COSTS: &[(&str, &str, u64)] = &[
    ("_==_", "claims.o.s == claims.o.t", 1_000),
    ("_==_", "claims.o.l == claims.o.l", 1_000),
    ("_==_", "claims.o.m == claims.o.m", 1_000),
    ("_!=_", "claims.o.s != claims.o.t", 1_000),
    ("_<_", "claims.o.s < claims.o.t", 1_000),
    ("_<=_", "claims.o.s <= claims.o.t", 1_000),
    ("_>_", "claims.o.s > claims.o.t", 1_000),
    ("_>=_", "claims.o.s >= claims.o.t", 1_000),
    ("_+_", "claims.o.s + claims.o.t", 2_000),
    ("_+_", "claims.o.l + claims.o.l", 2_000),
    ("_-_", "2 - 1", 0),
    ("_*_", "2 * 1", 0),
    ("_/_", "2 / 1", 0),
    ("_%_", "2 % 1", 0),
    ("-_", "-claims.o.n[0]", 0),
    ("!_", "!claims.o.yes", 0),
    ("@in", "'x' in claims.o.l", 1_000),
    ("@in", "claims.o.s in claims.o.m", 1_000),
    ("int", "int(claims.o.zeros)", 1_000),
    ("uint", "uint(claims.o.zeros)", 1_000),
    ("double", "double(claims.o.zeros)", 2_000),
    ("bool", "bool('true')", 0),
    ("string", "string(claims.o.s)", 0),
    ("dyn", "dyn(claims.o.s)", 0),
    ("type", "type(claims.o.s)", 0),
    ("contains", "claims.o.s.contains('b')", 2_000),
    ("contains", "'b'.contains(claims.o.s)", 2_000),
    ("startsWith", "claims.o.s.startsWith(claims.o.t)", 2_000),
    ("endsWith", "claims.o.s.endsWith(claims.o.t)", 2_000),
    ("lowerAscii", "claims.o.s.lowerAscii()", 1_000),
    ("upperAscii", "claims.o.s.upperAscii()", 1_000),
    ("trim", "claims.o.s.trim()", 1_000),
    ("strings.quote", "strings.quote(claims.o.s)", 1_000),
    ("charAt", "claims.o.s.charAt(1)", 4_000),
    ("substring", "claims.o.s.substring(1)", 4_000),
    ("substring", "claims.o.s.substring(1, 2)", 4_000),
    ("replace", "claims.o.s.replace('a', 'bb')", 5_000),
    ("replace", "'b'.replace(claims.o.s, 'b')", 2_000),
    ("split", "claims.o.s.split('')", 64_000),
    ("split", "claims.o.s.split('a')", 64_000),
    ("split", "'b'.split(claims.o.s)", 2_000),
    ("join", "[claims.o.s, claims.o.t].join()", 2_000),
    ("join", "['a', 'b'].join(claims.o.s)", 1_000),
    ("size", "size(claims.o.s)", 1_000),
    ("size", "claims.o.l.size()", 0),
    ("indexOf", "claims.o.s.indexOf('b')", 4_000),
    ("indexOf", "'b'.indexOf(claims.o.s)", 4_000),
    ("indexOf", "claims.o.l.indexOf('x')", 1_000),
    ("lastIndexOf", "claims.o.s.lastIndexOf('b')", 4_000),
    ("lastIndexOf", "'b'.lastIndexOf(claims.o.s)", 4_000),
    ("lastIndexOf", "claims.o.l.lastIndexOf('x')", 1_000),
    ("isSorted", "claims.o.l.isSorted()", 1_000),
    ("isSorted", "[claims.o.s, claims.o.t].isSorted()", 2_000),
    ("sum", "claims.o.n.sum()", 1_000),
    ("min", "claims.o.l.min()", 1_000),
    ("min", "[claims.o.s, claims.o.t].min()", 2_000),
    ("max", "claims.o.l.max()", 1_000),
    ("max", "[claims.o.s, claims.o.t].max()", 2_000),
    ("sort", "claims.o.l.sort()", 16_000),
    ("sort", "[claims.o.s, claims.o.t].sort()", 2_000),
    ("reverse", "claims.o.l.reverse()", 1_000),
    ("distinct", "claims.o.n.distinct()", 1_000),
    ("distinct", "[claims.o.s, claims.o.t].distinct()", 1_000),
    ("first", "claims.o.l.first()", 0),
    ("last", "claims.o.l.last()", 0),
    ("slice", "claims.o.l.slice(0, 1000)", 1_000),
    ("flatten", "dyn([claims.o.l]).flatten()", 2_000),
    ("flatten", "dyn([[claims.o.l]]).flatten(2)", 3_000),
    ("lists.range", "lists.range(1000)", 1_000),
    ("sets.contains", "sets.contains(claims.o.l, ['x'])", 1_000),
    (
        "sets.equivalent",
        "sets.equivalent(claims.o.l, ['x'])",
        1_000,
    ),
    (
        "sets.intersects",
        "sets.intersects(['x'], claims.o.l)",
        1_000,
    ),
    ("optional.of", "optional.of(claims.o.s)", 0),
    ("optional.ofNonZeroValue", "optional.ofNonZeroValue('a')", 0),
    ("optional.none", "optional.none()", 0),
    ("hasValue", "claims.?o.hasValue()", 0),
    ("value", "claims.?o.value()", 0),
    ("matches", "claims.o.s.matches('b')", 1_000),
    ("find", "claims.o.s.find('b')", 1_000),
    ("findAll", "claims.o.s.findAll('b')", 1_000),
    ("_[_]", "claims.o.m[claims.o.s]", 1_000),
    ("_[_]", "dyn([claims.o.m])[0][claims.o.s]", 2_000),
    ("_[_]", "{'a': 1}[?string(claims.o.s)]", 1_000),
    ("_[_]", "claims.o[?claims.o.escapes]", 8_000),
    ("_[_]", "claims.o[claims.o.s] == 0 || true", 9_000),
    // Ten steps, and what an error costs.
    ("_[_]", "claims.o.nope == 0 || true", 20),
    ("{}", "{string(claims.o.s): 1}", 1_000),
];

#[test]
fn every_function_is_charged_for_what_it_reads_and_makes() {
    let text = |text: &str| text.repeat(16_000);
    let texts: Vec<String> = (0..1_000).map(|number| format!("{number:04}")).collect();
    let claims = json!({"o": {
        "s": text("a"),
        "t": text("a"),
        "zeros": text("0"),
        "escapes": text("_"),
        "yes": true,
        "l": texts,
        "n": vec![1; 1_000],
        "m": {text("a"): 1},
    }});
    let claims = Value::claims(claims.as_object().unwrap());
    for (name, text, least) in COSTS {
        let expression =
            Expression::compile(text, Variable::Claims, &mut CompileBudget::full()).unwrap();
        let mut budget = Budget::full();
        let before = budget.left();
        let outcome = expression.evaluate(claims.clone(), &mut budget);
        assert!(outcome.is_ok(), "{text}: {outcome:?}");
        let steps = before - budget.left();
        assert!(steps >= *least, "{name}: {text} takes {steps} steps");
    }
    let listed: HashSet<&str> = COSTS.iter().map(|(name, ..)| *name).collect();
    for (name, ..) in rows() {
        assert!(listed.contains(name), "{name} has no row");
    }
}

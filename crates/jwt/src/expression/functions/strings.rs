//! Functions over texts (cel-go `ext.Strings`, version 2). Positions are counted in characters.

use super::Row;
use crate::expression::budget::Budget;
use crate::expression::evaluate::EvaluationError::{self, Argument, NoSuchOverload};
use crate::expression::value::Value::{self, Bool, Int, List};

pub(super) const FUNCTIONS: &[Row] = &[
    ("contains", PREDICATE, |arguments, budget| {
        predicate(arguments, budget, |text, part| text.contains(part))
    }),
    ("startsWith", PREDICATE, |arguments, budget| {
        predicate(arguments, budget, |text, part| text.starts_with(part))
    }),
    ("endsWith", PREDICATE, |arguments, budget| {
        predicate(arguments, budget, |text, part| text.ends_with(part))
    }),
    ("lowerAscii", UNARY, |arguments, budget| {
        map(arguments, budget, str::to_ascii_lowercase)
    }),
    ("upperAscii", UNARY, |arguments, budget| {
        map(arguments, budget, str::to_ascii_uppercase)
    }),
    ("trim", UNARY, |arguments, budget| {
        map(arguments, budget, |text| text.trim().to_owned())
    }),
    (
        "strings.quote",
        &["(string) -> string"],
        |arguments, budget| map(arguments, budget, quote),
    ),
    (
        "charAt",
        &["string.(int) -> string"],
        |arguments, budget| {
            let [Value::String(text), Int(index)] = arguments else {
                return Err(NoSuchOverload);
            };
            let chars = chars(text, budget)?;
            let char = position(*index, chars.len())?;
            Ok(collect(chars.iter().skip(char).take(1)))
        },
    ),
    (
        "substring",
        &["string.(int) -> string", "string.(int, int) -> string"],
        substring,
    ),
    (
        "replace",
        &[
            "string.(string, string) -> string",
            "string.(string, string, int) -> string",
        ],
        replace,
    ),
    (
        "split",
        &[
            "string.(string) -> list(string)",
            "string.(string, int) -> list(string)",
        ],
        split,
    ),
    (
        "join",
        &[
            "list(string).() -> string",
            "list(string).(string) -> string",
        ],
        join,
    ),
];

const PREDICATE: &[&str] = &["string.(string) -> bool"];
/// Steps that a part of a text costs, since it takes more memory than its text.
const PART: usize = 4;

const UNARY: &[&str] = &["string.() -> string"];

fn predicate(
    arguments: &[Value],
    budget: &mut Budget,
    holds: fn(&str, &str) -> bool,
) -> Result<Value, EvaluationError> {
    match arguments {
        [Value::String(text), Value::String(part)] => {
            spend_search(text, part, budget)?;
            Ok(Bool(holds(text, part)))
        }
        _ => Err(NoSuchOverload),
    }
}

/// What is sought is read as well, even where the text is empty, to be found quickly then; and both more than once.
fn spend_search(text: &str, part: &str, budget: &mut Budget) -> Result<(), EvaluationError> {
    budget.spend_bytes(text.len().saturating_add(part.len()).saturating_mul(2))
}

fn map(
    arguments: &[Value],
    budget: &mut Budget,
    f: fn(&str) -> String,
) -> Result<Value, EvaluationError> {
    match arguments {
        [Value::String(text)] => {
            budget.spend_bytes(text.len())?;
            Ok(Value::text(&f(text)))
        }
        _ => Err(NoSuchOverload),
    }
}

/// Makes the characters of `text` countable, at four bytes each.
pub(super) fn chars(text: &str, budget: &mut Budget) -> Result<Vec<char>, EvaluationError> {
    budget.spend_bytes(text.len().saturating_mul(4))?;
    Ok(text.chars().collect())
}

fn collect<'a>(chars: impl Iterator<Item = &'a char>) -> Value {
    Value::text(&chars.collect::<String>())
}

/// `index` as a position in a text of `length` characters, its end included.
fn position(index: i64, length: usize) -> Result<usize, EvaluationError> {
    usize::try_from(index)
        .ok()
        .filter(|position| *position <= length)
        .ok_or_else(|| Argument(format!("index out of range: {index}")))
}

fn substring(arguments: &[Value], budget: &mut Budget) -> Result<Value, EvaluationError> {
    let (text, start, end) = match arguments {
        [Value::String(text), Int(start)] => (text, *start, None),
        [Value::String(text), Int(start), Int(end)] => (text, *start, Some(*end)),
        _ => return Err(NoSuchOverload),
    };
    if let Some(end) = end.filter(|end| start > *end) {
        let range = format!("invalid substring range. start: {start}, end: {end}");
        return Err(Argument(range));
    }
    let chars = chars(text, budget)?;
    let start = position(start, chars.len())?;
    let end = end.map_or(Ok(chars.len()), |end| position(end, chars.len()))?;
    Ok(collect(chars.iter().take(end).skip(start)))
}

fn replace(arguments: &[Value], budget: &mut Budget) -> Result<Value, EvaluationError> {
    let (text, old, new, most) = match arguments {
        [Value::String(text), Value::String(old), Value::String(new)] => (text, old, new, None),
        [
            Value::String(text),
            Value::String(old),
            Value::String(new),
            Int(most),
        ] => (text, old, new, usize::try_from(*most).ok()),
        _ => return Err(NoSuchOverload),
    };
    spend_search(text, old, budget)?;
    let most = most.unwrap_or(usize::MAX);
    let count = text.matches(&**old).take(most).count();
    budget.spend_bytes(text.len().saturating_add(count.saturating_mul(new.len())))?;
    Ok(Value::text(&text.replacen(&**old, new, most)))
}

fn split(arguments: &[Value], budget: &mut Budget) -> Result<Value, EvaluationError> {
    let (text, separator, most) = match arguments {
        [Value::String(text), Value::String(separator)] => (text, separator, None),
        [Value::String(text), Value::String(separator), Int(most)] => {
            (text, separator, usize::try_from(*most).ok())
        }
        _ => return Err(NoSuchOverload),
    };
    let most = most.unwrap_or(usize::MAX);
    spend_search(text, separator, budget)?;
    let parts: Vec<Value> = match separator.is_empty() {
        true => {
            budget.spend_elements(PART.saturating_mul(text.len().min(most)))?;
            characters(text, most).map(Value::text).collect()
        }
        false => {
            let separators = text.matches(&**separator).take(most).count();
            budget.spend_elements(PART.saturating_mul(separators))?;
            text.splitn(most, &**separator).map(Value::text).collect()
        }
    };
    Ok(Value::split(parts))
}

/// At most `most` parts of one character each, the last of them with all that is left.
fn characters(text: &str, most: usize) -> impl Iterator<Item = &str> {
    let starts = text.char_indices().map(|(start, _)| start);
    let starts: Vec<usize> = starts.take(most).collect();
    let ends: Vec<usize> = starts.iter().skip(1).copied().chain([text.len()]).collect();
    starts
        .into_iter()
        .zip(ends)
        .filter_map(|(start, end)| text.get(start..end))
}

fn join(arguments: &[Value], budget: &mut Budget) -> Result<Value, EvaluationError> {
    let (elements, separator) = match arguments {
        [List(elements)] => (elements, ""),
        [List(elements), Value::String(separator)] => (elements, &**separator),
        _ => return Err(NoSuchOverload),
    };
    let mut joined = String::new();
    for (index, element) in elements.iter().enumerate() {
        let Value::String(text) = element else {
            return Err(NoSuchOverload);
        };
        budget.spend(1)?;
        budget.spend_bytes(separator.len() + text.len())?;
        if index > 0 {
            joined.push_str(separator);
        }
        joined.push_str(text);
    }
    Ok(Value::text(&joined))
}

/// `text` as a literal of the language.
fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for char in text.chars() {
        match char {
            '\x07' => quoted.push_str("\\a"),
            '\x08' => quoted.push_str("\\b"),
            '\x0c' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\x0b' => quoted.push_str("\\v"),
            '\\' => quoted.push_str("\\\\"),
            '"' => quoted.push_str("\\\""),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

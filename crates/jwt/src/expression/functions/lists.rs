//! Functions over lists (Kubernetes' own, cel-go's `ext.Lists` and `ext.Sets`), and those that lists and texts share.

use std::cmp::Ordering;
use std::sync::Arc;

use super::Row;
use super::arithmetic::{contains, sum};
use super::strings::chars;
use crate::expression::budget::Budget;
use crate::expression::evaluate::EvaluationError::{self, Argument, NoSuchOverload};
use crate::expression::value::Value::{self, Bool, Double, Int, List, Map, Uint};

const ORDERED: &[&str] = &[
    "list(int).() -> bool",
    "list(uint).() -> bool",
    "list(double).() -> bool",
    "list(bool).() -> bool",
    "list(string).() -> bool",
];

const EXTREME: &[&str] = &[
    "list(int).() -> int",
    "list(uint).() -> uint",
    "list(double).() -> double",
    "list(bool).() -> bool",
    "list(string).() -> string",
];

const SORT: &[&str] = &[
    "list(int).() -> list(int)",
    "list(uint).() -> list(uint)",
    "list(double).() -> list(double)",
    "list(bool).() -> list(bool)",
    "list(string).() -> list(string)",
];

const SETS: &[&str] = &["(list(A), list(A)) -> bool"];

pub(super) const FUNCTIONS: &[Row] = &[
    (
        "size",
        &[
            "(bytes) -> int",
            "bytes.() -> int",
            "(list(A)) -> int",
            "list(A).() -> int",
            "(map(A, B)) -> int",
            "map(A, B).() -> int",
            "(string) -> int",
            "string.() -> int",
        ],
        size,
    ),
    (
        "indexOf",
        &[
            "string.(string) -> int",
            "string.(string, int) -> int",
            "list(A).(A) -> int",
        ],
        index_of,
    ),
    (
        "lastIndexOf",
        &[
            "string.(string) -> int",
            "string.(string, int) -> int",
            "list(A).(A) -> int",
        ],
        last_index_of,
    ),
    ("isSorted", ORDERED, |arguments, budget| {
        let elements = ordered(arguments, budget)?;
        for pair in elements.windows(2) {
            if let [one, other] = pair
                && one.compare(other) == Ok(Ordering::Greater)
            {
                return Ok(Bool(false));
            }
        }
        Ok(Bool(true))
    }),
    (
        "sum",
        &[
            "list(int).() -> int",
            "list(uint).() -> uint",
            "list(double).() -> double",
        ],
        |arguments, budget| {
            let elements = ordered(arguments, budget)?;
            let zero = match elements.first() {
                Some(Double(_)) => Double(0.0),
                Some(Uint(_)) => Uint(0),
                _ => Int(0),
            };
            elements
                .iter()
                .try_fold(zero, |total, element| sum(&total, element, budget))
        },
    ),
    ("min", EXTREME, |arguments, budget| {
        extreme(arguments, budget, "min", Ordering::Greater)
    }),
    ("max", EXTREME, |arguments, budget| {
        extreme(arguments, budget, "max", Ordering::Less)
    }),
    ("sort", SORT, |arguments, budget| {
        if let [empty @ List(elements)] = arguments
            && elements.is_empty()
        {
            return Ok(empty.clone());
        }
        let elements = ordered(arguments, budget)?;
        budget.spend_elements(elements.len().saturating_mul(16))?;
        // Whether all can be compared is seen first, since a sort cannot stop.
        if let Some(first) = elements.first() {
            for element in elements {
                first.compare(element)?;
                if first.type_name() != element.type_name() {
                    let message = "list elements must have the same type";
                    return Err(Argument(message.to_owned()));
                }
            }
        }
        let mut sorted = elements.to_vec();
        sorted.sort_by(|one, other| one.compare(other).unwrap_or(Ordering::Equal));
        Ok(Value::list(sorted))
    }),
    (
        "reverse",
        &["list(A).() -> list(A)"],
        |arguments, budget| {
            let elements = list(arguments, budget)?;
            Ok(Value::list(elements.iter().rev().cloned().collect()))
        },
    ),
    (
        "distinct",
        &["list(A).() -> list(A)"],
        |arguments, budget| {
            if let [empty @ List(elements)] = arguments
                && elements.is_empty()
            {
                return Ok(empty.clone());
            }
            let mut distinct: Vec<Value> = Vec::new();
            for element in list(arguments, budget)?.iter() {
                if !contains(&distinct, element, budget)? {
                    distinct.push(element.clone());
                }
            }
            Ok(Value::list(distinct))
        },
    ),
    (
        "first",
        &["list(A).() -> optional(A)"],
        |arguments, budget| {
            let elements = list(arguments, budget)?;
            Ok(Value::Optional(elements.first().cloned().map(Arc::new)))
        },
    ),
    (
        "last",
        &["list(A).() -> optional(A)"],
        |arguments, budget| {
            let elements = list(arguments, budget)?;
            Ok(Value::Optional(elements.last().cloned().map(Arc::new)))
        },
    ),
    (
        "slice",
        &["list(A).(int, int) -> list(A)"],
        |arguments, budget| match arguments {
            [List(elements), Int(start), Int(end)] => {
                budget.spend_elements(elements.len())?;
                let range = usize::try_from(*start).ok().zip(usize::try_from(*end).ok());
                range
                    .and_then(|(start, end)| elements.get(start..end))
                    .map(|slice| Value::list(slice.to_vec()))
                    .ok_or_else(|| Argument(format!("cannot slice({start}, {end}) this list")))
            }
            _ => Err(NoSuchOverload),
        },
    ),
    (
        "flatten",
        &[
            "list(list(A)).() -> list(A)",
            "list(dyn).(int) -> list(dyn)",
        ],
        |arguments, budget| match arguments {
            [List(elements)] => flatten(elements, 1, budget).map(Value::list),
            [List(elements), Int(depth)] if *depth >= 0 => {
                flatten(elements, *depth, budget).map(Value::list)
            }
            [List(_), Int(_)] => Err(Argument("level must be non-negative".to_owned())),
            _ => Err(NoSuchOverload),
        },
    ),
    (
        "lists.range",
        &["(int) -> list(int)"],
        |arguments, budget| {
            let [Int(count)] = arguments else {
                return Err(NoSuchOverload);
            };
            budget.spend(u64::try_from(*count).unwrap_or_default())?;
            Ok(Value::list((0..*count).map(Int).collect()))
        },
    ),
    ("sets.contains", SETS, |arguments, budget| {
        let (set, subset) = two_lists(arguments)?;
        contains_all(set, subset, budget).map(Bool)
    }),
    ("sets.equivalent", SETS, |arguments, budget| {
        let (one, other) = two_lists(arguments)?;
        let equivalent = contains_all(one, other, budget)? && contains_all(other, one, budget)?;
        Ok(Bool(equivalent))
    }),
    ("sets.intersects", SETS, |arguments, budget| {
        let (one, other) = two_lists(arguments)?;
        for element in one {
            if contains(other, element, budget)? {
                return Ok(Bool(true));
            }
        }
        Ok(Bool(false))
    }),
];

fn size(arguments: &[Value], budget: &mut Budget) -> Result<Value, EvaluationError> {
    let size = match arguments {
        [Value::String(text)] => {
            budget.spend_bytes(text.len())?;
            text.chars().count()
        }
        [List(elements)] => elements.len(),
        [Map(map)] => map.entries.len(),
        _ => return Err(NoSuchOverload),
    };
    Ok(Int(i64::try_from(size).unwrap_or(i64::MAX)))
}

fn list<'a>(arguments: &'a [Value], budget: &mut Budget) -> Result<&'a [Value], EvaluationError> {
    match arguments {
        [List(elements)] => {
            budget.spend_elements(elements.len())?;
            Ok(elements)
        }
        _ => Err(NoSuchOverload),
    }
}

/// A list whose elements each have an order. That two of them may have none between them is no error, in Kubernetes too.
fn ordered<'a>(
    arguments: &'a [Value],
    budget: &mut Budget,
) -> Result<&'a [Value], EvaluationError> {
    let elements = list(arguments, budget)?;
    for element in elements {
        match element {
            Value::String(text) => budget.spend_bytes(text.len())?,
            Bool(_) | Int(_) | Uint(_) | Double(_) => {}
            _ => return Err(NoSuchOverload),
        }
    }
    Ok(elements)
}

/// The first element that none is beyond; `worse` says how a worse one compares with a better one.
fn extreme(
    arguments: &[Value],
    budget: &mut Budget,
    name: &str,
    worse: Ordering,
) -> Result<Value, EvaluationError> {
    let mut elements = ordered(arguments, budget)?.iter();
    let first = elements
        .next()
        .ok_or_else(|| Argument(format!("{name} called on empty list")))?;
    let best = elements.fold(first, |best, element| {
        match best.compare(element) == Ok(worse) {
            true => element,
            false => best,
        }
    });
    Ok(best.clone())
}

fn flatten(
    elements: &[Value],
    depth: i64,
    budget: &mut Budget,
) -> Result<Vec<Value>, EvaluationError> {
    let mut flat = Vec::new();
    for element in elements {
        budget.spend(1)?;
        match element {
            List(inner) if depth > 0 => {
                let inner = flatten(inner, depth - 1, budget)?;
                // Each level takes them over from the one below.
                budget.spend_elements(inner.len())?;
                flat.extend(inner);
            }
            other => flat.push(other.clone()),
        }
    }
    Ok(flat)
}

fn two_lists(arguments: &[Value]) -> Result<(&[Value], &[Value]), EvaluationError> {
    match arguments {
        [List(one), List(other)] => Ok((one, other)),
        _ => Err(NoSuchOverload),
    }
}

fn contains_all(
    set: &[Value],
    subset: &[Value],
    budget: &mut Budget,
) -> Result<bool, EvaluationError> {
    for element in subset {
        if !contains(set, element, budget)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn index_of(arguments: &[Value], budget: &mut Budget) -> Result<Value, EvaluationError> {
    let (text, part, from) = match arguments {
        [List(elements), value] => {
            for (index, element) in (0..).zip(elements.iter()) {
                if element.equals(value, budget)? {
                    return Ok(Int(index));
                }
            }
            return Ok(Int(-1));
        }
        [Value::String(text), Value::String(part)] => (text, part, 0),
        [Value::String(text), Value::String(part), Int(from)] => (text, part, *from),
        _ => return Err(NoSuchOverload),
    };
    if part.is_empty() {
        return Ok(Int(from));
    }
    let start = usize::try_from(from).map_err(|_| out_of_range(from))?;
    let (text, part) = (chars(text, budget)?, chars(part, budget)?);
    let places = text.windows(part.len()).enumerate().skip(start);
    search(places, &part, budget)
}

fn last_index_of(arguments: &[Value], budget: &mut Budget) -> Result<Value, EvaluationError> {
    let (text, part, from) = match arguments {
        [List(elements), value] => {
            for (index, element) in elements.iter().enumerate().rev() {
                if element.equals(value, budget)? {
                    return Ok(Int(i64::try_from(index).unwrap_or(i64::MAX)));
                }
            }
            return Ok(Int(-1));
        }
        [Value::String(text), Value::String(part)] => (text, part, None),
        [Value::String(text), Value::String(part), Int(from)] => (text, part, Some(*from)),
        _ => return Err(NoSuchOverload),
    };
    let (text, part) = (chars(text, budget)?, chars(part, budget)?);
    let length = i64::try_from(text.len()).unwrap_or(i64::MAX);
    match from {
        _ if part.is_empty() => return Ok(Int(from.unwrap_or(length))),
        Some(from) if from < 0 => return Err(out_of_range(from)),
        Some(from) if from >= length => return Ok(Int(-1)),
        _ => {}
    }
    let last = from.map_or(Ok(usize::MAX), usize::try_from);
    let last = last.unwrap_or(usize::MAX).saturating_add(1);
    let places: Vec<_> = text.windows(part.len()).enumerate().take(last).collect();
    search(places.into_iter().rev(), &part, budget)
}

fn out_of_range(index: i64) -> EvaluationError {
    Argument(format!("index out of range: {index}"))
}

/// The position of the first of `places` at which `part` stands, or -1.
fn search<'a>(
    places: impl Iterator<Item = (usize, &'a [char])>,
    part: &[char],
    budget: &mut Budget,
) -> Result<Value, EvaluationError> {
    for (index, place) in places {
        budget.spend_bytes(part.len())?;
        if place == part {
            return Ok(Int(i64::try_from(index).unwrap_or(i64::MAX)));
        }
    }
    Ok(Int(-1))
}

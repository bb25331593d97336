//! Operators.

use std::cmp::Ordering;

use super::Row;
use crate::expression::budget::Budget;
use crate::expression::evaluate::EvaluationError::{
    self, DivisionByZero, ModulusByZero, NoSuchOverload, Overflow, UnsignedOverflow,
};
use crate::expression::value::Value::{self, Bool, Double, Int, List, Map, Uint};

const ORDER: &[&str] = &[
    "(bool, bool) -> bool",
    "(int, int) -> bool",
    "(int, double) -> bool",
    "(int, uint) -> bool",
    "(uint, uint) -> bool",
    "(uint, double) -> bool",
    "(uint, int) -> bool",
    "(double, double) -> bool",
    "(double, int) -> bool",
    "(double, uint) -> bool",
    "(string, string) -> bool",
];

// The first that fits decides about types that are not known, so the order is cel-go's, here and below.
const NUMBERS: &[&str] = &[
    "(double, double) -> double",
    "(int, int) -> int",
    "(uint, uint) -> uint",
];

pub(super) const FUNCTIONS: &[Row] = &[
    ("_==_", &["(A, A) -> bool"], |arguments, budget| {
        equal(arguments, budget).map(Bool)
    }),
    ("_!=_", &["(A, A) -> bool"], |arguments, budget| {
        equal(arguments, budget).map(|equal| Bool(!equal))
    }),
    ("_<_", ORDER, |arguments, budget| {
        order(arguments, budget).map(|order| Bool(order == Ordering::Less))
    }),
    ("_<=_", ORDER, |arguments, budget| {
        order(arguments, budget).map(|order| Bool(order != Ordering::Greater))
    }),
    ("_>_", ORDER, |arguments, budget| {
        order(arguments, budget).map(|order| Bool(order == Ordering::Greater))
    }),
    ("_>=_", ORDER, |arguments, budget| {
        order(arguments, budget).map(|order| Bool(order != Ordering::Less))
    }),
    (
        "_+_",
        &[
            "(bytes, bytes) -> bytes",
            "(double, double) -> double",
            "(int, int) -> int",
            "(list(A), list(A)) -> list(A)",
            "(string, string) -> string",
            "(uint, uint) -> uint",
        ],
        add,
    ),
    ("_-_", NUMBERS, |arguments, _| match arguments {
        [Int(one), Int(other)] => one.checked_sub(*other).map(Int).ok_or(Overflow),
        [Uint(one), Uint(other)] => one.checked_sub(*other).map(Uint).ok_or(UnsignedOverflow),
        [Double(one), Double(other)] => Ok(Double(one - other)),
        _ => Err(NoSuchOverload),
    }),
    ("_*_", NUMBERS, |arguments, _| match arguments {
        [Int(one), Int(other)] => one.checked_mul(*other).map(Int).ok_or(Overflow),
        [Uint(one), Uint(other)] => one.checked_mul(*other).map(Uint).ok_or(UnsignedOverflow),
        [Double(one), Double(other)] => Ok(Double(one * other)),
        _ => Err(NoSuchOverload),
    }),
    ("_/_", NUMBERS, |arguments, _| match arguments {
        [Int(_), Int(0)] | [Uint(_), Uint(0)] => Err(DivisionByZero),
        [Int(one), Int(other)] => one.checked_div(*other).map(Int).ok_or(Overflow),
        [Uint(one), Uint(other)] => one.checked_div(*other).map(Uint).ok_or(UnsignedOverflow),
        [Double(one), Double(other)] => Ok(Double(one / other)),
        _ => Err(NoSuchOverload),
    }),
    (
        "_%_",
        &["(int, int) -> int", "(uint, uint) -> uint"],
        |arguments, _| match arguments {
            [Int(_), Int(0)] | [Uint(_), Uint(0)] => Err(ModulusByZero),
            [Int(one), Int(other)] => one.checked_rem(*other).map(Int).ok_or(Overflow),
            [Uint(one), Uint(other)] => one.checked_rem(*other).map(Uint).ok_or(UnsignedOverflow),
            _ => Err(NoSuchOverload),
        },
    ),
    (
        "-_",
        &["(double) -> double", "(int) -> int"],
        |arguments, _| match arguments {
            [Int(int)] => int.checked_neg().map(Int).ok_or(Overflow),
            [Double(double)] => Ok(Double(-double)),
            _ => Err(NoSuchOverload),
        },
    ),
    ("!_", &["(bool) -> bool"], |arguments, _| match arguments {
        [Bool(bool)] => Ok(Bool(!bool)),
        _ => Err(NoSuchOverload),
    }),
    (
        "@in",
        &["(A, list(A)) -> bool", "(A, map(A, B)) -> bool"],
        |arguments, budget| match arguments {
            [value, List(elements)] => contains(elements, value, budget).map(Bool),
            [key, Map(map)] => map.contains(key, budget).map(Bool),
            _ => Err(NoSuchOverload),
        },
    ),
];

fn equal(arguments: &[Value], budget: &mut Budget) -> Result<bool, EvaluationError> {
    match arguments {
        [one, other] => one.equals(other, budget),
        _ => Err(NoSuchOverload),
    }
}

fn order(arguments: &[Value], budget: &mut Budget) -> Result<Ordering, EvaluationError> {
    match arguments {
        [Value::String(one), Value::String(other)] => {
            budget.spend_bytes(one.len().min(other.len()))?;
            Ok(one.cmp(other))
        }
        [one, other] => one.compare(other),
        _ => Err(NoSuchOverload),
    }
}

fn add(arguments: &[Value], budget: &mut Budget) -> Result<Value, EvaluationError> {
    match arguments {
        [Int(one), Int(other)] => one.checked_add(*other).map(Int).ok_or(Overflow),
        [Uint(one), Uint(other)] => one.checked_add(*other).map(Uint).ok_or(UnsignedOverflow),
        [Double(one), Double(other)] => Ok(Double(one + other)),
        [Value::String(one), Value::String(other)] => {
            budget.spend_bytes(one.len() + other.len())?;
            Ok(Value::String([&**one, &**other].concat().into()))
        }
        // An empty list leaves the other as it is, down to its kind.
        [List(one), other @ List(_)] if one.is_empty() => Ok(other.clone()),
        [one @ List(_), List(other)] if other.is_empty() => Ok(one.clone()),
        [List(one), List(other)] => {
            budget.spend_elements(one.len() + other.len())?;
            Ok(Value::list([&***one, &***other].concat()))
        }
        _ => Err(NoSuchOverload),
    }
}

/// Whether `value` is among `elements`.
pub(super) fn contains(
    elements: &[Value],
    value: &Value,
    budget: &mut Budget,
) -> Result<bool, EvaluationError> {
    for element in elements {
        if element.equals(value, budget)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The sum of two numbers of one type.
pub(super) fn sum(
    one: &Value,
    other: &Value,
    budget: &mut Budget,
) -> Result<Value, EvaluationError> {
    match (one, other) {
        (Int(_), Int(_)) | (Uint(_), Uint(_)) | (Double(_), Double(_)) => {
            add(&[one.clone(), other.clone()], budget)
        }
        _ => Err(NoSuchOverload),
    }
}

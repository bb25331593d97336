//! Conversions between types.

use super::Row;
use crate::expression::budget::Budget;
use crate::expression::evaluate::EvaluationError::{
    self, Conversion, NoSuchOverload, Overflow, UnsignedOverflow,
};
use crate::expression::value::Value::{self, Bool, Double, Int, Uint};

pub(super) const FUNCTIONS: &[Row] = &[
    (
        "int",
        &[
            "(int) -> int",
            "(double) -> int",
            "(string) -> int",
            "(uint) -> int",
        ],
        int,
    ),
    (
        "uint",
        &[
            "(uint) -> uint",
            "(double) -> uint",
            "(int) -> uint",
            "(string) -> uint",
        ],
        uint,
    ),
    (
        "double",
        &[
            "(double) -> double",
            "(int) -> double",
            "(string) -> double",
            "(uint) -> double",
        ],
        double,
    ),
    (
        "bool",
        &["(bool) -> bool", "(string) -> bool"],
        |arguments, _| match arguments {
            [Bool(bool)] => Ok(Bool(*bool)),
            [Value::String(text)] => match &**text {
                "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Bool(true)),
                "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Bool(false)),
                _ => Err(from_text("bool")),
            },
            _ => Err(NoSuchOverload),
        },
    ),
    (
        "string",
        &[
            "(string) -> string",
            "(bool) -> string",
            "(bytes) -> string",
            "(double) -> string",
            "(int) -> string",
            "(uint) -> string",
        ],
        |arguments, _| match arguments {
            [Value::String(text)] => Ok(Value::String(text.clone())),
            [Bool(bool)] => Ok(Value::text(&bool.to_string())),
            [Int(int)] => Ok(Value::text(&int.to_string())),
            [Uint(uint)] => Ok(Value::text(&uint.to_string())),
            [Double(double)] => Ok(Value::text(&double_text(*double))),
            _ => Err(NoSuchOverload),
        },
    ),
    ("dyn", &["(A) -> dyn"], |arguments, _| match arguments {
        [value] => Ok(value.clone()),
        _ => Err(NoSuchOverload),
    }),
    ("type", &["(A) -> type"], |arguments, _| match arguments {
        [value] => Ok(Value::Type(value.type_name())),
        _ => Err(NoSuchOverload),
    }),
];

/// Whether Kubernetes computes a call with a literal as argument when it compiles, and fails then.
pub(in super::super) fn is_conversion(name: &str) -> bool {
    matches!(
        name,
        "bool" | "double" | "dyn" | "int" | "string" | "type" | "uint"
    )
}

fn from_text(to: &'static str) -> EvaluationError {
    let from = "string";
    Conversion { from, to }
}

fn int(arguments: &[Value], budget: &mut Budget) -> Result<Value, EvaluationError> {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    match arguments {
        [Int(int)] => Ok(Int(*int)),
        [Uint(uint)] => (*uint).try_into().map(Int).map_err(|_| Overflow),
        #[expect(clippy::as_conversions, reason = "the range is checked")]
        [Double(double)] if *double > -LIMIT && *double < LIMIT => Ok(Int(*double as i64)),
        [Double(_)] => Err(Overflow),
        [Value::String(text)] => {
            budget.spend_bytes(text.len())?;
            text.parse().map(Int).map_err(|_| from_text("int"))
        }
        _ => Err(NoSuchOverload),
    }
}

fn uint(arguments: &[Value], budget: &mut Budget) -> Result<Value, EvaluationError> {
    const LIMIT: f64 = 18_446_744_073_709_551_616.0;
    match arguments {
        [Uint(uint)] => Ok(Uint(*uint)),
        [Int(int)] => (*int).try_into().map(Uint).map_err(|_| UnsignedOverflow),
        #[expect(clippy::as_conversions, reason = "the range is checked")]
        [Double(double)] if *double >= 0.0 && *double < LIMIT => Ok(Uint(*double as u64)),
        [Double(_)] => Err(UnsignedOverflow),
        // Go takes a sign only before integers that can have one.
        [Value::String(text)] => {
            budget.spend_bytes(text.len())?;
            match text.starts_with('+') {
                true => Err(from_text("uint")),
                false => text.parse().map(Uint).map_err(|_| from_text("uint")),
            }
        }
        _ => Err(NoSuchOverload),
    }
}

fn double(arguments: &[Value], budget: &mut Budget) -> Result<Value, EvaluationError> {
    match arguments {
        [Double(double)] => Ok(Double(*double)),
        #[expect(clippy::as_conversions, reason = "rounds, as it does in Go")]
        [Int(int)] => Ok(Double(*int as f64)),
        #[expect(clippy::as_conversions, reason = "rounds, as it does in Go")]
        [Uint(uint)] => Ok(Double(*uint as f64)),
        [Value::String(text)] => {
            // It is read once for separators, and once more for digits.
            budget.spend_bytes(text.len().saturating_mul(2))?;
            match without_separators(text).parse::<f64>() {
                // Too large a number is an error in Go, and infinity only where it is written.
                Ok(double)
                    if double.is_infinite() && text.contains(|c: char| c.is_ascii_digit()) =>
                {
                    Err(from_text("double"))
                }
                Ok(double) => Ok(Double(double)),
                Err(_) => Err(from_text("double")),
            }
        }
        _ => Err(NoSuchOverload),
    }
}

/// Go takes an underscore between digits for nothing.
fn without_separators(text: &str) -> String {
    let bytes = text.as_bytes();
    let separates = |window: &[u8]| match window {
        [before, b'_', after] => before.is_ascii_digit() && after.is_ascii_digit(),
        _ => false,
    };
    let separators = bytes.windows(3).filter(|window| separates(window)).count();
    match separators == text.matches('_').count() {
        true => text.replace('_', ""),
        false => text.to_owned(),
    }
}

/// As Go prints it by `%g`: the fewest digits that give the number back, with an exponent where there would be many.
fn double_text(double: f64) -> String {
    if double.is_nan() {
        return "NaN".to_owned();
    }
    if double.is_infinite() {
        return if double > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{double:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else {
        return scientific;
    };
    let exponent: i32 = exponent.parse().unwrap_or_default();
    match !(-4..6).contains(&exponent) {
        true => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
        false => format!("{double}"),
    }
}

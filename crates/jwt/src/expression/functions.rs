//! The operators and functions of expressions: their signatures, by which calls are checked, and what they do.
//!
//! Names, signatures and results are those of the environment that Kubernetes gives an authenticator
//! (`k8s.io/apiserver/pkg/cel/environment` over cel-go).

mod arithmetic;
mod conversion;
mod lists;
mod signature;
mod strings;

use std::collections::HashMap;
use std::sync::LazyLock;

use super::budget::Budget;
use super::evaluate::EvaluationError;
use super::value::Value;
pub(super) use conversion::is_conversion;
pub(super) use signature::Signature;

/// Computes a function from its arguments, the receiver first.
pub(super) type Implementation = fn(&[Value], &mut Budget) -> Result<Value, EvaluationError>;

/// A function or an operator.
pub(super) struct Function {
    pub(super) signatures: Vec<Signature>,
    pub(super) implementation: Implementation,
}

/// The function of this name, for example `size`, `sets.contains` or `_+_`.
pub(super) fn function(name: &str) -> Option<&'static Function> {
    static FUNCTIONS: LazyLock<HashMap<&str, Function>> = LazyLock::new(|| {
        let function = |&(name, signatures, implementation): &Row| {
            let signatures = signatures.iter().filter_map(|text| Signature::parse(text));
            let function = Function {
                signatures: signatures.collect(),
                implementation,
            };
            (name, function)
        };
        rows().map(function).collect()
    });
    FUNCTIONS.get(name)
}

/// Whether the function of this name looks at no types but those of the values, though the checker has chosen a signature.
/// In cel-go these have one implementation for all signatures, or no guards.
pub(super) fn takes_any_values(name: &str) -> bool {
    let is_operator = !name.starts_with(|char: char| char.is_ascii_alphabetic());
    is_operator || matches!(name, "flatten" | "size" | "sort")
}

/// Name, signatures and implementation.
type Row = (&'static str, &'static [&'static str], Implementation);

fn rows() -> impl Iterator<Item = &'static Row> {
    [
        arithmetic::FUNCTIONS,
        conversion::FUNCTIONS,
        strings::FUNCTIONS,
        lists::FUNCTIONS,
        OPTIONALS,
    ]
    .into_iter()
    .flatten()
}

/// What `optional.ofNonZeroValue` takes an empty list or map for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Emptiness {
    /// For nothing, as other zero values.
    Nothing,
    /// For something: Kubernetes wraps the lists and maps of claims in values that are never zero.
    Something,
    /// It may be either.
    Unknown,
}

/// `optional.ofNonZeroValue`, where it is known what an empty list or map is.
pub(super) const fn of_non_zero_value(emptiness: Emptiness) -> Implementation {
    match emptiness {
        Emptiness::Nothing => |arguments, _| match arguments {
            [value] if value.is_zero() => Ok(Value::Optional(None)),
            [value] => Ok(Value::some(value.clone())),
            _ => Err(EvaluationError::NoSuchOverload),
        },
        Emptiness::Something => |arguments, _| match arguments {
            [value @ (Value::List(_) | Value::Map(_))] => Ok(Value::some(value.clone())),
            [value] if value.is_zero() => Ok(Value::Optional(None)),
            [value] => Ok(Value::some(value.clone())),
            _ => Err(EvaluationError::NoSuchOverload),
        },
        Emptiness::Unknown => |arguments, _| match arguments {
            [value @ (Value::List(_) | Value::Map(_))] if value.is_zero() => {
                let message = "optional.ofNonZeroValue of an empty list or map that may be a claim's is not supported by Haulout; compare with [] or {}";
                Err(EvaluationError::Argument(message.to_owned()))
            }
            [value] if value.is_zero() => Ok(Value::Optional(None)),
            [value] => Ok(Value::some(value.clone())),
            _ => Err(EvaluationError::NoSuchOverload),
        },
    }
}

const OPTIONALS: &[Row] = &[
    (
        "optional.of",
        &["(A) -> optional(A)"],
        |arguments, _| match arguments {
            [value] => Ok(Value::some(value.clone())),
            _ => Err(EvaluationError::NoSuchOverload),
        },
    ),
    (
        "optional.ofNonZeroValue",
        &["(A) -> optional(A)"],
        of_non_zero_value(Emptiness::Nothing),
    ),
    ("optional.none", &["() -> optional(A)"], |_, _| {
        Ok(Value::Optional(None))
    }),
    (
        "hasValue",
        &["optional(A).() -> bool"],
        |arguments, _| match arguments {
            [Value::Optional(value)] => Ok(Value::Bool(value.is_some())),
            _ => Err(EvaluationError::NoSuchOverload),
        },
    ),
    (
        "value",
        &["optional(A).() -> A"],
        |arguments, _| match arguments {
            [Value::Optional(Some(value))] => Ok(Value::clone(value)),
            [Value::Optional(None)] => Err(EvaluationError::NoValue),
            _ => Err(EvaluationError::NoSuchOverload),
        },
    ),
];

/// Signatures of what is computed by a node of its own and not by a function.
pub(super) mod special {
    pub(in super::super) const CONDITIONAL: &[&str] = &["(bool, A, A) -> A"];
    pub(in super::super) const INDEX: &[&str] = &[
        "(list(A), int) -> A",
        "(map(A, B), A) -> B",
        "(optional(list(A)), int) -> optional(A)",
        "(optional(map(A, B)), A) -> optional(B)",
    ];
    pub(in super::super) const OPTIONAL_INDEX: &[&str] = &[
        "(list(A), int) -> optional(A)",
        "(optional(list(A)), int) -> optional(A)",
        "(map(A, B), A) -> optional(B)",
        "(optional(map(A, B)), A) -> optional(B)",
    ];

    /// Of those that are called by a name.
    pub(in super::super) fn signatures(name: &str) -> Option<&'static [&'static str]> {
        match name {
            "_?_:_" => Some(CONDITIONAL),
            "or" => Some(&["optional(A).(optional(A)) -> optional(A)"]),
            "orValue" => Some(&["optional(A).(A) -> A"]),
            "matches" => Some(&["string.(string) -> bool", "(string, string) -> bool"]),
            "find" => Some(&["string.(string) -> string"]),
            "findAll" => Some(&[
                "string.(string) -> list(string)",
                "string.(string, int) -> list(string)",
            ]),
            _ => None,
        }
    }
}

/// What Kubernetes has and Haulout has not.
pub(super) const UNSUPPORTED: &[&str] = &[
    "bytes",
    "duration",
    "timestamp",
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getDayOfYear",
    "getFullYear",
    "getHours",
    "getMilliseconds",
    "getMinutes",
    "getMonth",
    "getSeconds",
    "format",
    "url",
    "isURL",
    "getScheme",
    "getHost",
    "getHostname",
    "getPort",
    "getEscapedPath",
    "getQuery",
    "quantity",
    "isQuantity",
    "ip",
    "isIP",
    "ip.isCanonical",
    "cidr",
    "isCIDR",
    "semver",
    "isSemver",
    "sortBy",
    "transformMap",
    "transformMapEntry",
    "format.named",
    "format.dns1123Label",
    "format.dns1123Subdomain",
    "format.dns1035Label",
    "format.qualifiedName",
    "format.dns1123LabelPrefix",
    "format.dns1123SubdomainPrefix",
    "format.dns1035LabelPrefix",
    "format.labelValue",
    "format.uri",
    "format.uuid",
    "format.byte",
    "format.date",
    "format.datetime",
    "optional.unwrap",
    "unwrapOpt",
];

#[cfg(test)]
mod tests;

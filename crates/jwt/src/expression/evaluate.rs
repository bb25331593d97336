//! Evaluates a checked expression. What it gives and where it fails is cel-go's `interpreter`, with the options that
//! Kubernetes sets.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::budget::Budget;
use super::node::{Access, Element, Fold, FoldKind, Match, Node};
use super::value::{self, Key, Map, Value};
use crate::foreign;

/// Why an expression has no value for these claims.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvaluationError {
    /// A claim or key is absent.
    #[error("no such key: {0}")]
    NoSuchKey(String),
    /// A list has no such element.
    #[error("index out of bounds: {0}")]
    IndexOutOfBounds(String),
    /// A list is indexed by something other than a whole number.
    #[error("unsupported index type '{0}' in list")]
    IndexType(&'static str),
    /// A list is indexed by a number that is not whole.
    #[error("unsupported index value {0} in list")]
    IndexValue(String),
    /// Something is looked up by a value that is no key.
    #[error("invalid qualifier type: {0}")]
    NoKey(&'static str),
    /// A name is escaped where escapes may mean nothing.
    #[error(
        "the escaped name '{0}' outside of a path from 'claims' is not supported by Haulout; write the name itself in brackets"
    )]
    EscapedName(String),
    /// A function or operator cannot take a value of this type.
    #[error("no such overload")]
    NoSuchOverload,
    /// A whole number is too large or too small.
    #[error("integer overflow")]
    Overflow,
    /// A whole number would be less than zero, or too large, where it cannot be.
    #[error("unsigned integer overflow")]
    UnsignedOverflow,
    /// Division by zero.
    #[error("division by zero")]
    DivisionByZero,
    /// Remainder of a division by zero.
    #[error("modulus by zero")]
    ModulusByZero,
    /// `NaN` is neither less nor greater than any number.
    #[error("NaN values cannot be ordered")]
    NotANumber,
    /// A macro ranges over something that is neither a list nor a map.
    #[error("got '{0}', expected iterable type")]
    NotIterable(&'static str),
    /// A text is none of the type that it is converted to.
    #[error("type conversion error from '{from}' to '{to}'")]
    Conversion {
        /// Type of the value.
        from: &'static str,
        /// The wanted type.
        to: &'static str,
    },
    /// `value()` of `optional.none()`.
    #[error("optional.none() dereference")]
    NoValue,
    /// A function was given an argument that it does not take.
    #[error("{0}")]
    Argument(String),
    /// It would take longer, or build something larger, than one login may.
    #[error("evaluation needs more steps than one login may take")]
    BudgetSpent,
}

/// Steps that an error with a text of its own costs.
const ERROR: u64 = 16;

/// Gives the value of `node` where `variable` is `claims` or `user`.
pub(super) fn evaluate(
    node: &Node,
    variable: Value,
    budget: &mut Budget,
) -> Result<Value, EvaluationError> {
    let variables = vec![variable];
    Evaluation { variables, budget }.value(node)
}

struct Evaluation<'a> {
    variables: Vec<Value>,
    budget: &'a mut Budget,
}

impl Evaluation<'_> {
    fn value(&mut self, node: &Node) -> Result<Value, EvaluationError> {
        self.budget.spend(1)?;
        match node {
            Node::Constant(value) => Ok(value.clone()),
            Node::Variable(place) => {
                let value = self.variables.get(*place);
                value.cloned().ok_or(EvaluationError::NoSuchOverload)
            }
            Node::Access {
                operand,
                key,
                mode,
                unescapes,
            } => self.access(operand, key, *mode, *unescapes),
            Node::And(one, other) => self.logical(one, other, false),
            Node::Or(one, other) => self.logical(one, other, true),
            Node::Conditional(parts) => {
                let [condition, yes, no] = parts.as_ref();
                match self.value(condition)? {
                    Value::Bool(true) => self.value(yes),
                    Value::Bool(false) => self.value(no),
                    _ => Err(EvaluationError::NoSuchOverload),
                }
            }
            Node::List(elements) => self.list(elements),
            Node::Map(entries) => self.map(entries),
            Node::Call {
                implementation,
                chosen,
                arguments,
            } => {
                let arguments = arguments.iter().map(|argument| self.value(argument));
                let arguments = arguments.collect::<Result<Vec<_>, _>>()?;
                let mut chosen = chosen.iter().flatten().zip(&arguments);
                if !chosen.all(|(type_, argument)| type_.admits(argument)) {
                    return Err(EvaluationError::NoSuchOverload);
                }
                implementation(&arguments, self.budget)
            }
            Node::Match {
                subject,
                pattern,
                weight,
                mode,
            } => self.match_pattern(subject, pattern, *weight, mode),
            Node::Fold(fold) => self.fold(fold),
            Node::OrElse {
                optional,
                otherwise,
                unwrap,
            } => match self.value(optional)? {
                Value::Optional(None) => self.value(otherwise),
                Value::Optional(Some(value)) if *unwrap => Ok(Value::clone(&value)),
                value => Ok(value),
            },
            Node::MapOptional {
                optional,
                body,
                flat,
            } => match self.value(optional)? {
                Value::Optional(None) => Ok(Value::Optional(None)),
                Value::Optional(Some(value)) => {
                    let mapped = self.with(&[Value::clone(&value)], body)?;
                    Ok(match flat {
                        true => mapped,
                        false => Value::some(mapped),
                    })
                }
                _ => Err(EvaluationError::NoSuchOverload),
            },
        }
    }

    /// The value of `body` where a macro's variables are `values`.
    fn with(&mut self, values: &[Value], body: &Node) -> Result<Value, EvaluationError> {
        let outer = self.variables.len();
        self.variables.extend_from_slice(values);
        let value = self.value(body);
        self.variables.truncate(outer);
        value
    }

    fn access(
        &mut self,
        operand: &Node,
        key: &Node,
        mode: Access,
        unescapes: bool,
    ) -> Result<Value, EvaluationError> {
        let (target, is_optional) = match self.value(operand)? {
            Value::Optional(None) if mode == Access::Presence => return Ok(Value::Bool(false)),
            Value::Optional(None) => return Ok(Value::Optional(None)),
            Value::Optional(Some(value)) => (Value::clone(&value), true),
            value => (value, false),
        };
        let key = self.value(key)?;
        if !key.can_be_key() {
            return Err(EvaluationError::NoKey(key.type_name()));
        }
        if let (false, Value::Map(map)) = (unescapes, &target) {
            map.takes_as_written(&key, self.budget)?;
        }
        let is_strict = mode == Access::Value && !is_optional;
        let found = find(&target, &key, is_strict, self.budget)?;
        Ok(match mode {
            Access::Presence => Value::Bool(found.is_some()),
            _ if is_strict => found.ok_or_else(|| missing(&target, &key, self.budget))?,
            _ => Value::Optional(found.map(Arc::new)),
        })
    }

    /// `&&` and `||`: either side alone can decide, whatever is wrong with the other.
    fn logical(
        &mut self,
        one: &Node,
        other: &Node,
        decisive: bool,
    ) -> Result<Value, EvaluationError> {
        let one = self.value(one).and_then(|value| boolean(&value));
        match one {
            Err(EvaluationError::BudgetSpent) => return Err(EvaluationError::BudgetSpent),
            Ok(bool) if bool == decisive => return Ok(Value::Bool(bool)),
            Ok(_) | Err(_) => {}
        }
        match (self.value(other).and_then(|value| boolean(&value)), one) {
            (Ok(bool), _) if bool == decisive => Ok(Value::Bool(bool)),
            (Err(EvaluationError::BudgetSpent), _) => Err(EvaluationError::BudgetSpent),
            (_, Err(error)) | (Err(error), Ok(_)) => Err(error),
            (Ok(bool), Ok(_)) => Ok(Value::Bool(bool)),
        }
    }

    /// The value, unless it is optional and absent.
    fn element(&mut self, element: &Element) -> Result<Option<Value>, EvaluationError> {
        let value = self.value(&element.node)?;
        match (element.is_optional, value) {
            (false, value) => Ok(Some(value)),
            (true, Value::Optional(value)) => Ok(value.map(|value| Value::clone(&value))),
            (true, _) => Err(EvaluationError::NoSuchOverload),
        }
    }

    fn list(&mut self, elements: &[Element]) -> Result<Value, EvaluationError> {
        let mut list = Vec::with_capacity(elements.len());
        for element in elements {
            list.extend(self.element(element)?);
        }
        Ok(Value::list(list))
    }

    fn map(&mut self, entries: &[(Node, Element)]) -> Result<Value, EvaluationError> {
        let mut map = BTreeMap::new();
        for (key, value) in entries {
            let key = Key::written(self.value(key)?).ok_or(EvaluationError::NoSuchOverload)?;
            if let Key::String(name) = &key {
                self.budget.spend_bytes(name.len())?;
            }
            if let Some(value) = self.element(value)? {
                map.insert(key, value);
            }
        }
        Ok(Value::Map(Arc::new(Map {
            entries: map,
            ..Map::default()
        })))
    }

    fn match_pattern(
        &mut self,
        subject: &Node,
        pattern: &regex::Regex,
        weight: u64,
        mode: &Match,
    ) -> Result<Value, EvaluationError> {
        let Value::String(subject) = self.value(subject)? else {
            return Err(EvaluationError::NoSuchOverload);
        };
        let cost = |bytes: usize| {
            let blocks = u64::try_from(bytes / 16).unwrap_or(u64::MAX);
            blocks.saturating_add(1).saturating_mul(weight)
        };
        self.budget.spend(cost(subject.len()))?;
        match mode {
            Match::Whether => Ok(Value::Bool(pattern.is_match(&subject))),
            Match::First => Ok(Value::text(
                pattern.find(&subject).map_or("", |found| found.as_str()),
            )),
            Match::All(most) => {
                let most = match most {
                    Some(most) => match self.value(most)? {
                        Value::Int(most) => usize::try_from(most).unwrap_or(usize::MAX),
                        _ => return Err(EvaluationError::NoSuchOverload),
                    },
                    None => usize::MAX,
                };
                let mut all = Vec::new();
                for found in pattern.find_iter(&subject).take(most) {
                    // The search for the next one may look at all that is left.
                    self.budget.spend(cost(subject.len() - found.end()))?;
                    all.push(Value::text(found.as_str()));
                }
                Ok(Value::split(all))
            }
        }
    }

    fn fold(&mut self, fold: &Fold) -> Result<Value, EvaluationError> {
        let mut outcome = Outcome::new(fold.kind);
        match self.value(&fold.range)? {
            Value::List(elements) => {
                for (index, element) in (0..).zip(elements.iter()) {
                    let step = match fold.two_variables {
                        true => self.step(fold, &[Value::Int(index), element.clone()]),
                        false => self.step(fold, std::slice::from_ref(element)),
                    };
                    if outcome.take(step)? {
                        break;
                    }
                }
            }
            Value::Map(map) => {
                for (key, value) in &map.entries {
                    let step = match fold.two_variables {
                        true => self.step(fold, &[key.to_value(), value.clone()]),
                        false => self.step(fold, &[key.to_value()]),
                    };
                    if outcome.take(step)? {
                        break;
                    }
                }
            }
            other => return Err(EvaluationError::NotIterable(other.type_name())),
        }
        outcome.finish()
    }

    /// Whether an element is taken, and what becomes of it.
    fn step(&mut self, fold: &Fold, values: &[Value]) -> Result<Option<Value>, EvaluationError> {
        if let Some(condition) = &fold.condition {
            let holds = self
                .with(values, condition)
                .and_then(|value| boolean(&value))?;
            if !holds {
                return Ok(None);
            }
        }
        match (&fold.transform, values) {
            (Some(transform), _) => self.with(values, transform).map(Some),
            (None, [.., element]) => Ok(Some(element.clone())),
            (None, []) => Ok(None),
        }
    }
}

/// What a macro has come to so far.
enum Outcome {
    /// `all` (`until` is false) and `exists` (true): one element can decide, whatever is wrong with others.
    Logical {
        until: bool,
        decided: bool,
        error: Option<EvaluationError>,
    },
    One(u64),
    List(Vec<Value>),
}

impl Outcome {
    fn new(kind: FoldKind) -> Self {
        let logical = |until| Self::Logical {
            until,
            decided: false,
            error: None,
        };
        match kind {
            FoldKind::All => logical(false),
            FoldKind::Exists => logical(true),
            FoldKind::ExistsOne => Self::One(0),
            FoldKind::Collect => Self::List(Vec::new()),
        }
    }

    /// Takes one element in and says whether the outcome is decided.
    fn take(
        &mut self,
        step: Result<Option<Value>, EvaluationError>,
    ) -> Result<bool, EvaluationError> {
        match self {
            Self::Logical {
                until,
                decided,
                error,
            } => match step {
                Err(EvaluationError::BudgetSpent) => Err(EvaluationError::BudgetSpent),
                Err(fault) => {
                    error.get_or_insert(fault);
                    Ok(false)
                }
                Ok(taken) => {
                    *decided = taken.is_some() == *until;
                    Ok(*decided)
                }
            },
            Self::One(count) => {
                *count += u64::from(step?.is_some());
                Ok(false)
            }
            Self::List(list) => {
                list.extend(step?);
                Ok(false)
            }
        }
    }

    fn finish(self) -> Result<Value, EvaluationError> {
        match self {
            Self::Logical {
                until,
                decided: true,
                ..
            } => Ok(Value::Bool(until)),
            Self::Logical {
                error: Some(error), ..
            } => Err(error),
            Self::Logical { until, .. } => Ok(Value::Bool(!until)),
            Self::One(count) => Ok(Value::Bool(count == 1)),
            Self::List(list) => Ok(Value::list(list)),
        }
    }
}

fn boolean(value: &Value) -> Result<bool, EvaluationError> {
    match value {
        Value::Bool(bool) => Ok(*bool),
        _ => Err(EvaluationError::NoSuchOverload),
    }
}

/// What stands in `target` at `key`. Something that holds nothing is an error only where that is asked for.
fn find(
    target: &Value,
    key: &Value,
    is_strict: bool,
    budget: &mut Budget,
) -> Result<Option<Value>, EvaluationError> {
    match target {
        Value::Map(map) => Ok(map.find(key, budget)?.cloned()),
        Value::List(elements) => {
            let Some(index) = value::integer(key) else {
                return Err(match key {
                    Value::Double(_) | Value::Uint(_) => {
                        EvaluationError::IndexValue(shown(key, budget)?)
                    }
                    other => EvaluationError::IndexType(other.type_name()),
                });
            };
            let index = usize::try_from(index).ok();
            Ok(index.and_then(|index| elements.get(index)).cloned())
        }
        _ if is_strict => Err(EvaluationError::NoSuchKey(shown(key, budget)?)),
        _ => Ok(None),
    }
}

fn missing(target: &Value, key: &Value, budget: &mut Budget) -> EvaluationError {
    match (shown(key, budget), target) {
        (Err(spent), _) => spent,
        (Ok(key), Value::List(_)) => EvaluationError::IndexOutOfBounds(key),
        (Ok(key), _) => EvaluationError::NoSuchKey(key),
    }
}

/// A key as errors show it, of which one may be made for each element of a list.
fn shown(key: &Value, budget: &mut Budget) -> Result<String, EvaluationError> {
    budget.spend(ERROR)?;
    Ok(match key {
        Value::Bool(bool) => bool.to_string(),
        Value::Int(int) => int.to_string(),
        Value::Uint(uint) => uint.to_string(),
        Value::Double(double) => double.to_string(),
        Value::String(text) => {
            budget.spend_bytes(text.len().saturating_mul(value::REWRITE))?;
            foreign(text)
        }
        other => format!("a {}", other.type_name()),
    })
}

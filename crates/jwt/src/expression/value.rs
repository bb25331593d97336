//! Values of expressions: cheap to copy, and compared as Kubernetes compares them.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use haulout_api::identity::UserInfo;
use serde_json::Value as Json;

use super::budget::Budget;
use super::escape::{is_escaped, may_be_escaped, unescape};
use super::evaluate::EvaluationError;
use crate::foreign;

/// How many times as long as reading a byte it takes to escape or unescape one.
pub(super) const REWRITE: usize = 8;

/// A value.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A signed integer.
    Int(i64),
    /// An unsigned integer.
    Uint(u64),
    /// A floating-point number; every number in a claim is one.
    Double(f64),
    /// Text.
    String(Arc<str>),
    /// A list.
    List(Arc<List>),
    /// A map.
    Map(Arc<Map>),
    /// A value that may be absent.
    Optional(Option<Arc<Self>>),
    /// A type, by its name.
    Type(&'static str),
}

/// A list.
#[derive(Clone, Debug)]
pub(crate) struct List {
    elements: Vec<Value>,
    /// Whether `split` or `findAll` made it, whose kind of list Kubernetes takes neither for groups nor for extra.
    is_split: bool,
}

/// A map, and how its keys are looked up.
#[derive(Clone, Debug, Default)]
pub(crate) struct Map {
    pub(super) entries: BTreeMap<Key, Value>,
    pub(super) names: Names,
}

/// What `__dot__` and the like in a key stand for (Kubernetes `cel.Escape`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Names {
    /// Themselves: the map was written in the expression.
    #[default]
    Plain,
    /// The character, where the escape is known: an object within the claims.
    Escaped,
    /// The character, and a key with an unknown escape is never found: `claims` and `user`.
    Strict,
}

/// A key of a map.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Bool(bool),
    Int(i64),
    Uint(u64),
    String(Arc<str>),
}

impl Value {
    pub(super) fn text(text: &str) -> Self {
        Self::String(text.into())
    }

    pub(super) fn list(elements: Vec<Self>) -> Self {
        let is_split = false;
        Self::List(Arc::new(List { elements, is_split }))
    }

    /// What `split` and `findAll` give.
    pub(super) fn split(elements: Vec<Self>) -> Self {
        let is_split = true;
        Self::List(Arc::new(List { elements, is_split }))
    }

    pub(super) fn some(value: Self) -> Self {
        Self::Optional(Some(Arc::new(value)))
    }

    /// The claims as the variable `claims`.
    pub(crate) fn claims(claims: &serde_json::Map<String, Json>) -> Self {
        Self::object(claims, Names::Strict)
    }

    /// The variable `user`.
    pub(crate) fn user(user: &UserInfo) -> Self {
        let texts = |texts: &[String]| Self::list(texts.iter().map(|t| Self::text(t)).collect());
        let extra = user.extra.iter().map(|(k, v)| (Key::text(k), texts(v)));
        let extra = Map {
            entries: extra.collect(),
            names: Names::Escaped,
        };
        let entries = [
            ("username", Self::text(&user.username)),
            ("uid", Self::text(&user.uid)),
            ("groups", texts(&user.groups)),
            ("extra", Self::Map(Arc::new(extra))),
        ];
        Self::Map(Arc::new(Map {
            entries: entries
                .into_iter()
                .map(|(name, value)| (Key::text(name), value))
                .collect(),
            names: Names::Strict,
        }))
    }

    fn object(object: &serde_json::Map<String, Json>, names: Names) -> Self {
        let entries = object
            .iter()
            .map(|(name, value)| (Key::text(name), Self::json(value)));
        Self::Map(Arc::new(Map {
            entries: entries.collect(),
            names,
        }))
    }

    /// Go reads every JSON number as a double.
    fn json(json: &Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(bool) => Self::Bool(*bool),
            Json::Number(number) => Self::Double(number.as_f64().unwrap_or(f64::NAN)),
            Json::String(text) => Self::text(text),
            Json::Array(elements) => Self::list(elements.iter().map(Self::json).collect()),
            Json::Object(object) => Self::object(object, Names::Escaped),
        }
    }

    /// As a list of texts, where it is one (Kubernetes `convertCELValueToStringList`). Empty ones are dropped.
    ///
    /// A list may hold one long text many times, which are now many texts.
    pub(crate) fn to_texts(
        &self,
        budget: &mut Budget,
    ) -> Result<Option<Vec<String>>, EvaluationError> {
        let elements = match self {
            Self::Null => &[],
            Self::String(_) => std::slice::from_ref(self),
            Self::List(list) if !list.is_split => &***list,
            _ => return Ok(None),
        };
        let mut texts = Vec::new();
        for element in elements {
            let Some(text) = element.as_text() else {
                return Ok(None);
            };
            budget.spend(1)?;
            budget.spend_bytes(text.len())?;
            if !text.is_empty() {
                texts.push(text.to_owned());
            }
        }
        Ok(Some(texts))
    }

    /// The text that Kubernetes sees in an element of a list, which is also the value of an optional and a type's name.
    fn as_text(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            Self::Optional(Some(value)) => value.as_text(),
            Self::Type(name) => Some(name),
            _ => None,
        }
    }

    /// Name of its type, as `type()` gives it.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null_type",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Uint(_) => "uint",
            Self::Double(_) => "double",
            Self::String(_) => "string",
            Self::List(_) => "list",
            Self::Map(_) => "map",
            Self::Optional(_) => "optional_type",
            Self::Type(_) => "type",
        }
    }

    /// Whether something can be looked up by it.
    pub(super) fn can_be_key(&self) -> bool {
        matches!(
            self,
            Self::Bool(_) | Self::Int(_) | Self::Uint(_) | Self::Double(_) | Self::String(_)
        )
    }

    /// Whether `optional.ofNonZeroValue` takes it for nothing.
    pub(super) fn is_zero(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Bool(bool) => !bool,
            Self::Int(int) => *int == 0,
            Self::Uint(uint) => *uint == 0,
            Self::Double(double) => *double == 0.0,
            Self::String(text) => text.is_empty(),
            Self::List(elements) => elements.is_empty(),
            Self::Map(map) => map.entries.is_empty(),
            Self::Optional(_) | Self::Type(_) => false,
        }
    }

    /// Whether two values are equal. Numbers are compared by what they amount to, whatever their types.
    pub(super) fn equals(
        &self,
        other: &Self,
        budget: &mut Budget,
    ) -> Result<bool, EvaluationError> {
        budget.spend(1)?;
        Ok(match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(one), Self::Bool(other)) => one == other,
            (Self::String(one), Self::String(other)) => {
                budget.spend_bytes(one.len().min(other.len()))?;
                one == other
            }
            (Self::Type(one), Self::Type(other)) => one == other,
            (Self::List(one), Self::List(other)) => {
                if one.len() != other.len() {
                    return Ok(false);
                }
                for (one, other) in one.iter().zip(other.iter()) {
                    if !one.equals(other, budget)? {
                        return Ok(false);
                    }
                }
                true
            }
            (Self::Map(one), Self::Map(other)) => {
                if one.entries.len() != other.entries.len() {
                    return Ok(false);
                }
                for (key, one) in &one.entries {
                    let key = key.to_value();
                    other.takes_as_written(&key, budget)?;
                    let Some(other) = other.find(&key, budget)? else {
                        return Ok(false);
                    };
                    if !one.equals(other, budget)? {
                        return Ok(false);
                    }
                }
                true
            }
            (Self::Optional(one), Self::Optional(other)) => match (one, other) {
                (Some(one), Some(other)) => one.equals(other, budget)?,
                (None, None) => true,
                _ => false,
            },
            _ => self.compare_numbers(other) == Some(Ordering::Equal),
        })
    }

    /// How two values of one ordered type, or two numbers, compare.
    pub(super) fn compare(&self, other: &Self) -> Result<Ordering, EvaluationError> {
        match (self, other) {
            (Self::Bool(one), Self::Bool(other)) => Ok(one.cmp(other)),
            (Self::String(one), Self::String(other)) => Ok(one.cmp(other)),
            (one, other) if one.is_nan() || other.is_nan() => Err(EvaluationError::NotANumber),
            _ => self
                .compare_numbers(other)
                .ok_or(EvaluationError::NoSuchOverload),
        }
    }

    fn is_nan(&self) -> bool {
        matches!(self, Self::Double(double) if double.is_nan())
    }

    fn compare_numbers(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(one), Self::Int(other)) => Some(one.cmp(other)),
            (Self::Uint(one), Self::Uint(other)) => Some(one.cmp(other)),
            (Self::Double(one), Self::Double(other)) => one.partial_cmp(other),
            (Self::Int(one), Self::Uint(other)) => Some(i128::from(*one).cmp(&i128::from(*other))),
            // Large integers are rounded, as they are in Kubernetes.
            #[expect(clippy::as_conversions, reason = "rounds")]
            (Self::Double(one), Self::Int(other)) => one.partial_cmp(&(*other as f64)),
            #[expect(clippy::as_conversions, reason = "rounds")]
            (Self::Double(one), Self::Uint(other)) => one.partial_cmp(&(*other as f64)),
            (Self::Uint(_), Self::Int(_)) | (Self::Int(_) | Self::Uint(_), Self::Double(_)) => {
                other.compare_numbers(self).map(Ordering::reverse)
            }
            _ => None,
        }
    }
}

impl Deref for List {
    type Target = [Value];

    fn deref(&self) -> &[Value] {
        &self.elements
    }
}

impl Map {
    /// The value of a key. Numbers find one another whatever their types.
    pub(super) fn find(
        &self,
        key: &Value,
        budget: &mut Budget,
    ) -> Result<Option<&Value>, EvaluationError> {
        self.spend_key(key, budget)?;
        let unescaped = match (self.names, key) {
            (Names::Plain, _) => None,
            (names, Value::String(name)) => match (unescape(name), names) {
                (None, Names::Strict) => return Ok(None),
                (unescaped, _) => unescaped,
            },
            _ => None,
        };
        Ok(match unescaped {
            Some(Cow::Owned(name)) => self.entries.get(&Key::text(&name)),
            Some(Cow::Borrowed(_)) | None => self.written(key),
        })
    }

    /// The value of a key as it is written.
    fn written(&self, key: &Value) -> Option<&Value> {
        Key::candidates(key).find_map(|key| self.entries.get(&key))
    }

    /// A key is compared with a few others, at the most as far as it is long.
    fn spend_key(&self, key: &Value, budget: &mut Budget) -> Result<(), EvaluationError> {
        let Value::String(name) = key else {
            return Ok(());
        };
        match self.names != Names::Plain && may_be_escaped(name) {
            true => budget.spend_bytes(name.len().saturating_mul(REWRITE)),
            false => budget.spend_bytes(name.len()),
        }
    }

    /// Refuses an escaped name where it depends on how Kubernetes came by the map whether it stands for itself.
    pub(super) fn takes_as_written(
        &self,
        key: &Value,
        budget: &mut Budget,
    ) -> Result<(), EvaluationError> {
        self.spend_key(key, budget)?;
        match key {
            Value::String(name) if self.names != Names::Plain && is_escaped(name) => {
                Err(EvaluationError::EscapedName(foreign(name)))
            }
            _ => Ok(()),
        }
    }

    /// Whether a key is there as it is written. Escapes mean nothing here, in Kubernetes too.
    pub(super) fn contains(
        &self,
        key: &Value,
        budget: &mut Budget,
    ) -> Result<bool, EvaluationError> {
        self.spend_key(key, budget)?;
        Ok(self.written(key).is_some())
    }
}

impl Key {
    pub(super) fn text(text: &str) -> Self {
        Self::String(text.into())
    }

    /// A key written in an expression.
    pub(super) fn written(value: Value) -> Option<Self> {
        match value {
            Value::Bool(bool) => Some(Self::Bool(bool)),
            Value::Int(int) => Some(Self::Int(int)),
            Value::Uint(uint) => Some(Self::Uint(uint)),
            Value::String(text) => Some(Self::String(text)),
            _ => None,
        }
    }

    pub(super) fn to_value(&self) -> Value {
        match self {
            Self::Bool(bool) => Value::Bool(*bool),
            Self::Int(int) => Value::Int(*int),
            Self::Uint(uint) => Value::Uint(*uint),
            Self::String(text) => Value::String(Arc::clone(text)),
        }
    }

    /// The keys that a value finds.
    fn candidates(value: &Value) -> impl Iterator<Item = Self> {
        let candidates = match value {
            Value::Bool(bool) => [Some(Self::Bool(*bool)), None],
            Value::String(text) => [Some(Self::String(Arc::clone(text))), None],
            number => [
                integer(number).map(Self::Int),
                unsigned(number).map(Self::Uint),
            ],
        };
        candidates.into_iter().flatten()
    }
}

/// The integer that a number amounts to.
pub(super) fn integer(number: &Value) -> Option<i64> {
    match number {
        Value::Int(int) => Some(*int),
        Value::Uint(uint) => (*uint).try_into().ok(),
        Value::Double(double) => whole(*double)?.try_into().ok(),
        _ => None,
    }
}

fn unsigned(number: &Value) -> Option<u64> {
    match number {
        Value::Int(int) => (*int).try_into().ok(),
        Value::Uint(uint) => Some(*uint),
        Value::Double(double) => whole(*double)?.try_into().ok(),
        _ => None,
    }
}

/// `double` as an integer, if it is one. What is out of range becomes the nearest end, which no integer type here holds.
fn whole(double: f64) -> Option<i128> {
    #[expect(clippy::as_conversions, reason = "saturates")]
    (double.fract() == 0.0).then_some(double as i128)
}

//! Types of expressions, and whether one can stand for another.

use std::fmt;

use super::value::Value;

/// What is known of a value before there are claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Type {
    /// Known only once there are claims.
    Dyn,
    /// The same, but directly a claim: Kubernetes declares `claims` as a map of `google.protobuf.Any`, over which a macro
    /// cannot range.
    Any,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    String,
    /// No value has it, but Kubernetes takes it for what is not known where it is the first that fits.
    Bytes,
    List(Box<Self>),
    Map(Box<Self>, Box<Self>),
    Optional(Box<Self>),
    /// A type as a value, such as `string` or `type(x)`.
    Meta,
    /// The variable `user`.
    User,
    /// Not known yet: the elements of `[]`, and what a function's signature leaves open.
    Open(usize),
}

impl Type {
    pub(super) fn list(element: Self) -> Self {
        Self::List(Box::new(element))
    }

    pub(super) fn map(key: Self, value: Self) -> Self {
        Self::Map(Box::new(key), Box::new(value))
    }

    pub(super) fn optional(value: Self) -> Self {
        Self::Optional(Box::new(value))
    }

    pub(super) fn is_dynamic(&self) -> bool {
        matches!(self, Self::Dyn | Self::Any)
    }

    /// Whether something can be looked up by such a value.
    pub(super) fn can_be_key(&self) -> bool {
        !matches!(
            self,
            Self::Null
                | Self::Bytes
                | Self::List(_)
                | Self::Map(..)
                | Self::Optional(_)
                | Self::Meta
                | Self::User
        )
    }

    /// Whether `null` can stand where this type is declared.
    fn takes_null(&self) -> bool {
        matches!(
            self,
            Self::Null | Self::Any | Self::Optional(_) | Self::User
        )
    }

    /// Whether a function that is declared for this type takes the value; of a list, the first element stands for all
    /// (cel-go `IsAssignableRuntimeType`).
    pub(super) fn admits(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Dyn | Self::Any | Self::Open(_), _)
            | (Self::Null, Value::Null)
            | (Self::Bool, Value::Bool(_))
            | (Self::Int, Value::Int(_))
            | (Self::Uint, Value::Uint(_))
            | (Self::Double, Value::Double(_))
            | (Self::String, Value::String(_))
            | (Self::Map(..), Value::Map(_))
            | (Self::Optional(_), Value::Optional(_))
            | (Self::Meta, Value::Type(_)) => true,
            (Self::List(element), Value::List(elements)) => {
                elements.first().is_none_or(|first| element.admits(first))
            }
            _ => false,
        }
    }

    fn parts(&self) -> Vec<&Self> {
        match self {
            Self::List(part) | Self::Optional(part) => vec![part],
            Self::Map(key, value) => vec![key, value],
            _ => Vec::new(),
        }
    }

    fn map_parts(&self, f: &mut impl FnMut(&Self) -> Self) -> Self {
        match self {
            Self::List(element) => Self::list(f(element)),
            Self::Optional(value) => Self::optional(f(value)),
            Self::Map(key, value) => Self::map(f(key), f(value)),
            other => other.clone(),
        }
    }

    /// Whether this says as much as `other` or less.
    fn is_as_general_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Dyn | Self::Any | Self::Open(_), _) => true,
            (_, Self::Dyn | Self::Any | Self::Open(_)) => false,
            _ => {
                std::mem::discriminant(self) == std::mem::discriminant(other)
                    && self
                        .parts()
                        .iter()
                        .zip(other.parts())
                        .all(|(one, other)| one.is_as_general_as(other))
            }
        }
    }

    pub(super) fn most_general(one: &Self, other: &Self) -> Self {
        match one.is_as_general_as(other) {
            true => one.clone(),
            false => other.clone(),
        }
    }
}

/// As Kubernetes prints it in messages.
impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dyn | Self::Open(_) => f.write_str("dyn"),
            Self::Any => f.write_str("any"),
            Self::Null => f.write_str("null"),
            Self::Bool => f.write_str("bool"),
            Self::Int => f.write_str("int"),
            Self::Uint => f.write_str("uint"),
            Self::Double => f.write_str("double"),
            Self::String => f.write_str("string"),
            Self::Bytes => f.write_str("bytes"),
            Self::List(element) => write!(f, "list({element})"),
            Self::Map(key, value) => write!(f, "map({key}, {value})"),
            Self::Optional(value) => write!(f, "optional_type({value})"),
            Self::Meta => f.write_str("type"),
            Self::User => f.write_str("kubernetes.UserInfo"),
        }
    }
}

/// What open types have turned out to be, by number.
///
/// The rules are cel-go's (`checker/types.go`), down to which of two types is kept.
#[derive(Debug, Default)]
pub(super) struct Unifier {
    known: Vec<Option<Type>>,
    /// Open types of the last trial, and what was known of them before it.
    replaced: Vec<(usize, Option<Type>)>,
}

impl Unifier {
    pub(super) fn open(&mut self) -> Type {
        self.known.push(None);
        Type::Open(self.known.len() - 1)
    }

    /// Whether the types agree, one by one; nothing is learnt from types that do not.
    pub(super) fn agree_all(&mut self, given: &[Type], wanted: &[Type]) -> bool {
        self.replaced.clear();
        let agree = given.len() == wanted.len()
            && given
                .iter()
                .zip(wanted)
                .all(|(given, wanted)| self.agree_inner(given, wanted));
        if !agree {
            while let Some((number, before)) = self.replaced.pop() {
                if let Some(known) = self.known.get_mut(number) {
                    *known = before;
                }
            }
        }
        agree
    }

    pub(super) fn agree(&mut self, given: &Type, wanted: &Type) -> bool {
        self.agree_all(std::slice::from_ref(given), std::slice::from_ref(wanted))
    }

    /// `type_` with everything that is known by now put in.
    pub(super) fn resolve(&self, type_: &Type) -> Type {
        match type_ {
            Type::Open(number) => match self.known(*number) {
                Some(known) => self.resolve(known),
                None => type_.clone(),
            },
            _ => type_.map_parts(&mut |part| self.resolve(part)),
        }
    }

    fn known(&self, number: usize) -> Option<&Type> {
        self.known.get(number).and_then(Option::as_ref)
    }

    fn agree_inner(&mut self, given: &Type, wanted: &Type) -> bool {
        if let Type::Open(number) = wanted {
            match self.stands_for(*number, given) {
                Fit::Yes => return true,
                Fit::Otherwise => return false,
                Fit::Circular => {}
            }
        }
        if let Type::Open(number) = given {
            return matches!(self.stands_for(*number, wanted), Fit::Yes);
        }
        if given.is_dynamic() || wanted.is_dynamic() {
            return true;
        }
        match (given, wanted) {
            (Type::Null, other) | (other, Type::Null) => other.takes_null(),
            _ => {
                std::mem::discriminant(given) == std::mem::discriminant(wanted)
                    && given
                        .parts()
                        .into_iter()
                        .zip(wanted.parts())
                        .all(|(given, wanted)| self.agree_inner(given, wanted))
            }
        }
    }

    /// Whether the open type of this number can be `type_`, and learns that it is.
    fn stands_for(&mut self, number: usize, type_: &Type) -> Fit {
        let open = Type::Open(number);
        if open == *type_ {
            return Fit::Yes;
        }
        match self.known(number).cloned() {
            Some(known) if known == *type_ => Fit::Yes,
            Some(known) if self.agree_inner(type_, &known) => {
                let general = Type::most_general(type_, &known);
                if !self.occurs(number, &general) {
                    self.learn(number, general);
                }
                Fit::Yes
            }
            Some(_) => Fit::Otherwise,
            None if self.occurs(number, type_) => Fit::Circular,
            None => {
                self.learn(number, type_.clone());
                Fit::Yes
            }
        }
    }

    fn learn(&mut self, number: usize, type_: Type) {
        if let Some(known) = self.known.get_mut(number) {
            self.replaced.push((number, known.replace(type_)));
        }
    }

    fn occurs(&self, number: usize, within: &Type) -> bool {
        match within {
            Type::Open(other) if *other == number => true,
            Type::Open(other) => self
                .known(*other)
                .is_some_and(|known| self.occurs(number, known)),
            _ => within
                .parts()
                .into_iter()
                .any(|part| self.occurs(number, part)),
        }
    }
}

enum Fit {
    Yes,
    /// It is known to be something else.
    Otherwise,
    /// It is part of itself.
    Circular,
}

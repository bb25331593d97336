//! An expression that has been checked: names are places, functions are code.

use regex::Regex;

use super::functions::Implementation;
use super::types::Type;
use super::value::Value;

#[derive(Debug)]
pub(super) enum Node {
    Constant(Value),
    /// What stands at this place: 0 is `claims` or `user`, the others are variables of macros, outermost first.
    Variable(usize),
    /// `a.b`, `a[b]` and their optional and testing forms.
    Access {
        operand: Box<Self>,
        key: Box<Self>,
        mode: Access,
        /// Whether this is a path from `claims` or `user`, in which `__dot__` and the like stand for characters.
        unescapes: bool,
    },
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
    Conditional(Box<[Self; 3]>),
    List(Vec<Element>),
    Map(Vec<(Self, Element)>),
    Call {
        implementation: Implementation,
        /// Types of the one signature that the checker has chosen, if values of others are then an error.
        chosen: Option<Vec<Type>>,
        arguments: Vec<Self>,
    },
    /// `matches`, `find` and `findAll`, whose pattern is known.
    Match {
        subject: Box<Self>,
        pattern: Box<Regex>,
        /// Steps that each 16 bytes of the subject cost.
        weight: u64,
        mode: Match,
    },
    Fold(Box<Fold>),
    /// `or` and `orValue`: the second is looked at only when the first has no value.
    OrElse {
        optional: Box<Self>,
        otherwise: Box<Self>,
        /// Whether the value is taken out.
        unwrap: bool,
    },
    /// `optMap` and `optFlatMap`.
    MapOptional {
        optional: Box<Self>,
        body: Box<Self>,
        /// Whether the body gives an optional itself.
        flat: bool,
    },
}

impl Node {
    /// Whether it is `claims` or `user`, or taken out of it by names and indices alone. In Kubernetes, what macros and
    /// functions take out of a claim is another kind of value.
    pub(super) fn is_path(&self) -> bool {
        match self {
            Self::Variable(place) => *place == 0,
            Self::Access { unescapes, .. } => *unescapes,
            _ => false,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// What is absent is an error.
    Value,
    /// What is absent is `optional.none()`.
    Optional,
    /// Only whether it is there.
    Presence,
}

#[derive(Debug)]
pub(super) enum Match {
    Whether,
    First,
    /// With the most matches that are wanted.
    All(Option<Box<Node>>),
}

/// An element of a list or a value of a map; an optional one without a value is left out.
#[derive(Debug)]
pub(super) struct Element {
    pub(super) node: Node,
    pub(super) is_optional: bool,
}

impl Element {
    pub(super) fn is_constant(&self) -> bool {
        !self.is_optional && matches!(self.node, Node::Constant(_))
    }
}

/// A macro over the elements of a list or the keys of a map.
#[derive(Debug)]
pub(super) struct Fold {
    pub(super) kind: FoldKind,
    pub(super) range: Node,
    /// Whether there is a variable for the index or key before the one for the element or value.
    pub(super) two_variables: bool,
    /// What must hold; `None` only where everything is taken.
    pub(super) condition: Option<Node>,
    /// What becomes of an element that is taken; itself where `None`.
    pub(super) transform: Option<Node>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FoldKind {
    All,
    Exists,
    ExistsOne,
    /// `map`, `filter` and `transformList`.
    Collect,
}

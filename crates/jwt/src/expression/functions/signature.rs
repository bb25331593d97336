//! Signatures, written as they are in documentation: `string.(string, int) -> list(string)`.

use super::super::types::{Type, Unifier};

/// What a function takes and gives. Open types are numbered within the signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Signature {
    /// Whether the first parameter stands before the function's name.
    pub(in super::super) has_receiver: bool,
    pub(in super::super) parameters: Vec<Type>,
    pub(in super::super) result: Type,
}

impl Signature {
    pub(in super::super) fn parse(text: &str) -> Option<Self> {
        let mut rest = text;
        let receiver = match rest.starts_with('(') {
            true => None,
            false => Some(read(&mut rest)?),
        };
        if receiver.is_some() {
            rest = rest.strip_prefix('.')?;
        }
        let has_receiver = receiver.is_some();
        let mut parameters = Vec::from_iter(receiver);
        rest = rest.strip_prefix('(')?;
        while !rest.starts_with(')') {
            parameters.push(read(&mut rest)?);
            rest = rest.strip_prefix(", ").unwrap_or(rest);
        }
        rest = rest.strip_prefix(") -> ")?;
        let result = read(&mut rest)?;
        rest.is_empty().then_some(Self {
            has_receiver,
            parameters,
            result,
        })
    }

    /// The signature for one call, its open types new ones of `unifier`.
    pub(in super::super) fn instantiate(&self, unifier: &mut Unifier) -> Self {
        let open = [unifier.open(), unifier.open()];
        Self {
            has_receiver: self.has_receiver,
            parameters: self.parameters.iter().map(|p| put(p, &open)).collect(),
            result: put(&self.result, &open),
        }
    }
}

fn put(type_: &Type, open: &[Type]) -> Type {
    match type_ {
        Type::Open(number) => open.get(*number).cloned().unwrap_or(Type::Dyn),
        Type::List(element) => Type::list(put(element, open)),
        Type::Optional(value) => Type::optional(put(value, open)),
        Type::Map(key, value) => Type::map(put(key, open), put(value, open)),
        other => other.clone(),
    }
}

/// Takes one type off the front of `text`.
fn read(text: &mut &str) -> Option<Type> {
    let end = text
        .find(|c: char| !c.is_ascii_alphabetic())
        .unwrap_or(text.len());
    let (name, rest) = text.split_at_checked(end)?;
    *text = rest;
    let mut part = |before: &str| {
        *text = text.strip_prefix(before)?;
        read(text)
    };
    let type_ = match name {
        "list" => Type::list(part("(")?),
        "optional" => Type::optional(part("(")?),
        "map" => {
            let key = part("(")?;
            Type::map(key, part(", ")?)
        }
        scalar => return scalar_type(scalar),
    };
    *text = text.strip_prefix(')')?;
    Some(type_)
}

fn scalar_type(name: &str) -> Option<Type> {
    Some(match name {
        "A" => Type::Open(0),
        "B" => Type::Open(1),
        "dyn" => Type::Dyn,
        "bool" => Type::Bool,
        "int" => Type::Int,
        "uint" => Type::Uint,
        "double" => Type::Double,
        "string" => Type::String,
        "bytes" => Type::Bytes,
        "type" => Type::Meta,
        _ => return None,
    })
}

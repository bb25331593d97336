//! Checks an expression as Kubernetes does when it compiles one (cel-go's `checker`), and turns it into a [`Node`].

mod call;
mod macros;
mod pattern;

use cel::common::ast::{EntryExpr, Expr, IdedExpr, ListExpr, LiteralValue, MapExpr, SelectExpr};

use super::Variable;
use super::budget::{Budget, CompileBudget};
use super::escape::is_escaped;
use super::evaluate::evaluate;
use super::node::{Access, Element, Node};
use super::source::{CompileError, Source};
use super::types::{Type, Unifier};
use super::value::Value;

/// How deeply an expression may nest; `a + b + c` nests too. Checking and evaluation call themselves for each level.
const MAX_DEPTH: usize = 64;

/// Types that an expression can name.
const TYPES: [&str; 9] = [
    "bool",
    "double",
    "int",
    "list",
    "map",
    "null_type",
    "string",
    "type",
    "uint",
];

/// Checks `source`, in which `variable` is declared.
pub(super) fn check(
    source: &Source,
    variable: Variable,
    budget: &mut CompileBudget,
) -> Result<(Node, Type), CompileError> {
    let mut checker = Checker {
        source,
        budget,
        unifier: Unifier::default(),
        scopes: vec![(variable.name(), variable.type_())],
        literals: Vec::new(),
        depth: 0,
    };
    let (node, type_) = checker.expression(source.root())?;
    checker.literals_are_uniform()?;
    Ok((node, settle(&checker.unifier.resolve(&type_))))
}

struct Checker<'s> {
    source: &'s Source,
    budget: &'s mut CompileBudget,
    unifier: Unifier,
    /// Variables by their places, outermost first.
    scopes: Vec<(&'s str, Type)>,
    /// Types of the elements, keys or values of each literal, which are compared once all are known.
    literals: Vec<Vec<(&'s IdedExpr, Type)>>,
    depth: usize,
}

impl<'s> Checker<'s> {
    fn expression(&mut self, expression: &'s IdedExpr) -> Result<(Node, Type), CompileError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            let message =
                format!("nested in more than {MAX_DEPTH} levels; Haulout does not support that");
            return Err(self.source.issue(expression, message));
        }
        let checked = match &expression.expr {
            Expr::Literal(literal) => self.literal(expression, literal),
            Expr::Ident(name) => self.ident(expression, name),
            Expr::Select(select) => self.select(expression, select, Access::Value),
            Expr::Call(call) => self.call(expression, call),
            Expr::List(list) => self.list(list),
            Expr::Map(map) => self.map(map),
            Expr::Struct(object) => {
                Err(self.unsupported(expression, &format!("'{}{{}}'", object.type_name)))
            }
            Expr::Comprehension(_) | Expr::Unspecified => {
                Err(self.source.issue(expression, "unexpected expression"))
            }
        }?;
        self.depth -= 1;
        Ok(checked)
    }

    fn unsupported(&self, expression: &IdedExpr, what: &str) -> CompileError {
        let message = format!("{what} is not supported by Haulout");
        self.source.issue(expression, message)
    }

    fn undeclared(&self, expression: &IdedExpr, name: &str) -> CompileError {
        let message = format!("undeclared reference to '{name}' (in container '')");
        self.source.issue(expression, message)
    }

    fn mismatch(&self, expression: &IdedExpr, expected: &Type, found: &Type) -> CompileError {
        let (expected, found) = (self.unifier.resolve(expected), self.unifier.resolve(found));
        let message = format!("expected type '{expected}' but found '{found}'");
        self.source.issue(expression, message)
    }

    fn literal(
        &self,
        expression: &IdedExpr,
        literal: &LiteralValue,
    ) -> Result<(Node, Type), CompileError> {
        let (value, type_) = match literal {
            LiteralValue::Boolean(bool) => (Value::Bool(*bool.inner()), Type::Bool),
            LiteralValue::Double(double) => (Value::Double(*double.inner()), Type::Double),
            LiteralValue::Int(int) => (Value::Int(*int.inner()), Type::Int),
            LiteralValue::Null => (Value::Null, Type::Null),
            LiteralValue::String(text) => (Value::text(text.inner()), Type::String),
            LiteralValue::UInt(uint) => (Value::Uint(*uint.inner()), Type::Uint),
            LiteralValue::Bytes(_) => return Err(self.unsupported(expression, "the type bytes")),
        };
        Ok((Node::Constant(value), type_))
    }

    fn ident(&self, expression: &IdedExpr, name: &str) -> Result<(Node, Type), CompileError> {
        match self.variable(name) {
            Some((0, _)) => {
                // In Kubernetes it is a value of a kind of its own, which most functions fail for.
                let what = format!("'{name}' as a whole");
                Err(self.unsupported(expression, &what))
            }
            Some((place, type_)) => Ok((Node::Variable(place), type_)),
            None => TYPES
                .into_iter()
                .find(|type_| *type_ == name)
                .map(|type_| (Node::Constant(Value::Type(type_)), Type::Meta))
                .ok_or_else(|| self.undeclared(expression, name)),
        }
    }

    fn variable(&self, name: &str) -> Option<(usize, Type)> {
        let name = name.strip_prefix('.').unwrap_or(name);
        let place = self.scopes.iter().rposition(|(scope, _)| *scope == name)?;
        let (_, type_) = self.scopes.get(place)?;
        Some((place, type_.clone()))
    }

    /// What something is taken out of, which alone may be a whole variable.
    fn operand(&mut self, expression: &'s IdedExpr) -> Result<(Node, Type), CompileError> {
        if let Expr::Ident(name) = &expression.expr
            && let Some((place, type_)) = self.variable(name)
        {
            return Ok((Node::Variable(place), type_));
        }
        self.expression(expression)
    }

    fn select(
        &mut self,
        expression: &'s IdedExpr,
        select: &'s SelectExpr,
        mode: Access,
    ) -> Result<(Node, Type), CompileError> {
        let operand = self.operand(&select.operand)?;
        self.field(expression, operand, &select.field, mode)
    }

    fn field(
        &mut self,
        expression: &IdedExpr,
        (operand, type_): (Node, Type),
        field: &str,
        mode: Access,
    ) -> Result<(Node, Type), CompileError> {
        let (target, is_optional) = match self.unifier.resolve(&type_) {
            Type::Optional(value) => (*value, true),
            other => (other, false),
        };
        let key = Node::Constant(Value::text(field));
        let node = self.access(expression, (operand, &target), key, mode)?;
        let type_ = match target {
            Type::Map(_, value) => *value,
            Type::User => match field {
                "username" | "uid" => Type::String,
                "groups" => Type::list(Type::String),
                "extra" => Type::map(Type::String, Type::list(Type::String)),
                _ => {
                    let message = format!("undefined field '{field}'");
                    return Err(self.source.issue(expression, message));
                }
            },
            Type::Dyn | Type::Any => Type::Dyn,
            Type::Open(_) => {
                self.unifier.agree(&Type::Dyn, &target);
                Type::Dyn
            }
            other => {
                let message = format!("type '{other}' does not support field selection");
                return Err(self.source.issue(expression, message));
            }
        };
        let type_ = match mode {
            Access::Presence => Type::Bool,
            Access::Value if !is_optional => self.unifier.resolve(&type_),
            Access::Value | Access::Optional => Type::optional(self.unifier.resolve(&type_)),
        };
        Ok((node, type_))
    }

    /// The node that takes `key` out of `operand`.
    pub(super) fn access(
        &self,
        expression: &IdedExpr,
        (operand, type_): (Node, &Type),
        key: Node,
        mode: Access,
    ) -> Result<Node, CompileError> {
        let unescapes = operand.is_path();
        match &key {
            Node::Constant(Value::String(name))
                if !unescapes && !matches!(type_, Type::Map(..)) && is_escaped(name) =>
            {
                let what = format!(
                    "the escaped name '{name}' outside of a path from 'claims' (write the name itself in brackets)"
                );
                Err(self.unsupported(expression, &what))
            }
            _ => Ok(Node::Access {
                operand: Box::new(operand),
                key: Box::new(key),
                mode,
                unescapes,
            }),
        }
    }

    fn list(&mut self, list: &'s ListExpr) -> Result<(Node, Type), CompileError> {
        let mut common = None;
        let mut types = Vec::new();
        let mut elements = Vec::new();
        for (index, expression) in list.elements.iter().enumerate() {
            let is_optional = list.optional_indices.contains(&index);
            let (element, type_) = self.element(expression, is_optional)?;
            common = Some(self.join(expression, common, &type_)?);
            types.push((expression, type_));
            elements.push(element);
        }
        self.literals.push(types);
        let element = common.unwrap_or_else(|| self.unifier.open());
        let node = match elements.iter().all(Element::is_constant) {
            true => constant(Node::List(elements)),
            false => Node::List(elements),
        };
        Ok((node, Type::list(element)))
    }

    fn map(&mut self, map: &'s MapExpr) -> Result<(Node, Type), CompileError> {
        let (mut common_key, mut common_value) = (None, None);
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        let mut entries = Vec::new();
        for entry in &map.entries {
            let EntryExpr::MapEntry(entry) = &entry.expr else {
                return Err(self.unsupported(self.source.root(), "a field of a message"));
            };
            let (key, key_type) = self.expression(&entry.key)?;
            let key_type = self.unifier.resolve(&key_type);
            if !matches!(key_type, Type::Bool | Type::Int | Type::Uint | Type::String) {
                // Kubernetes takes all values for keys, which nobody relies on, and fails for few.
                let what = format!("a key of type '{key_type}'");
                return Err(self.unsupported(&entry.key, &what));
            }
            common_key = Some(self.join(&entry.key, common_key, &key_type)?);
            keys.push((&entry.key, key_type));
            let (value, value_type) = self.element(&entry.value, entry.optional)?;
            common_value = Some(self.join(&entry.value, common_value, &value_type)?);
            values.push((&entry.value, value_type));
            entries.push((key, value));
        }
        self.literals.extend([keys, values]);
        let key = common_key.unwrap_or_else(|| self.unifier.open());
        let value = common_value.unwrap_or_else(|| self.unifier.open());
        let node = match entries
            .iter()
            .all(|(key, value)| matches!(key, Node::Constant(_)) && value.is_constant())
        {
            true => constant(Node::Map(entries)),
            false => Node::Map(entries),
        };
        Ok((node, Type::map(key, value)))
    }

    fn element(
        &mut self,
        expression: &'s IdedExpr,
        is_optional: bool,
    ) -> Result<(Element, Type), CompileError> {
        let (node, type_) = self.expression(expression)?;
        let type_ = match (is_optional, self.unifier.resolve(&type_)) {
            (true, Type::Optional(value)) => *value,
            // Kubernetes' own checker panics.
            (true, Type::Dyn | Type::Any | Type::Open(_)) => {
                let what = "an optional element that is not known to be optional";
                return Err(self.unsupported(expression, what));
            }
            (true, other) => {
                return Err(self.mismatch(expression, &Type::optional(other.clone()), &other));
            }
            (false, other) => other,
        };
        Ok((Element { node, is_optional }, type_))
    }

    /// The common type of the elements so far and one more.
    fn join(
        &mut self,
        expression: &IdedExpr,
        common: Option<Type>,
        next: &Type,
    ) -> Result<Type, CompileError> {
        match common {
            None => Ok(next.clone()),
            Some(common) if self.unifier.agree(&common, next) => {
                Ok(Type::most_general(&common, next))
            }
            Some(common) => Err(self.mismatch(expression, &common, next)),
        }
    }

    /// Kubernetes takes no literals of mixed types, not even where one element's type is not known.
    fn literals_are_uniform(&self) -> Result<(), CompileError> {
        for literal in &self.literals {
            let mut types = literal
                .iter()
                .map(|(expression, type_)| (expression, settle(&self.unifier.resolve(type_))));
            let Some((_, first)) = types.next() else {
                continue;
            };
            if let Some((expression, other)) = types.find(|(_, other)| *other != first) {
                return Err(self.mismatch(expression, &first, &other));
            }
        }
        Ok(())
    }
}

/// Kubernetes makes literals of constants when it compiles, too.
fn constant(literal: Node) -> Node {
    match evaluate(&literal, Value::Null, &mut Budget::full()) {
        Ok(value) => Node::Constant(value),
        Err(_) => literal,
    }
}

/// What is still open can be anything.
fn settle(type_: &Type) -> Type {
    match type_ {
        Type::Open(_) => Type::Dyn,
        Type::List(element) => Type::list(settle(element)),
        Type::Optional(value) => Type::optional(settle(value)),
        Type::Map(key, value) => Type::map(settle(key), settle(value)),
        other => other.clone(),
    }
}

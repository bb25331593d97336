//! Calls of operators and functions.

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, operators};

use super::Checker;
use crate::expression::budget::Budget;
use crate::expression::functions::{self, Emptiness, Function, Signature, special};
use crate::expression::node::{Access, Node};
use crate::expression::source::CompileError;
use crate::expression::types::Type;
use crate::expression::value::Value;

impl<'s> Checker<'s> {
    pub(super) fn call(
        &mut self,
        expression: &'s IdedExpr,
        call: &'s CallExpr,
    ) -> Result<(Node, Type), CompileError> {
        if let Some(checked) = self.macro_call(expression, call) {
            return checked;
        }
        let name = call.func_name.as_str();
        match (&call.target, call.args.as_slice()) {
            (None, [one, other])
                if name == operators::LOGICAL_AND || name == operators::LOGICAL_OR =>
            {
                let one = Box::new(self.condition(one)?);
                let other = Box::new(self.condition(other)?);
                let node = match name {
                    operators::LOGICAL_AND => Node::And(one, other),
                    _ => Node::Or(one, other),
                };
                Ok((node, Type::Bool))
            }
            (None, [operand, field]) if name == operators::OPT_SELECT => {
                let Expr::Literal(LiteralValue::String(field)) = &field.expr else {
                    let message = "unsupported optional field selection";
                    return Err(self.source.issue(field, message));
                };
                let operand = self.operand(operand)?;
                self.field(expression, operand, field.inner(), Access::Optional)
            }
            (None, [operand, key]) if name == operators::INDEX => {
                self.index(expression, operand, key, Access::Value)
            }
            (None, [operand, key]) if name == operators::OPT_INDEX => {
                self.index(expression, operand, key, Access::Optional)
            }
            (None, arguments) => {
                let name = name.strip_prefix('.').unwrap_or(name);
                self.function(expression, name, None, arguments)
            }
            (Some(target), arguments) => {
                let qualified = qualified_name(target).map(|prefix| format!("{prefix}.{name}"));
                match qualified {
                    Some(name) if is_known(&name) => {
                        self.function(expression, &name, None, arguments)
                    }
                    _ => self.function(expression, name, Some(target), arguments),
                }
            }
        }
    }

    /// An expression that must be true or false.
    pub(super) fn condition(&mut self, expression: &'s IdedExpr) -> Result<Node, CompileError> {
        let (node, type_) = self.expression(expression)?;
        match self.unifier.agree(&type_, &Type::Bool) {
            true => Ok(node),
            false => Err(self.mismatch(expression, &Type::Bool, &type_)),
        }
    }

    fn index(
        &mut self,
        expression: &'s IdedExpr,
        operand: &'s IdedExpr,
        key: &'s IdedExpr,
        mode: Access,
    ) -> Result<(Node, Type), CompileError> {
        let (operand, operand_type) = self.operand(operand)?;
        let (key, key_type) = self.expression(key)?;
        let (name, signatures) = match mode {
            Access::Optional => (operators::OPT_INDEX, special::OPTIONAL_INDEX),
            Access::Value | Access::Presence => (operators::INDEX, special::INDEX),
        };
        let types = [operand_type, key_type];
        let type_ = self.resolve_texts(expression, name, signatures, false, &types)?;
        let [operand_type, key_type] = types.map(|type_| self.unifier.resolve(&type_));
        if !key_type.can_be_key() {
            let message = format!("invalid qualifier type: {key_type}");
            return Err(self.source.issue(expression, message));
        }
        let node = self.access(expression, (operand, &operand_type), key, mode)?;
        Ok((node, type_))
    }

    fn function(
        &mut self,
        expression: &'s IdedExpr,
        name: &str,
        target: Option<&'s IdedExpr>,
        arguments: &'s [IdedExpr],
    ) -> Result<(Node, Type), CompileError> {
        if !is_known(name) {
            // What it is called on may be undeclared too, and stands before it.
            if let Some(target) = target {
                self.operand(target)?;
            }
            return Err(self.undeclared(expression, name));
        }
        if functions::UNSUPPORTED.contains(&name) {
            return Err(self.unsupported(expression, &format!("the function '{name}'")));
        }
        let (mut nodes, mut types) = (Vec::new(), Vec::new());
        for argument in target.into_iter().chain(arguments) {
            let (node, type_) = self.expression(argument)?;
            nodes.push(node);
            types.push(type_);
        }
        self.elements_are_known(expression, name, &nodes, &types)?;
        let has_receiver = target.is_some();
        if let Some(signatures) = special::signatures(name) {
            let type_ = self.resolve_texts(expression, name, signatures, has_receiver, &types)?;
            let pattern = arguments.get(usize::from(!has_receiver));
            let node = self.special(expression, name, pattern, nodes)?;
            return Ok((node, type_));
        }
        let Some(function) = functions::function(name) else {
            return Err(self.undeclared(expression, name));
        };
        let signatures = function.signatures.iter().cloned();
        let (type_, chosen) = self.resolve(expression, name, signatures, has_receiver, &types)?;
        if let Some(constant) = self.converted(expression, name, function, &nodes)? {
            return Ok((constant, type_));
        }
        let implementation = match (name, nodes.as_slice(), types.as_slice()) {
            ("optional.ofNonZeroValue", [node], [type_]) => {
                functions::of_non_zero_value(self.emptiness(node, type_))
            }
            _ => function.implementation,
        };
        let node = Node::Call {
            implementation,
            chosen: chosen.filter(|_| !functions::takes_any_values(name)),
            arguments: nodes,
        };
        Ok((node, type_))
    }

    /// What an empty list or map is, as the argument of `optional.ofNonZeroValue`.
    fn emptiness(&self, node: &Node, type_: &Type) -> Emptiness {
        match node {
            path if path.is_path() => Emptiness::Something,
            Node::Constant(_)
            | Node::List(_)
            | Node::Map(_)
            | Node::Fold(_)
            | Node::Match { .. } => Emptiness::Nothing,
            _ => match self.unifier.resolve(type_) {
                Type::Bool | Type::Int | Type::Uint | Type::Double | Type::String => {
                    Emptiness::Nothing
                }
                _ => Emptiness::Unknown,
            },
        }
    }

    /// For a list of which nothing is known, Kubernetes picks the function that takes whole numbers, and fails at the login.
    fn elements_are_known(
        &self,
        expression: &IdedExpr,
        name: &str,
        nodes: &[Node],
        types: &[Type],
    ) -> Result<(), CompileError> {
        let ([node], [type_]) = (nodes, types) else {
            return Ok(());
        };
        let is_empty = matches!(node, Node::Constant(Value::List(elements)) if elements.is_empty());
        let is_known = !matches!(
            self.unifier.resolve(type_),
            Type::List(element) if matches!(*element, Type::Open(_))
        );
        match matches!(name, "isSorted" | "max" | "min" | "sort" | "sum") {
            true if !is_known && !is_empty => {
                let what =
                    format!("'{name}' of a list of unknown elements (write dyn(...) around it)");
                Err(self.unsupported(expression, &what))
            }
            _ => Ok(()),
        }
    }

    /// Kubernetes converts literals when it compiles, and refuses those that cannot be converted.
    fn converted(
        &self,
        expression: &IdedExpr,
        name: &str,
        function: &Function,
        nodes: &[Node],
    ) -> Result<Option<Node>, CompileError> {
        match nodes {
            [Node::Constant(value)] if functions::is_conversion(name) => {
                (function.implementation)(std::slice::from_ref(value), &mut Budget::full())
                    .map(|value| Some(Node::Constant(value)))
                    .map_err(|error| {
                        let message = format!("program instantiation failed: {error}");
                        self.source.issue(expression, message)
                    })
            }
            _ => Ok(None),
        }
    }

    /// A call that is a node of its own. `pattern` is where its pattern stands, if it has one.
    fn special(
        &mut self,
        expression: &IdedExpr,
        name: &str,
        pattern: Option<&IdedExpr>,
        nodes: Vec<Node>,
    ) -> Result<Node, CompileError> {
        let mut nodes = nodes.into_iter();
        match (name, nodes.next(), nodes.next(), nodes.next()) {
            (operators::CONDITIONAL, Some(condition), Some(yes), Some(no)) => {
                Ok(Node::Conditional(Box::new([condition, yes, no])))
            }
            ("or" | "orValue", Some(optional), Some(otherwise), None) => Ok(Node::OrElse {
                optional: Box::new(optional),
                otherwise: Box::new(otherwise),
                unwrap: name == "orValue",
            }),
            (_, Some(subject), Some(text), most) => {
                self.pattern(pattern.unwrap_or(expression), name, subject, &text, most)
            }
            _ => Err(self.undeclared(expression, name)),
        }
    }

    pub(super) fn resolve_texts(
        &mut self,
        expression: &IdedExpr,
        name: &str,
        signatures: &[&str],
        has_receiver: bool,
        types: &[Type],
    ) -> Result<Type, CompileError> {
        let signatures = signatures.iter().filter_map(|text| Signature::parse(text));
        self.resolve(expression, name, signatures, has_receiver, types)
            .map(|(type_, _)| type_)
    }

    /// What a call gives: of all signatures that may fit, what they give in common. If only one fits, also what it takes.
    fn resolve(
        &mut self,
        expression: &IdedExpr,
        name: &str,
        signatures: impl Iterator<Item = Signature>,
        has_receiver: bool,
        types: &[Type],
    ) -> Result<(Type, Option<Vec<Type>>), CompileError> {
        let mut result = None;
        for declared in signatures.filter(|signature| signature.has_receiver == has_receiver) {
            let signature = declared.instantiate(&mut self.unifier);
            if !self.unifier.agree_all(types, &signature.parameters) {
                continue;
            }
            let type_ = self.unifier.resolve(&signature.result);
            result = match result {
                None => Some((type_, Some(declared.parameters))),
                Some((earlier, _)) if earlier == type_ || earlier.is_dynamic() => {
                    Some((earlier, None))
                }
                Some(_) => Some((Type::Dyn, None)),
            };
        }
        result.ok_or_else(|| {
            let shown = |type_: &Type| self.unifier.resolve(type_).to_string();
            let list = |types: &[Type]| types.iter().map(shown).collect::<Vec<_>>().join(", ");
            let call = match (types, has_receiver) {
                ([receiver, rest @ ..], true) => format!("{}.({})", shown(receiver), list(rest)),
                _ => format!("({})", list(types)),
            };
            let message = format!("found no matching overload for '{name}' applied to '{call}'");
            self.source.issue(expression, message)
        })
    }
}

fn is_known(name: &str) -> bool {
    functions::function(name).is_some()
        || special::signatures(name).is_some()
        || functions::UNSUPPORTED.contains(&name)
}

/// `a.b.c` as a text, if the expression is nothing else.
fn qualified_name(expression: &IdedExpr) -> Option<String> {
    match &expression.expr {
        Expr::Ident(name) => Some(name.clone()),
        Expr::Select(select) if !select.test => {
            let prefix = qualified_name(&select.operand)?;
            Some(format!("{prefix}.{}", select.field))
        }
        _ => None,
    }
}

//! Macros: `has`, those that range over a list or a map, and those of optional values.

use cel::common::ast::{CallExpr, Expr, IdedExpr};

use super::Checker;
use crate::expression::functions::special;
use crate::expression::node::{Access, Fold, FoldKind, Node};
use crate::expression::source::CompileError;
use crate::expression::types::Type;

/// A macro over a list or map, as it is written.
struct Macro<'s> {
    kind: FoldKind,
    range: &'s IdedExpr,
    /// One for the element or key, or two for index and element, or key and value.
    variables: &'s [IdedExpr],
    condition: Option<&'s IdedExpr>,
    transform: Option<&'s IdedExpr>,
}

impl<'s> Macro<'s> {
    fn of(call: &'s CallExpr) -> Option<Self> {
        use FoldKind::{All, Collect, Exists, ExistsOne};
        let range = call.target.as_ref()?;
        let arguments = call.args.as_slice();
        let name = call.func_name.as_str();
        let (kind, count) = match (name, arguments.len()) {
            ("all", 2 | 3) => (All, arguments.len() - 1),
            ("exists", 2 | 3) => (Exists, arguments.len() - 1),
            ("exists_one", 2 | 3) | ("existsOne", 3) => (ExistsOne, arguments.len() - 1),
            ("filter", 2) | ("map", 2 | 3) => (Collect, 1),
            ("transformList", 3 | 4) => (Collect, 2),
            _ => return None,
        };
        let (variables, rest) = arguments.split_at_checked(count)?;
        let (condition, transform) = match (name, rest) {
            ("map" | "transformList", [transform]) => (None, Some(transform)),
            (_, [condition]) => (Some(condition), None),
            (_, [condition, transform]) => (Some(condition), Some(transform)),
            _ => return None,
        };
        Some(Self {
            kind,
            range,
            variables,
            condition,
            transform,
        })
    }
}

impl<'s> Checker<'s> {
    /// Checks `call` if it is one of a macro.
    pub(super) fn macro_call(
        &mut self,
        expression: &'s IdedExpr,
        call: &'s CallExpr,
    ) -> Option<Result<(Node, Type), CompileError>> {
        match (call.func_name.as_str(), &call.target, call.args.as_slice()) {
            ("has", None, [argument]) => Some(self.has(argument)),
            ("optMap", Some(target), [variable, body]) => {
                Some(self.map_optional(expression, target, variable, body, false))
            }
            ("optFlatMap", Some(target), [variable, body]) => {
                Some(self.map_optional(expression, target, variable, body, true))
            }
            _ => Macro::of(call).map(|fold| self.fold(&fold)),
        }
    }

    fn has(&mut self, argument: &'s IdedExpr) -> Result<(Node, Type), CompileError> {
        match &argument.expr {
            Expr::Select(select) => self.select(argument, select, Access::Presence),
            _ => Err(self
                .source
                .issue(argument, "invalid argument to has() macro")),
        }
    }

    fn name_of(&self, variable: &'s IdedExpr) -> Result<&'s str, CompileError> {
        match &variable.expr {
            Expr::Ident(name) if !name.starts_with('.') => Ok(name),
            _ => Err(self.source.issue(variable, "argument is not an identifier")),
        }
    }

    fn fold(&mut self, fold: &Macro<'s>) -> Result<(Node, Type), CompileError> {
        let names = fold.variables.iter().map(|variable| self.name_of(variable));
        let names = names.collect::<Result<Vec<_>, _>>()?;
        let (range, range_type) = self.expression(fold.range)?;
        let [single, first, second] = self.element_types(fold.range, &range_type)?;
        let two_variables = names.len() == 2;
        let element = if two_variables { &second } else { &single }.clone();
        let types = if two_variables {
            vec![first, second]
        } else {
            vec![single]
        };
        let outer = self.scopes.len();
        self.scopes.extend(names.into_iter().zip(types));
        let condition = fold.condition.map(|condition| self.condition(condition));
        let condition = condition.transpose()?;
        let transform = fold.transform.map(|transform| self.expression(transform));
        let (transform, element) = match transform.transpose()? {
            Some((transform, type_)) => (Some(transform), type_),
            None => (None, element),
        };
        self.scopes.truncate(outer);
        let type_ = match fold.kind {
            FoldKind::Collect => Type::list(self.unifier.resolve(&element)),
            FoldKind::All | FoldKind::Exists | FoldKind::ExistsOne => Type::Bool,
        };
        let node = Node::Fold(Box::new(Fold {
            kind: fold.kind,
            range,
            two_variables,
            condition,
            transform,
        }));
        Ok((node, type_))
    }

    /// Types of a macro's variables: of one alone, and of the first and the second of two.
    fn element_types(&mut self, range: &IdedExpr, type_: &Type) -> Result<[Type; 3], CompileError> {
        match self.unifier.resolve(type_) {
            Type::List(element) => Ok([Type::clone(&element), Type::Int, *element]),
            Type::Map(key, value) => Ok([Type::clone(&key), *key, *value]),
            open @ (Type::Dyn | Type::Open(_)) => {
                self.unifier.agree(&Type::Dyn, &open);
                Ok([Type::Dyn, Type::Dyn, Type::Dyn])
            }
            other => {
                // Kubernetes does not range over a claim directly, which few expect.
                let hint = match other {
                    Type::Any => "; write dyn(...) around the claim",
                    _ => "",
                };
                let message = format!(
                    "expression of type '{other}' cannot be range of a comprehension (must be list, map, or dynamic){hint}"
                );
                Err(self.source.issue(range, message))
            }
        }
    }

    fn map_optional(
        &mut self,
        expression: &'s IdedExpr,
        target: &'s IdedExpr,
        variable: &'s IdedExpr,
        body: &'s IdedExpr,
        flat: bool,
    ) -> Result<(Node, Type), CompileError> {
        let name = self.name_of(variable)?;
        let (optional, type_) = self.expression(target)?;
        let value = ["optional(A).() -> A"];
        let value = self.resolve_texts(expression, "hasValue", &value, true, &[type_])?;
        let outer = self.scopes.len();
        self.scopes.push((name, value));
        let (body, body_type) = self.expression(body)?;
        self.scopes.truncate(outer);
        let type_ = match flat {
            false => Type::optional(self.unifier.resolve(&body_type)),
            true => {
                let none = Type::optional(self.unifier.open());
                let types = [Type::Bool, body_type, none];
                self.resolve_texts(expression, "_?_:_", special::CONDITIONAL, false, &types)?
            }
        };
        let node = Node::MapOptional {
            optional: Box::new(optional),
            body: Box::new(body),
            flat,
        };
        Ok((node, type_))
    }
}

//! Expressions over claims and users, in the Common Expression Language as Kubernetes gives it to an authenticator.
//!
//! The `cel` crate reads them. They are checked and evaluated here, because both must come to what Kubernetes comes to:
//! the crate checks no types, takes `has(a.b)` for an error where Kubernetes gives false, and has no bound on what an
//! evaluation costs. What Kubernetes has and is not here is refused when the expression is compiled, never at a login.

mod budget;
mod check;
mod escape;
mod evaluate;
mod functions;
mod node;
mod source;
mod types;
mod value;

pub use budget::Budget;
pub(crate) use budget::CompileBudget;
pub use evaluate::EvaluationError;
pub use source::{CompileError, Issue};
pub(crate) use value::Value;

use cel::common::ast::{EntryExpr, Expr, IdedExpr, LiteralValue, operators};
use node::Node;
use source::Source;
use types::Type;

/// What an expression is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variable {
    /// `claims`, the token's claims by name.
    Claims,
    /// `user`, with `username`, `uid`, `groups` and `extra`.
    User,
}

impl Variable {
    fn name(self) -> &'static str {
        match self {
            Self::Claims => "claims",
            Self::User => "user",
        }
    }

    fn type_(self) -> Type {
        match self {
            Self::Claims => Type::map(Type::String, Type::Any),
            Self::User => Type::User,
        }
    }
}

/// An expression that can be evaluated.
#[derive(Debug)]
pub(crate) struct Expression {
    text: String,
    node: Node,
    claims: Vec<&'static str>,
}

impl Expression {
    /// Compiles an expression that gives any value.
    pub(crate) fn compile(
        text: &str,
        variable: Variable,
        budget: &mut CompileBudget,
    ) -> Result<Self, CompileError> {
        Self::of_type(text, variable, budget, |_, _| Ok(()))
    }

    /// Compiles an expression that gives true or false.
    pub(crate) fn compile_rule(
        text: &str,
        variable: Variable,
        budget: &mut CompileBudget,
    ) -> Result<Self, CompileError> {
        Self::of_type(text, variable, budget, |_, type_| match type_ {
            Type::Bool => Ok(()),
            _ => Err(CompileError::NotBool),
        })
    }

    /// Compiles an expression that gives a text or a list of texts.
    pub(crate) fn compile_texts(
        text: &str,
        variable: Variable,
        budget: &mut CompileBudget,
    ) -> Result<Self, CompileError> {
        Self::of_type(text, variable, budget, |source, _| {
            match split(source.root()) {
                None => Ok(()),
                Some((call, name)) => {
                    let message = format!(
                        "the list that '{name}' makes, as a whole, is not supported by Haulout, and refused by Kubernetes at each login; append .map(x, x)"
                    );
                    Err(source.issue(call, message))
                }
            }
        })
    }

    fn of_type(
        text: &str,
        variable: Variable,
        budget: &mut CompileBudget,
        check_result: impl Fn(&Source, &Type) -> Result<(), CompileError>,
    ) -> Result<Self, CompileError> {
        let source = Source::parse(text, budget)?;
        let (node, type_) = check::check(&source, variable, budget)?;
        check_result(&source, &type_)?;
        let claims = ["email", "email_verified"];
        let claims = claims
            .into_iter()
            .filter(|claim| selects(source.root(), claim));
        Ok(Self {
            text: text.to_owned(),
            node,
            claims: claims.collect(),
        })
    }

    /// As it was written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether it selects this claim, which is `email` or `email_verified`.
    pub(crate) fn uses(&self, claim: &str) -> bool {
        self.claims.contains(&claim)
    }

    /// Its value where the variable is `variable`.
    pub(crate) fn evaluate(
        &self,
        variable: Value,
        budget: &mut Budget,
    ) -> Result<Value, EvaluationError> {
        evaluate::evaluate(&self.node, variable, budget)
    }
}

/// Whether `claims.<claim>` or `claims.?<claim>` stands in `expression` (Kubernetes `hasSelectExp`). `claims["<claim>"]`
/// does not count, in Kubernetes either.
fn selects(expression: &IdedExpr, claim: &str) -> bool {
    let is_claims =
        |operand: &IdedExpr| matches!(&operand.expr, Expr::Ident(name) if name == "claims");
    match &expression.expr {
        Expr::Select(select) => {
            (is_claims(&select.operand) && select.field == claim) || selects(&select.operand, claim)
        }
        Expr::Call(call) => {
            let selected = match call.args.as_slice() {
                [
                    operand,
                    IdedExpr {
                        expr: Expr::Literal(LiteralValue::String(field)),
                        ..
                    },
                ] => {
                    call.func_name == operators::OPT_SELECT
                        && is_claims(operand)
                        && field.inner() == claim
                }
                _ => false,
            };
            let target = call.target.as_deref();
            selected
                || target
                    .into_iter()
                    .chain(&call.args)
                    .any(|part| selects(part, claim))
        }
        Expr::List(list) => list.elements.iter().any(|element| selects(element, claim)),
        Expr::Map(map) => map.entries.iter().any(|entry| match &entry.expr {
            EntryExpr::MapEntry(entry) => {
                selects(&entry.key, claim) || selects(&entry.value, claim)
            }
            EntryExpr::StructField(_) => false,
        }),
        _ => false,
    }
}

/// The call of `split` or `findAll` whose list `expression` may give as it is. What passes through other functions is seen
/// only when it is evaluated.
fn split(expression: &IdedExpr) -> Option<(&IdedExpr, &str)> {
    let Expr::Call(call) = &expression.expr else {
        return None;
    };
    match (call.func_name.as_str(), call.args.as_slice()) {
        (name @ ("split" | "findAll"), _) => Some((expression, name)),
        (operators::CONDITIONAL, [_, yes, no]) => split(yes).or_else(|| split(no)),
        ("dyn" | "orValue", [value]) => split(value),
        _ => None,
    }
}

#[cfg(test)]
mod tests;

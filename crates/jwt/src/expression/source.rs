//! Reads the text of an expression, and says where in it something is wrong.

use std::fmt;

use cel::common::ast::IdedExpr;
use cel::{Env, Program};

use super::budget::{CompileBudget, MAX_BYTES_IN_ALL};

/// Longest expression, in bytes.
pub(super) const MAX_BYTES: usize = 4096;

/// Most brackets that may be open at once. The parser calls itself for each, so this is seen before it starts.
pub(super) const MAX_OPEN_BRACKETS: usize = 32;

/// Why an expression cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// It is longer than any that people write.
    #[error("must be at most {MAX_BYTES} bytes long")]
    TooLong,
    /// All expressions of the object together are longer than any that people write.
    #[error("all expressions of an object together must be at most {MAX_BYTES_IN_ALL} bytes long")]
    TooLongInAll,
    /// Its brackets are nested more deeply than any that people write.
    #[error("must not have more than {MAX_OPEN_BRACKETS} brackets within one another")]
    TooDeep,
    /// Something in it is wrong.
    #[error("compilation failed: {0}")]
    Issue(Issue),
    /// It gives something other than a rule's verdict.
    #[error("must evaluate to bool")]
    NotBool,
}

/// What is wrong in an expression, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    message: String,
    line: usize,
    column: usize,
    snippet: String,
}

/// As Kubernetes prints it.
impl fmt::Display for Issue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            message,
            line,
            column,
            snippet,
        } = self;
        let dots = ".".repeat(column.saturating_sub(1));
        write!(
            f,
            "ERROR: <input>:{line}:{column}: {message}\n | {snippet}\n | {dots}^"
        )
    }
}

/// An expression that was read.
#[derive(Debug)]
pub(super) struct Source {
    program: Program,
}

impl Source {
    pub(super) fn parse(text: &str, budget: &mut CompileBudget) -> Result<Self, CompileError> {
        if text.len() > MAX_BYTES {
            return Err(CompileError::TooLong);
        }
        budget.spend_text(text)?;
        if open_brackets(text) > MAX_OPEN_BRACKETS {
            return Err(CompileError::TooDeep);
        }
        // Macros are left as calls: the checker knows them, and what they mean then needs no guess.
        let program = Env::default().compile(text).map_err(|errors| {
            let first = errors.errors.into_iter().next();
            let (message, (line, column)) = match first {
                Some(error) => (error.msg, error.pos),
                None => ("cannot be read".to_owned(), (1, 1)),
            };
            let number = |number: isize| usize::try_from(number).unwrap_or(1).max(1);
            let (line, column) = (number(line), number(column));
            CompileError::Issue(Issue {
                message,
                line,
                column,
                snippet: text.lines().nth(line - 1).unwrap_or_default().to_owned(),
            })
        })?;
        Ok(Self { program })
    }

    pub(super) fn root(&self) -> &IdedExpr {
        self.program.expression()
    }

    /// That `message` is wrong with `expression`.
    pub(super) fn issue(&self, expression: &IdedExpr, message: impl Into<String>) -> CompileError {
        let info = self.program.source_info();
        let offset = info.offset_for(expression.id).map_or(0, |(start, _)| start);
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let before = info.source.get(..offset).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before.get(line_start..).unwrap_or_default().chars().count();
        let line = before.matches('\n').count();
        CompileError::Issue(Issue {
            message: message.into(),
            line: line + 1,
            column: column + 1,
            snippet: info.source.lines().nth(line).unwrap_or_default().to_owned(),
        })
    }
}

/// Most brackets that are open at once, counting those in texts too, which errs to the safe side.
fn open_brackets(text: &str) -> usize {
    let mut open = 0_usize;
    let mut most = 0;
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' => open += 1,
            b')' | b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        most = most.max(open);
    }
    most
}

//! How much an evaluation may do, and how much may be compiled.

use super::evaluate::EvaluationError;
use super::source::CompileError;

/// Longest that all expressions of an object may be together, in bytes.
pub(super) const MAX_BYTES_IN_ALL: usize = 32 * 1024;

/// Most memory that the compiled patterns of an object may take together, in bytes.
pub(super) const MAX_PATTERN_BYTES: u64 = 4 * 1024 * 1024;

/// Steps that evaluations may still take. A step is an operation, or 16 bytes made or looked at, so that the budget bounds
/// both time and memory. It takes a tenth of a microsecond at most, and mostly much less.
#[derive(Debug)]
pub struct Budget(u64);

impl Budget {
    /// What takes a millisecond at most: enough for every ordinary expression, and it can be spent where other work waits.
    pub fn quick() -> Self {
        Self(10_000)
    }

    /// All that one login may cost, a tenth of a second at most.
    pub fn full() -> Self {
        Self(1_000_000)
    }

    #[cfg(test)]
    pub(super) fn left(&self) -> u64 {
        self.0
    }

    pub(super) fn spend(&mut self, steps: u64) -> Result<(), EvaluationError> {
        self.0 = self
            .0
            .checked_sub(steps)
            .ok_or(EvaluationError::BudgetSpent)?;
        Ok(())
    }

    pub(super) fn spend_bytes(&mut self, bytes: usize) -> Result<(), EvaluationError> {
        self.spend(u64::try_from(bytes / 16).unwrap_or(u64::MAX))
    }

    pub(super) fn spend_elements(&mut self, elements: usize) -> Result<(), EvaluationError> {
        self.spend(u64::try_from(elements).unwrap_or(u64::MAX))
    }
}

/// What may still be compiled for one object. Every replica compiles each object that it hears of, so that the whole of
/// one must not take longer than logins can wait, nor much memory.
#[derive(Debug)]
pub(crate) struct CompileBudget {
    text_bytes: usize,
    pattern_bytes: u64,
    is_spent: bool,
}

impl CompileBudget {
    /// For all expressions of an object.
    pub(crate) fn full() -> Self {
        Self {
            text_bytes: MAX_BYTES_IN_ALL,
            pattern_bytes: MAX_PATTERN_BYTES,
            is_spent: false,
        }
    }

    /// Whether something was refused for being too much. All that follows would be, too.
    pub(crate) fn is_spent(&self) -> bool {
        self.is_spent
    }

    pub(super) fn spend_text(&mut self, text: &str) -> Result<(), CompileError> {
        let left = self.text_bytes.checked_sub(text.len());
        self.is_spent |= left.is_none();
        self.text_bytes = left.ok_or(CompileError::TooLongInAll)?;
        Ok(())
    }

    /// Whether a pattern of this size is still allowed.
    pub(super) fn takes_pattern(&mut self, bytes: u64) -> bool {
        let left = self.pattern_bytes.checked_sub(bytes);
        self.is_spent |= left.is_none();
        self.pattern_bytes = left.unwrap_or_default();
        left.is_some()
    }
}

//! How much an evaluation may do.

use super::evaluate::EvaluationError;

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

//! What a caught panic said, for the log.

use std::any::Any;

/// The message of a panic that was caught by `catch_unwind`. It may hold anything, so it goes to
/// the log only.
pub fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_both_kinds_are_found() {
        assert_eq!(panic_text(&"fixed"), "fixed");
        assert_eq!(panic_text(&"made up".to_owned()), "made up");
        assert_eq!(panic_text(&7), "no text");
    }
}

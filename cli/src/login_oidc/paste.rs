//! The code that a user pastes, where the browser cannot bring it.

use std::io;

use crate::terminal;

/// What a line that was typed is to the login.
enum Typed {
    Code(String),
    /// Nothing: somebody has pressed Enter.
    Nothing,
    /// Nothing more will be typed, but the browser may still come.
    NoMore,
    Failed(io::Error),
}

/// Reads lines until one holds a code; `ask` asks for each.
pub(super) async fn code(
    has_listener: bool,
    mut ask: impl FnMut() -> io::Result<()>,
) -> io::Result<String> {
    loop {
        ask()?;
        match judge(terminal::read_line().await, has_listener) {
            Typed::Code(code) => return Ok(code),
            Typed::Nothing => {}
            Typed::NoMore => std::future::pending().await,
            Typed::Failed(error) => return Err(error),
        }
    }
}

fn judge(line: io::Result<String>, has_listener: bool) -> Typed {
    match line {
        Ok(line) if line.trim().is_empty() => Typed::Nothing,
        Ok(line) => Typed::Code(line.trim().to_owned()),
        Err(error) if has_listener && error.kind() == io::ErrorKind::UnexpectedEof => Typed::NoMore,
        Err(error) => Typed::Failed(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_code_or_a_fault_ends_the_question() {
        let end = || Err(io::ErrorKind::UnexpectedEof.into());
        let fault = || Err(io::ErrorKind::Other.into());
        let line = |text: &str| Ok(text.to_owned());
        for (line, has_listener, expected) in [
            (line(" code \t"), true, "code"),
            (line(""), true, "again"),
            (line("  "), false, "again"),
            (end(), true, "wait"),
            (end(), false, "failed"),
            (fault(), true, "failed"),
        ] {
            let what = format!("{line:?} {has_listener}");
            let found = match judge(line, has_listener) {
                Typed::Code(code) => code,
                Typed::Nothing => "again".to_owned(),
                Typed::NoMore => "wait".to_owned(),
                Typed::Failed(_) => "failed".to_owned(),
            };
            assert_eq!(found, expected, "{what}");
        }
    }
}

//! Questions to whoever sits at the terminal.

use std::io::{self, BufRead, IsTerminal as _};

use secrecy::SecretString;

use crate::console::Console;

/// Whether somebody can answer.
pub(crate) fn is_interactive() -> bool {
    io::stdin().is_terminal()
}

/// Asks for a line.
pub(crate) fn ask(prompt: &str, console: &Console<'_>) -> io::Result<String> {
    console.prompt(prompt)?;
    read_line()
}

/// The next line, without its end.
pub(crate) fn read_line() -> io::Result<String> {
    let mut line = String::new();
    if io::stdin().lock().read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Asks for something that does not show while it is typed.
pub(crate) fn ask_secret(prompt: &str, console: &Console<'_>) -> io::Result<SecretString> {
    console.prompt(prompt)?;
    let secret = rpassword::read_password()?;
    Ok(secret.into())
}

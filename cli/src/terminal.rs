//! Questions to whoever sits at the terminal.

use std::io::{self, BufRead, IsTerminal as _, Write};

use secrecy::SecretString;

/// Whether somebody can answer.
pub(crate) fn is_interactive() -> bool {
    io::stdin().is_terminal()
}

/// Asks for a line.
pub(crate) fn ask(prompt: &str, stderr: &mut dyn Write) -> io::Result<String> {
    write!(stderr, "{prompt}")?;
    stderr.flush()?;
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
pub(crate) fn ask_secret(prompt: &str, stderr: &mut dyn Write) -> io::Result<SecretString> {
    write!(stderr, "{prompt}")?;
    stderr.flush()?;
    let secret = rpassword::read_password()?;
    Ok(secret.into())
}

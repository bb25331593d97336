//! Standard output, which is for the result alone.

use std::io::{self, Write};

/// Where the result goes. What a program prints that is started from here on, such as a browser in the terminal, goes to
/// standard error: kubectl reads standard output.
pub fn take_stdout() -> Box<dyn Write> {
    #[cfg(unix)]
    if let Some(own) = own() {
        return Box::new(io::LineWriter::new(own));
    }
    Box::new(io::stdout())
}

/// Standard output under a number that no other program inherits, after its own has become standard error's.
#[cfg(unix)]
fn own() -> Option<std::fs::File> {
    use std::os::fd::AsFd as _;

    let own = io::stdout().as_fd().try_clone_to_owned().ok()?;
    rustix::stdio::dup2_stdout(io::stderr()).ok()?;
    Some(own.into())
}

//! `haulout completion`: what makes a shell complete the words of this program.

use std::io::{self, Write};

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::arguments::Arguments;

/// Prints it.
pub(crate) fn run(shell: Shell, stdout: &mut dyn Write) -> io::Result<()> {
    let mut script = Vec::new();
    let mut command = Arguments::command();
    let name = command.get_name().to_owned();
    clap_complete::generate(shell, &mut command, name, &mut script);
    stdout.write_all(&script)?;
    stdout.flush()
}

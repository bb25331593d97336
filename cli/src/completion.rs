//! `haulout completion`: what makes a shell complete the words of this program.

use std::io::Write;

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::arguments::Arguments;
use crate::standard_output::{PrintError, print};

/// Prints it.
pub(crate) fn run(shell: Shell, stdout: &mut dyn Write) -> Result<(), PrintError> {
    let mut script = Vec::new();
    let mut command = Arguments::command();
    let name = command.get_name().to_owned();
    clap_complete::generate(shell, &mut command, name, &mut script);
    print(stdout, script)
}

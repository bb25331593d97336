//! `haulout`: the kubectl credential plugin.

use std::process::ExitCode;
use std::time::SystemTime;

fn main() -> ExitCode {
    haulout::protect_memory();
    #[expect(
        clippy::disallowed_methods,
        reason = "the command line's one reading of the clock; everything below takes the time as an argument"
    )]
    let now = SystemTime::now();
    let arguments: Vec<_> = std::env::args_os().collect();
    // None is locked for the whole run: what asks the user reads standard input on a thread of its own.
    haulout::run(
        &arguments,
        &|name| std::env::var_os(name),
        now,
        &mut std::io::stdin(),
        &mut haulout::take_stdout(),
        &mut std::io::stderr(),
    )
}

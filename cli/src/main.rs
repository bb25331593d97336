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
    haulout::run(
        &arguments,
        &|name| std::env::var_os(name),
        now,
        // Not locked: questions are read on another thread.
        &mut std::io::stdin(),
        &mut std::io::stdout().lock(),
        &mut std::io::stderr().lock(),
    )
}

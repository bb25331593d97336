//! What is told of a command line that is wrong, or that asks for help.

use std::io::Write;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::{USAGE, printable};

/// Prints help or version to stdout, complaints to stderr.
pub(crate) fn explain(
    error: clap::Error,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> ExitCode {
    let (printed, code) = if !error.use_stderr() {
        (write!(stdout, "{}", error.render()), ExitCode::SUCCESS)
    } else if is_about_stray_word(&error) {
        // It may be a token whose flag was forgotten, so it is not repeated.
        let meant = suggested_command(&error)
            .map_or_else(String::new, |name| format!("did you mean {name}? or "));
        let text = "unexpected argument without a flag;";
        (
            writeln!(stderr, "Error: {text} {meant}see haulout --help"),
            USAGE.into(),
        )
    } else {
        let complaint = complaint(error);
        (stderr.write_all(complaint.as_bytes()), USAGE.into())
    };
    if printed.is_ok() {
        code
    } else {
        ExitCode::FAILURE
    }
}

/// What is wrong with a flag. What it repeats may be of others, such as of whoever made the kubeconfig: it adds no lines, and
/// steers no terminal.
fn complaint(mut error: clap::Error) -> String {
    let shown = |value: &ContextValue| match value {
        ContextValue::String(text) => Some(ContextValue::String(printable(text))),
        ContextValue::Strings(texts) => {
            let texts = texts.iter().map(|text| printable(text));
            Some(ContextValue::Strings(texts.collect()))
        }
        _ => None,
    };
    let context = error.context();
    let context: Vec<_> = context
        .filter_map(|(kind, value)| Some((kind, shown(value)?)))
        .collect();
    for (kind, value) in context {
        error.insert(kind, value);
    }
    let text = error.render().to_string();
    text.lines().map(|line| printable(line) + "\n").collect()
}

/// Whether a complaint repeats a word that is neither a flag nor a command.
fn is_about_stray_word(error: &clap::Error) -> bool {
    match error.kind() {
        ErrorKind::InvalidSubcommand => true,
        ErrorKind::UnknownArgument => matches!(
            error.get(ContextKind::InvalidArg),
            Some(ContextValue::String(argument)) if !argument.starts_with('-')
        ),
        _ => false,
    }
}

/// The command that is written much as the stray word is, if there is one.
fn suggested_command(error: &clap::Error) -> Option<&str> {
    match error.get(ContextKind::SuggestedSubcommand)? {
        ContextValue::String(name) => Some(name),
        ContextValue::Strings(names) => names.last().map(String::as_str),
        _ => None,
    }
}

//! `haulout`: the kubectl credential plugin.
//!
//! [`run`] is the whole program with its surroundings passed in. What kubectl runs is `login static` or `login oidc`; each
//! answers from the credential cache before anything else is set up, so that the common case costs little more than starting
//! a process.

mod agent_placement;
mod agent_values;
mod arguments;
mod audit_id;
mod authenticator_kind;
mod ca;
mod cache_file;
mod catalogue;
mod clock;
mod cluster;
mod completion;
mod console;
mod credential_cache;
mod doctor;
mod document;
mod exchange;
mod exec_credential;
mod exec_stanza;
mod get_kubeconfig;
mod go_duration;
mod hex;
mod installation;
mod keyring;
mod kubeconfig_file;
mod kubeconfig_source;
mod local_host;
mod lock_file;
mod login_lock;
mod login_oidc;
mod login_static;
mod logout;
mod message;
mod migrate;
mod oidc;
mod private_file;
mod protection;
mod runtime;
mod secret_variable;
mod session_cache;
mod standard_output;
mod talos;
mod terminal;
mod transport;
mod usage;
mod version;
mod whoami;

use std::cell::RefCell;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::process::ExitCode;
use std::time::SystemTime;

use clap::{CommandFactory as _, Parser};

use agent_values::AgentValuesError;
use arguments::{Arguments, Command, Get, Login, Talos};
use catalogue::CatalogueError;
use clock::Clock;
use console::Console;
use doctor::DoctorError;
use get_kubeconfig::GetKubeconfigError;
use login_oidc::OidcLoginError;
use login_static::LoginError;
use logout::LogoutError;
use message::{after_colon, chain, printable};
use migrate::MigrateError;
use standard_output::PrintError;
use talos::patch::PatchError;
use version::VersionError;
use whoami::WhoAmIError;

pub use protection::protect_memory;
pub use standard_output::take_stdout;

/// Looks up an environment variable.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// The program's commands and flags, for what is made from them: man pages, for example.
pub fn command() -> clap::Command {
    Arguments::command()
}

/// What is wrong with how the program was called.
const USAGE: u8 = 2;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error(transparent)]
    Login(#[from] LoginError),
    #[error(transparent)]
    LoginOidc(#[from] OidcLoginError),
    #[error(transparent)]
    Logout(#[from] LogoutError),
    #[error(transparent)]
    GetKubeconfig(#[from] GetKubeconfigError),
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    #[error(transparent)]
    AgentValues(#[from] AgentValuesError),
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    #[error(transparent)]
    TalosPatch(#[from] PatchError),
    #[error(transparent)]
    Doctor(#[from] DoctorError),
    #[error(transparent)]
    WhoAmI(#[from] WhoAmIError),
    #[error(transparent)]
    Version(#[from] VersionError),
    #[error(transparent)]
    Print(#[from] PrintError),
}

impl CommandError {
    fn exit_code(&self) -> ExitCode {
        let is_usage = match self {
            Self::Login(error) => error.is_usage(),
            Self::LoginOidc(error) => error.is_usage(),
            Self::Logout(error) => error.is_usage(),
            Self::GetKubeconfig(error) => error.is_usage(),
            Self::Catalogue(error) => error.is_usage(),
            Self::Migrate(error) => error.is_usage(),
            Self::TalosPatch(error) => error.is_usage(),
            // 1 says that it ran, and that a check failed.
            Self::Doctor(_) => true,
            Self::WhoAmI(error) => error.is_usage(),
            Self::AgentValues(_) | Self::Version(_) | Self::Print(_) => false,
        };
        if is_usage {
            ExitCode::from(USAGE)
        } else {
            ExitCode::FAILURE
        }
    }
}

/// Runs the program: `arguments` with the program's name first, results to `stdout`, everything else to `stderr`. `stdin` is read
/// where a file is named `-`.
///
/// The exit code is 0 when it worked, 1 when it did not, 2 when it was called wrongly. Of `doctor`, 1 says that a check failed,
/// and 2 that none could be made.
pub fn run(
    arguments: &[OsString],
    environment: Environment<'_>,
    now: SystemTime,
    stdin: &mut dyn Read,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> ExitCode {
    let parsed = match Arguments::try_parse_from(arguments) {
        Ok(parsed) => parsed,
        Err(error) => return usage::explain(error, stdout, stderr),
    };
    let done = |()| ExitCode::SUCCESS;
    let stderr = RefCell::new(stderr);
    let print = |text: &str| console::print_to(&stderr, text);
    let result: Result<ExitCode, CommandError> = match parsed.command {
        Command::Login(Login::Static(login)) => {
            let surroundings = login_static::Surroundings {
                arguments: arguments.get(1..).unwrap_or_default(),
                environment,
                now,
            };
            let console = Console::new(&print, login.verbosity.verbose, environment);
            let login = login_static::run(&login, &surroundings, stdout, &console);
            login.map(done).map_err(Into::into)
        }
        Command::Login(Login::Oidc(login)) => {
            let surroundings = login_oidc::Surroundings {
                arguments: arguments.get(1..).unwrap_or_default(),
                environment,
                clock: Clock::starting_at(now),
            };
            let console = Console::new(&print, login.verbosity.verbose, environment);
            let login = login_oidc::run(&login, &surroundings, stdout, &console);
            login.map(done).map_err(Into::into)
        }
        Command::Logout(flags) => {
            let console = Console::new(&print, flags.verbosity.verbose, environment);
            let logout = logout::run(&flags, environment, now, stdout, &console);
            logout.map(done).map_err(Into::into)
        }
        Command::Get(Get::Kubeconfig(flags)) => {
            let console = Console::new(&print, flags.verbosity.verbose, environment);
            let kubeconfig = get_kubeconfig::run(&flags, environment, stdout, &console);
            kubeconfig.map(done).map_err(Into::into)
        }
        Command::Kubeconfig(flags) => {
            let console = Console::new(&print, flags.verbosity.verbose, environment);
            let kubeconfig = catalogue::run(&flags, environment, stdin, stdout, &console);
            kubeconfig.map(done).map_err(Into::into)
        }
        Command::AgentValues(cluster) => {
            let values = agent_values::run(&cluster, environment, stdout);
            values.map(done).map_err(Into::into)
        }
        Command::Migrate(flags) => {
            let steps = migrate::run(&flags, environment, stdout);
            steps.map(done).map_err(Into::into)
        }
        Command::Talos(Talos::Patch(flags)) => {
            let patch = talos::patch::run(&flags, stdin, stdout, &mut **stderr.borrow_mut());
            patch.map(done).map_err(Into::into)
        }
        Command::Doctor(flags) => doctor::run(&flags, environment, now, stdout).map_err(Into::into),
        Command::WhoAmI(flags) => {
            let console = Console::new(&print, flags.verbosity.verbose, environment);
            let answer = whoami::run(&flags, environment, &console, stdout);
            answer.map(done).map_err(Into::into)
        }
        Command::Completion(flags) => completion::run(flags.shell, stdout)
            .map(done)
            .map_err(Into::into),
        Command::Version(flags) => version::run(&flags, stdout).map(done).map_err(Into::into),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            // Nobody is left to tell when stderr is closed.
            drop(print(&format!("Error: {}\n", printable(&chain(&error)))));
            error.exit_code()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stderr_of(arguments: &[&str]) -> String {
        let arguments = ["haulout"].iter().chain(arguments).map(OsString::from);
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        run(
            &arguments.collect::<Vec<_>>(),
            &|_| None,
            SystemTime::UNIX_EPOCH,
            &mut std::io::empty(),
            &mut stdout,
            &mut stderr,
        );
        String::from_utf8(stderr).unwrap()
    }

    #[test]
    fn errors_steer_no_terminal() {
        let stderr = stderr_of(&["agent-values", "--kubeconfig", "/\u{1b}[2J\n/x"]);
        let expected = r"Error: failed to use the kubeconfig /\u{1b}[2J /x; ";
        assert!(stderr.starts_with(expected), "{stderr:?}");
        assert_eq!(stderr.lines().count(), 1, "{stderr:?}");
    }

    #[test]
    fn complaints_of_flags_steer_no_terminal_and_have_no_lines_of_others() {
        for flag in [
            "--flow=\u{9b}2J\nerror: run curl",
            "--fl\u{9b}2J\nerror: run curl",
            "--listen-port=\u{9b}2J\nerror: run curl",
            "--extra-parameter=\u{9b}2J\nerror: run curl",
        ] {
            let stderr = stderr_of(&["login", "oidc", "--issuer=https://i", flag]);
            assert!(stderr.starts_with("error: "), "{stderr:?}");
            assert!(stderr.contains(r"\u{9b}2J error: run curl"), "{stderr:?}");
            assert!(!stderr.contains('\u{9b}'), "{stderr:?}");
            let mut others = stderr.lines().skip(1);
            assert!(
                !others.any(|line| line.starts_with("error: ")),
                "{stderr:?}"
            );
            assert!(stderr.lines().count() > 2, "{stderr:?}");
        }
    }
}

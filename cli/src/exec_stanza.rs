//! What a kubeconfig's user logs in by: the command line of its exec stanza, which is one of this program, or of Pinniped's CLI, whose
//! flags are the same.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::Path;

use clap::Parser as _;
use kube::config::ExecConfig;

use crate::Environment;
use crate::arguments::{Arguments, ClusterFlags, Command, Login, OidcLogin};
use crate::cluster::{ContextFault, FoundContext, find_context};
use crate::kubeconfig_source::{self, KubeconfigFault};

/// What this program, or Pinniped's, is called where it is installed; krew calls it as a plugin of kubectl.
const PROGRAMS: [&str; 3] = ["haulout", "kubectl-haulout", "pinniped"];

/// Why a kubeconfig names no login at an issuer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StanzaError {
    #[error("failed to use the kubeconfig; name another by --kubeconfig")]
    Read(#[source] KubeconfigFault),
    #[error("failed to use the kubeconfig; name another by --kubeconfig or --context")]
    Context(#[from] ContextFault),
    #[error(
        "the user of the context \"{0}\" does not log in by `haulout login oidc`, so there is no session of his; name another context \
         by --context, or leave it and --kubeconfig out"
    )]
    NoOidcLogin(String),
}

impl StanzaError {
    /// Whether the command line is at fault.
    pub(crate) fn is_usage(&self) -> bool {
        matches!(self, Self::NoOidcLogin(_))
    }
}

/// A login, as it stands in a kubeconfig.
#[derive(Debug)]
pub(crate) struct ExecStanza<L = Login> {
    pub(crate) login: L,
    variables: HashMap<String, OsString>,
}

impl ExecStanza {
    /// `None` where another program is run, or another command.
    pub(crate) fn read(exec: &ExecConfig) -> Option<Self> {
        let program = Path::new(exec.command.as_deref()?).file_stem()?.to_str()?;
        if !PROGRAMS.contains(&program) {
            return None;
        }
        let arguments = [program].into_iter();
        let arguments = arguments.chain(exec.args.iter().flatten().map(String::as_str));
        let Command::Login(login) = Arguments::try_parse_from(arguments).ok()?.command else {
            return None;
        };
        let variables = exec.env.iter().flatten();
        let variables = variables
            .filter_map(|entry| Some((entry.get("name")?.clone(), entry.get("value")?.into())));
        Some(Self {
            login,
            variables: variables.collect(),
        })
    }
}

impl ExecStanza<Box<OidcLogin>> {
    /// That of the user of the context that the flags name.
    pub(crate) fn of(
        flags: &ClusterFlags,
        environment: Environment<'_>,
    ) -> Result<Self, StanzaError> {
        let file = kubeconfig_source::read(flags.kubeconfig.as_deref(), environment)
            .map_err(StanzaError::Read)?;
        let FoundContext { name, context, .. } = find_context(&file, flags.context.as_deref())?;
        let mut users = file.auth_infos.iter();
        let user = users.find(|named| context.user.as_ref() == Some(&named.name));
        let exec = user.and_then(|named| named.auth_info.as_ref()?.exec.as_ref());
        match exec.and_then(ExecStanza::read) {
            Some(ExecStanza {
                login: Login::Oidc(login),
                variables,
            }) => Ok(Self { login, variables }),
            _ => Err(StanzaError::NoOidcLogin(name.to_owned())),
        }
    }
}

impl<L> ExecStanza<L> {
    /// What the login finds in a variable: what the stanza sets it to, else what the user has.
    pub(crate) fn variable(&self, name: &str, environment: Environment<'_>) -> Option<OsString> {
        let set = self.variables.get(name).cloned();
        set.or_else(|| environment(name))
    }
}

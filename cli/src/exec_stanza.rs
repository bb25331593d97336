//! What a kubeconfig's user logs in by: the command line of its exec stanza, which is one of this program, or of Pinniped's CLI, whose
//! flags are the same.

use std::collections::HashMap;
use std::ffi::OsString;

use clap::Parser as _;
use kube::config::ExecConfig;

use crate::Environment;
use crate::arguments::{Arguments, ClusterFlags, Command, Login, OidcLogin};
use crate::kubeconfig_source::{self, KubeconfigFault};

/// The login that an exec stanza with these arguments is, if it is one.
pub(crate) fn login_of(arguments: &[String]) -> Option<Login> {
    let program = ["haulout"].into_iter();
    let all = program.chain(arguments.iter().map(String::as_str));
    match Arguments::try_parse_from(all).ok()?.command {
        Command::Login(login) => Some(login),
        _ => None,
    }
}

/// Why a kubeconfig names no login at an issuer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StanzaError {
    #[error("failed to use the kubeconfig; name another by --kubeconfig")]
    Read(#[source] KubeconfigFault),
    #[error("the kubeconfig has no current context; name one by --context")]
    NoCurrentContext,
    #[error("the kubeconfig has no context \"{0}\"; name another by --context")]
    NoContext(String),
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

/// A login at an issuer, as it stands in a kubeconfig.
#[derive(Debug)]
pub(crate) struct OidcStanza {
    pub(crate) login: Box<OidcLogin>,
    variables: HashMap<String, OsString>,
}

impl OidcStanza {
    /// That of the user of the context that the flags name.
    pub(crate) fn of(
        flags: &ClusterFlags,
        environment: Environment<'_>,
    ) -> Result<Self, StanzaError> {
        let file = kubeconfig_source::read(flags.kubeconfig.as_deref(), environment)
            .map_err(StanzaError::Read)?;
        let name = flags.context.as_ref().or(file.current_context.as_ref());
        let name = name.ok_or(StanzaError::NoCurrentContext)?;
        let mut contexts = file.contexts.iter();
        let context = contexts
            .find(|named| named.name == *name)
            .and_then(|named| named.context.as_ref())
            .ok_or_else(|| StanzaError::NoContext(name.clone()))?;
        let mut users = file.auth_infos.iter();
        let user = users.find(|named| context.user.as_ref() == Some(&named.name));
        let exec = user.and_then(|named| named.auth_info.as_ref()?.exec.as_ref());
        exec.and_then(Self::read)
            .ok_or_else(|| StanzaError::NoOidcLogin(name.clone()))
    }

    fn read(exec: &ExecConfig) -> Option<Self> {
        let Login::Oidc(login) = login_of(exec.args.as_deref()?)? else {
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

    /// What the login finds in a variable: what the stanza sets it to, else what the user has.
    pub(crate) fn variable(&self, name: &str, environment: Environment<'_>) -> Option<OsString> {
        let set = self.variables.get(name).cloned();
        set.or_else(|| environment(name))
    }
}

//! What the program takes on its command line; flags are those of Pinniped's CLI, so that its exec stanzas work.

mod flag_kind;
mod get;
mod kubeconfig;
mod login;
mod talos;
mod version;
mod whoami;

use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use haulout_api::group::DEFAULT_SUFFIX;

pub(crate) use get::{DiscoveryFlags, Get, KubeconfigFlags, StaticFlags};
pub(crate) use kubeconfig::CatalogueFlags;
pub(crate) use login::{ConciergeFlags, Flow, Login, OidcLogin, StaticLogin};
pub(crate) use talos::{Talos, TalosPatchFlags};
pub(crate) use version::{VersionFlags, VersionFormat};
pub(crate) use whoami::{AnswerFormat, WhoAmIFlags};

use crate::session_cache::session_place;

/// A complete first login, which ends the help. A test runs the lines that are indented.
const FIRST_LOGIN: &str = "\
First login, with an administrator's kubeconfig in $KUBECONFIG; the file it writes holds no secret and serves everybody:
  haulout get kubeconfig --pinniped-cli-path=haulout --output=company.yaml
  kubectl --kubeconfig=company.yaml auth whoami";

/// kubectl with your company login.
#[derive(Debug, Parser)]
#[command(
    name = "haulout",
    version,
    args_override_self = true,
    after_help = FIRST_LOGIN
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Gets a credential for kubectl; run by kubectl from a kubeconfig's exec stanza.
    #[command(subcommand)]
    Login(Login),
    /// Makes the kubeconfig that your users log in with; for an administrator.
    #[command(subcommand)]
    Get(Get),
    /// Prints the kubeconfig of clusters that your administrators have listed.
    Kubeconfig(CatalogueFlags),
    /// Prints the chart's values that place the agent, read from the cluster; for an administrator.
    AgentValues(ClusterFlags),
    /// Prints the steps from Pinniped's Concierge to Haulout, and runs none; for an administrator.
    Migrate(MigrateFlags),
    /// Helps with Talos' machine configs; for an administrator.
    #[command(subcommand)]
    Talos(Talos),
    /// Checks why logins do not work, and says what to do; changes nothing.
    Doctor(DoctorFlags),
    /// Forgets your sessions and credentials, and has the issuers revoke them.
    Logout(LogoutFlags),
    /// Shows who the API server takes you for.
    #[command(name = "whoami")]
    WhoAmI(WhoAmIFlags),
    /// Prints what makes a shell complete the words of this program.
    Completion(CompletionFlags),
    /// Prints the version.
    Version(VersionFlags),
}

/// Which cluster an administrator's command reads.
#[derive(Args, Clone, Debug)]
pub(crate) struct ClusterFlags {
    /// Kubeconfig to use [default: as kubectl, $KUBECONFIG, then ~/.kube/config].
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,

    /// Context of the kubeconfig [default: its current one].
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,
}

/// Flags of `migrate`.
#[derive(Args, Debug)]
pub(crate) struct MigrateFlags {
    /// Only prints what carries over and what blocks; exit code 1 if anything blocks.
    #[arg(long)]
    pub(crate) check: bool,

    /// Prints the steps back to Pinniped's Concierge.
    #[arg(long, conflicts_with = "check")]
    pub(crate) back: bool,

    /// API group suffix of the installation [default: that of the only one].
    #[arg(long, value_name = "SUFFIX")]
    pub(crate) api_group_suffix: Option<String>,

    #[command(flatten)]
    pub(crate) cluster: ClusterFlags,
}

/// Flags of `doctor`.
#[derive(Args, Debug)]
pub(crate) struct DoctorFlags {
    /// Environment variable with a token of yours: looks who accepts it, and logs in with it [default: the one that the
    /// kubeconfig's user logs in with, if it is at hand].
    #[arg(long, value_name = "VARIABLE")]
    pub(crate) token_env: Option<String>,

    /// How the result is printed.
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    pub(crate) output: OutputFormat,

    /// API group suffix of the installation.
    #[arg(long, default_value = DEFAULT_SUFFIX, value_name = "SUFFIX")]
    pub(crate) api_group_suffix: String,

    #[command(flatten)]
    pub(crate) cluster: ClusterFlags,
}

/// Whom a result is printed for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// Flags of `completion`.
#[derive(Args, Debug)]
pub(crate) struct CompletionFlags {
    /// The shell.
    pub(crate) shell: Shell,
}

/// How much is told.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Verbosity {
    /// Tell on standard error what is asked, of whom, and what is in the caches; tokens are not shown. PINNIPED_DEBUG=true does so too.
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

/// Where CA certificates come from.
#[derive(Args, Clone, Debug)]
pub(crate) struct CaFlags {
    /// File with CA certificates, PEM, that may sign the issuer's certificate, in place of this system's; may be repeated,
    /// or be a list with commas.
    #[arg(long, value_delimiter = ',', value_name = "FILE")]
    pub(crate) ca_bundle: Vec<PathBuf>,

    /// The same as base64 of PEM.
    #[arg(long, value_delimiter = ',', value_name = "BASE64")]
    pub(crate) ca_bundle_data: Vec<String>,
}

/// Flags of `logout`.
#[derive(Args, Debug)]
#[command(group(ArgGroup::new("whose").args(["issuer", "kubeconfig", "context"]).multiple(true)))]
pub(crate) struct LogoutFlags {
    /// Only the sessions of this issuer [default: all].
    #[arg(long, value_name = "URL")]
    pub(crate) issuer: Option<String>,

    /// Kubeconfig whose user is logged out: its login oidc says what the other flags do not [default with --context: as kubectl,
    /// $KUBECONFIG, then ~/.kube/config].
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,

    /// Context of the kubeconfig whose user is logged out [default with --kubeconfig: its current one].
    #[arg(long, value_name = "NAME")]
    context: Option<String>,

    /// Environment variable with the client's secret, for an issuer that gave it one.
    #[arg(long, value_name = "VARIABLE", requires = "whose")]
    pub(crate) client_secret_env: Option<String>,

    #[command(flatten)]
    pub(crate) ca: CaFlags,

    /// File, or keyring, that keeps tokens [default: as login oidc].
    #[arg(long, value_name = "FILE", value_parser = session_place)]
    pub(crate) session_cache: Option<String>,

    /// File that keeps credentials [default: as login oidc].
    #[arg(long, value_name = "FILE")]
    pub(crate) credential_cache: Option<String>,

    /// Forget sessions too that are kept otherwise, since another call could still have them revoked.
    #[arg(long)]
    pub(crate) forget: bool,

    #[command(flatten)]
    pub(crate) verbosity: Verbosity,
}

impl LogoutFlags {
    /// The context of a kubeconfig whose user is logged out, if one is named.
    pub(crate) fn context(&self) -> Option<ClusterFlags> {
        let is_named = self.kubeconfig.is_some() || self.context.is_some();
        is_named.then(|| ClusterFlags {
            kubeconfig: self.kubeconfig.clone(),
            context: self.context.clone(),
        })
    }
}

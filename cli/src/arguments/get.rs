//! `get kubeconfig`, whose flags are those of `pinniped get kubeconfig`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use haulout_api::group::DEFAULT_SUFFIX;
use secrecy::SecretString;

use super::Verbosity;
use super::flag_kind::FlagKind as _;
use super::login::{Flow, name_and_value};
use crate::get_kubeconfig::Mode;
use crate::secret_variable::is_name;
use crate::session_cache::session_place;

#[derive(Debug, Subcommand)]
pub(crate) enum Get {
    /// Prints a kubeconfig for the users of a cluster, without a secret; for an administrator.
    Kubeconfig(Box<KubeconfigFlags>),
}

/// Flags of `get kubeconfig`.
#[derive(Args, Debug)]
pub(crate) struct KubeconfigFlags {
    /// Kubeconfig that reaches the cluster [default: as kubectl, $KUBECONFIG, then ~/.kube/config].
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,

    /// Context of the kubeconfig [default: its current one].
    #[arg(long, visible_alias = "context", value_name = "NAME")]
    pub(crate) kubeconfig_context: Option<String>,

    /// File to write [default: stdout]; left as it is where something fails.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// What the names of cluster, user and context get at their end.
    #[arg(long, default_value = "-pinniped", value_name = "SUFFIX")]
    pub(crate) generated_name_suffix: String,

    #[command(flatten)]
    pub(crate) statics: StaticFlags,

    #[command(flatten)]
    pub(crate) concierge: DiscoveryFlags,

    #[command(flatten)]
    pub(crate) oidc: OidcFlags,

    /// Name of the Supervisor's identity provider to log in with [default: the only one].
    #[arg(long, text(), value_name = "NAME")]
    pub(crate) upstream_identity_provider_name: String,

    /// Its type: oidc, ldap, activedirectory or github.
    #[arg(long, text(), value_name = "TYPE")]
    pub(crate) upstream_identity_provider_type: String,

    /// Its flow: browser_authcode or cli_password [default: the first that it offers].
    #[arg(long, text(), value_name = "FLOW")]
    pub(crate) upstream_identity_provider_flow: String,

    /// File where the users' credentials are kept; empty for none [default: as login oidc].
    #[arg(long, value_name = "FILE")]
    pub(crate) credential_cache: Option<String>,

    /// Program that kubectl runs: a path, or a name in PATH [default: the path of this one].
    #[arg(long, value_name = "COMMAND")]
    pub(crate) pinniped_cli_path: Option<String>,

    /// What kubectl says to users who do not have the program.
    #[arg(long, value_name = "TEXT")]
    pub(crate) install_hint: Option<String>,

    /// How long to wait for what is pending, and for the cluster to answer; one call has 30 s at most.
    #[arg(long, default_value = "10m", value_name = "DURATION", value_parser = crate::go_duration::parse)]
    pub(crate) timeout: Duration,

    /// Do not call the cluster as the kubeconfig's users will.
    #[arg(long, switch())]
    pub(crate) skip_validation: bool,

    #[command(flatten)]
    pub(crate) verbosity: Verbosity,
}

/// A token in place of a login at an issuer.
#[derive(Args, Debug)]
pub(crate) struct StaticFlags {
    /// Token that users log in with. It stands in the kubeconfig: prefer --static-token-env.
    #[arg(long, value_name = "TOKEN", value_parser = secret)]
    pub(crate) static_token: Option<SecretString>,

    /// Environment variable with the token that a user logs in with.
    #[arg(long, value_name = "VARIABLE", value_parser = variable)]
    pub(crate) static_token_env: Option<String>,
}

/// What to look up in the cluster, and what not.
#[derive(Args, Debug)]
pub(crate) struct DiscoveryFlags {
    /// Give the token itself to the API server, without an exchange for a certificate.
    #[arg(long, switch())]
    pub(crate) no_concierge: bool,

    /// Name of the CredentialIssuer [default: the only one].
    #[arg(long, text(), value_name = "NAME")]
    pub(crate) concierge_credential_issuer: String,

    /// Kind of the authenticator, jwt or webhook [default: that of the only one].
    #[arg(long, text(), value_name = "TYPE")]
    pub(crate) concierge_authenticator_type: String,

    /// Name of the authenticator [default: the only one].
    #[arg(long, text(), value_name = "NAME")]
    pub(crate) concierge_authenticator_name: String,

    /// API group suffix of the installation.
    #[arg(long, default_value = DEFAULT_SUFFIX, value_name = "SUFFIX")]
    pub(crate) concierge_api_group_suffix: String,

    /// Do not wait for strategies of the CredentialIssuer that are pending.
    #[arg(long, switch())]
    pub(crate) concierge_skip_wait: bool,

    /// File with the endpoint's CA certificates, PEM, in place of what is found; may be repeated.
    #[arg(long, value_name = "FILE")]
    pub(crate) concierge_ca_bundle: Vec<PathBuf>,

    /// URL where tokens are exchanged, in place of what is found.
    #[arg(long, text(), value_name = "URL")]
    pub(crate) concierge_endpoint: String,

    /// How users get to the cluster: TokenCredentialRequestAPI, ImpersonationProxy or Direct [default: the first of the
    /// CredentialIssuer's strategies that works].
    #[arg(long, value_name = "MODE", value_parser = Mode::parse)]
    pub(crate) concierge_mode: Option<Mode>,

    /// Ignored; old scripts have it.
    #[arg(long, hide = true, value_name = "NAMESPACE")]
    pub(crate) concierge_namespace: Option<String>,
}

/// How users log in at the issuer.
#[derive(Args, Debug)]
pub(crate) struct OidcFlags {
    /// URL of the OIDC issuer [default: that of the JWTAuthenticator].
    #[arg(long, text(), value_name = "URL")]
    pub(crate) oidc_issuer: String,

    /// Client ID of the program at the issuer [default: pinniped-cli; at an issuer that is no Pinniped Supervisor, the audience].
    #[arg(long, value_name = "ID")]
    pub(crate) oidc_client_id: Option<String>,

    /// Environment variable of the users with the client's secret, for issuers that gave it one.
    #[arg(long, value_name = "VARIABLE", value_parser = variable)]
    pub(crate) oidc_client_secret_env: Option<String>,

    /// Further parameter of the authorization request, as NAME=VALUE; may be repeated.
    #[arg(long, value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub(crate) oidc_extra_parameter: Vec<(String, String)>,

    /// How users log in: browser_authcode, device_code, cli_password (Pinniped Supervisors) or client_credentials [default: in a
    /// browser].
    #[arg(long, value_name = "FLOW")]
    pub(crate) oidc_flow: Option<Flow>,

    /// Port of the user's computer that the browser comes back to; 0 chooses a free one.
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    pub(crate) oidc_listen_port: u16,

    /// Scopes to ask for [default: offline_access, openid, pinniped:request-audience, username and groups; of an issuer that
    /// is no Pinniped Supervisor, what of these, email and profile it offers].
    #[arg(long, value_delimiter = ',', value_name = "SCOPES")]
    pub(crate) oidc_scopes: Option<Vec<String>>,

    /// Do not open a browser, only print the link.
    #[arg(long, switch())]
    pub(crate) oidc_skip_browser: bool,

    /// Do not listen for the browser; paste what it shows.
    #[arg(long, switch(), hide = true)]
    pub(crate) oidc_skip_listen: bool,

    /// File where the users' tokens are kept, or what else login oidc takes for it [default: as login oidc].
    #[arg(long, text(), value_name = "FILE", value_parser = session_place)]
    pub(crate) oidc_session_cache: String,

    /// File with the issuer's CA certificates, PEM [default: those of the JWTAuthenticator]; may be repeated.
    #[arg(long, value_name = "FILE")]
    pub(crate) oidc_ca_bundle: Vec<PathBuf>,

    /// Say what is wrong with the session cache.
    #[arg(long, switch(), hide = true)]
    pub(crate) oidc_debug_session_cache: bool,

    /// Audience of the token that the cluster wants [default: that of the JWTAuthenticator].
    #[arg(long, text(), value_name = "AUDIENCE")]
    pub(crate) oidc_request_audience: String,
}

/// The name of a variable, or nothing. What is none may be a token, and is not repeated.
fn variable(text: &str) -> Result<String, &'static str> {
    match text.is_empty() || is_name(text) {
        true => Ok(text.to_owned()),
        false => Err("give the name of an environment variable, without a $"),
    }
}

fn secret(text: &str) -> Result<SecretString, std::convert::Infallible> {
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::arguments::{Arguments, Command};

    fn parse(flags: &[&str]) -> Result<Box<KubeconfigFlags>, clap::Error> {
        let arguments = ["haulout", "get", "kubeconfig"].iter().chain(flags);
        match Arguments::try_parse_from(arguments)?.command {
            Command::Get(Get::Kubeconfig(flags)) => Ok(flags),
            other => panic!("parsed as {other:?}"),
        }
    }

    #[test]
    fn every_flag_of_pinniped_is_taken() {
        let flags = parse(&[
            "--concierge-api-group-suffix=a.b",
            "--concierge-authenticator-name=n",
            "--concierge-authenticator-type=JWT",
            "--concierge-ca-bundle=/a",
            "--concierge-ca-bundle=/b",
            "--concierge-credential-issuer=c",
            "--concierge-endpoint=https://e",
            "--concierge-mode=impersonationproxy",
            "--concierge-namespace=ignored",
            "--concierge-skip-wait",
            "--credential-cache=",
            "--generated-name-suffix=-x",
            "--install-hint=hint",
            "--kubeconfig=/k",
            "--kubeconfig-context=ctx",
            "--no-concierge=f",
            "--oidc-ca-bundle=/c",
            "--oidc-client-id=i",
            "--oidc-debug-session-cache",
            "--oidc-issuer=https://i",
            "--oidc-listen-port=4242",
            "--oidc-request-audience=a",
            "--oidc-scopes=a,b",
            "--oidc-scopes=c",
            "--oidc-session-cache=/s",
            "--oidc-skip-browser",
            "--oidc-skip-listen=T",
            "-o=/out",
            "--pinniped-cli-path=haulout",
            "--skip-validation",
            "--static-token=very-secret",
            "--static-token-env=T",
            "--timeout=1m",
            "--upstream-identity-provider-flow=f",
            "--upstream-identity-provider-name=n",
            "--upstream-identity-provider-type=t",
        ])
        .unwrap();
        assert_eq!(flags.concierge.concierge_ca_bundle.len(), 2);
        assert_eq!(
            flags.concierge.concierge_mode,
            Some(Mode::ImpersonationProxy)
        );
        assert!(!flags.concierge.no_concierge);
        assert_eq!(
            flags.oidc.oidc_scopes.as_deref(),
            Some(&["a", "b", "c"].map(str::to_owned)[..])
        );
        assert_eq!(flags.timeout, Duration::from_secs(60));
        assert!(!format!("{flags:?}").contains("very-secret"));
    }

    #[test]
    fn the_last_of_a_flag_wins_and_wrong_ones_are_refused() {
        let flags = parse(&["--oidc-client-id=a", "--oidc-client-id=b"]).unwrap();
        assert_eq!(flags.oidc.oidc_client_id.as_deref(), Some("b"));
        for bad in [
            "--concierge-mode=nonsense",
            "--timeout=soon",
            "--static-token-env=$TOKEN",
            "--oidc-extra-parameter=prompt",
            "--oidc-listen-port=65536",
            "extra",
        ] {
            assert!(parse(&[bad]).is_err(), "{bad}");
        }
    }
}

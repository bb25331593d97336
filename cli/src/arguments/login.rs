//! `login static` and `login oidc`, which stand in kubeconfigs.

use clap::{Args, Subcommand, ValueEnum};
use haulout_api::group::DEFAULT_SUFFIX;
use secrecy::SecretString;

use super::flag_kind::FlagKind as _;
use super::{CaFlags, Verbosity};
use crate::Environment;
use crate::secret_variable::{VariableError, secret_of};
use crate::session_cache::session_place;

#[derive(Debug, Subcommand)]
pub(crate) enum Login {
    /// Exchanges a token that you have already, such as a CI job's, for a credential.
    Static(Box<StaticLogin>),

    /// Logs you in at an OIDC issuer, in a browser unless another flow is chosen, and gets a credential.
    Oidc(Box<OidcLogin>),
}

/// Flags of `login oidc`.
#[derive(Args, Debug)]
pub(crate) struct OidcLogin {
    /// URL of the OIDC issuer, exactly as it calls itself.
    #[arg(long, value_name = "URL")]
    pub(crate) issuer: String,

    /// Client ID of this program at the issuer.
    #[arg(long, default_value = "pinniped-cli", value_name = "ID")]
    pub(crate) client_id: String,

    /// Environment variable with the client's secret, for issuers that gave it one.
    #[arg(long, value_name = "VARIABLE")]
    pub(crate) client_secret_env: Option<String>,

    /// Scopes to ask for [default: openid and what of offline_access, pinniped:request-audience, username,
    /// groups, email and profile the issuer offers].
    #[arg(long, value_delimiter = ',', value_name = "SCOPES")]
    pub(crate) scopes: Option<Vec<String>>,

    /// Further parameter of the authorization request, as NAME=VALUE; may be repeated.
    #[arg(long, value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub(crate) extra_parameter: Vec<(String, String)>,

    /// How to log in: browser_authcode, device_code, cli_password (Pinniped Supervisors) or client_credentials.
    #[arg(long, value_name = "FLOW")]
    pub(crate) flow: Option<Flow>,

    /// Port of this computer that the browser comes back to; 0 chooses a free one.
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    pub(crate) listen_port: u16,

    #[command(flatten)]
    pub(crate) switches: OidcSwitches,

    /// Audience of the token that the cluster wants, which the issuer exchanges its own for; with client_credentials
    /// nothing is exchanged: the issuer must give a token for it by itself.
    #[arg(long, text(), value_name = "AUDIENCE")]
    pub(crate) request_audience: String,

    #[command(flatten)]
    pub(crate) ca: CaFlags,

    /// File that keeps tokens; the word none for none [default: sessions.yaml in $XDG_CONFIG_HOME/pinniped, else
    /// ~/.config/pinniped, shared with the pinniped command]; or keyring:NAME for the keyring that the program
    /// docker-credential-NAME opens.
    #[arg(long, value_name = "FILE", value_parser = session_place)]
    pub(crate) session_cache: Option<String>,

    /// File that keeps credentials until they expire; empty for none [default: credentials.yaml beside it].
    #[arg(long, value_name = "FILE")]
    pub(crate) credential_cache: Option<String>,

    /// Name of the Supervisor's identity provider to log in with.
    #[arg(long, text(), value_name = "NAME")]
    pub(crate) upstream_identity_provider_name: String,

    /// Its type: oidc, ldap, activedirectory or github.
    #[arg(long, default_value = "oidc", value_name = "TYPE")]
    pub(crate) upstream_identity_provider_type: String,

    /// Its flow: browser_authcode or cli_password.
    #[arg(long, text(), value_name = "FLOW")]
    pub(crate) upstream_identity_provider_flow: String,

    #[command(flatten)]
    pub(crate) concierge: ConciergeFlags,

    #[command(flatten)]
    pub(crate) verbosity: Verbosity,
}

/// Flags of `login oidc` that are on or off.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct OidcSwitches {
    /// Do not open a browser, only print the link.
    #[arg(long, switch())]
    pub(crate) skip_browser: bool,

    /// Do not listen for the browser; paste what it shows.
    #[arg(long, switch(), hide = true)]
    pub(crate) skip_listen: bool,

    /// Say what is wrong with the session cache.
    #[arg(long, switch(), hide = true)]
    pub(crate) debug_session_cache: bool,
}

/// How a user, or a program, gets tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Flow {
    /// With a browser on this computer, or by pasting what one elsewhere shows.
    BrowserAuthcode,
    /// With a browser anywhere (RFC 8628).
    DeviceCode,
    /// User name and password, for a Pinniped Supervisor.
    CliPassword,
    /// No user: the client itself (RFC 6749, 4.4).
    ClientCredentials,
}

impl std::fmt::Display for Flow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}

pub(super) fn name_and_value(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Flags of `login static`.
#[derive(Args)]
pub(crate) struct StaticLogin {
    /// The token. Other users of this machine can see it in the process list: prefer --token-env.
    #[arg(long, text())]
    pub(crate) token: String,

    /// Environment variable that holds the token; wins over --token.
    #[arg(long, text(), value_name = "VARIABLE")]
    pub(crate) token_env: String,

    #[command(flatten)]
    pub(crate) concierge: ConciergeFlags,

    #[command(flatten)]
    pub(crate) verbosity: Verbosity,

    /// File that keeps credentials until they expire; empty for none [default: credentials.yaml in
    /// $XDG_CONFIG_HOME/pinniped, else ~/.config/pinniped, shared with the pinniped command].
    #[arg(long, value_name = "FILE")]
    pub(crate) credential_cache: Option<String>,
}

impl StaticLogin {
    /// The token, from wherever it is given; empty where it is not.
    pub(crate) fn given_token(
        &self,
        environment: Environment<'_>,
    ) -> Result<SecretString, VariableError> {
        match self.token_env.as_str() {
            "" => Ok(self.token.clone().into()),
            variable => secret_of("--token-env", variable, environment),
        }
    }
}

/// Where the token is exchanged.
#[derive(Args, Clone, Debug)]
pub(crate) struct ConciergeFlags {
    /// Exchange the token for a client certificate; without this flag the token itself is the credential.
    #[arg(long, switch())]
    pub(crate) enable_concierge: bool,

    /// Kind of the authenticator that knows the token's issuer: jwt or webhook.
    #[arg(long, text(), value_name = "TYPE")]
    pub(crate) concierge_authenticator_type: String,

    /// Name of the authenticator.
    #[arg(long, text(), value_name = "NAME")]
    pub(crate) concierge_authenticator_name: String,

    /// URL where the token is exchanged: the Kubernetes API server's, or the direct endpoint's.
    #[arg(long, text(), value_name = "URL")]
    pub(crate) concierge_endpoint: String,

    /// CA certificates that may sign the endpoint's certificate, as base64 of PEM; this system's roots if empty.
    #[arg(long, text(), value_name = "BASE64")]
    pub(crate) concierge_ca_bundle_data: String,

    /// API group suffix that the cluster's installation uses.
    #[arg(long, default_value = DEFAULT_SUFFIX, value_name = "SUFFIX")]
    pub(crate) concierge_api_group_suffix: String,

    /// Ignored; old kubeconfigs carry it.
    #[arg(long, hide = true, value_name = "NAMESPACE")]
    pub(crate) concierge_namespace: Option<String>,
}

impl std::fmt::Debug for StaticLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StaticLogin")
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::arguments::{Arguments, Command};

    fn parse(flags: &[&str]) -> Result<Box<StaticLogin>, clap::Error> {
        let arguments = ["haulout", "login", "static"].iter().chain(flags);
        match Arguments::try_parse_from(arguments)?.command {
            Command::Login(Login::Static(login)) => Ok(login),
            other => panic!("parsed as {other:?}"),
        }
    }

    /// The order and spelling that `pinniped get kubeconfig` writes.
    #[test]
    fn stanzas_of_pinniped_parse() {
        let login = parse(&[
            "--enable-concierge",
            "--concierge-api-group-suffix=pinniped.example.com",
            "--concierge-authenticator-name=supervisor",
            "--concierge-authenticator-type=jwt",
            "--concierge-endpoint=https://k.example.com",
            "--concierge-ca-bundle-data=Zm9v",
            "--concierge-namespace=pinniped-concierge",
            "--credential-cache=",
            "--token-env=TOKEN",
        ])
        .unwrap();
        assert!(login.concierge.enable_concierge);
        assert_eq!(
            login.concierge.concierge_api_group_suffix,
            "pinniped.example.com"
        );
        assert_eq!(login.concierge.concierge_authenticator_name, "supervisor");
        assert_eq!(login.concierge.concierge_authenticator_type, "jwt");
        assert_eq!(login.concierge.concierge_endpoint, "https://k.example.com");
        assert_eq!(login.concierge.concierge_ca_bundle_data, "Zm9v");
        assert_eq!(login.credential_cache.as_deref(), Some(""));
        assert_eq!(login.token_env, "TOKEN");
    }

    #[test]
    fn flags_read_as_gos_do() {
        assert!(
            !parse(&["--enable-concierge=false"])
                .unwrap()
                .concierge
                .enable_concierge
        );
        for yes in ["true", "TRUE", "T", "t", "1"] {
            let flag = format!("--enable-concierge={yes}");
            assert!(parse(&[&flag]).unwrap().concierge.enable_concierge, "{yes}");
        }
        assert_eq!(parse(&["--token", "a"]).unwrap().token, "a");
        assert_eq!(
            parse(&["--token=a", "--token=b"]).unwrap().token,
            "b",
            "the last one wins"
        );
        assert_eq!(parse(&["--token="]).unwrap().token, "");
        assert_eq!(
            parse(&[]).unwrap().concierge.concierge_api_group_suffix,
            DEFAULT_SUFFIX
        );
        assert_eq!(parse(&[]).unwrap().credential_cache, None);
        for bad in [
            &["extra"][..],
            &["--nope"],
            &["--token"],
            &["--enable-concierge=maybe"],
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn tokens_are_not_debug_printed() {
        assert_eq!(
            format!("{:?}", parse(&["--token=very-secret"]).unwrap()),
            "StaticLogin"
        );
    }
}

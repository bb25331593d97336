//! Why no kubeconfig was made. Where Pinniped's CLI has a text for the same fault, it is the beginning of ours, since scripts
//! look for it.

use std::io;
use std::time::Duration;

use haulout_api::group::SuffixError;
use haulout_https::foreign;
use kube::config::KubeconfigError;

use super::issuer_ca::CaLookupFault;
use super::source::SourceError;
use super::strategy::Mode;
use super::validation::AttemptFault;
use crate::authenticator_kind::AuthenticatorKind;
use crate::ca::{CaError, CaFault};
use crate::cluster::ClusterError;
use crate::document::EncodeError;
use crate::exchange::ParameterError;
use crate::kubeconfig_file::OutputError;
use crate::kubeconfig_source::KubeconfigFault;
use crate::oidc::OidcError;
use crate::runtime::RuntimeError;

/// Why `get kubeconfig` printed none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GetKubeconfigError {
    // The flags.
    #[error("invalid API group suffix")]
    Suffix(#[source] SuffixError),
    #[error("only one of --static-token and --static-token-env can be specified")]
    BothStaticTokens,
    #[error(transparent)]
    Ca(#[from] CaError),
    #[error("invalid authenticator type \"{0}\", supported values are \"webhook\" and \"jwt\"")]
    AuthenticatorType(String),
    #[error("could not find the path of this program; name it by --pinniped-cli-path")]
    OwnPath(#[source] io::Error),

    // The administrator's kubeconfig.
    #[error("could not load --kubeconfig")]
    ReadKubeconfig(#[source] KubeconfigFault),
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error("could not configure Kubernetes client")]
    Config(#[source] Box<KubeconfigError>),
    #[error("could not configure Kubernetes client")]
    Client(#[source] Box<ClusterError>),
    #[error(transparent)]
    Runtime(#[from] RuntimeError),

    // The CredentialIssuer.
    #[error(
        "could not list CredentialIssuers: {fault}{}",
        remedy(fault, "--concierge-credential-issuer")
    )]
    ListIssuers { fault: Box<ClusterError> },
    #[error(
        "could not get CredentialIssuer \"{name}\": {fault}{}",
        remedy(fault, "")
    )]
    GetIssuer {
        name: String,
        fault: Box<ClusterError>,
    },
    #[error(
        "could not find CredentialIssuer \"{0}\"; see --concierge-credential-issuer and --concierge-api-group-suffix"
    )]
    NoIssuerOfName(String),
    #[error(
        "no CredentialIssuers were found; is Haulout installed in this cluster, and are its API groups those of \
         --concierge-api-group-suffix={0}?"
    )]
    NoIssuers(String),
    #[error(
        "multiple CredentialIssuers were found, so the --concierge-credential-issuer flag must be specified; there are {0}"
    )]
    SeveralIssuers(String),
    #[error(
        "CredentialIssuer {name} still has strategies that are pending after {} s: {pending}; see its status, give more time \
         by --timeout, or take what works already by --concierge-skip-wait",
        timeout.as_secs_f64()
    )]
    StillPending {
        name: String,
        pending: String,
        timeout: Duration,
    },
    #[error(
        "could not autodiscover --concierge-mode: no strategy of the CredentialIssuer works; the lines above say why, and \
         `haulout doctor` says what to do"
    )]
    NoStrategy,
    #[error(
        "could not find successful Concierge strategy matching --concierge-mode={0}; the lines above say what the \
         CredentialIssuer has"
    )]
    NoStrategyOfMode(Mode),
    #[error("autodiscovered Concierge CA bundle is invalid; see the CredentialIssuer's status")]
    AdvertisedCa(#[source] CaFault),

    // The authenticator.
    #[error(
        "could not list {kind}s: {fault}{}",
        remedy(
            fault,
            "--concierge-authenticator-type and --concierge-authenticator-name"
        )
    )]
    ListAuthenticators {
        kind: AuthenticatorKind,
        fault: Box<ClusterError>,
    },
    #[error("could not get {kind} \"{name}\": {fault}{}", remedy(fault, ""))]
    GetAuthenticator {
        kind: AuthenticatorKind,
        name: String,
        fault: Box<ClusterError>,
    },
    #[error(
        "could not find {kind} \"{name}\"; see --concierge-authenticator-type and --concierge-authenticator-name"
    )]
    NoSuchAuthenticator {
        kind: AuthenticatorKind,
        name: String,
    },
    #[error(
        "no authenticators were found; create a JWTAuthenticator, or see --concierge-authenticator-type"
    )]
    NoAuthenticators,
    #[error(
        "no authenticator \"{0}\" was found; see --concierge-authenticator-type and --concierge-authenticator-name"
    )]
    NoAuthenticatorOfName(String),
    #[error(
        "multiple authenticators were found, so the --concierge-authenticator-type/--concierge-authenticator-name flags must \
         be specified; there are {0}"
    )]
    SeveralAuthenticators(String),
    #[error("JWTAuthenticator {0} cannot be read")]
    JwtSpec(String, #[source] serde_json::Error),
    #[error(
        "tried to autodiscover --oidc-ca-bundle, but JWTAuthenticator {authenticator} does not lead to one; mend it, or give \
         --oidc-ca-bundle"
    )]
    IssuerCa {
        authenticator: String,
        #[source]
        fault: CaLookupFault,
    },

    // The issuer.
    #[error(
        "could not autodiscover --oidc-issuer and none was provided; give it, or --static-token-env for users who bring a token"
    )]
    NoIssuer,
    #[error(
        "request audience is not allowed to include the substring '.pinniped.dev': {}; the Supervisor keeps such names for \
         itself",
        foreign(.0)
    )]
    ReservedAudience(String),
    #[error("while fetching OIDC discovery data from issuer")]
    Discovery(#[source] Box<OidcError>),
    #[error("while fetching the issuer's list of identity providers")]
    IdentityProviders(#[source] Box<OidcError>),
    #[error(
        "multiple Supervisor upstream identity providers were found, so the --upstream-identity-provider-name/\
         --upstream-identity-provider-type flags must be specified; there are {0}"
    )]
    SeveralIdentityProviders(String),
    #[error(
        "no Supervisor upstream identity provider fits --upstream-identity-provider-name=\"{name}\" and \
         --upstream-identity-provider-type=\"{type_}\"; there are {found}"
    )]
    NoIdentityProvider {
        name: String,
        type_: String,
        found: String,
    },
    #[error(
        "the identity provider \"{name}\" does not offer --upstream-identity-provider-flow=\"{flow}\"; it offers {}",
        foreign(offered)
    )]
    NoSuchFlow {
        name: String,
        flow: String,
        offered: String,
    },
    #[error(
        "the identity provider \"{name}\" offers no flow that `haulout login oidc` knows, only {}; a newer haulout may, or name \
         another identity provider",
        foreign(offered)
    )]
    NoKnownFlow { name: String, offered: String },
    #[error(
        "--upstream-identity-provider-flow=\"{0}\" is no flow that `haulout login oidc` knows; name browser_authcode or cli_password"
    )]
    UnknownFlow(String),

    // The result.
    #[error("the kubeconfig would not work: invalid Concierge parameters")]
    Parameters(#[source] ParameterError),
    #[error(transparent)]
    Encode(EncodeError),
    #[error(
        "could not validate the kubeconfig: the cluster does not answer at {server}; see --timeout, or leave this out by \
         --skip-validation"
    )]
    Validation {
        server: String,
        source: AttemptFault,
    },
    #[error(transparent)]
    Output(#[from] OutputError),
}

impl GetKubeconfigError {
    /// Whether the command line is at fault.
    pub(crate) fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Suffix(_)
                | Self::BothStaticTokens
                | Self::Ca(_)
                | Self::AuthenticatorType(_)
                | Self::UnknownFlow(_)
        )
    }
}

impl From<ClusterError> for GetKubeconfigError {
    fn from(error: ClusterError) -> Self {
        Self::Client(Box::new(error))
    }
}

/// What else to do where an object cannot be read. With these flags, less has to be read.
fn remedy(error: &ClusterError, flags: &str) -> String {
    match error {
        ClusterError::Refused { status, .. } if status.code == 403 && !flags.is_empty() => {
            format!("; use an administrator's kubeconfig, or name it by {flags}")
        }
        ClusterError::Refused { status, .. } if status.code == 403 => {
            "; use an administrator's kubeconfig".to_owned()
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn what_to_do_follows_from_what_is_wrong() {
        let refused = |code| ClusterError::Refused {
            what: "x",
            server: "https://k".to_owned(),
            status: Box::new(Status {
                code,
                ..Status::default()
            }),
        };
        for (error, flags, expected) in [
            (refused(403), "--flag", "or name it by --flag"),
            (refused(403), "", "use an administrator's kubeconfig"),
            (refused(401), "--flag", "log in again"),
        ] {
            let told = format!("{error}{}", remedy(&error, flags));
            assert!(told.contains(expected), "{told}");
        }
    }
}

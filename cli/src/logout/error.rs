//! Why something is left.

use crate::ca::CaError;
use crate::cache_file::CacheError;
use crate::exec_stanza::StanzaError;
use crate::oidc::OidcError;
use crate::runtime::RuntimeError;
use crate::secret_variable::VariableError;
use crate::standard_output::PrintError;

/// Why `logout` left something.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogoutError {
    #[error(transparent)]
    Stanza(#[from] StanzaError),
    #[error(
        "--issuer is not {0}, where the kubeconfig's user logs in; leave out --issuer, or --kubeconfig and --context"
    )]
    OtherIssuer(String),
    #[error("invalid --issuer")]
    Issuer(#[source] Box<OidcError>),
    #[error(transparent)]
    Ca(#[from] CaError),
    #[error(transparent)]
    Cache(#[from] CacheError),
    #[error(
        "neither XDG_CONFIG_HOME nor HOME is set, so nobody knows where sessions and credentials are kept; name the files by \
         --session-cache and --credential-cache"
    )]
    NoPlace,
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    #[error(transparent)]
    ClientSecret(#[from] VariableError),
    #[error(
        "{0} was damaged: whatever sessions it held are forgotten here, and may go on at their issuers"
    )]
    Damaged(String),
    #[error("{}", told(*kept, *unrevoked))]
    Left {
        /// Sessions that are kept, since they can be revoked yet.
        kept: usize,
        /// Sessions that are forgotten here alone.
        unrevoked: usize,
    },
    #[error(transparent)]
    Print(#[from] PrintError),
}

impl LogoutError {
    /// Whether the command line is at fault.
    pub(crate) fn is_usage(&self) -> bool {
        match self {
            Self::Stanza(error) => error.is_usage(),
            Self::OtherIssuer(_) | Self::Issuer(_) | Self::Ca(_) => true,
            _ => false,
        }
    }
}

fn told(kept: usize, unrevoked: usize) -> String {
    let kept = (kept > 0).then(|| {
        format!(
            "{kept} of your sessions are kept, since they can still be revoked: log out again with --kubeconfig FILE, or with the \
             --ca-bundle, --ca-bundle-data, --client-secret-env, SSL_CERT_FILE and SSL_CERT_DIR of that login; --forget forgets them here alone"
        )
    });
    let unrevoked = (unrevoked > 0).then(|| {
        format!(
            "{unrevoked} of your sessions are forgotten here, but may go on at their issuers, which did not revoke them"
        )
    });
    let parts: Vec<_> = kept.into_iter().chain(unrevoked).collect();
    parts.join("; ")
}

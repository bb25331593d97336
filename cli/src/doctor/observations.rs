//! What is seen of a cluster. No I/O.

use haulout_api::authenticator::{AuthenticatorStatus, JwtAuthenticatorSpec};
use haulout_api::group::ApiGroupSuffix;
use haulout_api::issuer::{
    DirectEndpointInfo, Strategy, StrategyType, TokenCredentialRequestApiInfo,
};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::{Event, Namespace, Node, Pod};
use k8s_openapi::jiff::Timestamp;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;

use super::claims::{Claims, ClaimsError};
use crate::authenticator_kind::AuthenticatorKind;
use crate::cluster::CredentialFault;

/// What the webhook says to a login with an empty token.
const TOKEN_MISSING: &str = "token must be supplied";

/// Everything that is judged.
#[derive(Clone, Debug)]
pub(super) struct Observations {
    pub(super) suffix: ApiGroupSuffix,
    /// URL of the API server, as the kubeconfig has it.
    pub(super) server: String,
    /// URL of the proxy on the way to it, of the kubeconfig or of a variable.
    pub(super) proxy: Option<String>,
    /// Whether the kubeconfig has the API server's certificate checked.
    pub(super) verifies_server: bool,
    /// By this computer's clock, once the kubeconfig's plugin has ended.
    pub(super) now: Timestamp,
    /// `GET /version` without credentials; nothing else is looked at where it gets no answer.
    pub(super) version: Result<Answer, Unreachable>,
    /// How far this computer's clock is ahead of the API server's, in seconds.
    pub(super) clock_difference: Option<i64>,
    /// A login with an empty token, which no authenticator is asked about.
    pub(super) login: Option<Result<Answer, Unreachable>>,
    /// Whom the API server takes the kubeconfig's user for.
    pub(super) account: Option<Result<String, AccountFault>>,
    /// What that user can read.
    pub(super) objects: Option<Box<Objects>>,
    /// `GET /version` at the address that clients are told, by the CA that they are told.
    pub(super) advertised: Option<Result<Answer, Unreachable>>,
    /// The same login at the direct endpoint.
    pub(super) direct: Option<Result<Answer, Unreachable>>,
    /// The same login where the kubeconfig's user logs in, if that is by exchanging a token.
    pub(super) own: Option<OwnDoor>,
    pub(super) token: Option<Token>,
}

impl Observations {
    fn issuer(&self) -> Option<&Issuer> {
        self.objects.as_ref()?.issuer.as_ref().ok()?.as_ref()
    }

    /// Address and CA of the API server that clients are told.
    pub(super) fn advertised_info(&self) -> Option<&TokenCredentialRequestApiInfo> {
        let frontend = self.issuer()?.signing()?.frontend.as_ref()?;
        frontend.token_credential_request_info.as_ref()
    }

    /// Address and CA of the direct endpoint, if there is one.
    pub(super) fn direct_info(&self) -> Option<&DirectEndpointInfo> {
        let strategy = self.issuer()?.strategy(StrategyType::DirectEndpoint)?;
        strategy.frontend.as_ref()?.direct_endpoint_info.as_ref()
    }

    pub(super) fn has_direct_endpoint(&self) -> bool {
        let strategy = self
            .issuer()
            .map(|issuer| issuer.strategy(StrategyType::DirectEndpoint));
        strategy.flatten().is_some()
    }

    /// Whether a login by the API server reaches the webhook.
    pub(super) fn login_path_is_open(&self) -> bool {
        matches!(&self.login, Some(Ok(answer)) if answer.has_reached_webhook())
    }

    /// Whether a login where the kubeconfig's user logs in does.
    pub(super) fn own_door_is_open(&self) -> bool {
        let own = self.own.as_ref();
        own.is_some_and(|own| matches!(&own.answer, Ok(answer) if answer.has_reached_webhook()))
    }

    /// Whether a login by the direct endpoint does.
    pub(super) fn direct_endpoint_is_open(&self) -> bool {
        matches!(&self.direct, Some(Ok(answer)) if answer.is_webhooks())
    }
}

/// Where the kubeconfig says that its user logs in.
#[derive(Clone, Debug)]
pub(super) struct OwnDoor {
    /// Whether the user has no token to log in with there, and gets none from an issuer.
    pub(super) lacks_token: bool,
    pub(super) endpoint: String,
    pub(super) answer: Result<Answer, Unreachable>,
}

/// What a server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Body,
    /// By which the cluster's administrator finds the request in its logs.
    pub(super) audit_id: Option<String>,
}

impl Answer {
    /// Whether it is the webhook's own to a login with an empty token.
    pub(super) fn is_webhooks(&self) -> bool {
        self.status == 422
            && matches!(&self.body, Body::Status(message) if message.contains(TOKEN_MISSING))
    }

    /// One that is too many at the moment has reached it as well.
    fn has_reached_webhook(&self) -> bool {
        self.is_webhooks() || self.status == 429
    }

    /// Status and message.
    pub(super) fn text(&self) -> String {
        match &self.body {
            Body::Status(message) if !message.is_empty() => format!("{}: {message}", self.status),
            _ => self.status.to_string(),
        }
    }
}

/// What matters of an answer's body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// A `Status`, with its message.
    Status(String),
    /// A `TokenCredentialRequest` with a credential, which is dropped.
    Credential {
        until: Timestamp,
    },
    /// A `TokenCredentialRequest` without.
    NoCredential(String),
    /// What Kubernetes answers to `GET /version`.
    Version,
    Other,
}

/// Why a server gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unreachable {
    /// Its URL or CA cannot be used.
    Unusable(String),
    ConnectionRefused,
    TimedOut,
    /// Its certificate is of another CA.
    OtherAuthority,
    /// Its certificate is not valid yet, or no more, by this computer's clock.
    OutOfTime {
        is_early: bool,
        /// The limit that was missed.
        limit: Option<Timestamp>,
    },
    /// Its certificate is refused for another reason, such as its names.
    Certificate(String),
    /// It does not speak TLS 1.3.
    TlsVersion,
    Other(String),
}

/// Why it is not known who the user is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AccountFault {
    /// There are no credentials, as when the plugin fails; why.
    NoCredentials(CredentialFault),
    /// 401.
    NotAccepted,
    Other(String),
}

/// What was looked for, or why that cannot be seen.
pub(super) type Seen<T> = Result<T, Unseen>;

/// Why something cannot be seen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unseen {
    #[error("you have no right to {0}")]
    NoRight(String),
    #[error("{0}")]
    Fault(String),
}

/// Objects of the cluster; `None` is for one that is not there.
#[derive(Clone, Debug)]
pub(super) struct Objects {
    /// Where the webhook belongs.
    pub(super) namespace: String,
    pub(super) deployment: Seen<Option<Deployment>>,
    pub(super) webhook_pods: Seen<Vec<Pod>>,
    pub(super) login_service: Seen<Option<APIService>>,
    pub(super) identity_service: Seen<Option<APIService>>,
    pub(super) system_namespace: Seen<Option<Namespace>>,
    pub(super) agent_namespace: Seen<Option<Namespace>>,
    pub(super) daemon_set: Seen<Option<DaemonSet>>,
    pub(super) agent_pods: Seen<Vec<Pod>>,
    pub(super) agent_events: Seen<Vec<Event>>,
    pub(super) controller_managers: Seen<ControllerManagers>,
    pub(super) nodes: Seen<Vec<Node>>,
    pub(super) issuer: Seen<Option<Issuer>>,
    pub(super) jwt: Seen<Vec<Authenticator<JwtAuthenticatorSpec>>>,
    /// Each with its endpoint.
    pub(super) webhook: Seen<Vec<Authenticator<String>>>,
}

/// Pods of kube-controller-manager.
#[derive(Clone, Debug, Default)]
pub(super) struct ControllerManagers {
    /// With one of the labels that it is found by.
    pub(super) labelled: Vec<Pod>,
    /// What is called like one, and has neither.
    pub(super) unlabelled: Vec<Pod>,
}

/// The CredentialIssuer.
#[derive(Clone, Debug)]
pub(super) struct Issuer {
    pub(super) name: String,
    pub(super) strategies: Vec<Strategy>,
}

impl Issuer {
    pub(super) fn strategy(&self, type_: StrategyType) -> Option<&Strategy> {
        self.strategies
            .iter()
            .find(|strategy| strategy.type_ == type_)
    }

    pub(super) fn signing(&self) -> Option<&Strategy> {
        self.strategy(StrategyType::KubeClusterSigningCertificate)
    }
}

/// A JWTAuthenticator or WebhookAuthenticator.
#[derive(Clone, Debug)]
pub(super) struct Authenticator<S> {
    pub(super) name: String,
    pub(super) generation: Option<i64>,
    pub(super) spec: S,
    pub(super) status: AuthenticatorStatus,
}

/// A token that the user has.
#[derive(Clone, Debug)]
pub(super) struct Token {
    /// Whether it is the one that the kubeconfig's user logs in with.
    pub(super) is_own: bool,
    /// What it says of itself; nobody has verified it.
    pub(super) claims: Result<Claims, ClaimsError>,
    /// A login with it by each authenticator that may take it, to the first that does: kind, name, and the answer.
    pub(super) logins: Vec<TokenLogin>,
}

/// A login with the user's token.
#[derive(Clone, Debug)]
pub(super) struct TokenLogin {
    pub(super) kind: AuthenticatorKind,
    pub(super) authenticator: String,
    pub(super) answer: Result<Answer, Unreachable>,
}

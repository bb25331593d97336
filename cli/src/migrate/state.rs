//! What a migration depends on, as read from a cluster.

use std::fmt;

use haulout_api::authenticator::{
    AuthenticatorPhase, CertificateAuthorityDataSource, JwtAuthenticatorSpec,
    WebhookAuthenticatorSpec,
};
use haulout_api::group::{ApiGroupSuffix, VERSION};

use super::name::Name;
use crate::authenticator_kind::AuthenticatorKind;
use crate::installation::{NAMESPACE, SERVICE};

/// A Service, written `namespace/name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Service {
    pub(super) namespace: Name,
    pub(super) name: Name,
}

impl Service {
    /// Whether it is Haulout's.
    pub(super) fn is_ours(&self) -> bool {
        self.namespace.as_str() == NAMESPACE && self.name.as_str() == SERVICE
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The cluster.
#[derive(Clone, Debug)]
pub(super) struct State {
    /// Version of the API server: major and minor.
    pub(super) version: (u32, u32),
    pub(super) suffix: ApiGroupSuffix,
    /// Where the APIService of the login group leads.
    pub(super) login: Service,
    /// Where that of the identity group leads; `None` where there is none, or it leads to no Service.
    pub(super) identity: Option<Service>,
    /// Pinniped's Concierge, if it was found.
    pub(super) concierge: Option<Concierge>,
    /// Whether the APIService of the login group says which Concierge it led to before Haulout.
    pub(super) is_recorded: bool,
    /// Whether the APIService of the login group has the marks of Haulout's release.
    pub(super) is_taken_over: bool,
    /// Those of Haulout's namespaces that are there.
    pub(super) namespaces: Vec<&'static str>,
    /// Whether somebody has installed Haulout who has rights in the whole cluster.
    pub(super) is_installed: bool,
    pub(super) jwt: Vec<Authenticator<JwtAuthenticatorSpec>>,
    pub(super) webhook: Vec<Authenticator<WebhookAuthenticatorSpec>>,
    pub(super) issuers: Vec<Issuer>,
    /// What authenticators read their CA bundles from.
    pub(super) sources: Vec<Source>,
    pub(super) anonymous: Anonymous,
    /// The chart's preset for the agent, `custom`, or why the agent has no place.
    pub(super) placement: Result<&'static str, String>,
}

impl State {
    /// Names of the two APIServices, that of the logins first.
    pub(super) fn api_services(&self) -> [String; 2] {
        [self.suffix.login_group(), self.suffix.identity_group()]
            .map(|group| format!("{VERSION}.{group}"))
    }

    /// Names of those APIServices that lead to Haulout, or of those that do not.
    pub(super) fn led(&self, to_haulout: bool) -> Vec<String> {
        let services = [Some(&self.login), self.identity.as_ref()];
        let led = self.api_services().into_iter().zip(services);
        led.filter(|(_, service)| service.is_some_and(Service::is_ours) == to_haulout)
            .map(|(name, _)| name)
            .collect()
    }
}

/// An installation of Pinniped's Concierge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Concierge {
    pub(super) namespace: Name,
    pub(super) service: Name,
    pub(super) deployment: Name,
    pub(super) replicas: i32,
    /// Name of the Secret with its serving certificate.
    pub(super) serving_secret: Name,
    /// What its configuration says that Haulout's values can say too.
    pub(super) settings: Settings,
    /// What else looks after the Deployment.
    pub(super) managers: Vec<Manager>,
    /// What its manifests made, but for CRDs and APIServices; empty where that cannot be told.
    pub(super) objects: Vec<Object>,
}

impl Concierge {
    /// Whether this Service is its own.
    pub(super) fn is_behind(&self, service: &Service) -> bool {
        self.namespace == service.namespace && self.service == service.name
    }
}

/// Settings that carry over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Settings {
    /// URL of the API server that is advertised in place of that in `cluster-info`.
    pub(super) server: Option<String>,
    pub(super) logs_names: bool,
    pub(super) https_proxy: Option<String>,
    pub(super) no_proxy: Option<String>,
}

/// A program that may undo the steps, or take too much away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manager {
    Kapp,
    Helm,
    ArgoCd,
    Flux,
}

/// An object, as kubectl names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Object {
    /// Plural and group, such as `deployments.apps`.
    pub(super) resource: String,
    pub(super) namespace: Option<String>,
    pub(super) name: String,
}

/// A `JWTAuthenticator` or `WebhookAuthenticator`.
#[derive(Clone, Debug)]
pub(super) struct Authenticator<S> {
    pub(super) kind: AuthenticatorKind,
    pub(super) name: String,
    /// The specification, or why it is none.
    pub(super) spec: Result<S, String>,
    pub(super) phase: AuthenticatorPhase,
}

/// A `CredentialIssuer`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Issuer {
    pub(super) name: String,
    /// `spec.impersonationProxy.mode`.
    pub(super) mode: String,
    /// Whether its status says that people can use the impersonation proxy.
    pub(super) is_proxy_up: bool,
}

/// A source of a CA bundle in the namespace of the Concierge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    /// Kind and name of the authenticator.
    pub(super) of: String,
    /// Namespace of the Concierge.
    pub(super) namespace: Name,
    pub(super) source: CertificateAuthorityDataSource,
    pub(super) is_there: bool,
}

/// How the API server answers requests without credentials at the login path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Anonymous {
    /// They get further than authentication.
    Admitted,
    /// 401.
    Refused,
    /// It could not be asked, for this reason.
    Unknown(String),
}
